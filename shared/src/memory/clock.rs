//! Time that tokio can pause.

use std::time::Duration;

use tokio::time::Instant;

use crate::ports::{BoxFuture, Clock};
use crate::time::Timestamp;

/// Time by tokio's clock: real, or virtual in a runtime whose time is paused.
#[derive(Debug, Clone)]
pub struct TokioClock {
    base: Timestamp,
    origin: Instant,
}

impl TokioClock {
    /// A clock that shows `base` now and goes on from there.
    pub fn starting_at(base: Timestamp) -> Self {
        Self {
            base,
            origin: Instant::now(),
        }
    }

    /// A clock that shows the system's time.
    pub fn system() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is a Clock: its base is the real time"
        )]
        let now = std::time::SystemTime::now();
        let since_epoch = now
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self::starting_at(Timestamp::default() + since_epoch)
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.base + self.origin.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is a Clock: here sleeping is at home"
        )]
        Box::pin(tokio::time::sleep(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn paused_time_moves_by_sleeping_only() {
        let noon = Timestamp::from_millis(1_772_366_400_000);
        let clock = TokioClock::starting_at(noon);
        assert_eq!(clock.now(), noon);
        clock.sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.now(), noon + Duration::from_secs(3600));
    }
}
