//! Queues, workers, beat and HTTP API, started and stopped together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sedano::memory::Memory;
use sedano::ports::{Depth, QueueName};
use sedano::{App, Config, OsEntropy, Result, Timestamp};
use sedano_tasks::Rows;
use tokio::task::JoinHandle;

use crate::clock::{FASTEST, MovedClock};
use crate::server;
use crate::workers::{Start, Workers};

/// How long a received message stays hidden. Short, so that what follows a death (another delivery,
/// quarantine, `WorkerLost`) is seen within a minute; longer than [`INVOCATION`], as on AWS.
pub const VISIBILITY: Duration = Duration::from_secs(12);
/// How long a batch may take: a function's timeout.
pub const INVOCATION: Duration = Duration::from_secs(10);

/// What can be chosen of a local stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The port of the HTTP API on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// How many batches of the default queue are worked on at once.
    pub workers: usize,
    /// What the clock shows at the start; the system's time, if nothing is said. Everything follows it: schedules,
    /// due times, and what the records say.
    pub at: Option<Timestamp>,
    /// How many times as fast as the real one the clock runs, 1 to [`FASTEST`](crate::clock::FASTEST). [`INVOCATION`]
    /// and [`VISIBILITY`] are real time: a task has as long to run as ever.
    pub speed: u32,
    /// Whether beat ticks.
    pub beat: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 5555,
            workers: 1,
            at: None,
            speed: 1,
            beat: true,
        }
    }
}

/// A running local stack. Dropping it without [`stop`](Stack::stop) abandons what runs.
#[derive(Debug)]
pub struct Stack {
    memory: Memory,
    app: App,
    address: SocketAddr,
    workers: Workers,
    speed: u32,
    // Ended by being aborted: neither has anything to finish.
    server: JoinHandle<()>,
    beat: JoinHandle<()>,
}

impl Stack {
    /// Starts everything; the sample tasks are registered.
    ///
    /// # Errors
    /// `Unavailable`, if the port can't be listened on, naming it; `Config`, if a task or a schedule
    /// contradicts itself.
    #[expect(
        clippy::disallowed_methods,
        reason = "one process stands for functions that run side by side"
    )]
    pub async fn start(settings: &Settings) -> Result<Self> {
        let mut config = Config::memory();
        let speed = settings.speed.clamp(1, FASTEST);
        config.visibility_timeout = Some(VISIBILITY * speed);
        let clock = MovedClock::new(settings.at, speed);
        let memory = Memory::with(&config, Arc::new(clock), Arc::new(OsEntropy));
        let app = memory.app().tasks(sedano_tasks::all());
        let schedule = sedano_tasks::schedule();
        schedule.check(&app)?;
        schedule.register(&app).await?;
        let listener = server::listen(settings.port).await?;
        let address = listener.address;
        let start = Start {
            app: app.clone(),
            rows: Rows::in_memory(),
            invocation: INVOCATION * speed,
        };
        let workers = Workers::start(&start, settings.workers.max(1))?;
        let server = tokio::spawn(listener.serve(app.clone()));
        let (ticked, ticks) = (app.clone(), settings.beat);
        let beat = tokio::spawn(async move {
            if ticks && let Err(error) = schedule.run(&ticked).await {
                tracing::error!(%error, "beat ended");
            }
        });
        Ok(Self {
            memory,
            app,
            address,
            workers,
            speed,
            server,
            beat,
        })
    }

    /// Where the HTTP API answers: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The application, to send tasks from within the process.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The ports, to look into.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How many times as fast as the real one its clock runs.
    pub fn speed(&self) -> u32 {
        self.speed
    }

    /// Takes no more messages, finishes what runs (at most [`INVOCATION`]) and tells what is left in
    /// the queues, by name.
    ///
    /// # Errors
    /// When the queues can't be counted.
    pub async fn stop(self) -> Result<Vec<(QueueName, Depth)>> {
        self.beat.abort();
        self.workers.stop().await;
        self.server.abort();
        self.app.queues().await
    }
}
