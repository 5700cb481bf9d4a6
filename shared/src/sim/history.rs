//! What happened in a world: every call, every step of a record, every run of a body.
//!
//! The calls are kept as a digest, and as text only in a world that is told. The rest is what
//! [`check`](super::check) judges.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::engine::Branch;
use crate::message::Message;
use crate::ports::{Attribute, QueueName};
use crate::record::State;
use crate::revocations::{InForce, Listed, Revocation};
use crate::time::Timestamp;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Caller {
    /// The scenario.
    Sender,
    /// The event source mapping of a queue.
    Mapping(QueueName),
    /// A worker's process, in its nth invocation of the world.
    Invocation(u32),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caller::Sender => f.write_str("sender"),
            Caller::Mapping(queue) => write!(f, "mapping {queue}"),
            Caller::Invocation(number) => write!(f, "invocation {number}"),
        }
    }
}

/// A message that reached a queue.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) at: Timestamp,
    pub(super) by: Caller,
    pub(super) queue: QueueName,
    pub(super) message_id: String,
    /// What it says as it was sent, where that can't be decoded.
    pub(super) body: String,
    /// The group it belongs to, on a FIFO queue.
    pub(super) group: Option<String>,
    /// What it says; none, if it can't be decoded.
    pub(super) task: Option<SentTask>,
}

/// What a message says of its task.
#[derive(Debug, Clone)]
pub(super) struct SentTask {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) attempt: u32,
    pub(super) eta: Option<Timestamp>,
    pub(super) expires: Option<Timestamp>,
    pub(super) ignore_result: Option<bool>,
    pub(super) parent_id: Option<String>,
    pub(super) generation: u32,
    pub(super) hops: u32,
    pub(super) arguments: String,
}

/// A record as a write left it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) at: Timestamp,
    pub(super) by: Caller,
    pub(super) state: State,
    pub(super) attempt: u32,
    /// How often it was redriven.
    pub(super) generation: u32,
    pub(super) retries: u32,
    pub(super) due_at: Option<Timestamp>,
    pub(super) error_kind: Option<String>,
    /// Whether another stands for the task, and has ended so.
    pub(super) replaced: bool,
    /// The error, in a sentence.
    pub(super) error: Option<String>,
    /// What steps have left, as JSON by their names.
    pub(super) checkpoints: BTreeMap<String, String>,
    /// Who holds the claim, or held it last.
    pub(super) owner: Option<String>,
    /// Whether its run was asked to stop.
    pub(super) requested: bool,
    /// What its run has reported: progress, and a state of its own.
    pub(super) reported: [Option<Attribute>; 2],
    /// From when on it counts as absent.
    pub(super) ttl: Option<Timestamp>,
    /// What must not change once it is final: result, error, when it ended.
    pub(super) outcome: Vec<Option<Attribute>>,
}

impl Step {
    /// Whether the record counts as absent by then, whoever looks and whatever his clock shows.
    pub(super) fn is_forgotten(&self, by: Timestamp) -> bool {
        const APART: Duration = Duration::from_secs(2);
        self.ttl.is_some_and(|ttl| ttl + APART <= by)
    }
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It returned a value.
    Returned,
    /// It returned an error.
    Failed,
    /// It panicked.
    Panicked,
    /// It was stopped at a limit.
    Stopped,
    /// Its process died.
    Died,
}

/// A run of a body.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) task: String,
    pub(super) attempt: u32,
    pub(super) generation: u32,
    pub(super) retries: u32,
    pub(super) invocation: u32,
    pub(super) begun: Timestamp,
    /// The revocation that its message bore, and since when that was accepted.
    pub(super) bears: Option<(Revocation, Timestamp)>,
    /// When it began by its process's clock.
    pub(super) begun_there: Timestamp,
    /// When it was claimed by its process's clock.
    pub(super) claimed_there: Timestamp,
    /// Its message's own time limit.
    pub(super) limit: Option<Duration>,
    /// When it is stopped at the latest, by its process's clock.
    pub(super) stopped_there: Timestamp,
    pub(super) ended: Option<(Timestamp, End)>,
}

/// A step of a task, as its body came to know it.
#[derive(Debug, Clone)]
pub(super) struct Stepped {
    pub(super) id: String,
    pub(super) attempt: u32,
    pub(super) invocation: u32,
    pub(super) name: String,
    pub(super) json: String,
    /// Whether it was taken from the record; otherwise it was done.
    pub(super) kept: bool,
}

