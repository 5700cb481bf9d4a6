//! Middleware: what goes round each send and each run. And what is told of them ([`crate::event`]) wraps nothing.
//!
//! Both traits' methods have defaults, so a middleware says only what it is for. Without any, nothing is called and
//! nothing allocated.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::app::App;
use crate::bind::{Args, Kwargs};
use crate::context::Context;
use crate::engine::panic_text;
use crate::error::{Error, ErrorKind, Result};
use crate::failure::TaskError;
use crate::message::Message;
use crate::ports::{BoxFuture, QueueName};
use crate::task::TaskDef;

/// What a run comes to: what the task returns, as JSON text, or its error.
pub type Worked = Result<String, TaskError>;

/// Goes round each send and each run. See the [guide](crate::guide::middleware).
///
/// ```
/// use sedano::ports::BoxFuture;
/// use sedano::{Context, Middleware, Next, Worked};
///
/// /// Says how long each run took.
/// struct Timed;
///
/// impl Middleware for Timed {
///     fn work<'a>(&'a self, ctx: &'a Context, next: Next<'a>) -> BoxFuture<'a, Worked> {
///         Box::pin(async move {
///             let worked = next.run(ctx).await;
///             let took = ctx.app().ports().clock.now().since(ctx.started_at());
///             println!("{} {}: {took:?}", ctx.task(), ctx.id());
///             worked
///         })
///     }
/// }
/// ```
pub trait Middleware: Send + Sync + 'static {
    /// Before a message is sent: to add to it, or to refuse it by an error, which is the send's. By programs, and by
    /// workers that launch the next step of a chain or the members of a group, where a refusal is that step's FAILURE.
    ///
    /// Not before what a worker sends on of a message that was sent already: retries, detours, what was parked.
    ///
    /// # Errors
    /// Whatever it refuses a message with. A panic is one, too.
    fn send(&self, message: &mut Sending<'_>) -> Result<()> {
        let _ = message;
        Ok(())
    }

    /// Around a run, inside its claim and its time limit. Without `next.run(ctx)` the body doesn't run, and what is
    /// returned here is the task's outcome. A panic is the task's.
    fn work<'a>(&'a self, ctx: &'a Context, next: Next<'a>) -> BoxFuture<'a, Worked> {
        next.run(ctx)
    }
}

/// A message that is about to be sent.
#[derive(Debug)]
pub struct Sending<'a> {
    message: &'a mut Message,
    queue: &'a QueueName,
}

impl<'a> Sending<'a> {
    /// All that it says.
    pub fn message(&self) -> &Message {
        self.message
    }

    /// Where it goes.
    pub fn queue(&self) -> &QueueName {
        self.queue
    }

    /// A header for the task, and for the middleware around its run, to read.
    pub fn set_header(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.message.headers.insert(name.into(), value.into());
    }

    /// Its arguments by position and by name: to encrypt them, say, as [`Next::arguments`] decrypts them. The key of a
    /// unique task was made of them as they were.
    pub fn arguments(&mut self) -> (&mut Vec<Value>, &mut Map<String, Value>) {
        (&mut self.message.args, &mut self.message.kwargs)
    }
}

/// The rest of a run: other middlewares, and the body.
pub struct Next<'a> {
    rest: &'a [Arc<dyn Middleware>],
    def: &'a TaskDef,
    args: Args,
    kwargs: Kwargs,
}

impl std::fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next")
            .field("task", &self.def.name)
            .finish_non_exhaustive()
    }
}

impl<'a> Next<'a> {
    /// Runs it.
    pub fn run(self, ctx: &'a Context) -> BoxFuture<'a, Worked> {
        match self.rest.split_first() {
            Some((first, rest)) => first.work(ctx, Next { rest, ..self }),
            None => self.def.run(ctx, self.args, self.kwargs),
        }
    }

    /// The arguments that the body will be called with, by position and by name.
    pub fn arguments(&mut self) -> (&mut Vec<Value>, &mut Map<String, Value>) {
        (&mut self.args, &mut self.kwargs)
    }
}

/// Runs a task inside the middlewares, of which there are some.
pub(crate) async fn run<'a>(
    middlewares: &'a [Arc<dyn Middleware>],
    def: &'a TaskDef,
    ctx: &'a Context,
    args: Args,
    kwargs: Kwargs,
) -> Worked {
    let next = Next {
        rest: middlewares,
        def,
        args,
        kwargs,
    };
    let json = next.run(ctx).await?;
    // It may be a middleware's own.
    match serde_json::from_str::<IgnoredAny>(&json) {
        Ok(_) => Ok(json),
        Err(error) => Err(TaskError::permanent(format!(
            "a middleware returned what is no JSON: {error}"
        ))),
    }
}

impl App {
    /// Has this go round each send, and on workers of this application round each run. Those that are added first are
    /// outside.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.parts().middlewares.push(Arc::new(middleware));
        self
    }

    /// A message as the middlewares will have it.
    ///
    /// # Errors
    /// The first refusal.
    pub(crate) fn through_middleware(
        &self,
        message: &mut Message,
        queue: &QueueName,
    ) -> Result<()> {
        for middleware in self.middlewares() {
            let mut sending = Sending { message, queue };
            let sent = catch_unwind(AssertUnwindSafe(|| middleware.send(&mut sending)));
            match sent {
                Ok(sent) => sent?,
                Err(panic) => {
                    let what = format!(
                        "a middleware panicked when `{}` was to be sent: {}",
                        message.task,
                        panic_text(&*panic)
                    );
                    return Err(Error::new(ErrorKind::Invalid, what));
                }
            }
        }
        Ok(())
    }
}
