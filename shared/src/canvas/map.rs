//! One task over many items: Celery's `map`, `starmap` and `chunks`.
//!
//! A map is a call of a task that every worker has, [`MAP`] or [`STARMAP`], with the name of the task that it
//! runs and the items. It is sent as that task would be.

use serde::Serialize;

use crate::signature::{Call, Signature};
use crate::task::Task;

use super::group::group;

/// Runs a task once for each item, one after the other.
pub(crate) const MAP: &str = "sedano.map";
/// The same, where each item is a list of arguments.
pub(crate) const STARMAP: &str = "sedano.starmap";

/// A call that runs `T` with each item as its only argument.
pub fn map<T: Task, Item: Serialize>(
    items: impl IntoIterator<Item = Item>,
) -> Signature<(), Vec<T::Output>> {
    call::<T, _>(MAP, items)
}

/// A call that runs `T` with each item as its arguments.
pub fn starmap<T: Task, Item: Serialize>(
    items: impl IntoIterator<Item = Item>,
) -> Signature<(), Vec<T::Output>> {
    call::<T, _>(STARMAP, items)
}

/// A group of [`starmap`]s of `size` items each, the last of fewer.
pub fn chunks<T: Task, Item: Serialize>(
    items: impl IntoIterator<Item = Item>,
    size: usize,
) -> Signature<(), Vec<Vec<T::Output>>> {
    let mut items = items.into_iter().peekable();
    let mut chunks = Vec::new();
    while items.peek().is_some() {
        chunks.push(starmap::<T, _>(items.by_ref().take(size.max(1))));
    }
    group(chunks)
}

fn call<T: Task, Item: Serialize>(
    name: &str,
    items: impl IntoIterator<Item = Item>,
) -> Signature<(), Vec<T::Output>> {
    let mut call = Call::named(name);
    call.options = Some(T::OPTIONS);
    call.ignore_result = T::OPTIONS.ignore_result.then_some(true);
    let items: Vec<Item> = items.into_iter().collect();
    Signature::of(call.into())
        .kwarg("task", T::NAME)
        .kwarg("items", items)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::canvas::write;
    use crate::{TaskError, Tasks, task, tasks};

    #[task(name = "math.add", queue = "slow", priority = 3, expires = secs(60))]
    async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
        Ok(x + y)
    }

    #[task(ignore_result)]
    async fn log(text: String, #[default] level: u8) {
        let _ = (text, level);
    }

    fn lowered<In, Out>(signature: Signature<In, Out>, tasks: &Tasks) -> Value {
        let mut canvas = signature.into_canvas();
        canvas.settle(tasks);
        write(canvas).unwrap()
    }

    fn starmap(items: Value) -> Value {
        json!({
            "task": "sedano.starmap",
            "kwargs": {"task": "math.add", "items": items},
            "queue": "slow",
            "priority": 3,
            "expires": 60.0,
        })
    }

    #[test]
    fn a_map_is_one_call_sent_as_its_task_would_be() {
        let sums: Signature<(), Vec<i64>> = add::starmap([(1, 1), (2, 2)]);
        assert_eq!(
            lowered(sums, &Tasks::default()),
            starmap(json!([[1, 1], [2, 2]]))
        );
        let lines: Signature<(), Vec<()>> = log::map(["a", "b"].map(String::from));
        assert_eq!(
            lowered(lines.queue("bulk"), &tasks![log]),
            json!({
                "task": "sedano.map",
                "kwargs": {"task": "log", "items": ["a", "b"]},
                "queue": "bulk",
                "ignore_result": true,
            })
        );
    }

    #[test]
    fn chunks_are_a_group_of_starmaps() {
        let chunks = |count, size| {
            let pairs = (0..count).map(|n| (n, n));
            let chunks: Signature<(), Vec<Vec<i64>>> = add::chunks(pairs, size);
            lowered(chunks, &Tasks::default())
        };
        assert_eq!(
            chunks(5, 2),
            json!({"group": [
                starmap(json!([[0, 0], [1, 1]])),
                starmap(json!([[2, 2], [3, 3]])),
                starmap(json!([[4, 4]])),
            ]})
        );
        assert_eq!(
            chunks(4, 2)["group"].as_array().map(Vec::len),
            Some(2),
            "no empty one at the end"
        );
        assert_eq!(chunks(3, 0), chunks(3, 1));
        assert_eq!(chunks(0, 2), json!({"group": []}));
        assert_eq!(
            chunks(3, usize::MAX)["group"][0],
            starmap(json!([[0, 0], [1, 1], [2, 2]]))
        );
    }

    #[test]
    fn the_results_go_on_as_any_list() {
        let sum: Signature<(), i64> =
            add::starmap([(1, 1)]) | Signature::<Vec<i64>, _>::named("xsum");
        let chain = lowered(sum, &Tasks::default());
        assert_eq!(chain["chain"][1]["task"], "xsum");
    }
}
