//! What the macro writes.

use std::time::Duration;

use sedano::memory::Memory;
use sedano::{
    App, Config, Context, ErrorKind, Options, Param, ResultExt, Signature, Task, TaskDef,
    TaskError, Worker, tasks,
};
use serde_json::json;

/// What the worker lends.
pub struct Db {
    rows: u32,
}

/// Everything at once.
///
/// And more.
#[sedano::task(
    name = "io.fetch",
    alias = ["fetch", "crawl"],
    queue = "io",
    priority = 9,
    max_retries = 8,
    default_retry_delay = secs(5),
    backoff = exponential(secs(1)).cap(mins(10)).jitter(false),
    retry,
    retry_if = |error| error.is::<std::io::Error>(),
    time_limit = secs(30),
    soft_time_limit = Duration::from_millis(29_500),
    expires = hours(1),
    ignore_result = false,
    idempotent,
    result_expires = hours(24 * 7)
)]
async fn fetch(
    #[ctx] ctx: &Context,
    url: String,
    #[state] db: &Db,
    mut depth: u8,
    #[default] headers: Vec<(String, String)>,
    #[default = default_limit()] r#final: u32,
) -> std::io::Result<String> {
    depth += 1;
    let read = (headers.len(), r#final, db.rows, ctx.retries());
    Ok(format!("{url} {depth} {read:?}"))
}

fn default_limit() -> u32 {
    20
}

#[sedano::task]
async fn nothing() {}

#[sedano::task(alias = "divide", max_retries = None)]
pub(crate) async fn div(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x.checked_div(y).ok_or("by zero").permanent()?)
}

#[sedano::task]
async fn r#match(r#type: String) -> Result<String, String> {
    Err(r#type)
}

/// What the macro adds is quiet in a crate that is stricter than this one.
mod strict {
    #![deny(warnings, clippy::nursery, clippy::pedantic)]
    #![allow(
        clippy::redundant_pub_crate,
        reason = "contradicts rustc's unreachable_pub"
    )]
    #![deny(clippy::exhaustive_structs, clippy::missing_docs_in_private_items)]

    use sedano::{Context, TaskError};

    /// Has more arguments than a function should.
    #[sedano::task(max_retries = 3, backoff = exponential(secs(1)))]
    #[expect(
        clippy::fn_params_excessive_bools,
        clippy::too_many_arguments,
        reason = "said of the function, and not again of what belongs to it"
    )]
    pub(super) async fn long(
        #[ctx] ctx: &Context,
        #[state] db: &super::Db,
        wide: bool,
        long: bool,
        high: bool,
        deep: bool,
        #[default] name: String,
        #[default = "mm".to_owned()] unit: String,
    ) -> Result<usize, TaskError> {
        let set = [wide, long, high, deep].iter().filter(|set| **set).count();
        Ok(set + name.len() + unit.len() + ctx.id().len() + usize::from(db.rows > 0))
    }

    /// Is never sent.
    #[deprecated = "there is nothing to do"]
    #[sedano::task]
    pub(super) async fn old() {}

    /// Isn't there: what the macro adds isn't either.
    #[sedano::task]
    #[cfg(windows)]
    #[cfg(not(windows))]
    pub(super) async fn absent(what: NoSuchType) {}
}

#[test]
fn a_strict_crate_has_tasks() {
    assert_eq!(strict::long::PARAMS.len(), 6);
    #[expect(deprecated, reason = "the call is as deprecated as the function")]
    let name = strict::old::NAME;
    assert_eq!(name, "old");
}

