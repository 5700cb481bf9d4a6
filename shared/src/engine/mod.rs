//! The protocol: what happens to each message of a batch. Pure over the ports.
//!
//! The order of work for one message, top to bottom as [`Batch::work`] does it:
//!
//! 1. decode; what can't be is a dead letter
//! 2. admit: known, not expired, due, none at work that it mustn't overlap ([`overlap`]), the key of a unique task
//!    taken ([`unique`]), and enough time left ([`admit`])
//! 3. claim: one conditional write makes this run the only one ([`claim`])
//! 4. run, under its limits ([`run`]); what it reports of itself is written meanwhile ([`reporter`])
//! 5. decide: what the outcome means ([`decide`])
//! 6. finish: a write fenced by the claim, then what follows from it ([`finish`])
//! 7. acknowledge, last of all: the message is the outbox. Whatever dies before, the message comes
//!    again, and each step recognises what was done already
//!
//! A message of the queue `undelivered` isn't worked on but given up ([`reap`]): SQS has tried for long
//! enough.
//!
//! Members of a batch run side by side and share their calls ([`coalesce`]); none waits for another.
//! Members of one FIFO group run in order, and after one that isn't done the rest of its group is
//! handed back, to come again when it does.

mod admit;
mod branches;
mod check;
mod claim;
mod coalesce;
mod company;
mod counts;
mod decide;
mod finish;
mod follow;
mod group;
mod lost;
mod map;
mod outage;
mod overlap;
mod park;
mod reap;
mod reporter;
mod reroute;
mod revoked;
mod rules;
mod run;
mod stand;
mod standing;
#[cfg(test)]
mod tests;
mod unique;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};

use crate::batches;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventKind};
use crate::failure::TaskError;
use crate::message::{Member, Message};
use crate::options::Options;
use crate::ports::{Delivery, QueueName, Receipt};
use crate::revocations::Listed;
use crate::task::TaskDef;
use crate::time::Timestamp;
use crate::worker::{Disposition, Invocation, Worker};

use admit::Admission;
#[cfg_attr(
    not(feature = "sim"),
    expect(unreachable_pub, reason = "public where there is a simulation")
)]
pub use branches::Branch;
pub(crate) use branches::reached;
use claim::Claim;
use coalesce::{Hides, Outbox, Pending, Writes};
use company::{Company, Seat};
use decide::Verdict;
use follow::Up;
pub(crate) use map::BUILT_IN;
use reporter::Reporter;
#[cfg(feature = "sim")]
pub(crate) use reroute::DEAD;
#[cfg_attr(
    not(feature = "sim"),
    expect(unreachable_pub, reason = "public where there is a simulation")
)]
pub use rules::Rule;
pub(crate) use run::panic_text;

/// What is kept back of the invocation's time, to record what became of a task that was stopped.
const MARGIN: Duration = Duration::from_millis(1500);
/// How long after its invocation's deadline a lease ends: Lambda kills late, never early.
const LEASE_GRACE: Duration = Duration::from_secs(2);

/// Works on a batch; one disposition for each delivery, in order.
pub(crate) async fn handle(
    worker: &Worker,
    deliveries: &[Delivery],
    invocation: &Invocation,
) -> Vec<Disposition> {
    let deliveries = &*outage::with_earlier_receives(deliveries);
    let lanes = lanes(deliveries);
    let batch = Batch::new(worker, invocation);
    let company = Company::of(lanes.len());
    batch.shorten_visibility(deliveries).await;
    batch.finishes.open(lanes.len());
    let mut working = Vec::with_capacity(lanes.len());
    for lane in lanes {
        working.push(batch.lane(lane, company.seat().await));
    }
    let done = tokio::select! {
        biased;
        done = join_all(working) => done,
        never = batch.report() => match never {},
    };
    let mut dispositions = vec![Disposition::Returned; deliveries.len()];
    for (place, disposition) in done.into_iter().flatten() {
        if let Some(slot) = dispositions.get_mut(place) {
            *slot = disposition;
        }
    }
    dispositions
}

/// A batch at work: what its members share.
struct Batch<'a> {
    worker: &'a Worker,
    invocation: &'a Invocation,
    started: Timestamp,
    claims: Writes<'a>,
    finishes: Writes<'a>,
    outbox: Outbox<'a>,
    hides: Hides<'a>,
    reporter: Reporter,
    /// Who waits for what is revoked by group, root, stamp or name.
    revocations: Pending<(), Result<Arc<Listed>>>,
    /// Members of groups that have ended, and whether they failed.
    counts: Pending<(Member, bool), Result<Up>>,
}

/// One message of the batch, decoded.
struct Job<'a> {
    delivery: &'a Delivery,
    message: Message,
    /// The queue that retries go to: not the quarantine.
    home: QueueName,
    /// Who holds the lease: this invocation, this place in its batch.
    owner: String,
    /// Whether a death of the process would be this message's own doing.
    alone: bool,
}

