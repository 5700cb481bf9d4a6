//! The catalogue of what goes wrong, each with its rate.

use std::time::Duration;

/// What goes wrong in a world, and how often: rates from 0 to 1 of what each line says.
///
/// Start from [`none`](Faults::none) or [`all`](Faults::all), and set what differs:
///
/// ```
/// use sedano::sim::Faults;
///
/// const CRASHES: Faults = Faults::none().died(0.3);
/// let calm = Faults::all().died(0.0).frozen(0.0);
/// assert_eq!(CRASHES.died, 0.3);
/// assert!(calm.throttled > 0.0);
/// ```
///
/// Latency is no fault: each call takes 0 to 200 ms, drawn from the seed, and that is what orders
/// the calls of a world.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Faults {
    /// Of calls: takes up to eight seconds.
    pub slow: f64,
    /// Of calls: refused as a whole, `Throttled`.
    pub throttled: f64,
    /// Of calls: never reaches the service, `Unavailable`.
    pub unreachable: f64,
    /// Of calls: done, and answered `Unavailable`.
    pub answer_lost: f64,
    /// Of calls: done, the answer lost, and tried again by the SDK, which tells the second answer: a
    /// conditional write may be refused by its own success.
    pub done_twice: f64,
    /// Of calls: on its way whatever becomes of the process that made it, so that it may be done
    /// after its death.
    pub done_late: f64,
    /// Of entries of a batch call: `Throttled`, while the others are done.
    pub entry_failed: f64,
    /// Of refused writes of a batch: the item as it is isn't told.
    pub untold: f64,
    /// Of receives from a standard queue: a message in flight is delivered once more.
    pub duplicated: f64,
    /// Of messages deleted from a standard queue: comes once more, minutes to hours later.
    pub resurfaced: f64,
    /// Of deliveries of a standard queue that aren't the first: says that it was received less often than it was.
    pub miscounted: f64,
    /// Of receives from a standard queue: in another order than that of sending.
    pub reordered: f64,
    /// Of batches: done, and their messages not deleted.
    pub acknowledgement_lost: f64,
    /// Of invocations: the process dies at some moment.
    pub died: f64,
    /// Of invocations: nothing runs for up to a minute while the world goes on; killed if that goes
    /// beyond its deadline.
    pub frozen: f64,
    /// Of worlds: workers without some of the tasks are deployed for a while, see
    /// [`redeploy`](super::Simulation::redeploy).
    pub redeployed: f64,
    /// Of worlds: for up to 40 minutes the tables answer nobody.
    pub outage: f64,
    /// Of worlds: for up to 40 minutes no function starts, so that SQS gives up what it has received too often.
    pub unstarted: f64,
    /// Of minutes: no rule calls beat for up to 20 more.
    pub silent: f64,
    /// Of minutes: beat is called twice or three times at once.
    pub ticked_again: f64,
    /// Of worlds: items past their TTL stay for two days; otherwise an hour.
    pub late_ttl: f64,
    /// How far a process's clock may be off, either way. Two clocks' difference and the time that
    /// Lambda kills late are together below the two seconds that a lease allows for; at most 750 ms.
    pub skew: Duration,
    /// For how long things go wrong, since a world's beginning. After it nothing does, so that every
    /// world can come to its end.
    pub until: Duration,
}

impl Faults {
    /// Nothing goes wrong.
    pub const fn none() -> Self {
        Self {
            slow: 0.0,
            throttled: 0.0,
            unreachable: 0.0,
            answer_lost: 0.0,
            done_twice: 0.0,
            done_late: 0.0,
            entry_failed: 0.0,
            untold: 0.0,
            duplicated: 0.0,
            resurfaced: 0.0,
            miscounted: 0.0,
            reordered: 0.0,
            acknowledgement_lost: 0.0,
            died: 0.0,
            frozen: 0.0,
            redeployed: 0.0,
            outage: 0.0,
            unstarted: 0.0,
            silent: 0.0,
            ticked_again: 0.0,
            late_ttl: 0.0,
            skew: Duration::ZERO,
            until: Duration::from_secs(6 * 3600),
        }
    }

    /// Everything goes wrong, each thing as often as leaves the others room.
    pub const fn all() -> Self {
        Self {
            slow: 0.02,
            throttled: 0.02,
            unreachable: 0.01,
            answer_lost: 0.02,
            done_twice: 0.02,
            done_late: 0.1,
            entry_failed: 0.02,
            untold: 0.2,
            duplicated: 0.15,
            resurfaced: 0.02,
            miscounted: 0.1,
            reordered: 0.5,
            acknowledgement_lost: 0.03,
            died: 0.06,
            frozen: 0.04,
            redeployed: 0.3,
            outage: 0.1,
            unstarted: 0.05,
            silent: 0.02,
            ticked_again: 0.2,
            late_ttl: 0.5,
            skew: MOST_SKEW,
            until: Duration::from_secs(6 * 3600),
        }
    }
}

/// Twice this and [`KILLED_LATE`] are below the engine's two seconds of grace for leases.
pub(super) const MOST_SKEW: Duration = Duration::from_millis(750);
/// How long after its deadline Lambda kills a process at the latest.
pub(super) const KILLED_LATE: Duration = Duration::from_millis(400);

/// A setter for each rate.
macro_rules! setters {
    ($($name:ident)*) => {
        impl Faults {
            /// Each rate by its name.
            pub fn rates(&self) -> Vec<(&'static str, f64)> {
                vec![$((stringify!($name), self.$name)),*]
            }

            $(
                #[doc = concat!("With this rate of [`", stringify!($name), "`](Faults#structfield.", stringify!($name), ").")]
                #[must_use]
                pub const fn $name(mut self, rate: f64) -> Self {
                    self.$name = rate;
                    self
                }
            )*
        }
    };
}

setters! {
    slow throttled unreachable answer_lost done_twice done_late entry_failed untold duplicated
    resurfaced miscounted reordered acknowledgement_lost died frozen redeployed outage unstarted silent ticked_again
    late_ttl
}

impl Faults {
    /// With clocks that are off by up to this, at most 750 ms.
    #[must_use]
    pub const fn skew(mut self, skew: Duration) -> Self {
        self.skew = skew;
        self
    }

    /// For so long.
    #[must_use]
    pub const fn until(mut self, until: Duration) -> Self {
        self.until = until;
        self
    }
}
