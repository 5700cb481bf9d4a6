//! Which route answers, what it changes, and what is said of one that can't be.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::engine::BUILT_IN;
use crate::launch::{Launch, Origin};
use crate::memory::Memory;
use crate::{App, Signature, TaskError, task, tasks};

const QUEUES: [&str; 6] = ["high", "low", "io", "own", "bulk", "orders.fifo"];

fn config() -> Config {
    let mut config = Config::memory();
    for queue in QUEUES {
        config
            .queues
            .insert(queue.into(), format!("memory:{queue}"));
    }
    config
}

#[task]
async fn plain(tenant: String) {
    drop(tenant);
}

#[task(name = "mail.send", alias = "send_mail", queue = "own", priority = 3, expires = secs(60))]
async fn send_mail(#[default] to: String) {
    drop(to);
}

#[task(queue = "own")]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

fn bare() -> App {
    Memory::new(&config())
        .app()
        .tasks(tasks![plain, send_mail, add])
}

fn app(routes: Routes) -> App {
    bare().routes(routes).unwrap()
}

fn named(task: &str) -> Signature<(), Value> {
    Signature::named(task)
}

fn queue(app: &App, call: Signature<(), Value>) -> String {
    app.queue_of(call).unwrap().as_str().to_owned()
}

/// The message that starts it.
fn message(app: &App, call: Signature<(), Value>) -> Value {
    let ready = app.launch(Launch::of(call.into_canvas(), Origin::default()));
    serde_json::from_str(&ready.unwrap().outgoing.body).unwrap()
}

fn wrong(routes: Routes) -> String {
    bare().routes(routes).unwrap_err().to_string()
}

fn unread(text: &str) -> String {
    text.parse::<Routes>().unwrap_err().to_string()
}