#[test]
fn names_and_aliases() {
    assert_eq!(
        (fetch::NAME, fetch::ALIASES),
        ("io.fetch", ["fetch", "crawl"].as_slice())
    );
    assert_eq!((div::NAME, div::ALIASES), ("div", ["divide"].as_slice()));
    assert_eq!(
        (nothing::NAME, nothing::ALIASES),
        ("nothing", [].as_slice())
    );
    assert_eq!(r#match::NAME, "match");
    let all = tasks![fetch, nothing, div, r#match];
    all.check().unwrap();
    for (answers, name) in [("crawl", "io.fetch"), ("divide", "div"), ("match", "match")] {
        assert_eq!(all.get(answers).unwrap().name, name);
    }
}

#[test]
fn parameters_keep_their_order_and_leave_out_what_the_worker_gives() {
    assert_eq!(
        fetch::PARAMS,
        [
            Param::required("url"),
            Param::required("depth"),
            Param::optional("headers"),
            Param::optional("final"),
        ]
    );
    assert_eq!(div::PARAMS, [Param::required("x"), Param::required("y")]);
    assert_eq!(nothing::PARAMS, []);
    assert_eq!(r#match::PARAMS, [Param::required("type")]);
}

#[test]
fn each_option_calls_its_setter() {
    // Taken apart, so that an option that is added must be tested here.
    let options = fetch::OPTIONS;
    assert_eq!(options.queue, "io");
    assert_eq!(options.priority, Some(9));
    assert_eq!(options.max_retries, Some(8));
    assert_eq!(options.default_retry_delay, Duration::from_secs(5));
    let backoff = sedano::scope::exponential(Duration::from_secs(1)).jitter(false);
    assert_eq!(options.backoff, Some(backoff.cap(Duration::from_secs(600))));
    assert!(options.retry);
    let pick = options.retry_if.unwrap();
    assert!(pick(&TaskError::new(std::io::Error::other("disk"))));
    assert!(!pick(&TaskError::new("disk")));
    assert_eq!(options.time_limit, Some(Duration::from_secs(30)));
    assert_eq!(options.soft_time_limit, Some(Duration::from_millis(29_500)));
    assert_eq!(options.expires, Some(Duration::from_secs(3600)));
    assert!(!options.ignore_result);
    assert!(options.idempotent);
    assert_eq!(options.result_expires, Some(Duration::from_secs(604_800)));
    assert_eq!(div::OPTIONS.max_retries, None);
    assert_eq!(
        format!("{:?}", nothing::OPTIONS),
        format!("{:?}", Options::new())
    );
}

#[test]
fn arguments_bind_by_position_by_name_and_by_default() {
    let definition = TaskDef::of::<fetch>();
    let check = |args: serde_json::Value, kwargs: serde_json::Value| {
        let (Some(args), Some(kwargs)) = (args.as_array(), kwargs.as_object()) else {
            unreachable!()
        };
        definition
            .check(args.clone(), kwargs.clone())
            .map_err(|error| (error.kind(), error.to_string()))
    };
    assert_eq!(check(json!(["u", 1]), json!({})), Ok(()));
    assert_eq!(
        check(
            json!(["u"]),
            json!({"depth": 1, "headers": [["a", "b"]], "final": 3})
        ),
        Ok(())
    );
    assert_eq!(check(json!(["u", 1, [], 3]), json!({})), Ok(()));
    let missing = "io.fetch() missing 1 required positional argument: 'depth'";
    assert_eq!(
        check(json!(["u"]), json!({})),
        Err((ErrorKind::Bind, missing.into()))
    );
    let injected = "io.fetch() got an unexpected keyword argument 'db'";
    assert_eq!(
        check(json!(["u", 1]), json!({"db": 1})),
        Err((ErrorKind::Bind, injected.into()))
    );
}

#[test]
fn what_is_left_out_has_its_default() {
    let call: fetch = serde_json::from_value(json!({"url": "u", "depth": 1})).unwrap();
    assert_eq!((call.headers.len(), call.r#final), (0, 20));
    let written = serde_json::to_value(fetch { r#final: 5, ..call }).unwrap();
    assert_eq!(
        written,
        json!({"url": "u", "depth": 1, "headers": [], "final": 5})
    );
    assert_eq!(serde_json::to_value(nothing {}).unwrap(), json!({}));
}

#[test]
fn calls_by_position_and_by_name_are_the_same() {
    let by_position: Signature<(), i64> = div::s(7, 2);
    let by_name: Signature<(), i64> = div { y: 2, x: 7 }.into();
    assert_eq!(format!("{by_position:?}"), format!("{by_name:?}"));
    assert_eq!(by_position.task(), "div");
    let _: Signature<(), ()> = nothing::s();
    let _: Signature<(), String> = r#match::s("t".to_owned());
}

#[test]
fn partial_calls_lack_the_first_argument_of_the_message() {
    // Its `url` comes from the step before; what the worker gives is no argument.
    let page: Signature<String, String> = fetch::partial(1, Vec::new(), 7);
    assert_eq!(page.task(), "io.fetch");
    let shown = format!("{page:?}");
    assert!(
        shown.contains(r#"{"depth": Number(1), "final": Number(7), "headers": Array []}"#),
        "{shown}"
    );
    let halved: Signature<(), i64> = div::s(8, 2) | div::partial(2);
    let words: Signature<(), String> = halved | r#match::partial_of_number();
    assert_eq!(words.task(), "div");
}

impl r#match {
    fn partial_of_number() -> Signature<i64, String> {
        Signature::partial::<Self>()
    }
}

/// More parameters than the longest tuple that serde writes.
#[sedano::task]
#[expect(clippy::too_many_arguments, reason = "that is what is tested")]
async fn wide(
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
    j: u8,
    k: u8,
    l: u8,
    m: u8,
    n: u8,
    o: u8,
    p: u8,
    q: u8,
) -> Result<u8, TaskError> {
    Ok(a + b + c + d + e + f + g + h + i + j + k + l + m + n + o + p + q)
}

#[test]
fn a_task_maps_over_what_it_takes() {
    assert_eq!(wide::PARAMS.len(), 17);
    let _: Signature<(), Vec<i64>> = div::starmap([(1, 2), (3, 4)]);
    let _: Signature<(), Vec<Vec<i64>>> = div::chunks((1..9).map(|n| (n, n)), 3);
    let _: Signature<(), Vec<String>> = r#match::map(["a", "b"].map(str::to_owned));
    let _: Signature<(), Vec<String>> = r#match::starmap([("a".to_owned(),)]);
    let _: Signature<(), Vec<()>> = strict_map();
}

/// What may be left out is left out.
fn strict_map() -> Signature<(), Vec<()>> {
    #[sedano::task]
    async fn note(text: String, #[default] level: u8) {
        let _ = (text, level);
    }
    note::map(["a".to_owned()])
}

#[tokio::test(start_paused = true)]
async fn a_worker_gives_the_context_and_the_state() {
    let mut config = Config::memory();
    config.queues.insert("io".into(), "memory:io".into());
    let app = App::new(Memory::new(&config).ports(), config).tasks(tasks![fetch]);
    let worker = Worker::new(app);
    let lacking = worker.check().unwrap_err().to_string();
    assert!(
        lacking.contains("`io.fetch` asks for state of type `codegen::Db`"),
        "{lacking}"
    );

    let worker = worker.state(Db { rows: 7 });
    worker.check().unwrap();
    let call = Signature::<(), String>::named("crawl")
        .arg("u")
        .kwarg("depth", 1)
        .queue("default");
    let result = worker.app().send(call).await.unwrap();
    assert_eq!(worker.run_once().await.unwrap(), 1);
    // The default limit, the rows of the state, the retries of the context.
    assert_eq!(result.get().await.unwrap(), "u 2 (0, 20, 7, 0)");
}

#[tokio::test]
async fn a_task_is_still_a_function() {
    nothing().await;
    assert_eq!(div(7, 2).await.unwrap(), 3);
    assert_eq!(div(7, 0).await.unwrap_err().to_string(), "by zero");
    assert_eq!(r#match("t".to_owned()).await, Err("t".to_owned()));
}
