//! Events: what is told of tasks to whoever wants to know. Celery's signals.
//!
//! Each is told after what it says is durable: once, and not again when its message comes again; so what a process dies
//! before telling nobody is told. Counts and logs can live with that; what must follow is a callback.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::app::App;
use crate::engine::panic_text;
use crate::failure::Failure;
use crate::message::Message;

/// Something that has become of a task.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Event<'a> {
    /// What.
    pub kind: EventKind,
    /// The task's id.
    pub id: &'a str,
    /// Its message; of what was revoked by its id there is none at hand.
    pub message: Option<&'a Message>,
    /// Why, where there is a reason.
    pub failure: Option<&'a Failure>,
    /// What it returned, as JSON text, where that is kept.
    pub result: Option<&'a str>,
}

/// What has become of a task, and when it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// The queue has accepted its message: a program's, or that of a step launched by a worker.
    Sent,
    /// A worker has its message; again for each copy, and each time it comes.
    Received,
    /// It is claimed, and its body begins.
    Started,
    /// RETRY is recorded, a snooze too; its message isn't sent yet.
    Retried,
    /// SUCCESS is recorded; what follows isn't sent yet, here and below.
    Succeeded,
    /// FAILURE is recorded, for whatever reason but the next.
    Failed,
    /// FAILURE is recorded, for the task has rejected its message.
    Rejected,
    /// REVOKED is recorded, by this program or as its message came.
    Revoked,
    /// REVOKED is recorded, for it wasn't started in time.
    Expired,
    /// IGNORED is recorded: the task asked for it, or another is the same.
    Ignored,
}

impl<'a> Event<'a> {
    pub(crate) fn of(kind: EventKind, message: &'a Message) -> Self {
        Self {
            kind,
            id: &message.id,
            message: Some(message),
            failure: None,
            result: None,
        }
    }

    pub(crate) fn because(mut self, failure: &'a Failure) -> Self {
        self.failure = Some(failure);
        self
    }

    /// The failure of a task: rejected, or failed.
    pub(crate) fn failed(message: &'a Message, failure: &'a Failure) -> Self {
        let kind = match failure.kind.as_str() {
            "Rejected" => EventKind::Rejected,
            _ => EventKind::Failed,
        };
        Self::of(kind, message).because(failure)
    }

    /// The task's name, where its message is at hand.
    pub fn task(&self) -> Option<&'a str> {
        self.message.map(|message| message.task.as_str())
    }
}

/// Whoever wants to know.
pub(crate) type Hook = dyn Fn(&Event<'_>) + Send + Sync;

impl App {
    /// Calls this for each event of the program: where it sends, and where its workers work. It is called in between
    /// and not waited for, so it should be quick; its panic is logged, and harms nobody.
    ///
    /// ```
    /// # use sedano::{memory::Memory, task, tasks, TaskError, Worker};
    /// # use std::sync::{Arc, Mutex};
    /// # #[task] async fn add(x: i64, y: i64) -> Result<i64, TaskError> { Ok(x + y) }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let seen = Arc::new(Mutex::new(Vec::new()));
    /// let seeing = seen.clone();
    /// let app = Memory::default().app().tasks(tasks![add]);
    /// let app = app.on(move |event| seeing.lock().unwrap().push(format!("{:?}", event.kind)));
    /// app.send(add::s(2, 3)).await?;
    /// Worker::new(app).run_once().await?;
    /// assert_eq!(*seen.lock().unwrap(), ["Sent", "Received", "Started", "Succeeded"]);
    /// # Ok::<(), sedano::Error>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn on(mut self, hook: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.parts().hooks.push(std::sync::Arc::new(hook));
        self
    }

    /// Tells whoever wants to know.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        for hook in self.hooks() {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| hook(event))) {
                let (task_id, panic) = (event.id, panic_text(&*panic));
                tracing::error!(task_id, kind = ?event.kind, panic, "a hook panicked");
            }
        }
    }
}
