//! Beat in the world: a rule that calls it every minute, late, twice, three at once, or not at all for a while.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::Blueprint;
use super::lambda::ports;
use super::process::{Process, Shared};
use super::random::Random;
use crate::app::App;

/// How long a tick may take before its process is killed.
const TIMEOUT: Duration = Duration::from_secs(30);
/// For how long no tick comes, at most.
const SILENCE: Duration = Duration::from_secs(1200);

/// The rule, for as long as the world lasts. In a world without a schedule it rests while nothing is parked.
pub(super) async fn rule(shared: Arc<Shared>, blueprint: Arc<Blueprint>) {
    let random = Random::stream(shared.seed, "beat", 0);
    let mut ticks = 0;
    loop {
        if blueprint.beat.is_none() {
            shared.something_parked().await;
        }
        let late = match random.chance(shared.faults().slow) {
            true => random.between(Duration::ZERO, Duration::from_secs(45)),
            false => Duration::ZERO,
        };
        shared.clock.sleep(Duration::from_secs(60) + late).await;
        if random.chance(shared.faults().silent) {
            shared.fired("silent");
            let silent = random.between(Duration::ZERO, SILENCE);
            shared.disturbed_until(shared.clock.now() + silent + Duration::from_secs(60));
            shared.clock.sleep(silent).await;
        }
        let again = random.chance(shared.faults().ticked_again);
        if again {
            shared.fired("ticked_again");
        }
        let times = 1 + if again { 1 + random.below(2) } else { 0 };
        let first = ticks;
        ticks += times;
        join_all((first..ticks).map(|number| tick(&shared, &blueprint, number))).await;
    }
}

/// One tick in a process of its own, which may die of it.
async fn tick(shared: &Arc<Shared>, blueprint: &Blueprint, number: u64) {
    let random = Random::stream(shared.seed, "tick", number);
    let process = Arc::new(Process::new(shared.clone(), false, 1000 + number));
    let app = App::new(
        ports(&process, Random::stream(shared.seed, "tick ids", number)),
        blueprint.config.clone(),
    );
    let app = app.tasks(blueprint.tasks(0)).without(blueprint.without);
    let beat = blueprint
        .beat
        .as_ref()
        .map(|beat| beat())
        .unwrap_or_default();
    // The others of that minute come when they come.
    let apart = random.between(Duration::ZERO, Duration::from_millis(500));
    shared.clock.sleep(apart).await;
    let dies = random.chance(shared.faults().died);
    if dies {
        shared.fired("died");
    }
    let soon = random.between(Duration::ZERO, Duration::from_secs(2));
    let killed = shared.clock.sleep(if dies { soon } else { TIMEOUT });
    tokio::select! {
        biased;
        ticked = process.scope(0, beat.tick(&app)) => match ticked {
            Ok(ticked) => {
                shared.log(&process.caller(), format_args!("tick {number}: {ticked:?}"));
                if ticked.sent == 0 && ticked.left_out == 0 {
                    shared.beaten(ticked.until);
                }
            }
            Err(error) => shared.log(&process.caller(), format_args!("tick {number}: {error}")),
        },
        () = killed => {
            process.die();
            shared.log(&process.caller(), format_args!("tick {number} was killed"));
        }
    }
}