/// A job whose task is known.
struct Known<'a> {
    job: &'a Job<'a>,
    def: &'a TaskDef,
}

impl Known<'_> {
    fn options(&self) -> &Options {
        &self.def.options
    }

    fn ignores_result(&self) -> bool {
        let message = &self.job.message;
        // What something follows from must be there when its message comes again.
        !message.goes_on()
            && message
                .ignore_result
                .unwrap_or(self.def.options.ignore_result)
    }
}

/// Messages that must be worked on one after the other, with their places in the batch.
type Lane<'a> = Vec<(usize, &'a Delivery)>;

/// One lane for each FIFO group; one for each message of other queues.
fn lanes(deliveries: &[Delivery]) -> Vec<Lane<'_>> {
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lanes: Vec<Lane<'_>> = Vec::new();
    for (place, delivery) in deliveries.iter().enumerate() {
        let group = delivery
            .group
            .as_deref()
            .filter(|_| delivery.queue.is_fifo());
        let lane = match group {
            Some(group) => *groups.entry(group).or_insert(lanes.len()),
            None => lanes.len(),
        };
        match lanes.get_mut(lane) {
            Some(lane) => lane.push((place, delivery)),
            None => lanes.push(vec![(place, delivery)]),
        }
    }
    lanes
}

impl<'a> Batch<'a> {
    fn new(worker: &'a Worker, invocation: &'a Invocation) -> Self {
        let ports = worker.app().ports();
        Self {
            worker,
            invocation,
            started: ports.clock.now(),
            claims: Writes::new(ports),
            finishes: Writes::new(ports),
            outbox: Outbox::new(ports),
            hides: Hides::new(ports),
            reporter: Reporter::default(),
            revocations: Pending::new(),
            counts: Pending::new(),
        }
    }

    fn now(&self) -> Timestamp {
        self.worker.app().ports().clock.now()
    }

    /// When bodies are stopped, so that what became of them can still be recorded.
    fn stop_at(&self) -> Timestamp {
        let whole = self.invocation.deadline.since(self.started);
        self.invocation.deadline - MARGIN.min(whole / 4)
    }

    /// A message comes back only when its visibility timeout ends, however soon its process died:
    /// where that is much longer than this invocation can last, it is shortened.
    async fn shorten_visibility(&self, deliveries: &[Delivery]) {
        // Thirty seconds, and two for the time between Lambda's deadline being set and this line.
        const WORTH_A_CALL: Duration = Duration::from_secs(32);
        let left = self.invocation.deadline.since(self.started);
        let visibility = self.worker.app().config().visibility_timeout;
        if visibility.is_none_or(|visibility| visibility <= left + WORTH_A_CALL) {
            return;
        }
        let hidden = left + Duration::from_secs(5);
        let changes = deliveries
            .iter()
            .map(|one| (one.queue.clone(), one.receipt.clone(), hidden, ()))
            .collect();
        for ((), changed) in batches::hide(&*self.worker.app().ports().queue, changes).await {
            if let Err(error) = changed {
                // Costs time after a crash, nothing else.
                tracing::warn!(%error, "the visibility timeout could not be shortened");
            }
        }
    }

    async fn lane(&self, lane: Lane<'_>, mut seat: Seat<'_>) -> Vec<(usize, Disposition)> {
        let mut dispositions = Vec::with_capacity(lane.len());
        let mut rest = lane.into_iter();
        for (place, delivery) in rest.by_ref() {
            let disposition = self.deliver(place, delivery, &mut seat).await;
            dispositions.push((place, disposition));
            if disposition == Disposition::Returned && self.worker.keeps(Rule::KeepOrder) {
                self.hand_back(rest.as_slice(), &delivery.receipt).await;
                break;
            }
        }
        dispositions.extend(rest.map(|(place, _)| (place, Disposition::Returned)));
        self.finishes.close();
        dispositions
    }

    /// The rest of a group comes again with the message that holds it up: hidden longer, it would
    /// hold up that one.
    async fn hand_back(&self, rest: &[(usize, &Delivery)], head: &Receipt) {
        let Some(until) = self.hides.until(head) else {
            return;
        };
        let pause = until.since(self.now());
        if !rest.is_empty() {
            reached(Branch::GroupHandedBack);
        }
        let hidden = rest.iter().map(|(_, delivery)| self.hide(delivery, pause));
        for result in join_all(hidden).await {
            if let Err(error) = result {
                tracing::warn!(%error, "comes again at its visibility timeout only");
            }
        }
    }

    /// An error of a port is never the task's fault: the message goes back and comes again, soon if
    /// the error is a passing one.
    async fn deliver(&self, place: usize, delivery: &Delivery, seat: &mut Seat<'_>) -> Disposition {
        let error = match self.work(place, delivery, seat).await {
            Ok(disposition) => return disposition,
            Err(error) => error,
        };
        let (message_id, kind) = (&delivery.message_id, error.kind());
        tracing::error!(message_id, ?kind, %error, "handed back: {error:?}");
        if error.is_retryable() {
            let pause = outage::pause(delivery);
            if let Err(error) = self.hide(delivery, pause).await {
                tracing::warn!(message_id, %error, "comes again at its visibility timeout only");
            }
        }
        Disposition::Returned
    }

