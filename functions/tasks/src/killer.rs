//! How the task [`crash`](fn@crate::failing::crash) ends its worker.

use std::fmt;
use std::future::pending;

/// Ends the worker; part of its state, so that where there is only a simulated worker, only that ends.
pub struct Killer(Box<dyn Fn() + Send + Sync>);

impl Killer {
    /// Aborts the process: what running out of memory or a fault in native code would do.
    pub fn of_the_process() -> Self {
        Self(Box::new(|| std::process::abort()))
    }

    /// Calls `kill`, which must see to it that the future of the batch is dropped as it is, mid-way:
    /// the task that crashed waits for that and never goes on. Each simulated worker has its own.
    pub fn of_a_simulated_worker(kill: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Box::new(kill))
    }

    /// Never comes back.
    pub(crate) async fn kill(&self) {
        (self.0)();
        pending().await
    }
}

impl fmt::Debug for Killer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Killer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failing::crash;
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Context, Poll, Waker};

    #[test]
    fn a_crash_kills_once_and_never_returns() {
        let kills = Arc::new(AtomicU32::new(0));
        let counter = kills.clone();
        let killer = Killer::of_a_simulated_worker(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let mut running = pin!(crash(&killer));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert_eq!(running.as_mut().poll(&mut context), Poll::Pending);
        }
        assert_eq!(kills.load(Ordering::Relaxed), 1);
    }
}
