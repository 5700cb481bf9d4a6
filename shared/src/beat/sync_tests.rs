//! Plans and what becomes of them, on memory.

use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::*;
use crate::canvas::group;
use crate::config::Config;
use crate::memory::{Memory, TokioClock};
use crate::schedule::{crontab, every};
use crate::time::Timestamp;

fn app() -> App {
    #[crate::task(expires = Duration::from_secs(30))]
    async fn ping(_text: String) {}
    let mut config = Config::memory();
    for name in ["orders.fifo", "slow"] {
        let url = format!("memory:{name}");
        config.queues.insert(QueueName::new(name), url);
    }
    Memory::new(&config).app().tasks(crate::tasks![ping])
}

fn call(text: &str) -> Signature<(), ()> {
    Signature::named("ping").arg(text)
}

fn daily(hour: u32) -> Schedule {
    crontab(format!("0 {hour} * * *"))
}

fn native(entry: &str, schedule: Schedule) -> Native {
    Native::new(&app(), entry, schedule, call("hello")).unwrap()
}

fn owner() -> Owner {
    let arn = |name: &str| format!("arn:aws:sqs:us-east-1:000000000000:s-{name}");
    let names = ["default", "undelivered", "orders.fifo"];
    Owner {
        stack: "s".to_owned(),
        prefix: "s-".to_owned(),
        queues: names.map(|name| (QueueName::new(name), arn(name))).into(),
    }
}

/// The rule as sync makes it.
fn rule(native: &Native) -> Rule {
    native.rule(&owner()).unwrap()
}

fn refused(native: &Native) -> (String, String) {
    native.rule(&owner()).unwrap_err()
}

