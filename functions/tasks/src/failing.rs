//! Tasks that fail, each in its own way.

use sedano::{Context, TaskError, task};

use crate::Killer;

/// Fails with this message; as nothing asks for a retry, for good.
#[task]
pub async fn fail(message: String) -> Result<(), TaskError> {
    Err(TaskError::new(message))
}

/// Fails that many times, then succeeds and tells how many retries it took.
// A second each time, said as a backoff: so that the deployment's tests meet one.
#[task(max_retries = 20, backoff = exponential(secs(1)).cap(secs(1)).jitter(false))]
pub async fn flaky(#[ctx] ctx: &Context, failures: u32) -> Result<u32, TaskError> {
    match ctx.retries() {
        retries if retries < failures => {
            let message = format!("failed {} of {failures} times", retries + 1);
            Err(TaskError::retry(message))
        }
        retries => Ok(retries),
    }
}

/// Asks for a retry whenever it runs, and is granted three: four runs.
#[task(max_retries = 3, default_retry_delay = secs(1))]
pub async fn retry_thrice(#[ctx] ctx: &Context) -> Result<(), TaskError> {
    Err(TaskError::retry(format!(
        "run {} failed",
        ctx.retries() + 1
    )))
}

/// Panics with this message.
#[task]
#[expect(
    clippy::panic,
    reason = "to show that a panic is the task's failure, not the worker's"
)]
pub async fn panic(message: String) {
    panic!("{message}");
}

/// Kills the worker it runs in: see [`Killer`].
#[task]
pub async fn crash(#[state] killer: &Killer) {
    killer.kill().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use sedano::scope::exponential;
    use sedano::{Class, Task};
    use std::time::Duration;

    #[tokio::test]
    async fn fail_leaves_the_class_to_the_policy_which_is_never_to_retry() {
        let error = fail("no luck".into()).await.unwrap_err();
        assert_eq!(
            (error.class(), error.to_string()),
            (Class::Unknown, "no luck".into())
        );
        assert!(!fail::OPTIONS.retry && fail::OPTIONS.retry_if.is_none());
    }

    #[tokio::test]
    #[should_panic(expected = "at the disco")]
    async fn panic_panics() {
        panic("at the disco".into()).await;
    }

    #[test]
    fn retries_come_after_a_second_without_jitter() {
        const SECOND: Duration = Duration::from_secs(1);
        assert_eq!(flaky::OPTIONS.max_retries, Some(20));
        let backoff = exponential(SECOND).cap(SECOND).jitter(false);
        assert_eq!(flaky::OPTIONS.backoff, Some(backoff));
        assert_eq!(retry_thrice::OPTIONS.max_retries, Some(3));
        assert_eq!(retry_thrice::OPTIONS.default_retry_delay, SECOND);
        assert_eq!(retry_thrice::OPTIONS.backoff, None);
    }
}
