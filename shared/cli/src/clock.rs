//! What time it is, by AWS: a laptop's clock may be minutes off, and whatever counts from now would count from then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_cloudformation::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_cloudformation::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_cloudformation::error::BoxError;
use aws_sdk_cloudformation::primitives::{DateTime, DateTimeFormat};
use sedano::Timestamp;
use sedano::aws::SystemClock;
use sedano::ports::{BoxFuture, Clock};

/// A header tells whole seconds: what differs by less is no difference.
const CLOSE: i64 = 2_000;
/// An answer that took longer says little of when it was written.
const PROMPT: i64 = 5_000;

/// This machine's clock, put right by the `Date` of AWS's last answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct AwsClock(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    asked: Timestamp,
    /// By how many milliseconds this machine's clock is behind.
    behind: i64,
}

impl Clock for AwsClock {
    fn now(&self) -> Timestamp {
        let behind = self.heard(|heard| heard.behind);
        Timestamp::from_millis(SystemClock.now().as_millis() + behind)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move { SystemClock.sleep(duration).await })
    }
}

impl AwsClock {
    fn heard<T>(&self, what: impl FnOnce(&mut Heard) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// By how much this machine's clock is behind one that said `date` between the two.
fn behind(asked: Timestamp, answered: Timestamp, date: Timestamp) -> Option<i64> {
    let [asked, answered, date] = [asked, answered, date].map(Timestamp::as_millis);
    if !(0..=PROMPT).contains(&(answered - asked)) {
        return None;
    }
    // In the midst of both, and of its second.
    let behind = date + 500 - (asked + answered) / 2;
    Some(if behind.abs() <= CLOSE { 0 } else { behind })
}

impl Intercept for AwsClock {
    fn name(&self) -> &'static str {
        "AwsClock"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.heard(|heard| heard.asked = SystemClock.now());
        Ok(())
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        if let Some(date) = date {
            let date = Timestamp::from_millis(date.secs().saturating_mul(1000));
            let now = SystemClock.now();
            self.heard(|heard| {
                heard.behind = behind(heard.asked, now, date).unwrap_or(heard.behind);
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_that_is_off_is_put_right() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        assert_eq!(behind(at(100), at(101), at(100)), Some(0));
        assert_eq!(behind(at(100), at(101), at(340)), Some(240_000));
        assert_eq!(behind(at(1000), at(1001), at(400)), Some(-600_000));
        // Asleep in between, or a clock that was set: it says nothing.
        assert_eq!(behind(at(100), at(900), at(100)), None);
        assert_eq!(behind(at(100), at(99), at(100)), None);
    }
}
