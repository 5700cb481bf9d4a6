//! `sedano.map` and `sedano.starmap`: one task that calls another for each of many items, in order.
//!
//! As in Celery the first error ends it. What becomes of the error is what the called task's own options say.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bind::{Args, Kwargs};
use crate::context::Context;
use crate::failure::{Class, Named, TaskError};
use crate::options::Options;
use crate::parked::Promote;
use crate::task::{Param, Task, TaskDef};

const PARAMS: &[Param] = &[Param::required("task"), Param::required("items")];
/// The called task's options say how often.
const OPTIONS: Options = Options::new().retry_for_ever();

/// The tasks that every worker knows.
pub(crate) const BUILT_IN: [TaskDef; 3] = [
    TaskDef::of::<Map>(),
    TaskDef::of::<Starmap>(),
    TaskDef::of::<Promote>(),
];

/// Calls a task with each item.
#[derive(Serialize, Deserialize)]
pub(crate) struct Map {
    task: String,
    items: Vec<Value>,
}

/// Calls a task with the arguments in each item.
#[derive(Serialize, Deserialize)]
pub(crate) struct Starmap {
    task: String,
    items: Vec<Args>,
}

impl Task for Map {
    const NAME: &'static str = "sedano.map";
    const PARAMS: &'static [Param] = PARAMS;
    const OPTIONS: Options = OPTIONS;
    type Output = Vec<Value>;

    async fn run(self, ctx: &Context) -> Result<Vec<Value>, TaskError> {
        let items = self.items.into_iter().map(|item| vec![item]);
        each(ctx, &self.task, items).await
    }
}

impl Task for Starmap {
    const NAME: &'static str = "sedano.starmap";
    const PARAMS: &'static [Param] = PARAMS;
    const OPTIONS: Options = OPTIONS;
    type Output = Vec<Value>;

    async fn run(self, ctx: &Context) -> Result<Vec<Value>, TaskError> {
        each(ctx, &self.task, self.items.into_iter()).await
    }
}

async fn each(
    ctx: &Context,
    task: &str,
    items: impl Iterator<Item = Args>,
) -> Result<Vec<Value>, TaskError> {
    let def = ctx.app().registered().get(task).map_err(|error| {
        TaskError::permanent(Named {
            kind: "NotRegistered",
            message: error.to_string(),
        })
    })?;
    let mut results = Vec::new();
    for args in items {
        let result = def.run(ctx, args, Kwargs::new()).await;
        let json = result.map_err(|error| as_its_own(ctx, &def.options, error))?;
        results.push(serde_json::from_str(&json).map_err(TaskError::permanent)?);
    }
    Ok(results)
}

/// An error of the called task, with what its own options would make of it.
fn as_its_own(ctx: &Context, options: &Options, error: TaskError) -> TaskError {
    let wanted = options.retry || options.retry_if.is_some_and(|pick| pick(&error));
    let asked = match error.class() {
        Class::Retry(delay) => Some(delay),
        Class::Unknown if wanted => Some(None),
        _ => return error,
    };
    let left = options.max_retries.is_none_or(|most| ctx.retries() < most);
    match (left, asked) {
        (false, _) | (_, None) => error.for_good(),
        (true, Some(Some(_))) => error,
        (true, Some(None)) => {
            let entropy = &*ctx.app().ports().entropy;
            error.after(options.retry_delay(ctx.retries(), entropy))
        }
    }
}
