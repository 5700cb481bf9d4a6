//! Dead letters: what no worker will take again, why, and what is done about it.
//!
//! ```
//! use sedano::dead_letters::{Edit, Selection};
//! use sedano::{State, TaskError, Worker, memory::Memory, task, tasks};
//!
//! #[task]
//! async fn pay(cents: i64) -> Result<i64, TaskError> {
//!     match cents {
//!         0.. => Ok(cents),
//!         _ => Err(TaskError::reject("nobody pays less than nothing")),
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
//! let worker = Worker::new(Memory::default().app()).tasks(tasks![pay]);
//! let paid = worker.app().send(pay::s(-5)).await?;
//! worker.run_once().await?;
//!
//! let letters = worker.app().dead_letters();
//! let found = letters.list(&Selection::all().reason("Rejected"), 100).await?;
//! assert_eq!(found[0].error.as_deref(), Some("nobody pays less than nothing"));
//!
//! let edit = Edit::default().kwargs([("cents".to_owned(), 5.into())].into_iter().collect());
//! let redriven = letters.redrive(paid.id(), &edit).await?.unwrap();
//! assert_eq!((redriven.status, redriven.generation), (State::Retry, 1));
//! worker.run_once().await?;
//! assert_eq!(paid.get().await.unwrap(), 5);
//! # Ok::<(), sedano::Error>(()) }).unwrap();
//! ```
//!
//! A dead letter is looked at by being received, and made visible again: SQS has no other way. So two who
//! look at the same time see a part each, and whoever dies meanwhile hides what they saw for as long as the
//! queue's visibility timeout.

mod redrive;
mod scan;
mod selection;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::app::App;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Message;
use crate::ports::{BATCH_ENTRIES, Delivery, Key};
use crate::record::{State, count, field, is_expired, status};
use crate::time::Timestamp;

use scan::{Held, Scan};

pub use redrive::{Edit, Redriven};
pub use selection::Selection;

/// The attributes that say what happened to a dead letter.
pub(crate) mod attribute {
    pub(crate) const ATTEMPTS: &str = "sedano-attempts";
    pub(crate) const DEAD_AT: &str = "sedano-dead-at";
    pub(crate) const ERROR: &str = "sedano-error";
    pub(crate) const MESSAGE_ID: &str = "sedano-message-id";
    pub(crate) const QUEUE: &str = "sedano-queue";
    pub(crate) const REASON: &str = "sedano-reason";
    pub(crate) const TASK: &str = "sedano-task";
    pub(crate) const TASK_ID: &str = "sedano-task-id";

    /// What is left out first, where a body leaves no room for all.
    pub(crate) const LEAST_FIRST: [&str; 8] = [
        ERROR, TASK, DEAD_AT, QUEUE, ATTEMPTS, TASK_ID, MESSAGE_ID, REASON,
    ];
}

/// A message that no worker will take again.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Its own id: the MessageId in the dead-letter queue.
    pub id: String,
    /// Why it is here, in one word.
    pub reason: String,
    /// The error, in a sentence; none where SQS itself moved the message here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its task's name, where it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Its task's id, where it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// How often its task ran, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The queue it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The MessageId that it had there.
    pub message_id: String,
    /// Since when it is here; where SQS moved it, when it was sent.
    pub dead_at: Timestamp,
    /// The message: with its task's id in it, or as it came where it can't be read.
    pub body: String,
    #[serde(skip)]
    group: Option<String>,
    #[serde(skip)]
    sent_at: Timestamp,
}

