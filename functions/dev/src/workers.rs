//! Simulated workers: pollers that can die as a Lambda function's process dies.
//!
//! The task `crash` ends the worker it runs in by having its future dropped: every task of the batch
//! stops where it is, nothing is recorded or deleted, and the messages come again when their
//! visibility timeout ends. A new worker then takes the dead one's place.

use std::sync::Arc;
use std::time::Duration;

use sedano::ports::{BATCH_ENTRIES, QueueName};
use sedano::{App, Result, Worker};
use sedano_tasks::{Killer, Rows};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// What every worker starts with.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) app: App,
    /// The tasks' own: they outlive a worker that dies.
    pub(crate) rows: Rows,
    /// How long a batch may take.
    pub(crate) invocation: Duration,
}

/// The pollers of a stack.
#[derive(Debug)]
pub(crate) struct Workers {
    stop: watch::Sender<bool>,
    pollers: Vec<JoinHandle<()>>,
}

impl Workers {
    /// This many pollers of the default queue, one that takes single messages from quarantine, and one
    /// for what is given up.
    ///
    /// # Errors
    /// As [`Worker::check`].
    pub(crate) fn start(start: &Start, count: usize) -> Result<Self> {
        start.worker(&Arc::default()).check()?;
        let (stop, stopped) = watch::channel(false);
        let of_default = (0..count).map(|_| (QueueName::DEFAULT, BATCH_ENTRIES));
        let pollers = of_default
            .chain([
                (QueueName::QUARANTINE, 1),
                (QueueName::UNDELIVERED, BATCH_ENTRIES),
            ])
            .map(|(queue, batch)| spawn(start.clone(), queue.into(), batch, stopped.clone()))
            .collect();
        Ok(Self { stop, pollers })
    }

    /// Lets each poller finish its batch.
    pub(crate) async fn stop(self) {
        // Without receivers every poller has ended already.
        let _ = self.stop.send(true);
        for poller in self.pollers {
            if let Err(error) = poller.await {
                tracing::error!(%error, "a worker ended badly");
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "one process stands for functions that run side by side"
)]
fn spawn(
    start: Start,
    queue: QueueName,
    batch: usize,
    stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let End::Died = live(&start, &queue, batch, stopped.clone()).await {
            tracing::warn!(%queue, "a worker was killed in the middle of its batch; another takes its place");
        }
    })
}

/// How a worker ended.
enum End {
    Stopped,
    Died,
}

/// One worker's life.
async fn live(
    start: &Start,
    queue: &QueueName,
    batch: usize,
    mut stopped: watch::Receiver<bool>,
) -> End {
    let death = Arc::new(Notify::new());
    let worker = start.worker(&death);
    let stop = async {
        // An error says that the stack is gone, which is a stop too.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    tokio::select! {
        // Looked at first: whoever was killed does nothing more.
        biased;
        () = death.notified() => End::Died,
        ended = worker.poll_until(queue, batch, start.invocation, stop) => {
            if let Err(error) = ended {
                tracing::error!(%error, %queue, "a worker gave up");
            }
            End::Stopped
        }
    }
}

impl Start {
    /// A worker whose killer rings `death`.
    fn worker(&self, death: &Arc<Notify>) -> Worker {
        let death = death.clone();
        Worker::new(self.app.clone())
            .state(Killer::of_a_simulated_worker(move || death.notify_one()))
            .state(self.rows.clone())
    }
}
