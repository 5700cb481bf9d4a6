//! A worker: the tasks it knows, the values they ask for, and batches to work on.

use std::any::TypeId;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::app::App;
use crate::context::StateMap;
use crate::engine;
use crate::error::{Error, ErrorKind, Result};
use crate::middleware::Middleware;
use crate::options::soft_beyond_hard;
use crate::ports::{BATCH_ENTRIES, Delivery, QueueName, Receipt};
use crate::revocations::Revocations;
use crate::task::Tasks;
use crate::time::Timestamp;

/// Runs tasks: on Lambda by [`lambda::run`](crate::lambda::run), elsewhere by [`poll`](Worker::poll).
///
/// ```
/// use sedano::{memory::Memory, task, tasks, TaskError, Worker};
///
/// struct Greeting(&'static str);
///
/// #[task]
/// async fn greet(#[state] greeting: &Greeting, name: String) -> Result<String, TaskError> {
///     Ok(format!("{}, {name}", greeting.0))
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let worker = Worker::new(Memory::default().app()).tasks(tasks![greet]).state(Greeting("Hello"));
/// worker.check()?;
/// let greeting = worker.app().send(greet::s("Ada".into())).await?;
/// worker.run_once().await?;
/// assert_eq!(greeting.try_get().await.unwrap(), Some("Hello, Ada".to_owned()));
/// # Ok::<(), sedano::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Worker {
    app: App,
    state: StateMap,
    /// What was read of the revocations, shared by all its batches.
    revocations: Arc<Revocations>,
}

/// One call of a function: what its messages share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Lambda's request id; unique, for it names the holder of a lease.
    pub id: String,
    /// When the process may be killed.
    pub deadline: Timestamp,
}

/// What becomes of a delivered message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It is done: to be deleted.
    Done,
    /// It is not done: it stays in the queue and comes again when its visibility timeout ends.
    Returned,
}

impl Worker {
    /// A worker that knows the tasks of the application.
    pub fn new(app: App) -> Self {
        Self {
            app,
            state: StateMap::default(),
            revocations: Arc::default(),
        }
    }

    /// More tasks.
    #[must_use]
    pub fn tasks(mut self, tasks: Tasks) -> Self {
        self.app = self.app.tasks(tasks);
        self
    }