impl DeadLetter {
    fn of(delivery: Delivery) -> Self {
        let mut said = delivery.attributes;
        let message_id = said
            .remove(attribute::MESSAGE_ID)
            .unwrap_or_else(|| delivery.message_id.clone());
        let message = Message::decode(&delivery.body, &message_id, delivery.sent_at).ok();
        let (task, task_id) = match message {
            Some(message) => (Some(message.task), Some(message.id)),
            None => (
                said.remove(attribute::TASK),
                said.remove(attribute::TASK_ID),
            ),
        };
        let source = delivery.source.map(|queue| queue.to_string());
        Self {
            id: delivery.message_id,
            // SQS gives no reasons.
            reason: said
                .remove(attribute::REASON)
                .unwrap_or_else(|| "Undelivered".to_owned()),
            error: said.remove(attribute::ERROR),
            task,
            task_id,
            attempts: said
                .remove(attribute::ATTEMPTS)
                .and_then(|text| text.parse().ok()),
            queue: said.remove(attribute::QUEUE).or(source),
            message_id,
            dead_at: said
                .remove(attribute::DEAD_AT)
                .and_then(|text| text.parse().ok())
                .unwrap_or(delivery.sent_at),
            body: delivery.body,
            group: delivery.group,
            sent_at: delivery.sent_at,
        }
    }
}

/// The dead letters of an application; see the [module](self).
#[derive(Debug, Clone)]
pub struct DeadLetters {
    app: App,
}

impl App {
    /// The dead letters.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters { app: self.clone() }
    }
}

