//! The attribute macro of Sedano.
//!
//! It writes only what could be written by hand: a type for the call, an implementation of
//! `sedano::Task` for it, and its constructors. What it can't say, the trait can.

mod options;
mod params;
mod task;

use proc_macro::TokenStream;

/// Makes a task of an async function.
///
/// ```
/// use sedano::{task, Signature, TaskError};
///
/// /// Adds two numbers.
/// #[task]
/// async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
///     Ok(x + y)
/// }
///
/// # async fn calls() -> Result<(), TaskError> {
/// assert_eq!(add(2, 3).await?, 5); // still a function
/// # Ok(())
/// # }
/// let by_position: Signature<(), i64> = add::s(2, 3); // a call that can be sent
/// let by_name: Signature<(), i64> = add { y: 3, x: 2 }.into();
/// ```
///
/// # What it writes
///
/// Beside the function, which stays as it is: a struct of the same name and visibility whose fields
/// are the parameters (a function and a type may share a name, and one `use` brings both), its
/// `Serialize` and `Deserialize`, its `sedano::Task`, and ways to a `Signature`:
///
/// - `s(…)` takes the arguments by position;
/// - `partial(…)` all but the first, which is the result of the step before it;
/// - `starmap(tuples)` and `chunks(tuples, size)` run it over many lists of arguments (of up to 16), and
///   `map(items)` over many single ones, where the task needs no more than one.
///
/// A task without arguments has `s()` only.
///
/// ```
/// use sedano::{task, Signature, TaskError};
///
/// #[task]
/// async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
///     Ok(x + y)
/// }
///
/// let sum: Signature<(), i64> = add::s(2, 2) | add::partial(4);
/// let sums: Signature<(), Vec<i64>> = add::starmap([(1, 1), (2, 2)]);
/// ```
///
/// # Parameters
///
/// Each is an argument of the message, by position or by its name, and so must own its data, except:
///
/// - `#[ctx] ctx: &Context`: the run of the task: its id, its retries, its deadline;
/// - `#[state] db: &Db`: a value that the worker was given at start.
///
/// A parameter with `#[default]` may be left out by a sender and is then the type's default, one with
/// `#[default = 20]` that value. As in Python, those without a default come first.
///
/// ```
/// use sedano::{task, Context, ResultExt, TaskError};
///
/// struct Pages { /* … */ }
///
/// impl Pages {
///     async fn fetch(&self, url: &str, depth: u8) -> std::io::Result<usize> { Ok(0) }
/// }
///
/// #[task(queue = "io", max_retries = 8, backoff = exponential(secs(1)).cap(mins(10)), alias = "crawl")]
/// async fn fetch(
///     #[ctx] ctx: &Context,
///     #[state] pages: &Pages,
///     url: String,
///     #[default = 2] depth: u8,
/// ) -> Result<usize, TaskError> {
///     println!("{}, for the {}th time", ctx.id(), ctx.retries() + 1);
///     Ok(pages.fetch(&url, depth).await.retry()?)
/// }
///
/// use sedano::Task;
/// assert_eq!(fetch::ALIASES, ["crawl"]);
/// assert_eq!(fetch::OPTIONS.queue, "io");
/// ```
///
/// # Options
///
/// - `name = "…"`: the name on the wire, instead of the function's. It is what senders write, so a
///   function can be renamed or moved without them.
/// - `alias = "…"` or `alias = ["…", "…"]`: earlier names, still answered to.
/// - `unique_by = "…"` or `unique_by = ["…", "…"]`: the parameters by which its calls are unique, in place of all.
/// - any setter of `sedano::Options`: `key = value` calls it with the value, `key` alone with `true`,
///   and `max_retries = None` retries without end, as in Celery.
///
/// In the values `secs(…)`, `mins(…)`, `hours(…)` and `exponential(…)` are in scope.
///
/// # What it may return
///
/// Nothing, or `Result<T, E>` with any usual error as `E`: see `sedano::TaskReturn`.
#[proc_macro_attribute]
pub fn task(options: TokenStream, function: TokenStream) -> TokenStream {
    task::expand(options.into(), function.into()).into()
}
