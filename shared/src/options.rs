//! The options of a task, their defaults, and their one merge.

use std::time::Duration;

use crate::failure::TaskError;
use crate::ports::Entropy;

/// How a task is run, sent and retried; what `#[task(key = value, …)]` sets.
///
/// Each setter is a key of the attribute. The empty attribute is the same as this one:
///
/// ```
/// use sedano::Options;
/// use std::time::Duration;
///
/// const DEFAULTS: Options = Options::new()
///     .queue("default")
///     .max_retries(3)
///     .default_retry_delay(Duration::from_secs(180)) // where no backoff is set
///     .retry(false)                                  // only errors that ask for it are retried
///     .ignore_result(false)
///     .idempotent(false);
/// // and no backoff, priority, time limits, expiry or result expiry of its own
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Options {
    /// See [`Options::queue`].
    pub queue: &'static str,
    /// See [`Options::priority`].
    pub priority: Option<u8>,
    /// See [`Options::max_retries`]. `None` is without end.
    pub max_retries: Option<u32>,
    /// See [`Options::default_retry_delay`].
    pub default_retry_delay: Duration,
    /// See [`Options::backoff`].
    pub backoff: Option<Backoff>,
    /// See [`Options::retry`].
    pub retry: bool,
    /// See [`Options::retry_if`].
    pub retry_if: Option<fn(&TaskError) -> bool>,
    /// See [`Options::time_limit`].
    pub time_limit: Option<Duration>,
    /// See [`Options::soft_time_limit`].
    pub soft_time_limit: Option<Duration>,
    /// See [`Options::expires`].
    pub expires: Option<Duration>,
    /// See [`Options::ignore_result`].
    pub ignore_result: bool,
    /// See [`Options::idempotent`].
    pub idempotent: bool,
    /// See [`Options::result_expires`].
    pub result_expires: Option<Duration>,
    /// See [`Options::unique`].
    pub unique: bool,
    /// See [`Options::unique_for`].
    pub unique_for: Option<Duration>,
    /// See [`Options::unique_by`]. Of none, all.
    pub unique_by: &'static [&'static str],
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// Every option at its default.
    pub const fn new() -> Self {
        Self {
            queue: "default",
            priority: None,
            max_retries: Some(3),
            default_retry_delay: Duration::from_secs(180),
            backoff: None,
            retry: false,
            retry_if: None,
            time_limit: None,
            soft_time_limit: None,
            expires: None,
            ignore_result: false,
            idempotent: false,
            result_expires: None,
            unique: false,
            unique_for: None,
            unique_by: &[],
        }
    }

    /// The queue its messages go to, by its name in `SEDANO_QUEUES`.
    #[must_use]
    pub const fn queue(mut self, queue: &'static str) -> Self {
        self.queue = queue;
        self
    }

    /// A number from 0 to 9 that travels with the message. SQS itself knows no priority.
    #[must_use]
    pub const fn priority(mut self, priority: u8) -> Self {
        self.priority = Some(priority);
        self
    }

    /// How many retries follow a first run at most: 3 means four runs.
    #[must_use]
    pub const fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = Some(retries);
        self
    }

    /// Retries go on until one succeeds (Celery's `max_retries=None`).
    #[must_use]
    pub const fn retry_for_ever(mut self) -> Self {
        self.max_retries = None;
        self
    }

    /// The wait before a retry where neither the error nor a backoff says one.
    #[must_use]
    pub const fn default_retry_delay(mut self, delay: Duration) -> Self {
        self.default_retry_delay = delay;
        self
    }

    /// Waits that double with each retry.
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Retries every error that isn't marked otherwise, time limits and panics included
    /// (Celery's `autoretry_for=(Exception,)`).
    #[must_use]
    pub const fn retry(mut self, retry: bool) -> Self {
        self.retry = retry;
        self
    }

    /// Retries the errors that this function picks.
    #[must_use]
    pub const fn retry_if(mut self, pick: fn(&TaskError) -> bool) -> Self {
        self.retry_if = Some(pick);
        self
    }

    /// Stops a run after this long, with [`TimeLimit`](crate::TimeLimit). Without one, the end of
    /// the invocation is the limit.
    #[must_use]
    pub const fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Completes [`Context::soft_time_limit`](crate::Context::soft_time_limit) after this long, so
    /// that the task can give up in good order.
    #[must_use]
    pub const fn soft_time_limit(mut self, limit: Duration) -> Self {
        self.soft_time_limit = Some(limit);
        self
    }

    /// Revokes a message that hasn't started this long after it was sent.
    #[must_use]
    pub const fn expires(mut self, after: Duration) -> Self {
        self.expires = Some(after);
        self
    }

    /// Keeps no return value, only the state. Failures are kept all the same.
    #[must_use]
    pub const fn ignore_result(mut self, ignore: bool) -> Self {
        self.ignore_result = ignore;
        self
    }

    /// The task may run twice without harm: its claim is skipped, which saves half of the writes.
    /// It then can't be revoked before it starts, and two copies of a message may run at once.
    #[must_use]
    pub const fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// How long the record is kept once it is final, a day at least; without one, `SEDANO_RESULT_EXPIRES`.
    #[must_use]
    pub const fn result_expires(mut self, after: Duration) -> Self {
        self.result_expires = Some(after);
        self
    }

    /// Of calls with the same arguments one is at work at a time: while it isn't done, sending another answers with a
    /// handle on the first. See the [guide](crate::guide::unique).
    #[must_use]
    pub const fn unique(mut self, unique: bool) -> Self {
        self.unique = unique;
        self
    }

    /// The same for so long from the send, in place of until it is done: whatever has become of the first by then.
    ///
    /// # Panics
    /// For less than a second, which in an attribute is a compile error.
    #[must_use]
    pub const fn unique_for(mut self, period: Duration) -> Self {
        assert!(
            period.as_secs() > 0,
            "a task is unique for a second at least; without a period, until it is done"
        );
        self.unique = true;
        self.unique_for = Some(period);
        self
    }

    /// Unique by these of its parameters, in place of all: `unique_by = "user_id"`, or a list of names.
    #[must_use]
    pub const fn unique_by(mut self, parameters: &'static [&'static str]) -> Self {
        self.unique = true;
        self.unique_by = parameters;
        self
    }

    /// Celery's `acks_late`, here for who brings it along: a message is always acknowledged after its
    /// task's end was recorded.
    ///
    /// # Panics
    /// When told `false`, which in an attribute is a compile error.
    #[must_use]
    pub const fn acks_late(self, late: bool) -> Self {
        assert!(
            late,
            "messages are always acknowledged late: so nothing is lost with a process; \
             a task whose effect must not happen again guards it by `ctx.idempotency_key()`"
        );
        self
    }

    /// Celery's `track_started`, here for who brings it along: the claim is the STARTED record.
    ///
    /// # Panics
    /// When told `false`, which in an attribute is a compile error.
    #[must_use]
    pub const fn track_started(self, track: bool) -> Self {
        assert!(
            track,
            "the STARTED record is what keeps others from running the task; \
             `idempotent` leaves it out"
        );
        self
    }

    /// Celery's `store_errors_even_if_ignored`, here for who brings it along: failures are always
    /// recorded.
    ///
    /// # Panics
    /// When told `false`, which in an attribute is a compile error.
    #[must_use]
    pub const fn store_errors_even_if_ignored(self, store: bool) -> Self {
        assert!(
            store,
            "failures are always recorded, or nobody would ever know"
        );
        self
    }

    /// The wait before retry number `retries + 1`, where the error doesn't say one.
    pub(crate) fn retry_delay(&self, retries: u32, entropy: &dyn Entropy) -> Duration {
        match self.backoff {
            Some(backoff) => backoff.delay(retries, entropy),
            None => self.default_retry_delay,
        }
    }
}

