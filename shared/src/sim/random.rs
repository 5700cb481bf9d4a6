//! Seeded randomness: one stream for each concern, so that one more draw here doesn't change what
//! is drawn there.

use std::time::Duration;

use crate::entropy::SeededEntropy;
use crate::ports::Entropy;

/// One stream of a world's randomness: the same seed, the same numbers.
///
/// ```
/// # use sedano::{sim::Simulation, tasks};
/// # Simulation::new(|| tasks![]).seeds(0..1).run(async |world| {
/// let random = world.random();
/// assert!(random.below(6) < 6);
/// let task = random.pick(&["add", "mul"]);
/// assert!(task.is_some());
/// # Ok(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct Random(SeededEntropy);

impl Random {
    /// The stream of this seed for a concern; `number` tells apart those of one kind.
    pub(crate) fn stream(seed: u64, concern: &str, number: u64) -> Self {
        let mut mixed = 0xcbf2_9ce4_8422_2325_u64 ^ seed.wrapping_mul(0xff51_afd7_ed55_8ccd);
        let parts = concern.bytes().chain(number.to_le_bytes());
        for byte in parts.chain(seed.to_le_bytes()) {
            mixed = (mixed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            mixed ^= mixed >> 29;
        }
        Self(SeededEntropy::new(mixed))
    }

    /// A number from 0 up to `limit`, which is left out; 0 if that is 0.
    pub fn below(&self, limit: u64) -> u64 {
        let entropy: &dyn Entropy = &self.0;
        entropy.up_to(limit.saturating_sub(1))
    }

    /// True at this rate, 0 to 1.
    pub fn chance(&self, rate: f64) -> bool {
        const PARTS: u32 = 1 << 30;
        // Drawn even where it is certain, so that a rate of 0 takes as many draws as any other.
        let drawn = u32::try_from(self.below(PARTS.into())).unwrap_or(0);
        f64::from(drawn) < rate * f64::from(PARTS)
    }

    /// A duration between two, to the millisecond.
    pub fn between(&self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(u64::MAX);
        least + Duration::from_millis(self.below(span.saturating_add(1)))
    }

    /// One of several, if there are any.
    pub fn pick<'a, T>(&self, among: &'a [T]) -> Option<&'a T> {
        let place = usize::try_from(self.below(among.len() as u64)).ok()?;
        among.get(place)
    }
}

impl Entropy for Random {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(random: &Random) -> Vec<u64> {
        (0..8).map(|_| random.below(1000)).collect()
    }

    #[test]
    fn streams_repeat_and_differ() {
        let one = draws(&Random::stream(7, "calls", 0));
        assert_eq!(one, draws(&Random::stream(7, "calls", 0)));
        assert_ne!(one, draws(&Random::stream(8, "calls", 0)));
        assert_ne!(one, draws(&Random::stream(7, "calls", 1)));
        assert_ne!(one, draws(&Random::stream(7, "deaths", 0)));
    }

    #[test]
    fn a_rate_is_kept() {
        let random = Random::stream(1, "rate", 0);
        let hits = (0..10_000).filter(|_| random.chance(0.1)).count();
        assert!((900..1100).contains(&hits), "{hits}");
        assert!(!random.chance(0.0));
        assert!(random.chance(1.0));
    }

    #[test]
    fn bounds_are_kept() {
        let random = Random::stream(1, "bounds", 0);
        let (least, most) = (Duration::from_millis(3), Duration::from_millis(5));
        for _ in 0..100 {
            assert!((least..=most).contains(&random.between(least, most)));
        }
        assert_eq!(random.pick::<u8>(&[]), None);
        assert_eq!(random.pick(&[1]), Some(&1));
    }
}