/// What a rule sends for a time.
fn sent(native: &Native, time: &str) -> String {
    let rule = rule(native);
    match &rule.targets[0].input {
        Some(Input::Template { text, paths }) => {
            assert_eq!(paths["time"], "$.time");
            text.replace("<aws.events.rule-name>", &rule.name)
                .replace("<time>", time)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_rule_sends_the_entrys_message_under_an_id_of_its_due_time() {
    let native = native("ping", daily(6));
    let made = rule(&native);
    assert_eq!(
        (made.name.as_str(), made.schedule.as_deref()),
        ("s-ping", Some("cron(0 6 * * ? *)"))
    );
    assert_eq!(made.tags[ENTRY_TAG], "ping");
    assert_eq!(made.tags[STACK_TAG], "s");
    let target = &made.targets[0];
    assert_eq!(target.arn, owner().queues[&QueueName::new("default")]);
    assert_eq!(
        target.dead_letters.as_ref(),
        owner().queues.get(&QueueName::new("undelivered"))
    );
    let body: Value = serde_json::from_str(&sent(&native, "2026-01-02T06:00:00Z")).unwrap();
    let expected = json!({
        "v": 1, "task": "ping", "args": ["hello"], "expires": 30.0, "id": "s-ping-2026-01-02T06:00:00Z",
        "headers": {"sedano-due": "2026-01-02T06:00:00Z"},
    });
    assert_eq!(body, expected);
}

/// What a worker makes of it is what it would make of the message that beat sends.
#[test]
fn workers_read_it_as_what_beat_sends() {
    use crate::message::Message;
    let now: Timestamp = "2026-01-02T06:00:00Z".parse().unwrap();
    let app = app();
    let calls: [Signature<(), ()>; 4] = [
        call("a <b> \"c\" \\ <time> & \u{ffff} é").priority(3),
        call("hello").header("who", "<you>"),
        (call("first") | call("last").immutable()).forget_output(),
        group([call("one"), call("two")]).forget_output(),
    ];
    for call in calls {
        let native = Native::new(&app, "e", daily(6), call.clone()).unwrap();
        let id = "s-e-2026-01-02T06:00:00Z";
        let by_rule = sent(&native, "2026-01-02T06:00:00Z");
        let by_rule = Message::decode(&by_rule, "sqs", now).unwrap();
        let mut canvas = call.into_canvas();
        canvas.settle(app.registered());
        canvas.set_id(id.to_owned());
        canvas.identify(id);
        let mut by_beat = canvas.start(now).unwrap().message;
        if by_beat.chain.is_empty() && by_beat.fan_out.is_none() {
            let due = "2026-01-02T06:00:00Z".into();
            by_beat.headers.insert("sedano-due".to_owned(), due);
        }
        let by_beat = Message::decode(&by_beat.encode().unwrap(), "sqs", now).unwrap();
        assert_eq!(by_rule, by_beat);
        assert!(!native.body.contains('\u{ffff}'), "SQS refuses it raw");
    }
}

#[test]
fn a_template_has_no_places_but_those_of_the_id() {
    let text = "1 < 2, <time>, <aws.events.rule-arn>";
    let native = Native::new(&app(), "e", daily(6), call(text)).unwrap();
    let template = native.template().unwrap();
    assert_eq!(template.matches('<').count(), 3, "{template}");
    let filled = sent(&native, "T");
    assert!(!filled.contains('<'), "{filled}");
    let body: Value = serde_json::from_str(&filled).unwrap();
    assert_eq!(body["args"], json!([text]));
    assert_eq!(body["id"], "s-e-T");
}

#[test]
fn what_no_rule_can_keep_is_refused_with_what_is_to_blame() {
    for (entry, field) in [("naïve", "name"), ("a b", "name"), ("", "name")] {
        assert_eq!(refused(&native(entry, daily(6))).0, field, "{entry}");
    }
    let fits = "e".repeat(62);
    assert_eq!(rule(&native(&fits, daily(6))).name.len(), 64);
    assert_eq!(refused(&native(&format!("{fits}e"), daily(6))).0, "name");
    assert_eq!(refused(&native("e", daily(6).in_tz("Asia/Tokyo"))).0, "tz");
    assert_eq!(
        refused(&native("e", every(Duration::from_secs(30)))).0,
        "every"
    );
    let of = |call: Signature<(), ()>| Native::new(&app(), "e", daily(6), call).unwrap();
    let (field, reason) = refused(&of(call("x").queue("orders.fifo")));
    assert_eq!(field, "queue");
    assert!(
        reason.starts_with("`orders.fifo` is a FIFO queue"),
        "{reason}"
    );
    let (field, reason) = refused(&of(call("x").queue("slow")));
    assert_eq!(
        (field.as_str(), reason.as_str()),
        ("queue", "the ARN of the queue `slow` isn't known")
    );
    // As long as it may be: characters count, not bytes.
    let frame = of(call("")).template().unwrap().chars().count();
    let longest = "é".repeat(TEMPLATE - frame);
    assert_eq!(
        of(call(&longest)).template().unwrap().chars().count(),
        TEMPLATE
    );
    assert_eq!(refused(&of(call(&format!("{longest}é")))).0, "message");
}

/// Each step in a word and its rule or entry.
fn steps(plan: &Plan) -> Vec<(String, String)> {
    let step = |step: &Step| {
        let word = json!(step)["step"].as_str().unwrap().to_owned();
        let of = step.rule().or(step.entry()).unwrap().to_owned();
        (word, of)
    };
    plan.steps.iter().map(step).collect()
}

fn words(steps: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(word, of): &(&str, &str)| ((*word).to_owned(), (*of).to_owned());
    steps.iter().map(owned).collect()
}

fn foreign(name: &str) -> Rule {
    Rule {
        name: name.to_owned(),
        schedule: Some("rate(1 hour)".to_owned()),
        enabled: true,
        description: None,
        targets: Vec::new(),
        tags: BTreeMap::new(),
    }
}

#[test]
fn each_entry_and_each_rule_has_its_step() {
    let natives = [
        native("new", daily(1)),
        native("same", daily(2)),
        native("moved", daily(3)),
        native("quick", every(Duration::from_secs(90))),
        native("taken", daily(4)),
        native("other", daily(5)),
    ];
    let mut of_another_stack = rule(&natives[5]);
    of_another_stack
        .tags
        .insert(STACK_TAG.to_owned(), "s-other".to_owned());
    let mut was_quick = rule(&native("quick", daily(7)));
    was_quick
        .tags
        .insert("team".to_owned(), "theirs".to_owned());
    let rules = [
        foreign("s-Tick"),
        rule(&native("gone", daily(6))),
        rule(&native("moved", daily(4))),
        of_another_stack,
        was_quick,
        rule(&natives[1]),
        foreign("s-taken"),
    ];
    let plan = Plan::new(&natives, &owner(), &rules);
    let expected = [
        ("tick", "quick"),
        ("tick", "taken"),
        ("tick", "other"),
        ("foreign", "s-Tick"),
        ("remove", "s-gone"),
        ("change", "s-moved"),
        ("create", "s-new"),
        ("foreign", "s-other"),
        ("remove", "s-quick"),
        ("keep", "s-same"),
        ("foreign", "s-taken"),
    ];
    assert_eq!(steps(&plan), words(&expected));
    assert!(plan.steps.contains(&Step::Tick {
        entry: "taken".to_owned(),
        field: "name".to_owned(),
        reason: "there is a rule named `s-taken` which sedano did not make".to_owned(),
    }));
    assert!(plan.steps.contains(&Step::Change {
        rule: "s-moved".to_owned(),
        entry: "moved".to_owned(),
        from: Some("cron(0 4 * * ? *)".to_owned()),
        to: "cron(0 3 * * ? *)".to_owned(),
        differs: vec!["schedule"],
    }));
    let to_tick = |name: &str| {
        plan.steps.iter().find_map(|step| match step {
            Step::Remove { rule, to_tick, .. } if rule == name => Some(*to_tick),
            _ => None,
        })
    };
    assert_eq!(
        (to_tick("s-gone"), to_tick("s-quick")),
        (Some(false), Some(true))
    );

    let only = |entries: &[&str]| {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        plan.clone().only(&entries)
    };
    let expected = [
        ("tick", "quick"),
        ("remove", "s-gone"),
        ("remove", "s-quick"),
    ];
    assert_eq!(steps(&only(&["quick", "gone"]).unwrap()), words(&expected));
    let error = only(&["new", "qick"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "the schedule has no entry named `qick`; did you mean `quick`?"
    );
}

#[test]
fn whatever_was_changed_by_hand_is_changed_back() {
    let natives = [native("e", daily(6))];
    let differs = |change: fn(&mut Rule)| {
        let mut there = rule(&natives[0]);
        change(&mut there);
        match &Plan::new(&natives, &owner(), &[there]).steps[..] {
            [Step::Keep { .. }] => Vec::new(),
            [Step::Change { differs, .. }] => differs.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(differs(|rule| rule.schedule = None), ["schedule"]);
    assert_eq!(differs(|rule| rule.enabled = false), ["enabled"]);
    assert_eq!(differs(|rule| rule.description = None), ["description"]);
    assert_eq!(differs(|rule| rule.targets[0].retry = None), ["targets"]);
    let entry = |rule: &mut Rule| rule.tags.insert(ENTRY_TAG.to_owned(), "x".to_owned());
    assert_eq!(differs(|rule| rule.targets.clear()), ["targets"]);
    let mut there = rule(&natives[0]);
    entry(&mut there);
    assert!(matches!(&Plan::new(&natives, &owner(), &[there]).steps[..],
        [Step::Change { differs, .. }] if differs[..] == ["tags"]));
    // Tags of others are theirs.
    let more = |rule: &mut Rule| drop(rule.tags.insert("team".to_owned(), "x".to_owned()));
    assert_eq!(differs(more), Vec::<&str>::new());
}

/// What was done to rules and marks, in order, and when; and what is to fail.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    fails: Option<&'static str>,
}

impl Log {
    fn add(&self, line: String) -> Result<()> {
        let fails = self.fails.is_some_and(|fails| line.ends_with(fails));
        self.lines.lock().unwrap().push(line);
        match fails {
            true => Err(Error::new(ErrorKind::Denied, "no right")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Bus for Log {
    async fn rules(&self, _: &str) -> Result<Vec<Rule>> {
        unreachable!("a plan has them already")
    }

    async fn put(&self, rule: &Rule) -> Result<()> {
        self.add(format!("put {}", rule.name))
    }

    async fn remove(&self, name: &str) -> Result<()> {
        self.add(format!("remove {name}"))
    }
}

#[async_trait]
impl Marks for Log {
    async fn mark(&self, entry: &str, rule: Option<&str>) -> Result<()> {
        match rule {
            Some(rule) => self.add(format!("{rule} keeps {entry}")),
            None => self.add(format!("tick keeps {entry}")),
        }
    }
}

/// What was done, what was told of it, and how long it took.
async fn applied(plan: &Plan, log: &Log) -> (Vec<String>, Vec<String>, Duration) {
    let clock = TokioClock::system();
    let begin = clock.now();
    let mut told = Vec::new();
    plan.apply(log, &clock, log, &mut |step, done| {
        let of = step.rule().or(step.entry()).unwrap().to_owned();
        told.push(match done {
            Ok(()) => of,
            Err(error) => format!("{of} failed: {error}"),
        });
    })
    .await;
    let lines = log.lines.lock().unwrap().clone();
    (lines, told, clock.now().since(begin))
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_there_before_the_tick_stops_and_until_it_has_begun_again() {
    let natives = [
        native("back", every(Duration::from_secs(90))),
        native("new", daily(1)),
        native("same", daily(2)),
    ];
    let rules = [
        rule(&native("back", daily(7))),
        rule(&native("gone", daily(6))),
        rule(&natives[2]),
        foreign("s-x"),
    ];
    let plan = Plan::new(&natives, &owner(), &rules);
    let (done, told, took) = applied(&plan, &Log::default()).await;
    assert_eq!(
        done,
        [
            "tick keeps back",
            "tick keeps back",
            "tick keeps gone",
            "put s-new",
            "s-new keeps new",
            "s-same keeps same",
            "remove s-back",
            "remove s-gone",
        ]
    );
    assert_eq!(told, ["back", "s-new", "s-same", "s-back", "s-gone"]);
    assert_eq!(took, AHEAD);
    // Nobody waits for an entry that is gone.
    let plan = plan.only(&["gone".to_owned(), "new".to_owned()]).unwrap();
    let (_, _, took) = applied(&plan, &Log::default()).await;
    assert_eq!(took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_told_and_leaves_the_entry_to_whoever_kept_it() {
    let natives = [native("new", daily(1)), native("newer", daily(2))];
    let gone = rule(&native("gone", daily(6)));
    let plan = Plan::new(&natives, &owner(), &[gone]);
    let failing = |fails| Log {
        fails: Some(fails),
        ..Log::default()
    };
    let (done, told, _) = applied(&plan, &failing("put s-new")).await;
    assert!(!done.contains(&"s-new keeps new".to_owned()), "{done:?}");
    assert!(done.contains(&"s-newer keeps newer".to_owned()), "{done:?}");
    let failed = "s-new failed: rule `s-new`: no right".to_owned();
    assert!(told.contains(&failed), "{told:?}");
    let (done, told, _) = applied(&plan, &failing("tick keeps gone")).await;
    assert!(!done.contains(&"remove s-gone".to_owned()), "{done:?}");
    assert!(told.contains(&"s-gone failed: rule `s-gone`: no right".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_was_made_is_as_it_should_be() {
    let memory = Memory::default();
    let bus = memory.ports().bus;
    memory.bus().put_rule(foreign("s-taken"));
    let natives = [native("e", daily(1)), native("taken", daily(1))];
    let plan = |rules: &[Rule]| Plan::new(&natives, &owner(), rules);
    let first = plan(&bus.rules("s-").await.unwrap());
    first
        .apply(
            &*bus,
            &TokioClock::system(),
            &Log::default(),
            &mut |_, done| done.unwrap(),
        )
        .await;
    let rules = bus.rules("s-").await.unwrap();
    assert_eq!(rules, [rule(&natives[0]), foreign("s-taken")]);
    let expected = [("tick", "taken"), ("keep", "s-e"), ("foreign", "s-taken")];
    assert_eq!(steps(&plan(&rules)), words(&expected));
}
