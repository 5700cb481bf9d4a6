//! Tasks that take their time.

use std::time::Duration;

use sedano::{ResultExt, TaskError, task};

/// Sleeps that many seconds.
#[task]
pub async fn sleep(seconds: f64) -> Result<(), TaskError> {
    pause(seconds).await
}

/// Sleeps that many seconds, but is stopped after two.
#[task(time_limit = secs(2))]
pub async fn limited(seconds: f64) -> Result<(), TaskError> {
    pause(seconds).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "a task is a user's code, which has no clock port"
)]
async fn pause(seconds: f64) -> Result<(), TaskError> {
    // Negative, infinite and not a number are errors that no retry mends.
    let duration = Duration::try_from_secs_f64(seconds).permanent()?;
    tokio::time::sleep(duration).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sedano::{Class, Task};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn sleeps_as_long_as_told() {
        let start = Instant::now();
        sleep(1.5).await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_millis(1500));
        assert_eq!(limited::OPTIONS.time_limit, Some(Duration::from_secs(2)));
    }

    #[tokio::test]
    async fn no_time_is_not_slept() {
        for seconds in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(sleep(seconds).await.unwrap_err().class(), Class::Permanent);
        }
    }
}