    /// Has this go round each run, and round what tasks of this worker send: [`App::middleware`], of its application.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.app = self.app.middleware(middleware);
        self
    }

    /// A value for the tasks that ask for its type with `#[state]`. One of each type; the last counts.
    #[must_use]
    pub fn state<S: Send + Sync + 'static>(mut self, value: S) -> Self {
        self.state.insert(value);
        self
    }

    /// All the values at once, shared with other workers.
    #[cfg(feature = "sim")]
    pub(crate) fn with_state(mut self, state: StateMap) -> Self {
        self.state = state;
        self
    }

    /// The application the worker belongs to.
    pub fn app(&self) -> &App {
        &self.app
    }

    pub(crate) fn registered(&self) -> &Tasks {
        self.app.registered()
    }

    pub(crate) fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    pub(crate) fn state_map(&self) -> &StateMap {
        &self.state
    }

    /// Whether the worker can do what it says: names once each, state for every task that asks, queues
    /// that are configured, limits that don't contradict each other. Run at start, so that a wrong
    /// deployment fails there and not at some message.
    ///
    /// # Errors
    /// `Config`, with the task and what it lacks.
    pub fn check(&self) -> Result<()> {
        self.registered().check()?;
        for task in self.registered().iter() {
            let wrong = |what: String| {
                Err(Error::new(
                    ErrorKind::Config,
                    format!("task `{}` {what}", task.name),
                ))
            };
            let given = |id: TypeId| self.state.contains(id);
            if let Some(lacking) = task.state.iter().find(|wanted| !given((wanted.id)())) {
                let name = (lacking.name)();
                return wrong(format!(
                    "asks for state of type `{name}`: give it with `.state(…)`"
                ));
            }
            let queue = QueueName::new(task.options.queue);
            if !self.app.config().queues.contains_key(&queue) {
                return wrong(format!(
                    "goes to queue `{queue}`, which SEDANO_QUEUES doesn't have"
                ));
            }
            if let Some(what) = crate::unique::unknown_parameter(task) {
                return wrong(what);
            }
            let (soft, hard) = (task.options.soft_time_limit, task.options.time_limit);
            if let Some(what) = soft_beyond_hard(soft, hard) {
                return wrong(what);
            }
        }
        Ok(())
    }

    /// Works on a batch of at most a few thousand messages of one queue; one disposition for each, in
    /// order. Never fails: what can't be done now is handed back. Messages of the queue `undelivered` are
    /// given up instead of run.
    pub async fn handle(
        &self,
        deliveries: &[Delivery],
        invocation: &Invocation,
    ) -> Vec<Disposition> {
        engine::handle(self, deliveries, invocation).await
    }

    /// Receives from a queue and works, until the future is dropped: a worker off Lambda. Each batch
    /// of up to `batch` (1 to 10) messages has `time` before its bodies are stopped.
    ///
    /// # Errors
    /// When the queue can't be received from and the error isn't a passing one.
    pub async fn poll(&self, queue: &QueueName, batch: usize, time: Duration) -> Result<()> {
        self.poll_until(queue, batch, time, std::future::pending())
            .await
    }

    /// The same until `stop` completes: then the batch at hand is finished and no other is received.
    ///
    /// # Errors
    /// As [`poll`](Worker::poll).
    pub async fn poll_until(
        &self,
        queue: &QueueName,
        batch: usize,
        time: Duration,
        stop: impl Future<Output = ()>,
    ) -> Result<()> {
        const WAIT: Duration = Duration::from_secs(20);
        const PAUSE: Duration = Duration::from_secs(1);
        let ports = self.app.ports();
        let mut stop = pin!(stop);
        loop {
            let receive = ports.queue.receive(queue, batch, WAIT);
            let worked = match select(stop.as_mut(), receive).await {
                Either::Left(_) => return Ok(()),
                Either::Right((Ok(deliveries), _)) => self.batch(queue, deliveries, time).await,
                Either::Right((Err(error), _)) => Err(error),
            };
            match worked {
                Ok(_) => {}
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, %queue, "could not receive; trying again");
                    ports.clock.sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Works on what the default queue holds right now, one batch after the other; the number of
    /// messages. For tests and examples.
    ///
    /// # Errors
    /// When the queue can't be received from.
    pub async fn run_once(&self) -> Result<usize> {
        const TIME: Duration = Duration::from_secs(60);
        let queue = QueueName::new(QueueName::DEFAULT);
        let mut worked = 0;
        let receive = &self.app.ports().queue;
        loop {
            let deliveries = receive
                .receive(&queue, BATCH_ENTRIES, Duration::ZERO)
                .await?;
            match self.batch(&queue, deliveries, TIME).await? {
                0 => return Ok(worked),
                messages => worked += messages,
            }
        }
    }

    async fn batch(
        &self,
        queue: &QueueName,
        deliveries: Vec<Delivery>,
        time: Duration,
    ) -> Result<usize> {
        let ports = self.app.ports();
        if deliveries.is_empty() {
            return Ok(0);
        }
        let invocation = Invocation {
            id: crate::id::fresh(&*ports.clock, &*ports.entropy),
            deadline: ports.clock.now() + time,
        };
        let dispositions = self.handle(&deliveries, &invocation).await;
        let done: Vec<Receipt> = deliveries
            .iter()
            .zip(&dispositions)
            .filter(|(_, disposition)| **disposition == Disposition::Done)
            .map(|(delivery, _)| delivery.receipt.clone())
            .collect();
        for chunk in done.chunks(BATCH_ENTRIES) {
            for deleted in ports.queue.delete_many(queue, chunk.to_vec()).await? {
                if let Err(error) = deleted {
                    // It comes again and is found to be final.
                    tracing::warn!(%error, %queue, "a finished message could not be deleted");
                }
            }
        }
        Ok(deliveries.len())
    }
}
