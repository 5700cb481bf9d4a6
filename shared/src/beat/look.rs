//! Groups that haven't ended: at certain ages a worker is told to look at each.

use std::time::Duration;

use futures_util::future::try_join_all;

use crate::app::App;
use crate::batches;
use crate::error::Result;
use crate::message::FanOut;
use crate::ports::{Outgoing, QueueName};
use crate::time::Timestamp;
use crate::watch;

/// How much of what was missed one tick makes up for.
const AT_ONCE: Duration = Duration::from_secs(3600);

/// Has every group looked at that came to an age for it after `looked`: how many there are, and up to when
/// that is done. Done twice, it sends messages that do no harm.
pub(super) async fn at_groups(
    app: &App,
    looked: Timestamp,
    now: Timestamp,
) -> (Result<usize>, Timestamp) {
    let until = now.min(looked + AT_ONCE);
    let looks = watch::due(looked, until).flat_map(|span| {
        let partitions = watch::partitions(span);
        partitions.map(move |partition| at_partition(app, span, partition))
    });
    match try_join_all(looks).await {
        Ok(checked) => (Ok(checked.into_iter().sum()), until.max(looked)),
        Err(error) => (Err(error), looked),
    }
}

async fn at_partition(app: &App, span: Timestamp, partition: String) -> Result<usize> {
    let queue = QueueName::new(QueueName::DEFAULT);
    let (mut sent, mut after) = (0, None);
    loop {
        let (groups, next) = app.watched(&partition, after.as_deref()).await?;
        let checks = groups.iter().map(|group| {
            let body = FanOut::check(group, span).encode()?;
            Ok((queue.clone(), Outgoing::new(body), ()))
        });
        let checks = checks.collect::<Result<Vec<_>>>()?;
        for ((), answer) in batches::send(&*app.ports().queue, checks).await {
            answer?;
            sent += 1;
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(sent),
        }
    }
}
