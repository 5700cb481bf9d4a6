//! Rules.

use sedano::ports::{Rule, Target};

use crate::runner::cases;
use crate::world::World;

cases![
    rules_are_listed_by_name_with_their_targets,
    a_rule_of_another_prefix_is_not_listed,
    more_rules_than_one_page_has,
];

fn rule(name: String) -> Rule {
    Rule {
        name,
        schedule: Some("rate(5 minutes)".to_owned()),
        enabled: true,
        description: None,
        targets: Vec::new(),
    }
}

fn target(id: &str, input: Option<&str>) -> Target {
    Target {
        id: id.to_owned(),
        arn: "arn:aws:sqs:us-east-1:000000000000:some-queue".to_owned(),
        input: input.map(ToOwned::to_owned),
    }
}

async fn rules_are_listed_by_name_with_their_targets(world: World) {
    let prefix = world.prefix();
    let tick = Rule {
        description: Some("the tick".to_owned()),
        targets: vec![target("constant", Some(r#"{"task": "tick"}"#))],
        ..rule(format!("{prefix}-b"))
    };
    let nightly = Rule {
        schedule: Some("cron(0 3 * * ? *)".to_owned()),
        enabled: false,
        targets: vec![target(
            "template",
            Some(r#"{"task": "nightly", "at": <time>}"#),
        )],
        ..rule(format!("{prefix}-a"))
    };
    let bare = Rule {
        targets: vec![target("event", None)],
        ..rule(format!("{prefix}-c"))
    };
    let bus = world
        .bus(&[tick.clone(), nightly.clone(), bare.clone()])
        .await;
    assert_eq!(bus.rules(prefix).await.unwrap(), [nightly, tick, bare]);
}

async fn a_rule_of_another_prefix_is_not_listed(world: World) {
    let prefix = world.prefix();
    let (one, two) = (rule(format!("{prefix}-one")), rule(format!("{prefix}-two")));
    let bus = world.bus(&[one.clone(), two.clone()]).await;
    assert_eq!(
        bus.rules(&format!("{prefix}-o")).await.unwrap(),
        std::slice::from_ref(&one)
    );
    assert_eq!(bus.rules(&format!("{prefix}-x")).await.unwrap(), []);
    // Every rule there is, those of other cases too.
    let all = bus.rules("").await.unwrap();
    assert!(all.contains(&one) && all.contains(&two));
}

async fn more_rules_than_one_page_has(world: World) {
    let rules: Vec<Rule> = (0..101)
        .map(|number| rule(format!("{}-{number:03}", world.prefix())))
        .collect();
    let bus = world.bus(&rules).await;
    assert_eq!(bus.rules(world.prefix()).await.unwrap(), rules);
}
