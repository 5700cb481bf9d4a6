//! Opening the connections ahead.

use sedano::ErrorKind;

use crate::runner::cases;
use crate::world::World;

cases![
    warming_needs_a_table_and_a_queue_only,
    warming_names_what_is_missing
];

async fn warming_needs_a_table_and_a_queue_only(world: World) {
    let aws = world
        .aws_to_warm(true)
        .await
        .expect("memory has nothing to warm and is skipped");
    aws.warm().await.expect("both are there");
}

async fn warming_names_what_is_missing(world: World) {
    let aws = world
        .aws_to_warm(false)
        .await
        .expect("memory has nothing to warm and is skipped");
    let error = aws.warm().await.expect_err("neither is there");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    assert!(error.to_string().contains(world.prefix()), "{error}");
}
