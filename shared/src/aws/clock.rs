//! The system's time.
//!
//! Read anew each time, not counted on from a start: a Lambda environment that was frozen between
//! two invocations must not think that no time has passed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::ports::{BoxFuture, Clock};
use crate::time::Timestamp;

/// The system's time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the Clock of real time")]
        let now = SystemTime::now();
        Timestamp::default() + now.duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        #[expect(clippy::disallowed_methods, reason = "this is the Clock of real time")]
        Box::pin(tokio::time::sleep(duration))
    }
}
