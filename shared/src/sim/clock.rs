//! A process's clock: virtual time, a little wrong.

use std::sync::Arc;
use std::time::Duration;

use crate::ports::{BoxFuture, Clock};
use crate::time::Timestamp;

/// A clock that is fast or slow by a fixed time.
pub(super) struct SkewedClock {
    exact: Arc<dyn Clock>,
    skew: Skew,
}

/// How far a clock is ahead of the exact one, in milliseconds; behind, if negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Skew(pub(super) i64);

impl Skew {
    /// What the clock shows at this instant.
    pub(super) fn shown(self, exact: Timestamp) -> Timestamp {
        Timestamp::from_millis(exact.as_millis().saturating_add(self.0))
    }
}

impl SkewedClock {
    pub(super) fn new(exact: Arc<dyn Clock>, skew: Skew) -> Self {
        Self { exact, skew }
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        self.skew.shown(self.exact.now())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        self.exact.sleep(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::TokioClock;

    #[tokio::test(start_paused = true)]
    async fn it_is_wrong_by_as_much_always_and_sleeps_as_long_as_others() {
        let exact: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(Timestamp::default()));
        let slow = SkewedClock::new(exact.clone(), Skew(-750));
        assert_eq!(slow.now(), Timestamp::from_millis(-750));
        slow.sleep(Duration::from_secs(2)).await;
        assert_eq!(slow.now(), Timestamp::from_millis(1250));
        assert_eq!(exact.now(), Timestamp::from_millis(2000));
    }
}
