//! Rules.

use std::collections::BTreeMap;

use sedano::ports::{Bus, Input, Retry, Rule, Target};

use crate::runner::cases;
use crate::world::World;

cases![
    rules_are_listed_by_name_with_their_targets_and_tags,
    a_rule_of_another_prefix_is_not_listed,
    more_rules_than_one_page_has,
    a_rule_that_was_put_is_listed_as_it_was_written,
    a_rule_that_is_put_again_is_replaced,
    what_is_not_said_of_a_rule_is_not_kept,
    tags_are_added_and_none_is_taken_away,
    what_was_put_with_a_target_is_removed,
    a_removal_may_be_repeated,
];

fn rule(name: String) -> Rule {
    Rule {
        name,
        schedule: Some("rate(5 minutes)".to_owned()),
        enabled: true,
        description: None,
        targets: Vec::new(),
        tags: BTreeMap::new(),
    }
}

fn target(id: &str, input: Option<Input>) -> Target {
    Target {
        id: id.to_owned(),
        arn: "arn:aws:sqs:us-east-1:000000000000:some-queue".to_owned(),
        input,
        dead_letters: None,
        retry: None,
    }
}

fn template(text: &str) -> Option<Input> {
    Some(Input::Template {
        text: text.to_owned(),
        paths: texts(&[("time", "$.time")]),
    })
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

async fn rules_are_listed_by_name_with_their_targets_and_tags(world: World) {
    let prefix = world.prefix();
    let constant = Some(Input::Constant(r#"{"task": "tick"}"#.to_owned()));
    let tick = Rule {
        description: Some("the tick".to_owned()),
        targets: vec![target("constant", constant)],
        ..rule(format!("{prefix}-b"))
    };
    let nightly = Rule {
        schedule: Some("cron(0 3 * * ? *)".to_owned()),
        enabled: false,
        targets: vec![target(
            "template",
            template(r#"{"task": "nightly", "at": <time>}"#),
        )],
        tags: texts(&[("team", "nights"), ("cost", "none")]),
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
    // Every rule there is, those of other cases too, which come and go.
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

/// As sync makes them.
fn native(world: &World) -> Rule {
    let text = r#"{"id":"<aws.events.rule-name>-<time>","args":["1 \u003c 2"],"task":"add"}"#;
    let queue = Target {
        dead_letters: Some("arn:aws:sqs:us-east-1:000000000000:undelivered".to_owned()),
        retry: Some(Retry {
            seconds: 3600,
            times: 20,
        }),
        ..target("queue", template(text))
    };
    Rule {
        schedule: Some("cron(0,20,40 9-17 ? * 2-6 *)".to_owned()),
        description: Some("an entry".to_owned()),
        targets: vec![queue],
        tags: texts(&[("sedano:entry", "add"), ("sedano:stack", "s")]),
        ..rule(format!("{}-native", world.prefix()))
    }
}

async fn listed(world: &World, bus: &dyn Bus) -> Vec<Rule> {
    bus.rules(world.prefix()).await.unwrap()
}

async fn a_rule_that_was_put_is_listed_as_it_was_written(world: World) {
    let bus = world.bus(&[]).await;
    let made = native(&world);
    bus.put(&made).await.unwrap();
    assert_eq!(listed(&world, &*bus).await, std::slice::from_ref(&made));
    // Once more, as one whose first answer was lost.
    bus.put(&made).await.unwrap();
    assert_eq!(listed(&world, &*bus).await, [made]);
}

async fn a_rule_that_is_put_again_is_replaced(world: World) {
    let made = native(&world);
    let disabled = Rule {
        enabled: false,
        targets: vec![target("by-hand", None), target("queue", None)],
        ..made.clone()
    };
    let bus = world.bus(&[disabled]).await;
    bus.put(&made).await.unwrap();
    assert_eq!(listed(&world, &*bus).await, std::slice::from_ref(&made));
}

async fn what_is_not_said_of_a_rule_is_not_kept(world: World) {
    let made = native(&world);
    let bus = world.bus(std::slice::from_ref(&made)).await;
    let bare = Rule {
        tags: made.tags.clone(),
        enabled: false,
        ..rule(made.name.clone())
    };
    bus.put(&bare).await.unwrap();
    assert_eq!(listed(&world, &*bus).await, [bare]);
}

async fn tags_are_added_and_none_is_taken_away(world: World) {
    let made = native(&world);
    let by_hand = Rule {
        tags: texts(&[("sedano:stack", "other"), ("team", "theirs")]),
        ..made.clone()
    };
    let bus = world.bus(&[by_hand]).await;
    bus.put(&made).await.unwrap();
    let mut tags = made.tags;
    tags.insert("team".to_owned(), "theirs".to_owned());
    assert_eq!(listed(&world, &*bus).await[0].tags, tags);
}

async fn what_was_put_with_a_target_is_removed(world: World) {
    let other = rule(format!("{}-other", world.prefix()));
    let bus = world.bus(std::slice::from_ref(&other)).await;
    let made = native(&world);
    bus.put(&made).await.unwrap();
    bus.remove(&made.name).await.unwrap();
    assert_eq!(listed(&world, &*bus).await, [other]);
    // Of a rule made anew under the name nothing is left over.
    let anew = rule(made.name);
    bus.put(&anew).await.unwrap();
    assert!(listed(&world, &*bus).await.contains(&anew));
}

async fn a_removal_may_be_repeated(world: World) {
    let bus = world.bus(&[]).await;
    let made = native(&world);
    bus.put(&made).await.unwrap();
    for _ in 0..2 {
        bus.remove(&made.name).await.unwrap();
    }
    assert_eq!(listed(&world, &*bus).await, []);
}
