//! Time and randomness.

use std::time::Duration;

use crate::runner::cases;
use crate::world::World;

cases![
    sleeping_takes_as_long_as_asked,
    randomness_differs_each_time,
    numbers_stay_in_their_range
];

async fn sleeping_takes_as_long_as_asked(world: World) {
    let clock = world.ports().clock;
    let start = clock.now();
    clock.sleep(Duration::from_millis(20)).await;
    // Both readings are cut to the millisecond.
    assert!(clock.now().since(start) >= Duration::from_millis(19));
}

async fn randomness_differs_each_time(world: World) {
    let entropy = world.ports().entropy;
    let (mut one, mut two) = ([0; 16], [0; 16]);
    entropy.fill(&mut one);
    entropy.fill(&mut two);
    assert_ne!(one, two);
}

async fn numbers_stay_in_their_range(world: World) {
    let entropy = world.ports().entropy;
    for limit in [0, 1, 9, u64::MAX] {
        for _ in 0..100 {
            assert!(entropy.up_to(limit) <= limit);
        }
    }
}
