//! Entries as JSON, and what is refused.

use serde_json::{Value, json};

use super::*;
use crate::signature::Signature;

fn ping() -> Value {
    json!({"name": "ping", "schedule": {"every": 30}, "task": {"task": "ping"}})
}

#[test]
fn json_is_read_as_it_is_written() {
    let full = json!({
        "name": "a b.c_d-1",
        "schedule": {"crontab": "0 18 * * *", "tz": "Europe/Kyiv"},
        "task": {"task": "ping", "args": [1], "kwargs": {"x": null}, "queue": "default", "expires": 60.0},
        "enabled": false,
        "catch_up": "all",
        "grace": 31_536_000,
        "jitter": 3600,
        "no_overlap": true,
        "start": "2026-03-01T00:00:00.000Z",
        "end": "2026-09-01T00:00:00.000Z",
        "max_runs": 100,
    });
    for json in [full, ping()] {
        let entry = Entry::try_from(json.clone()).unwrap();
        assert_eq!(entry.to_json().unwrap(), json);
    }
}

#[test]
fn an_error_names_the_entry_and_the_field() {
    let with = |field: &str, value: Value| {
        let mut json = ping();
        json[field] = value;
        json
    };
    for (field, value, message) in [
        (
            "schedule",
            Value::Null,
            "beat entry `ping` has no `schedule`",
        ),
        ("task", Value::Null, "beat entry `ping` has no `task`"),
        (
            "schedule",
            json!({"crontab": "0 24 * * *"}),
            "beat entry `ping`'s field `schedule`: crontab `0 24 * * *`, hour `24`: 24 is outside 0-23",
        ),
        (
            "task",
            json!({"tusk": "ping"}),
            "beat entry `ping`'s task has none of the fields `task`, `chain`, `group` and `chord`",
        ),
        (
            "task",
            json!({"task": "ping", "countdown": 5}),
            "beat entry `ping` has a task with `countdown`: leave it out, beat gives one to each due time",
        ),
        (
            "enabled",
            json!("yes"),
            "beat entry `ping`'s field `enabled` must be true or false",
        ),
        (
            "catch_up",
            json!("twice"),
            "beat entry `ping`'s field `catch_up` must be `skip`, `once` or `all`",
        ),
        (
            "jitter",
            json!(3601),
            "beat entry `ping`'s field `jitter` must be a whole number from 0 to 3600",
        ),
        (
            "start",
            json!("noon"),
            "beat entry `ping`'s field `start` must be an ISO 8601 date-time such as 2026-03-01T12:00:00Z",
        ),
        (
            "max_runs",
            json!(0),
            "beat entry `ping` has a `max_runs` of 0: leave it out, or disable it",
        ),
        (
            "catchup",
            json!("all"),
            "beat entry `ping` has a field `catchup`, which an entry doesn't have; did you mean `catch_up`?",
        ),
    ] {
        let error = Entry::try_from(with(field, value)).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.parameter(), Some(field));
    }
    for name in ["", "a/b", "ü", " a", "a\n", &"x".repeat(101)] {
        let error = Entry::try_from(with("name", name.into())).unwrap_err();
        assert_eq!(error.parameter(), Some("name"), "{name}: {error}");
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let call = || Signature::<(), ()>::named("ping");
    let entry = || Entry::new("ping", seconds(30), call());
    let wrong = |entry: Entry| entry.check().unwrap_err().parameter().map(str::to_owned);
    assert_eq!(wrong(entry().between(at(9), at(8))).as_deref(), Some("end"));
    assert_eq!(
        wrong(entry().grace(Duration::from_millis(1500))).as_deref(),
        Some("grace")
    );
    let chain = Entry::new("ping", seconds(30), call() | call());
    assert_eq!(wrong(chain.no_overlap()).as_deref(), Some("no_overlap"));
    let named = Entry::new("ping", seconds(30), call().id("x"));
    assert_eq!(wrong(named).as_deref(), Some("task"));
}

#[test]
fn what_could_never_be_sent_is_found_at_start() {
    let app = World::new().app().clone();
    let check = |beat: Beat| beat.check(&app).map_err(|error| error.to_string());
    let sent = |call: Signature<(), ()>| Beat::new().entry("a", seconds(30), call);
    let named = |name: &str| Signature::<(), ()>::named(name);
    assert_eq!(check(sent(named("note").arg("x"))), Ok(()));
    for (beat, what) in [
        (
            sent(named("note").arg("x").queue("typo")),
            "beat entry `a` can't be sent: SEDANO_QUEUES has no queue named `typo`",
        ),
        (
            sent(named("nose")),
            "beat entry `a` can't be sent: no task is named `nose`; did you mean `note`?",
        ),
        (sent(named("note").arg(1)), "beat entry `a` can't be sent: "),
        (sent(named("note")), "beat entry `a` can't be sent: "),
        (
            sent(named("note").arg("x".repeat(70_000))),
            "beat entry `a` has 70",
        ),
        (
            Beat::new().entry("a", crontab("0 24 * * *"), named("note").arg("x")),
            "beat entry `a` has a schedule that can't be kept: crontab `0 24 * * *`, hour `24`: 24 is outside 0-23",
        ),
        (
            one(noting("a", seconds(1))).with(noting("a", seconds(2))),
            "beat entry `a` stands twice: give each entry a name of its own",
        ),
    ] {
        let error = check(beat).unwrap_err();
        assert!(error.starts_with(what), "{error}");
    }
}

#[test]
fn an_overlap_is_told_to_the_worker_by_the_entrys_name() {
    let world = World::new();
    let app = world.app();
    let message = |entry: Entry| {
        let call = entry.call(app, "id", None, START);
        let launch =
            crate::launch::Launch::of(call.into_canvas(), crate::launch::Origin::default());
        serde_json::from_str::<Value>(&app.launch(launch).unwrap().outgoing.body).unwrap()
    };
    let entry = || noting("a", seconds(30));
    assert_eq!(message(entry().no_overlap())["no_overlap"], "a");
    assert_eq!(message(entry()).get("no_overlap"), None);
}
