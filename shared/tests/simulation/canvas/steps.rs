//! The tasks that compositions are made of, and the log in which each says what it was given.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use sedano::{Context, ResultExt, Signature, TaskError, Tasks, task, tasks};
use serde_json::{Value, json};

use crate::samples::Mended;

/// What the bodies of a world were given, by the mark that each call of a composition has for itself.
#[derive(Default)]
pub(crate) struct Log(Mutex<BTreeMap<u64, Vec<Ran>>>);

/// A run of a body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ran {
    pub(crate) id: String,
    pub(crate) input: Value,
}

impl Log {
    fn add(&self, mark: u64, ctx: &Context, input: &Value) {
        let id = ctx.id().to_owned();
        let input = input.clone();
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.entry(mark).or_default().push(Ran { id, input });
    }

    pub(crate) fn all(&self) -> BTreeMap<u64, Vec<Ran>> {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }
}

/// All the numbers in it, of what was collected those of who succeeded.
pub(crate) fn sum(value: &Value) -> i64 {
    match value {
        Value::Array(list) => list.iter().map(sum).sum(),
        Value::Object(map) => map.get("ok").map_or(0, sum),
        value => value.as_i64().unwrap_or(0),
    }
}

/// How much there is in it.
fn weight(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(weight).sum(),
        Value::Object(map) => map.get("ok").map_or(0, weight),
        _ => 0,
    }
}

/// The input itself and a number, so that order shows; of much only the sum.
pub(crate) fn echoed(input: &Value, n: i64) -> Value {
    match weight(input) <= 60 {
        true => json!([input, n]),
        false => json!([sum(input), n]),
    }
}

/// Why `fails` and `rejects` do.
pub(crate) fn no_luck(input: &Value) -> String {
    format!("no luck with {}", sum(input))
}

/// Its number and all the numbers it is given.
#[task(max_retries = 3, default_retry_delay = secs(2))]
async fn leaf(
    #[ctx] ctx: &Context,
    #[state] log: &Log,
    #[default] input: Value,
    #[default] n: i64,
    #[default] mark: u64,
) -> Result<i64, TaskError> {
    log.add(mark, ctx, &input);
    Ok(n + sum(&input))
}

/// The same at its second run.
#[task(max_retries = 3, default_retry_delay = secs(2))]
async fn flaky(
    #[ctx] ctx: &Context,
    #[state] log: &Log,
    #[default] input: Value,
    #[default] n: i64,
    #[default] mark: u64,
) -> Result<i64, TaskError> {
    log.add(mark, ctx, &input);
    if ctx.retries() == 0 {
        Err(std::io::Error::other("disk")).retry()?;
    }
    Ok(n + sum(&input))
}

/// The same, with a claim of its own only where it is counted.
#[task(idempotent)]
async fn light(
    #[ctx] ctx: &Context,
    #[state] log: &Log,
    #[default] input: Value,
    #[default] n: i64,
    #[default] mark: u64,
) -> Result<i64, TaskError> {
    log.add(mark, ctx, &input);
    Ok(n + sum(&input))
}

#[task]
async fn echo(
    #[ctx] ctx: &Context,
    #[state] log: &Log,
    #[default] input: Value,
    #[default] n: i64,
    #[default] mark: u64,
) -> Result<Value, TaskError> {
    log.add(mark, ctx, &input);
    Ok(echoed(&input, n))
}

#[task]
async fn fails(
    #[ctx] ctx: &Context,
    #[state] log: &Log,
    #[default] input: Value,
    #[default] mark: u64,
) -> Result<Value, TaskError> {
    log.add(mark, ctx, &input);
    Err(TaskError::permanent(no_luck(&input)))
}

/// To the dead letters, until it is mended.
#[task]
async fn rejects(
    #[ctx] ctx: &Context,
    #[state] log: &Log,
    #[state] mended: &Mended,
    #[default] input: Value,
    #[default] mark: u64,
) -> Result<i64, TaskError> {
    log.add(mark, ctx, &input);
    match mended.0.load(Ordering::Relaxed) {
        true => Ok(sum(&input)),
        false => Err(TaskError::reject(no_luck(&input))),
    }
}

/// A callback, or an errback.
#[task]
async fn called(
    #[ctx] ctx: &Context,
    #[state] log: &Log,
    #[default] input: Value,
    #[default] mark: u64,
) -> Result<u64, TaskError> {
    log.add(mark, ctx, &input);
    Ok(mark)
}

/// Answers with a leaf, whose mark is one less, and a shape behind it.
#[task]
async fn replaces(
    #[ctx] ctx: &Context,
    #[state] log: &Log,
    #[default] input: Value,
    #[default] by: Value,
    #[default] mark: u64,
) -> Result<Value, TaskError> {
    log.add(mark, ctx, &input);
    let leaf = json!({ "task": "leaf", "kwargs": { "input": input, "mark": mark - 1 } });
    let chain = json!({ "chain": [leaf, by] });
    Err(ctx.replace(Signature::<(), Value>::try_from(chain)?))
}

/// A `leaf` that adds these to the group which it is a member of.
#[task(max_retries = 3, default_retry_delay = secs(2))]
async fn grows(
    #[ctx] ctx: &Context,
    #[state] log: &Log,
    #[default] input: Value,
    #[default] n: i64,
    #[default] add: Vec<Value>,
    #[default] mark: u64,
) -> Result<i64, TaskError> {
    log.add(mark, ctx, &input);
    for member in add {
        ctx.add_to_chord(Signature::<(), Value>::try_from(member)?)?;
    }
    Ok(n + sum(&input))
}

pub(crate) fn all() -> Tasks {
    tasks![
        leaf, flaky, light, echo, fails, rejects, called, replaces, grows
    ]
}