/// What to say of a task whose soft time limit could never tell it anything.
pub(crate) fn soft_beyond_hard(soft: Option<Duration>, hard: Option<Duration>) -> Option<String> {
    let (soft, hard) = (soft?, hard?);
    let what = || format!("has a soft time limit of {soft:?} beyond its time limit of {hard:?}");
    (soft > hard).then(what)
}

/// Waits that double: `min(cap, base × 2^retries)`, of which with jitter a random part from nothing
/// to all is taken. Celery's `get_exponential_backoff_interval`, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    jitter: bool,
}

/// A backoff that starts at `base`, is capped at ten minutes and jittered, as Celery's.
pub const fn exponential(base: Duration) -> Backoff {
    Backoff {
        base,
        cap: Duration::from_secs(600),
        jitter: true,
    }
}

impl Backoff {
    /// The longest wait.
    #[must_use]
    pub const fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Whether a random part of the wait is taken; on by default, so that tasks which failed
    /// together don't come back together.
    #[must_use]
    pub const fn jitter(mut self, jitter: bool) -> Self {
        self.jitter = jitter;
        self
    }

    fn delay(&self, retries: u32, entropy: &dyn Entropy) -> Duration {
        let doubled = 1_u32
            .checked_shl(retries)
            .and_then(|factor| self.base.checked_mul(factor))
            .map_or(self.cap, |delay| delay.min(self.cap));
        if !self.jitter {
            return doubled;
        }
        Duration::from_millis(entropy.up_to(u64::try_from(doubled.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// That many seconds; in scope inside `#[task(…)]`.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// That many minutes; in scope inside `#[task(…)]`.
pub const fn mins(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// That many hours; in scope inside `#[task(…)]`.
pub const fn hours(hours: u64) -> Duration {
    Duration::from_secs(3600 * hours)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Most;

    impl Entropy for Most {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0xff);
        }
    }

    struct Least;

    impl Entropy for Least {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    #[test]
    fn waits_are_celerys() {
        let backoff = exponential(secs(1)).jitter(false);
        let waits: Vec<u64> = (0..12)
            .map(|n| backoff.delay(n, &Least).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(backoff.delay(40, &Least), secs(600));
    }

    #[test]
    fn jitter_takes_from_nothing_to_all() {
        let backoff = exponential(secs(2));
        assert_eq!(backoff.delay(3, &Least), Duration::ZERO);
        // u64::MAX modulo 16001
        assert_eq!(
            backoff.delay(3, &Most),
            Duration::from_millis(u64::MAX % 16_001)
        );
    }

    #[test]
    fn without_backoff_the_default_delay_waits() {
        assert_eq!(Options::new().retry_delay(5, &Least), secs(180));
    }
}
