//! A clock to try schedules out by: it begins where it is told, and may run faster.

use std::time::Duration;

use sedano::Timestamp;
use sedano::memory::TokioClock;
use sedano::ports::{BoxFuture, Clock};
use tokio::time::Instant;

/// The fastest: a day in 24 seconds. At this, a visibility timeout is as long as SQS allows.
pub const FASTEST: u32 = 3600;

/// Time from an instant on, so many times as fast as the real one. In a runtime whose time is paused it is
/// virtual.
#[derive(Debug, Clone)]
pub struct MovedClock {
    start: Timestamp,
    speed: u32,
    origin: Instant,
}

impl MovedClock {
    /// A clock that shows `start` now, or else the system's time, and from there on runs `speed` times as fast.
    pub fn new(start: Option<Timestamp>, speed: u32) -> Self {
        Self {
            start: start.unwrap_or_else(|| TokioClock::system().now()),
            speed: speed.max(1),
            origin: Instant::now(),
        }
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        self.start + self.origin.elapsed() * self.speed
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        // Rounded up: nobody is woken early.
        let nanos = duration.as_nanos().div_ceil(self.speed.into());
        let real = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        #[expect(
            clippy::disallowed_methods,
            reason = "this is a Clock: here sleeping is at home"
        )]
        Box::pin(tokio::time::sleep(real))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_hour_passes_in_a_second() {
        let noon: Timestamp = "2026-03-29T12:00:00Z".parse().unwrap();
        let clock = MovedClock::new(Some(noon), FASTEST);
        let begun = Instant::now();
        assert_eq!(clock.now(), noon);
        clock.sleep(Duration::from_secs(3600)).await;
        let hour = clock.now().since(noon);
        assert!(hour >= Duration::from_secs(3600), "{hour:?}");
        // Tokio's timer has milliseconds: 3.6 s of this clock each.
        assert!(hour <= Duration::from_secs(3608), "{hour:?}");
        assert!(begun.elapsed() <= Duration::from_millis(1002));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_woken_early() {
        for speed in [1, 7, 60, 999, FASTEST] {
            let clock = MovedClock::new(Some(Timestamp::default()), speed);
            for millis in [1, 20, 333, 1000, 59_999] {
                let (begun, wait) = (clock.now(), Duration::from_millis(millis));
                clock.sleep(wait).await;
                assert!(clock.now().since(begun) >= wait, "{millis} ms at {speed}");
            }
        }
    }
}
