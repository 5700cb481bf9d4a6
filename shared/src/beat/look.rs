//! What a worker is told by the clock: to look at groups that haven't ended, and to send what was parked.

use std::time::Duration;

use futures_util::future::try_join;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::app::App;
use crate::batches;
use crate::error::Result;
use crate::id;
use crate::message::{FanOut, Message};
use crate::parked::{self, Promote};
use crate::ports::{Outgoing, QueueName};
use crate::time::Timestamp;
use crate::watch;

/// How much of what was missed one tick makes up for.
const AT_ONCE: Duration = Duration::from_secs(3 * 3600);
/// So many partitions are read at a time.
const TOGETHER: usize = 32;

/// What a worker was told.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    /// Groups to be looked at.
    pub(super) checked: usize,
    /// Tasks whose messages are to be sent.
    pub(super) promoted: usize,
}

/// Has every group looked at that came to an age for it after `looked`, and what is due soon sent: how many there
/// are, and up to when that is done. Done twice, it sends messages that do no harm.
pub(super) async fn at_what_waits(
    app: &App,
    looked: Timestamp,
    now: Timestamp,
) -> (Result<Told>, Timestamp) {
    let until = now.min(looked + AT_ONCE);
    let spans = watch::due(looked, until);
    let groups = spans.flat_map(|span| watch::partitions(span).map(move |name| (span, name)));
    let checked = groups.map(|(span, partition)| async move {
        let check = |groups: &[String]| groups.iter().map(|id| FanOut::check(id, span)).collect();
        tell(app, partition, check).await
    });
    let promoted = parked::due(looked, until).map(|(visit, partition)| {
        // The message of one visit may be given up: that of another is another.
        let promote = {
            let partition = format!("{partition}#{visit}");
            move |ids: &[String]| {
                Promote::messages(ids, |ids| {
                    let (first, last) = (ids.first(), ids.last());
                    let named = [Some(&partition), first, last].map(|id| id.map_or("", |id| id));
                    id::derived(&named)
                })
            }
        };
        tell(app, partition, promote)
    });
    let all = try_join(sum(checked), sum(promoted)).await;
    match all {
        Ok((checked, promoted)) => (Ok(Told { checked, promoted }), until.max(looked)),
        Err(error) => (Err(error), looked),
    }
}

async fn sum<F: Future<Output = Result<usize>>>(told: impl Iterator<Item = F>) -> Result<usize> {
    let told = stream::iter(told).buffer_unordered(TOGETHER);
    told.try_fold(0, async |sum, more| Ok(sum + more)).await
}

/// Sends the messages for what is listed in a partition: how many are listed. What fails is tried again, for a tick that
/// gives up for one failure among many reads would hardly ever get through where some fail.
async fn tell(
    app: &App,
    partition: String,
    messages: impl Fn(&[String]) -> Vec<Message>,
) -> Result<usize> {
    const TRIES: u32 = 5;
    let mut pause = Duration::from_millis(50);
    for _ in 1..TRIES {
        match tell_once(app, &partition, &messages).await {
            Err(error) if error.is_retryable() => {
                tracing::warn!(partition, %error, "could not be looked through; trying again");
                app.ports().clock.sleep(pause).await;
                pause *= 2;
            }
            told => return told,
        }
    }
    tell_once(app, &partition, &messages).await
}

async fn tell_once(
    app: &App,
    partition: &str,
    messages: &impl Fn(&[String]) -> Vec<Message>,
) -> Result<usize> {
    let queue = QueueName::new(QueueName::DEFAULT);
    let (mut told, mut after) = (0, None);
    loop {
        let (listed, next) = app.listed(partition, after.as_deref()).await?;
        told += listed.len();
        let messages = messages(&listed).into_iter();
        let messages = messages.map(|message| {
            let body = message.encode()?;
            Ok((queue.clone(), Outgoing::new(body), ()))
        });
        let messages = messages.collect::<Result<Vec<_>>>()?;
        for ((), answer) in batches::send(&*app.ports().queue, messages).await {
            answer?;
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(told),
        }
    }
}