/// Of all that can say a queue, each beats those behind it.
#[test]
fn what_is_nearer_to_the_call_decides() {
    type Step = (&'static str, fn(Routes) -> Routes);
    const STEPS: [Step; 4] = [
        ("high", |routes| routes.exact("mail.send", "high")),
        ("io", |routes| routes.glob("mail.*", "io")),
        ("low", |routes| routes.regex("mail", "low")),
        ("bulk", |routes| routes.by(|_| Some("bulk"))),
    ];
    for first in 0..=STEPS.len() {
        let there = STEPS.iter().skip(first);
        let routes = there
            .clone()
            .fold(Routes::new(), |routes, (_, add)| add(routes));
        let wanted = there.clone().next().map_or("own", |(queue, _)| queue);
        let app = app(routes);
        assert_eq!(queue(&app, named("mail.send")), wanted);
        assert_eq!(
            queue(&app, named("mail.send").queue("orders.fifo")),
            "orders.fifo"
        );
    }
    assert_eq!(queue(&bare(), named("unknown")), "default");
    // An exact name comes first wherever it is written, patterns and functions in their order.
    let late = Routes::new()
        .by(|_| Some("bulk"))
        .glob("*", "low")
        .exact("mail.send", "high");
    let late = app(late);
    assert_eq!(queue(&late, named("mail.send")), "high");
    assert_eq!(queue(&late, named("add")), "bulk");
}

#[test]
fn routes_are_asked_one_after_the_other_those_of_the_settings_first() {
    let mut config = config();
    config.routes = r#"[{"a.*": "high"}, {"a.b": "low", "b.*": "io"}]"#.parse().unwrap();
    let app = Memory::new(&config).app();
    let app = app.routes(
        Routes::new()
            .exact("a.b", "bulk")
            .exact("b.c", "bulk")
            .exact("c", "bulk"),
    );
    let app = app.unwrap().routes(Routes::new().glob("*", "own")).unwrap();
    for (task, wanted) in [("a.b", "high"), ("b.c", "io"), ("c", "bulk"), ("d", "own")] {
        assert_eq!(queue(&app, named(task)), wanted, "{task}");
    }
}

#[test]
fn patterns_are_matched_as_in_celery() {
    let table = [
        // A glob is of the whole name, a regular expression of its beginning.
        (Routes::new().glob("img_*", "io"), "img_a", "my_img_a"),
        (Routes::new().glob("img", "io"), "img", "img_a"),
        (Routes::new().regex("img", "io"), "img_a", "my_img"),
        (Routes::new().regex("a|img$", "io"), "img", "img_a"),
        (
            Routes::new().regex("^(img|video)_", "io"),
            "video_a",
            "audio_a",
        ),
        (Routes::new().regex(".*_img$", "io"), "my_img", "my_img_a"),
        (Routes::new().regex("(?i)IMG", "io"), "img", "mg"),
        (Routes::new().exact("img", "io"), "img", "img_a"),
    ];
    for (routes, one, other) in table {
        let app = app(routes.clone());
        assert_eq!(queue(&app, named(one)), "io", "{routes:?}");
        assert_eq!(queue(&app, named(other)), "default", "{routes:?}");
    }
}

#[test]
fn a_task_is_routed_by_its_own_name_and_by_the_one_it_is_called_by() {
    for name in ["mail.send", "send_mail"] {
        let app = app(Routes::new().exact(name, "high").glob("mail.*", "low"));
        assert_eq!(queue(&app, named("send_mail")), "high");
    }
    let glob = app(Routes::new().glob("mail.*", "low"));
    assert_eq!(queue(&glob, named("send_mail")), "low");
    // A map goes where the task would go that it runs.
    let maps = app(Routes::new().exact("add", "io").glob("sedano.*", "low"));
    let lines: Signature<(), Vec<i64>> = add::starmap([(1, 1)]);
    assert_eq!(maps.queue_of(lines).unwrap().as_str(), "io");
    let chunks: Signature<(), Vec<Vec<i64>>> = add::chunks([(1, 1), (2, 2)], 1);
    assert_eq!(maps.queue_of(chunks).unwrap().as_str(), "io");
    assert!(BUILT_IN.iter().any(|task| task.name == STARMAP));
}

#[test]
fn a_route_fills_in_what_the_call_leaves_out() {
    let hour = Duration::from_secs(3600);
    let news = Route::to("low")
        .priority(8)
        .expires(hour)
        .message_group("g");
    let app = app(Routes::new().exact("mail.send", news));
    let expires = |message: &Value| {
        let at: crate::Timestamp = message["expires"].as_str().unwrap().parse().unwrap();
        at.since(app.now()).as_secs()
    };
    let routed = message(&app, named("mail.send"));
    assert_eq!(routed["priority"], 8, "before the task's own");
    assert!((3590..=3600).contains(&expires(&routed)));
    let said = named("mail.send")
        .queue("bulk")
        .priority(1)
        .expires(hour * 2);
    assert_eq!(queue(&app, said.clone()), "bulk");
    let said = message(&app, said);
    assert_eq!(said["priority"], 1);
    assert!((7190..=7200).contains(&expires(&said)));
    let group = |call: Signature<(), Value>| {
        let launch = Launch::of(call.into_canvas(), Origin::default());
        app.launch(launch).unwrap().outgoing.group
    };
    assert_eq!(group(named("mail.send")).as_deref(), Some("g"));
    assert_eq!(
        group(named("mail.send").message_group("own")).as_deref(),
        Some("own")
    );
}

#[test]
fn an_empty_route_is_an_answer() {
    let app = app(Routes::new()
        .exact("mail.send", Route::new())
        .glob("*", "low"));
    assert_eq!(queue(&app, named("mail.send")), "own");
    assert_eq!(queue(&app, named("other")), "low");
    let read: Routes = r#"{"mail.send": {}, "*": "low"}"#.parse().unwrap();
    assert_eq!(
        read,
        Routes::new()
            .exact("mail.send", Route::new())
            .glob("*", "low")
    );
}

#[test]
fn a_function_sees_the_call() {
    let app = app(Routes::new().by(|call| {
        let tenant = match call.args() {
            [tenant, ..] => tenant,
            [] => call.kwargs().get("tenant")?,
        };
        if call.headers().contains_key("urgent") {
            return Some(Route::to("high"));
        }
        let queue = match tenant.as_str()? {
            "acme" => "io",
            _ if call.task() == "plain" => "low",
            _ => return None,
        };
        Some(Route::to(queue))
    }));
    let to = |tenant: &str| plain::s(tenant.to_owned());
    let queue = |call: Signature<(), ()>| app.queue_of(call).unwrap().as_str().to_owned();
    assert_eq!(queue(to("acme")), "io");
    assert_eq!(queue(to("other")), "low");
    assert_eq!(queue(to("acme").header("urgent", true)), "high");
    assert_eq!(queue(Signature::named("plain").arg("acme")), "io");
    assert_eq!(queue(Signature::named("plain")), "default");
}

#[test]
fn each_call_of_a_composition_is_routed_by_its_own_name() {
    let routes = Routes::new()
        .exact("a", "high")
        .exact("b", "low")
        .exact("cb", "io")
        .exact("eb", "bulk");
    let app = app(routes);
    let canvas: Signature<(), Value> = json!({"chain": [
        {"task": "x"},
        {"group": [{"task": "a"}, {"task": "b", "queue": "own"}, {"chain": [{"task": "b"}, {"task": "a"}]}]},
        {"task": "b", "link": {"task": "cb"}, "link_error": [{"task": "eb"}]},
    ]})
    .try_into()
    .unwrap();
    assert_eq!(queue(&app, canvas.clone()), "default");
    let sent = message(&app, canvas);
    let chord = &sent["chain"][0];
    let members = &chord["chord"];
    assert_eq!(members[0]["queue"], "high");
    assert_eq!(members[1]["queue"], "own", "it says so");
    assert_eq!(members[2]["chain"][0]["queue"], "low");
    assert_eq!(members[2]["chain"][1]["queue"], "high");
    assert_eq!(chord["body"]["queue"], "low");
    assert_eq!(chord["body"]["link"][0]["queue"], "io");
    assert_eq!(chord["body"]["link_error"][0]["queue"], "bulk");
    // A group goes where its first member goes.
    let group: Signature<(), Value> = json!({"group": [{"task": "a"}, {"task": "b"}]})
        .try_into()
        .unwrap();
    assert_eq!(queue(&app, group), "high");
}

#[test]
fn a_route_that_leads_nowhere_is_named_at_once() {
    assert_eq!(
        wrong(
            Routes::new()
                .exact("refund", "high")
                .glob("reports.*", "lo")
        ),
        "route `reports.*` goes to queue `lo`, which SEDANO_QUEUES doesn't have; did you mean `low`?"
    );
    assert_eq!(
        wrong(Routes::new().regex("^img", "nowhere")),
        "route `/^img/` goes to queue `nowhere`, which SEDANO_QUEUES doesn't have; it has `bulk`, `default`, `high`, \
         `io`, `low`, `orders.fifo`, `own`"
    );
    assert_eq!(
        wrong(Routes::new().exact("a", "dead-letters")),
        "route `a` goes nowhere: `dead-letters` takes messages from workers only; choose another queue"
    );
    assert_eq!(
        wrong(Routes::new().exact("a", Route::to("low").priority(10))),
        "route `a` has a priority that isn't a number from 0 to 9"
    );
    assert_eq!(
        wrong(Routes::new().exact("a", Route::new().message_group(""))),
        "route `a` has a message group that isn't of 1 to 128 characters"
    );
}

#[test]
fn a_route_that_cant_be_read_is_named() {
    assert_eq!(
        wrong(Routes::new().regex("img_(", "io").exact("fine", "low")),
        "route `/img_(/` is no regular expression: found open group without closing ')'"
    );
    for pattern in ["a*", "a?", "a[b]", "/a/"] {
        assert_eq!(
            wrong(Routes::new().exact(pattern, "low")),
            format!(
                "route `{pattern}` is a pattern, not a task's name: give it to `glob`, `regex` or `priority`"
            )
        );
    }
    let twice = [
        Routes::new().exact("a", "low").exact("a", "high"),
        Routes::new().glob("a", "low").glob("a", "high"),
        Routes::new().regex("a", "low").regex("a", "high"),
    ];
    for routes in twice {
        let said = wrong(routes);
        assert!(said.ends_with("` is there twice"), "{said}");
    }
    // What was wrong first is said, and stays wrong with whatever is added.
    let both = Routes::new()
        .regex("(", "io")
        .and(Routes::new().exact("a*", "low"));
    assert!(wrong(both).starts_with("route `/(/` is no regular expression"));
    let second = Routes::new()
        .exact("b", "low")
        .and(Routes::new().exact("a*", "low"));
    assert!(wrong(second).starts_with("route `a*` is a pattern"));
}

#[test]
fn a_functions_answer_is_checked_at_the_send() {
    fn nowhere(_: &RouteCall<'_>) -> Option<&'static str> {
        Some("nowhere")
    }
    let error = app(Routes::new().by(nowhere))
        .queue_of(named("add"))
        .unwrap_err();
    let said = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        said.starts_with("route `by sedano::routes::tests::"),
        "{said}"
    );
    assert!(
        said.contains("nowhere` goes to queue `nowhere`, which SEDANO_QUEUES doesn't have"),
        "{said}"
    );
    let panics = app(Routes::new().by(|call| -> Option<Route> { panic!("no {}", call.task()) }));
    let said = panics.queue_of(named("add")).unwrap_err().to_string();
    assert!(said.ends_with("panicked at task `add`: no add"), "{said}");
}

#[test]
fn settings_that_were_never_checked_are_at_the_send() {
    let mut config = config();
    config.routes = Routes::new().exact("a", "nowhere");
    let app = Memory::new(&config).app();
    let error = app.queue_of(named("a")).unwrap_err().to_string();
    assert!(
        error.starts_with("route `a` goes to queue `nowhere`"),
        "{error}"
    );
    assert_eq!(queue(&app, named("b")), "default");
    config.routes = Routes::new().regex("(", "low");
    let error = Memory::new(&config)
        .app()
        .queue_of(named("b"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("route `/(/` is no regular expression"),
        "{error}"
    );
}

#[test]
fn json_is_read_in_its_order_and_what_is_wrong_has_its_place() {
    let read: Routes = r#"{
        "z*": "low",
        "/^z/": {"queue": "io", "priority": 2, "message_group": "g", "expires": 1.5},
        "a*": "high",
        "z": "bulk"
    }"#
    .parse()
    .unwrap();
    let io = Route::to("io")
        .priority(2)
        .message_group("g")
        .expires(Duration::from_millis(1500));
    let written = Routes::new()
        .glob("z*", "low")
        .regex("^z", io)
        .glob("a*", "high")
        .exact("z", "bulk");
    assert_eq!(read, written);
    assert_ne!(read, Routes::new().and(written).glob("more", "low"));
    assert_eq!("[]".parse::<Routes>().unwrap(), Routes::new());
    assert_eq!("{}".parse::<Routes>().unwrap(), Routes::new());

    for (text, wanted) in [
        (
            "{\"a\": \"low\",\n \"b\" \"low\"}",
            "the text is no JSON at line 2, column 6: expected `:`",
        ),
        (
            "{\"a\": \"low\"",
            "the text is no JSON at line 1, column 11: EOF while parsing an object",
        ),
        (
            "3",
            "the text is wrong at line 1, column 1: invalid type: integer `3`, expected an object of routes such as \
             {\"reports.*\": \"low\"}, or a list of such",
        ),
        (
            "[{}, \"low\"]",
            "the text is wrong at line 1, column 10: invalid type: string \"low\", expected an object of routes such \
             as {\"reports.*\": \"low\"}",
        ),
        (
            r#"{"a": 3}"#,
            "route `a` must lead to a queue's name, or to an object such as {\"queue\": \"low\", \"priority\": 2}",
        ),
        (
            r#"{"a": {"queu": "low"}}"#,
            "route `a` has no option `queu`; did you mean `queue`?",
        ),
        (
            r#"{"a": {"zzz": "low"}}"#,
            "route `a` has no option `zzz`; there are queue, priority, message_group, expires",
        ),
        (
            r#"{"a": {"priority": 10}}"#,
            "route `a` has a wrong option: `priority` must be a whole number from 0 to 9",
        ),
        (
            r#"{"a": {"expires": "soon"}}"#,
            "route `a` has a wrong option: `expires` must be a number of seconds, 0 or more",
        ),
        (r#"{"a": "low", "a": "high"}"#, "route `a` is there twice"),
        (
            r#"{"a*": "low", "a*": "high"}"#,
            "route `a*` is there twice",
        ),
    ] {
        assert_eq!(unread(text), wanted);
    }
    assert!(unread(r#"{"/a(/": "low"}"#).starts_with("route `/a(/` is no regular expression: "));
}

#[test]
fn priorities_lead_to_queues() {
    let app = app(Routes::new()
        .exact("plain", "own")
        .priority(7..=9, "high")
        .priority(0..=3, "low"));
    assert_eq!(queue(&app, named("add").priority(7)), "high");
    assert_eq!(queue(&app, named("elsewhere").priority(9)), "high");
    assert_eq!(queue(&app, named("add").priority(0)), "low");
    assert_eq!(queue(&app, named("mail.send")), "low", "the task's own: 3");
    assert_eq!(queue(&app, named("mail.send").priority(5)), "own");
    assert_eq!(queue(&app, named("add")), "own", "it has none");
    assert_eq!(
        queue(&app, named("plain").priority(9)),
        "own",
        "a name comes first"
    );
    assert_eq!(queue(&app, named("add").priority(9).queue("io")), "io");
    let mail = app.registered().get("mail.send").unwrap();
    assert_eq!(app.home_of(mail), "low");

    let read: Routes = r#"{"priority 7-9": "high", "priority 2": "low"}"#.parse().unwrap();
    let written = Routes::new().priority(7..=9, "high").priority(2..=2, "low");
    assert_eq!(read, written);
    for (text, wanted) in [
        (
            r#"{"priority 9-7": "high"}"#,
            "route `priority 9-7` is of priorities that aren't: they go from 0 to 9",
        ),
        (
            r#"{"priority 7-10": "high"}"#,
            "route `priority 7-10` is of priorities that aren't: they go from 0 to 9",
        ),
        (
            r#"{"priority high": "high"}"#,
            "route `priority high` is of no priorities: write `priority 9` or `priority 7-9`",
        ),
        (
            r#"{"priority 3": "high", "priority 3-3": "low"}"#,
            "route `priority 3` is there twice",
        ),
    ] {
        assert_eq!(unread(text), wanted);
    }
}

#[test]
fn lists_of_tasks_say_the_queue_that_names_tell() {
    let app = app(Routes::new().by(|_| Some("high")).glob("mail.*", "low"));
    let home = |name: &str| app.home_of(app.registered().get(name).unwrap()).to_owned();
    assert_eq!(home("mail.send"), "low");
    assert_eq!(home("add"), "own");
    assert_eq!(home("plain"), "default");
}
