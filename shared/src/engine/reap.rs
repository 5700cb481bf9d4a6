//! The reaper: what SQS gave up ends as FAILURE, so that nobody waits for it for ever, and becomes a dead
//! letter with its reason.

use std::time::Duration;

use crate::error::Result;
use crate::event::Event;
use crate::id;
use crate::parked::Promote;
use crate::ports::{Item, Key};
use crate::record::{State, attempts, count, failure, field, is_expired};
use crate::task::Task as _;
use crate::worker::Disposition;

use super::follow::Ending;
use super::reroute::{runs, undelivered_event};
use super::standing::Standing;
use super::{Batch, Branch, Job, Rule, reached};

impl Batch<'_> {
    /// Gives the task up, unless somebody has run it to an end, runs it, or will run a later attempt.
    pub(super) async fn reap(&self, job: &mut Job<'_>) -> Result<Disposition> {
        if job.message.task == Promote::NAME {
            return self.promote_again(job).await;
        }
        let key = Key::Result(job.message.id.clone());
        let known = self.worker.app().ports().store.get(&key).await?;
        let known = known.filter(|item| !is_expired(item, self.now()));
        if let Some(item) = &known
            && job.delivery.queue.is_fifo()
            && count(item, field::ATTEMPT) > job.message.attempt
        {
            // On a FIFO queue the message itself is what was retried: there is no other.
            job.message.attempt = count(item, field::ATTEMPT);
            job.message.retries = count(item, field::RETRIES);
        }
        let failure = self.failure(job, "Undelivered", given_up(job, known.as_ref()));
        if job.message.fan_out.is_some() {
            return self.reap_group(job, &failure).await;
        }
        let recorded = match self.worker.keeps(Rule::RecordUndelivered) {
            true => self.record_unstarted(job, State::Failure, &failure).await?,
            false => Standing::Mine,
        };
        match recorded {
            Standing::Mine => {
                reached(Branch::Reaped);
                let event = Event::failed(&job.message, &failure);
                self.worker.app().tell(&event);
                self.after(&job.message, Ending::Failure(failure.clone()))
                    .await?;
                let runs = known.as_ref().map_or(0, runs);
                self.dead_job(job, &failure, runs).await
            }
            // Its lease ended while it was asked for.
            Standing::Abandoned => {
                self.hide(job.delivery, Duration::from_secs(1)).await?;
                Ok(Disposition::Returned)
            }
            standing => {
                reached(Branch::ReapedInVain);
                self.refused(job, standing).await
            }
        }
    }
}

/// Why the message is here, with what is known of its task.
fn given_up(job: &Job<'_>, known: Option<&Item>) -> String {
    let delivery = job.delivery;
    if let Some(event) = undelivered_event(delivery) {
        return event;
    }
    let queue = delivery.source.as_ref().unwrap_or(&job.home);
    // This receive is the reaper's.
    let often = match delivery.receive_count.saturating_sub(1) {
        0 | 1 => "too many receives".to_owned(),
        receives => format!("{receives} receives"),
    };
    let history = known.map_or_else(
        || {
            "no run of it began: its worker could not start, was throttled, or died before it could \
             claim it"
                .to_owned()
        },
        history,
    );
    format!("SQS gave it up after {often} from queue `{queue}`; {history}")
}

fn history(item: &Item) -> String {
    let runs = match runs(item) {
        1 => "it ran once".to_owned(),
        runs => format!("it ran {runs} times"),
    };
    let unended = attempts(item).pop().filter(|run| run.end.is_none());
    let died = unended.map_or_else(String::new, |run| {
        format!(", at last in request {}, whose process died", run.request)
    });
    let error = item.get(field::ERROR).and_then(failure);
    let error = error.map_or_else(String::new, |error| format!("; its last error: {error}"));
    format!("{runs}{died}{error}")
}

impl Batch<'_> {
    /// What others wait for is no task that may fail: it comes again, as another message, for as long as it takes.
    async fn promote_again(&self, job: &Job<'_>) -> Result<Disposition> {
        let mut again = job.message.clone();
        again.id = id::derived(&[&again.id, "again"]);
        self.send_on(job, &job.home, again).await?;
        Ok(Disposition::Done)
    }
}