    async fn work(
        &self,
        place: usize,
        delivery: &Delivery,
        seat: &mut Seat<'_>,
    ) -> Result<Disposition> {
        let message = match Message::decode(&delivery.body, &delivery.message_id, delivery.sent_at)
        {
            Ok(message) => message,
            Err(_) if !self.worker.keeps(Rule::KeepUndecodable) => return Ok(Disposition::Done),
            Err(error) => {
                reached(Branch::Undecodable);
                return self.dead_body(delivery, &error).await;
            }
        };
        let queues = &self.worker.app().config().queues;
        let home = message.queue.as_deref().map(QueueName::new);
        let places = [
            home.as_ref(),
            Some(&delivery.queue),
            delivery.source.as_ref(),
        ];
        let mut places = places.into_iter().flatten();
        let home = places
            .find(|queue| queue.is_for_tasks() && queues.contains_key(queue))
            .cloned()
            .unwrap_or_else(|| QueueName::new(QueueName::DEFAULT));
        let owner = format!("{}/{place}", self.invocation.id);
        let mut job = Job {
            delivery,
            message,
            home,
            owner,
            alone: seat.is_alone(),
        };
        if delivery.queue.is_undelivered() {
            return self.reap(&mut job).await;
        }
        // What of it is sent on says so.
        job.message.sent_at.get_or_insert(delivery.sent_at);
        let attempted = match job.message.fan_out.clone() {
            Some(fan_out) => self.fan_out(&job, &fan_out).await,
            None => {
                let event = Event::of(EventKind::Received, &job.message);
                self.worker.app().tell(&event);
                self.attempt(&mut job, seat).await
            }
        };
        // A group is no claim.
        if attempted.as_ref().is_err_and(Error::is_retryable) && job.message.fan_out.is_none() {
            self.release(&job).await;
        }
        match attempted {
            // It could be read but not be written again with what a retry or a detour adds.
            Err(error) if error.kind() == ErrorKind::TooLarge => {
                self.dead_unstarted(&job, "TooLarge", error.to_string())
                    .await
            }
            Err(error)
                if error.is_retryable()
                    && outage::outlasts_receives(delivery)
                    && self.worker.keeps(Rule::OutlastOutage) =>
            {
                self.send_anew(&job, error).await
            }
            result => result,
        }
    }

    async fn attempt(&self, job: &mut Job<'_>, seat: &mut Seat<'_>) -> Result<Disposition> {
        loop {
            job.alone |= !self.worker.keeps(Rule::SingleOut);
            let def = match self.admit(job).await? {
                Admission::Now(def) => def,
                Admission::Over(disposition) => return Ok(disposition),
            };
            let known = Known { job, def };
            let (claim, ()) = join(self.claim(&known), self.look_ahead()).await;
            match claim? {
                Claim::Mine(claimed) => return self.carry_out(&known, claimed).await,
                Claim::Over(disposition) => return Ok(disposition),
                Claim::Suspect => {
                    reached(Branch::Suspect);
                    seat.be_alone().await;
                    job.alone = seat.is_alone();
                }
                // On a FIFO queue the message itself is what is retried.
                Claim::Adopt {
                    attempt,
                    retries,
                    due_at,
                } => {
                    reached(Branch::Adopted);
                    job.message.attempt = attempt;
                    job.message.retries = retries;
                    job.message.eta = due_at;
                }
            }
        }
    }

    async fn carry_out(
        &self,
        known: &Known<'_>,
        mut claimed: claim::Claimed,
    ) -> Result<Disposition> {
        let lost = claimed.worker_lost();
        let input = match lost {
            Some(_) => Ok(None),
            None => match self.carried(known.job).await {
                Err(error) if error.is_retryable() => return Err(error),
                input => input,
            },
        };
        let verdict = match (self.stopped(known, &claimed).await?, lost) {
            (Some(failure), _) => {
                claimed.begun = false;
                Verdict::Revoked(failure)
            }
            (None, Some(error)) => {
                reached(Branch::WorkerLost);
                Verdict::lost(known, &error, self.now())
            }
            (None, None) => {
                let outcome = match input {
                    Ok(input) => self.run(known, &mut claimed, input).await,
                    Err(error) => Err(TaskError::permanent(error)),
                };
                // Error types and `retry_if` are user code too.
                let added = std::mem::take(&mut claimed.added);
                let decide = || self.decide(known, outcome, added);
                let decided = catch_unwind(AssertUnwindSafe(decide));
                let verdict =
                    decided.unwrap_or_else(|panic| Verdict::panicked(known, &*panic, self.now()));
                self.unless_revoked(&claimed, verdict)
            }
        };
        self.finish(known, claimed, verdict).await
    }
}
