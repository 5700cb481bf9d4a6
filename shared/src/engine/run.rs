//! One run of a body, under its limits. A panic is an outcome like any other.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::Either;
use serde_json::Value;

use crate::context::Context;
use crate::event::{Event, EventKind};
use crate::failure::{Panicked, TaskError, TimeLimit};
use crate::middleware;

use super::claim::Claimed;
use super::{Batch, Branch, Known, Rule, reached};

/// What a body ended with: its JSON, or its error.
pub(super) type Outcome = Result<String, TaskError>;

/// A run that begins this long after its invocation, or later, had to wait: for others, or for its claim.
const LATE: Duration = Duration::from_secs(1);

impl Batch<'_> {
    pub(super) async fn run(
        &self,
        known: &Known<'_>,
        claimed: &mut Claimed,
        input: Option<Value>,
    ) -> Outcome {
        let message = &known.job.message;
        let now = self.now();
        let left = self.stop_at().since(now);
        let own = message.time_limit.or(known.options().time_limit);
        let limit = own.map_or(left, |own| own.min(left));
        // A fresh invocation would have given it this much, or what it may take at most.
        let fresh = self.stop_at().since(self.started).saturating_sub(LATE);
        let short = limit < own.map_or(fresh, |own| own.min(fresh));
        let soft = message.soft_time_limit.or(known.options().soft_time_limit);
        let app = self.worker.app().inside_task(message.hops);
        let state = self.worker.state_map().clone();
        let context = Context::new(
            app,
            message.clone(),
            state,
            claimed.started_at,
            now + limit,
            soft.map(|soft| now + soft),
        )
        .with_checkpoints(claimed.checkpoints.clone())
        .with_reports(claimed.reports.clone())
        .with_asked(claimed.asked.clone())
        .with_derived_children(self.worker.keeps(Rule::DeriveChildIds));
        let args = input.into_iter().chain(message.args.iter().cloned());
        let (args, kwargs) = (args.collect(), message.kwargs.clone());
        let middlewares = self.worker.app().middlewares();
        let body = match middlewares {
            [] => Either::Left(known.def.run(&context, args, kwargs)),
            all => Either::Right(middleware::run(all, known.def, &context, args, kwargs)),
        };
        let event = Event::of(EventKind::Started, message);
        self.worker.app().tell(&event);
        let body = async {
            match self.worker.keeps(Rule::ContainPanics) {
                true => caught(body).await,
                false => body.await,
            }
        };
        self.reporter.listen(claimed.reports.clone());
        let clock = &self.worker.app().ports().clock;
        let outcome = tokio::select! {
            biased;
            outcome = body => outcome,
            () = clock.sleep(limit), if self.worker.keeps(Rule::StopAtLimit) => Err(if short {
                reached(Branch::CutShort);
                TaskError::cut_short()
            } else {
                reached(Branch::StoppedAtLimit);
                TimeLimit(limit).into()
            }),
        };
        claimed.reports.close();
        claimed.children = context.sent();
        claimed.added = context.added();
        outcome
    }
}

/// The future's output, or its panic as an error.
async fn caught(body: impl Future<Output = Outcome>) -> Outcome {
    let mut body = pin!(body);
    std::future::poll_fn(move |context| {
        let body: Pin<&mut _> = body.as_mut();
        // After a panic the body is never polled again, so nobody sees it half done.
        match catch_unwind(AssertUnwindSafe(|| body.poll(context))) {
            Ok(polled) => polled,
            Err(panic) => {
                reached(Branch::Panicked);
                Poll::Ready(Err(Panicked(panic_text(&*panic)).into()))
            }
        }
    })
    .await
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "with a value that is no text".to_owned()
    }
}