/// An invocation of a function.
#[derive(Debug, Clone)]
pub(super) struct Invoked {
    /// The tasks of its batch.
    pub(super) ids: Vec<String>,
    /// Where its batch came from.
    pub(super) queue: QueueName,
    pub(super) begun: Timestamp,
    /// When it may be killed.
    pub(super) deadline: Timestamp,
    pub(super) killed: bool,
    /// It was killed by a panic of what it ran.
    pub(super) panicked: bool,
    /// Nothing ran for a while.
    pub(super) frozen: bool,
}

/// A message in the dead-letter queue.
#[derive(Debug, Clone)]
pub(super) struct DeadLetter {
    pub(super) message_id: String,
    /// The task's id, if it can be decoded.
    pub(super) id: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) error: Option<String>,
    pub(super) attempts: Option<u32>,
    /// Since when it is there, as it says itself.
    pub(super) dead_at: Option<String>,
    pub(super) body: String,
    /// What it says of its task.
    pub(super) task: Option<SentTask>,
}

/// What became of a world.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) sent: Vec<Sent>,
    pub(super) steps: BTreeMap<String, Vec<Step>>,
    pub(super) runs: Vec<Run>,
    /// By their numbers.
    pub(super) invocations: Vec<Invoked>,
    /// The revocations in force, each with when it was accepted.
    pub(super) revocations: Vec<(InForce, Timestamp)>,
    /// When each task was first received, by its id and attempt.
    pub(super) received: BTreeMap<(String, u32), Timestamp>,
    /// When an invocation got no good answer to a call about a task's record, last.
    pub(super) unanswered: BTreeMap<(u32, String), Timestamp>,
    pub(super) stepped: Vec<Stepped>,
    /// Messages given out and not handed back.
    pub(super) out: BTreeSet<String>,
    /// Tasks (what can't be decoded: messages) that came again though nobody handed them back, or of which
    /// something may have been sent without an answer.
    pub(super) repeated: BTreeSet<String>,
    /// Tasks that wait in their records until they are due.
    pub(super) parked: BTreeSet<String>,
    /// Up to when beat has nothing left to send.
    pub(super) beaten: Option<Timestamp>,
    /// From when on nothing goes wrong any more.
    pub(super) calm_from: Timestamp,
    /// How often each thing went wrong.
    pub(super) faults: BTreeMap<&'static str, u64>,
    /// How often the engine came through each of its branches.
    pub(super) branches: BTreeMap<Branch, u64>,
    pub(super) dead_letters: Vec<DeadLetter>,
    /// What is still in the queues when all should be over.
    pub(super) left: Vec<String>,
    pub(super) log: Log,
}

impl History {
    /// The revocation in force that a message bears, of several the first that was accepted.
    pub(super) fn borne_by(&self, message: &Message) -> Option<(Revocation, Timestamp)> {
        let borne = self.revocations.iter().filter_map(|(in_force, accepted)| {
            let listed = Listed::of(vec![in_force.clone()]);
            Some((listed.of_message(message, None)?, *accepted))
        });
        borne.min_by_key(|(_, accepted)| *accepted)
    }
}

/// The calls, in the order in which they took effect.
#[derive(Debug, Default)]
pub(super) struct Log {
    digest: Digest,
    pub(super) calls: u64,
    /// The text, where it is wanted.
    pub(super) lines: Option<Vec<String>>,
}

impl Log {
    /// One call, or one event.
    pub(super) fn add(&mut self, at: Timestamp, who: &Caller, what: fmt::Arguments<'_>) {
        self.calls += 1;
        // Writing into a digest never fails.
        let _ = write!(self.digest, "{} {who} {what}", at.as_millis());
        if let Some(lines) = &mut self.lines {
            let line = shortened(format!("{at} {who}: {what}"));
            lines.push(line);
        }
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest.0
    }
}

/// Its beginning and its end: what was asked, and what was answered.
fn shortened(line: String) -> String {
    const HEAD: usize = 240;
    const TAIL: usize = 160;
    let from_end = |places: usize| line.char_indices().nth_back(places);
    match (line.char_indices().nth(HEAD), from_end(TAIL)) {
        (Some((head, _)), Some((tail, _))) if head < tail => {
            format!("{} … {}", &line[..head], &line[tail..])
        }
        _ => line,
    }
}

/// FNV-1a, over whatever is written.
#[derive(Debug)]
struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
