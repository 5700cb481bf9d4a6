//! The guide to canvas shows what is sent: the JSON beside each Rust is what the Rust becomes.

use serde_json::Value;

use crate::canvas::{read, write};
use crate::{
    Failure, Settled, Signature, TaskError, chord, collect_failures, fail_fast, group, task,
};

#[task]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[task]
async fn mul(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x * y)
}

#[task]
async fn xsum(numbers: Vec<i64>) -> Result<i64, TaskError> {
    Ok(numbers.iter().sum())
}

/// Tasks that the guide names and that nothing runs.
macro_rules! never_run {
    ($($name:ident($($argument:ident: $type:ty),*) -> $output:ty;)*) => {$(
        #[task]
        async fn $name($($argument: $type),*) -> Result<$output, TaskError> {
            $(let _ = $argument;)*
            Err(TaskError::permanent("not to be run"))
        }
    )*};
}

never_run! {
    charge(order: u64) -> u64;
    mail(text: String) -> ();
    migrate() -> ();
    count(table: String) -> u64;
    now() -> String;
    flat(rows: Vec<Vec<i64>>) -> i64;
    max(numbers: Vec<i64>) -> i64;
    store(sum: i64, table: String) -> ();
    ping() -> ();
    fetch(url: String) -> u64;
    report(pages: Vec<Settled<u64>>) -> usize;
    alert(failure: Failure, channel: String) -> ();
}

fn lowered<In, Out>(signature: Signature<In, Out>) -> Value {
    write(signature.into_canvas()).unwrap()
}

/// The expressions as they stand in the guide, and what they become.
macro_rules! shapes {
    ($({ $($setup:stmt;)* } $shape:expr;)*) => {
        vec![$((stringify!($shape), { $($setup)* lowered($shape) })),*]
    };
}

fn shapes() -> Vec<(&'static str, Value)> {
    shapes! {
        {} add::s(2, 2) | add::partial(4) | mul::partial(8);
        {} charge::s(7) | mail::s("done".into()).immutable();
        {} migrate::s() | count::s("users".into());
        {} group([add::s(1, 1), add::s(2, 2)]);
        {} add::s(2, 2) | group((add::partial(4), now::s().immutable()));
        {} chord([add::s(1, 1), add::s(2, 2)], xsum::partial());
        {} group([add::s(1, 1), add::s(2, 2)]) | xsum::partial() | mul::partial(8);
        {} group([group([add::s(1, 1)]), group([add::s(2, 2)])]) | flat::partial();
        { let part = chord([add::s(1, 1), add::s(2, 2)], xsum::partial()); }
            chord([part.clone(), part], group([xsum::partial(), max::partial()]));
        {} xsum::map([vec![1, 2], vec![3, 4]]);
        {} add::starmap([(1, 1), (2, 2)]);
        {} add::chunks([(1, 1), (2, 2), (3, 3)], 2);
        {} add::s(2, 2)
            .link(store::partial("sums".into()).queue("bulk"))
            .link(ping::s().immutable());
        {} (add::s(2, 2) | mul::partial(8)).link_error(alert::partial("ops".into()));
        {} chord(fail_fast([add::s(1, 1), add::s(2, 2)]), xsum::partial());
        {} chord(collect_failures([fetch::s("a".into()), fetch::s("b".into())]), report::partial());
        {} add::s(2, 2).on_error(alert::partial("ops".into())).stamp("tenant", "acme");
        {} Signature::<(), i64>::named("add").arg(2).arg(2)
            | Signature::<_, i64>::named("add").arg(4)
            | mul::partial(8);
    }
}

/// The guide's JSON, each with the Rust that stands before it.
fn pairs() -> Vec<(String, Value)> {
    let guide = include_str!("../../docs/canvas.md");
    let mut rust = String::new();
    let mut pairs = Vec::new();
    for (place, block) in guide.split("```").enumerate() {
        match block.split_once('\n') {
            Some(("rust", code)) if place % 2 == 1 => rust = dense(code),
            Some(("json", json)) if place % 2 == 1 => {
                let json = serde_json::from_str(json).unwrap_or_else(|_| panic!("{json}"));
                pairs.push((std::mem::take(&mut rust), json));
            }
            _ => {}
        }
    }
    pairs
}

fn dense(code: &str) -> String {
    code.chars().filter(|char| !char.is_whitespace()).collect()
}

#[test]
fn the_guide_shows_what_is_sent() {
    let (pairs, shapes) = (pairs(), shapes());
    assert_eq!(pairs.len(), shapes.len());
    for ((rust, json), (shape, lowered)) in pairs.into_iter().zip(shapes) {
        assert!(
            rust.contains(&format!("={};", dense(shape))),
            "{shape}\n{rust}"
        );
        assert_eq!(lowered, json, "{shape}");
    }
}

#[test]
fn the_guides_json_is_read_as_it_is_written() {
    for (rust, json) in pairs() {
        let canvas = read(json.clone(), "the guide's").unwrap();
        assert_eq!(write(canvas).unwrap(), json, "{rust}");
    }
}

#[test]
fn an_errback_of_the_whole_is_one_of_each_step() {
    let (_, each) = pairs()
        .into_iter()
        .find(|(rust, _)| rust.contains("link_error"))
        .unwrap();
    let mut whole = each.clone();
    let mut errbacks = Vec::new();
    for step in whole["chain"].as_array_mut().unwrap() {
        errbacks.push(step.as_object_mut().unwrap().remove("link_error").unwrap());
    }
    whole["link_error"] = errbacks.pop().unwrap()[0].take();
    assert_eq!(write(read(whole, "it").unwrap()).unwrap(), each);
}