impl DeadLetters {
    /// The first that fit, `most` of them, in the order in which SQS gives them: about the oldest first.
    ///
    /// # Errors
    /// `Config` without a queue `dead-letters`; else as the broker says.
    pub async fn list(&self, selection: &Selection, most: usize) -> Result<Vec<DeadLetter>> {
        let mut scan = Scan::new(&self.app, selection)?;
        let mut letters = Vec::new();
        let ended = loop {
            if letters.len() >= most {
                break Ok(());
            }
            match scan.next().await {
                Ok(Some(held)) => {
                    letters.push(held.letter.clone());
                    scan.pass_over(held);
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        scan.end().await;
        ended.map(|()| letters)
    }

    /// One, by its own id, its task's, or that of the message that it was.
    ///
    /// # Errors
    /// As [`list`](DeadLetters::list).
    pub async fn find(&self, id: &str) -> Result<Option<DeadLetter>> {
        Ok(self.list(&Selection::all().id(id), 1).await?.pop())
    }

    /// Sends one back to work, due now and with all its retries before it, and removes it; none where there
    /// is no such letter. A task that has failed begins a new generation; one that has ended well is
    /// left alone. Doing it again is harmless, wherever it broke off.
    ///
    /// # Errors
    /// `Invalid`, if its body can't be read and the edit gives no other; `Bind`, if what is edited doesn't
    /// fit a task that the application knows; `Conflict`, if its task runs, was
    /// revoked, or has ended well and is to run with something edited; else as store and broker say. The
    /// letter then stays.
    pub async fn redrive(&self, id: &str, edit: &Edit) -> Result<Option<Redriven>> {
        let mut scan = Scan::of_one(&self.app, id)?;
        let redriven = match scan.next().await {
            Ok(Some(held)) => {
                let redriven = self.redrive_held(&held, edit).await;
                if redriven.is_err() {
                    scan.pass_over(held);
                }
                redriven.map(Some)
            }
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        scan.end().await;
        redriven
    }

    /// Redrives every one that fits, one after the other with a pause between, and tells of each what
    /// became of it. A task that comes back as a dead letter meanwhile isn't redriven twice. How many were
    /// met.
    ///
    /// # Errors
    /// As [`list`](DeadLetters::list). What one letter can't do doesn't stop the others.
    pub async fn redrive_all(
        &self,
        selection: &Selection,
        pause: Duration,
        mut each: impl FnMut(&DeadLetter, Result<Redriven>) + Send,
    ) -> Result<usize> {
        let mut scan = Scan::new(&self.app, selection)?;
        scan.at_once = within_their_time(pause);
        let (mut tasks, mut met) = (BTreeSet::new(), 0);
        let ended = loop {
            let held = match scan.next().await {
                Ok(Some(held)) => held,
                Ok(None) => break Ok(met),
                Err(error) => break Err(error),
            };
            let twice = match &held.letter.task_id {
                Some(task) => !tasks.insert(task.clone()),
                None => false,
            };
            if met > 0 && !twice {
                self.app.ports().clock.sleep(pause).await;
            }
            met += 1;
            let redriven = match twice {
                true => Err(just_redriven(&held.letter)),
                false => self.redrive_held(&held, &Edit::default()).await,
            };
            let stays = redriven.is_err();
            each(&held.letter, redriven);
            if stays {
                scan.pass_over(held);
            }
        };
        scan.end().await;
        ended
    }

    /// Removes one for good and tells what it was; none where there is no such letter. Its task's record
    /// stays as it is.
    ///
    /// # Errors
    /// `Conflict`, if its redrive was broken off, so that it may be all that brings its task back; else as
    /// [`list`](DeadLetters::list). The letter then stays.
    pub async fn discard(&self, id: &str) -> Result<Option<DeadLetter>> {
        let mut scan = Scan::of_one(&self.app, id)?;
        let discarded = match scan.next().await {
            Ok(Some(held)) => match self.let_go(&held).await {
                Ok(()) => Ok(Some(held.letter)),
                Err(error) => {
                    scan.pass_over(held);
                    Err(error)
                }
            },
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        scan.end().await;
        discarded
    }

    /// Removes every one that fits, and tells each. How many there were.
    ///
    /// # Errors
    /// As [`list`](DeadLetters::list).
    pub async fn discard_all(
        &self,
        selection: &Selection,
        mut each: impl FnMut(&DeadLetter, Result<()>) + Send,
    ) -> Result<usize> {
        let mut scan = Scan::new(&self.app, selection)?;
        let mut met = 0;
        let ended = loop {
            match scan.next().await {
                Ok(Some(held)) => {
                    met += 1;
                    let gone = self.let_go(&held).await;
                    let stays = gone.is_err();
                    each(&held.letter, gone);
                    if stays {
                        scan.pass_over(held);
                    }
                }
                Ok(None) => break Ok(met),
                Err(error) => break Err(error),
            }
        };
        scan.end().await;
        ended
    }

    /// Removes a letter whose task doesn't need it: one whose redrive was broken off between its record and
    /// its message has nothing else to bring it back.
    async fn let_go(&self, held: &Held) -> Result<()> {
        let letter = &held.letter;
        if let Ok(message) = Message::decode(&letter.body, &letter.message_id, letter.sent_at) {
            let key = Key::Result(message.id.clone());
            let item = self.app.ports().store.get(&key).await?;
            let broken_off = item.is_some_and(|item| {
                let later = count(&item, field::GENERATION) > message.generation;
                later && status(&item) == Some(State::Retry) && !is_expired(&item, self.app.now())
            });
            if broken_off {
                let what = format!(
                    "task {} is being redriven, and this letter may be all that brings it back: \
                     redrive it again, or discard it when the task is over",
                    message.id
                );
                return Err(Error::new(ErrorKind::Conflict, what));
            }
        }
        self.remove(held).await
    }

    async fn remove(&self, held: &Held) -> Result<()> {
        let receipts = vec![held.receipt.clone()];
        let queue = &self.app.ports().queue;
        let deleted = queue.delete_many(&held.queue, receipts).await?;
        deleted.into_iter().collect()
    }
}

/// How many may be received together, if the last of them is to be worked on while it is still hidden.
fn within_their_time(pause: Duration) -> usize {
    const HIDDEN: Duration = Duration::from_secs(30);
    let fitting = HIDDEN.as_millis() / pause.as_millis().max(1);
    usize::try_from(fitting).map_or(BATCH_ENTRIES, |fitting| fitting.clamp(1, BATCH_ENTRIES))
}

/// It came back meanwhile, or there was more than one.
fn just_redriven(letter: &DeadLetter) -> Error {
    let task = letter.task_id.as_deref().unwrap_or_default();
    let what =
        format!("another dead letter of task {task} was redriven just now: look again later");
    Error::new(ErrorKind::Conflict, what)
}
