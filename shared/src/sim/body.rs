//! What the code that runs in a process tells of itself: bodies that begin and end, the steps of a task, the
//! branches of the engine; and how a task kills its process.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::history::{End, Run, Stepped};
use super::process::{Process, RUNNING};
use crate::context::Context;
use crate::engine::Branch;
use crate::failure::TaskError;
use crate::ports::BoxFuture;

impl Process {
    fn begin(self: &Arc<Self>, ctx: &Context) -> Body {
        let now = self.shared.clock.now();
        let message = ctx.message();
        let bears = self.shared.history().borne_by(message);
        let run = Run {
            id: message.id.clone(),
            task: message.task.clone(),
            attempt: message.attempt,
            generation: message.generation,
            retries: message.retries,
            invocation: self.invocation.load(Ordering::Relaxed),
            begun: now,
            bears,
            begun_there: self.skew.shown(now),
            claimed_there: ctx.started_at(),
            limit: message.time_limit,
            stopped_there: ctx.deadline(),
            ended: None,
        };
        let who = self.caller();
        let (id, task, attempt) = (&run.id, &run.task, run.attempt);
        self.shared.log(
            &who,
            format_args!("body of {task} {id}, attempt {attempt}, begins"),
        );
        let mut history = self.shared.history();
        history.runs.push(run);
        Body {
            process: self.clone(),
            place: history.runs.len() - 1,
        }
    }
}

/// A run of a body that is going on; when it is dropped, that was its end.
struct Body {
    process: Arc<Process>,
    place: usize,
}

impl Body {
    fn ended(&self, end: End) {
        let (shared, who) = (&self.process.shared, self.process.caller());
        let mut history = shared.history();
        let now = shared.clock.now();
        if let Some(run) = history.runs.get_mut(self.place)
            && run.ended.is_none()
        {
            run.ended = Some((now, end));
            let id = run.id.clone();
            history
                .log
                .add(now, &who, format_args!("body of {id}: {end:?}"));
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let dead = self.process.dead.load(Ordering::Relaxed);
        self.ended(if dead {
            End::Died
        } else if std::thread::panicking() {
            End::Panicked
        } else {
            End::Stopped
        });
    }
}

/// The body, watched if it runs in a simulation.
pub(crate) fn recorded<'a>(
    ctx: &'a Context,
    body: BoxFuture<'a, Result<String, TaskError>>,
) -> BoxFuture<'a, Result<String, TaskError>> {
    let Ok(process) = RUNNING.try_with(Arc::clone) else {
        return body;
    };
    Box::pin(async move {
        let watched = process.begin(ctx);
        let outcome = body.await;
        let end = if outcome.is_ok() {
            End::Returned
        } else {
            End::Failed
        };
        watched.ended(end);
        outcome
    })
}

/// Remembers what a step of a task has come to, or had come to in an earlier run.
pub(crate) fn stepped(ctx: &Context, name: &str, json: &str, kept: bool) {
    RUNNING
        .try_with(|process| {
            let invocation = process.invocation.load(Ordering::Relaxed);
            let stepped = Stepped {
                id: ctx.id().to_owned(),
                attempt: ctx.message().attempt,
                invocation,
                name: name.to_owned(),
                json: json.to_owned(),
                kept,
            };
            process.shared.history().stepped.push(stepped);
        })
        // Outside a simulation nobody asks.
        .unwrap_or_default();
}

/// Remembers that the engine came through a branch.
pub(crate) fn reached(branch: Branch) {
    RUNNING
        .try_with(|process| {
            let mut history = process.shared.history();
            *history.branches.entry(branch).or_default() += 1;
        })
        // Outside a simulation nobody asks.
        .unwrap_or_default();
}

/// Kills the process that this task runs in, with all that runs beside it: out of memory, or a crash.
/// Outside a simulation it waits for ever.
///
/// ```
/// use sedano::sim::{die, Simulation};
/// use sedano::{task, tasks, State};
///
/// #[task]
/// async fn crash() {
///     die().await
/// }
///
/// Simulation::new(|| tasks![crash]).seeds(0..3).run(async |world| {
///     let crash = world.send(crash::s()).await;
///     world.settle().await;
///     assert_eq!(crash.state().await?, State::Failure);
///     assert_eq!(crash.record().await?.error.unwrap().kind, "WorkerLost");
///     Ok(())
/// }).unwrap();
/// ```
pub async fn die() {
    if let Ok(process) = RUNNING.try_with(Arc::clone) {
        process.ask_to_die();
    }
    std::future::pending().await
}
