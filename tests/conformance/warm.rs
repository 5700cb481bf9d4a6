//! Opening the connections ahead, as the functions do in their init.

use sedano::ErrorKind;

use crate::runner::cases;
use crate::world::World;

cases![
    warming_needs_a_table_or_a_queue_only,
    warming_names_what_is_missing
];

async fn warming_needs_a_table_or_a_queue_only(world: World) {
    let ports = world.ports_with_setup().await;
    ports.warm_results().await.expect("the table is there");
    ports.warm_queue().await.expect("the queue is there");
}

async fn warming_names_what_is_missing(world: World) {
    let ports = world.ports_without_setup();
    for warmed in [ports.warm_results().await, ports.warm_queue().await] {
        let error = warmed.expect_err("neither is there");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert!(error.to_string().contains(world.prefix()), "{error}");
    }
}
