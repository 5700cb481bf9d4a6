//! What a task is: a trait with four items, and the table of tasks that a worker knows.

use std::any::{TypeId, type_name};
use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bind::{Args, Kwargs, bind};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::failure::{BoxError, Named, TaskError, shortened};
use crate::options::Options;
use crate::ports::BoxFuture;
use crate::{finite, json};

/// A task: its name, its parameters (the type itself) and what it does.
///
/// [`#[task]`](macro@crate::task) on an async function writes this; by hand it is for tasks with many
/// arguments or none of the macro's magic.
///
/// ```
/// use sedano::{Context, Task, TaskError};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Charge { order: String, cents: u64 }
///
/// impl Task for Charge {
///     const NAME: &'static str = "billing.charge";
///     type Output = String;
///     async fn run(self, ctx: &Context) -> Result<String, TaskError> {
///         Ok(format!("{} for {}, key {}", self.cents, self.order, ctx.idempotency_key()))
///     }
/// }
/// ```
///
/// Without [`PARAMS`](Task::PARAMS) a task takes arguments by name only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    note = "annotate an `async fn` with `#[sedano::task]`, or implement `Task`",
    note = "of signatures, a `Signature<(), _>` can be sent; any other still needs a step before it"
)]
pub trait Task: Serialize + DeserializeOwned + Send + 'static {
    /// The name on the wire: changing it strands messages in flight; see [`ALIASES`](Task::ALIASES).
    const NAME: &'static str;
    /// Earlier names, still answered to.
    const ALIASES: &'static [&'static str] = &[];
    /// The parameters, in order: the names of the type's fields.
    const PARAMS: &'static [Param] = &[];
    /// What the macro's `key = value` pairs set.
    const OPTIONS: Options = Options::new();
    /// The state that the task asks for, checked when a worker starts.
    const STATE: &'static [StateType] = &[];
    /// What a run returns, written as JSON into the record.
    type Output: Serialize + DeserializeOwned + Send;

    /// Does the work.
    fn run(self, ctx: &Context) -> impl Future<Output = Result<Self::Output, TaskError>> + Send;
}

/// What a task function may return: nothing, or `Result<T, E>` with any usual error as `E`.
#[diagnostic::on_unimplemented(
    message = "a task can't return `{Self}`",
    note = "return nothing, or `Result<T, E>` where `E` is an error (`TaskError`, `anyhow::Error`, `io::Error`, `String`, …)"
)]
pub trait TaskReturn {
    /// What is stored on success.
    type Output;
    /// The return value as the engine takes it.
    ///
    /// # Errors
    /// The task's own.
    fn into_result(self) -> Result<Self::Output, TaskError>;
}

impl<T, E: Into<BoxError>> TaskReturn for Result<T, E> {
    type Output = T;
    fn into_result(self) -> Result<T, TaskError> {
        self.map_err(TaskError::new)
    }
}

impl TaskReturn for () {
    type Output = ();
    fn into_result(self) -> Result<(), TaskError> {
        Ok(())
    }
}

/// A parameter of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// Its name on the wire.
    pub name: &'static str,
    /// Whether a sender must give it.
    pub required: bool,
}

impl Param {
    /// A parameter that must be given.
    pub const fn required(name: &'static str) -> Self {
        Self {
            name,
            required: true,
        }
    }

    /// A parameter that may be left out.
    pub const fn optional(name: &'static str) -> Self {
        Self {
            name,
            required: false,
        }
    }
}

/// The type of a state value that a task asks for.
#[derive(Clone, Copy)]
pub struct StateType {
    pub(crate) id: fn() -> TypeId,
    pub(crate) name: fn() -> &'static str,
}

impl StateType {
    /// This type.
    pub const fn of<S: 'static>() -> Self {
        Self {
            id: TypeId::of::<S>,
            name: type_name::<S>,
        }
    }
}

/// A task without its type: plain data and two functions. What [`tasks!`](crate::tasks) makes.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct TaskDef {
    /// See [`Task::NAME`].
    pub name: &'static str,
    /// See [`Task::ALIASES`].
    pub aliases: &'static [&'static str],
    /// See [`Task::PARAMS`].
    pub params: &'static [Param],
    /// See [`Task::OPTIONS`].
    pub options: Options,
    pub(crate) state: &'static [StateType],
    check: fn(Args, Kwargs) -> Result<()>,
    named: fn(Args, Kwargs) -> Result<Kwargs>,
    run: for<'a> fn(&'a Context, Args, Kwargs) -> BoxFuture<'a, Result<String, TaskError>>,
}

impl TaskDef {
    /// The definition of a task.
    pub const fn of<T: Task>() -> Self {
        Self {
            name: T::NAME,
            aliases: T::ALIASES,
            params: T::PARAMS,
            options: T::OPTIONS,
            state: T::STATE,
            check: |args, kwargs| bind_to::<T>(args, kwargs).map(drop),
            named: named::<T>,
            run: |ctx, args, kwargs| Box::pin(run::<T>(ctx, args, kwargs)),
        }
    }

    /// Whether these arguments fit the task's parameters.
    ///
    /// # Errors
    /// `Bind`, in Python's words and naming the parameter.
    pub fn check(&self, args: Args, kwargs: Kwargs) -> Result<()> {
        (self.check)(args, kwargs)
    }

    /// The arguments by the names of their parameters, as the task's own type writes them, defaults included: however
    /// they were given, the same are the same.
    ///
    /// # Errors
    /// As [`check`](TaskDef::check).
    pub(crate) fn named(&self, args: Args, kwargs: Kwargs) -> Result<Kwargs> {
        (self.named)(args, kwargs)
    }

    /// Runs the task; the output is JSON.
    pub(crate) fn run<'a>(
        &self,
        ctx: &'a Context,
        args: Args,
        kwargs: Kwargs,
    ) -> BoxFuture<'a, Result<String, TaskError>> {
        let body = (self.run)(ctx, args, kwargs);
        #[cfg(feature = "sim")]
        let body = crate::sim::recorded(ctx, body);
        body
    }
}

impl std::fmt::Debug for TaskDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TaskDef({})", self.name)
    }
}

fn bind_to<T: Task>(args: Args, kwargs: Kwargs) -> Result<T> {
    if !T::PARAMS.is_empty() || !args.is_empty() {
        return bind(T::NAME, T::PARAMS, args, kwargs);
    }
    // By name only: serde knows the fields. A unit struct has none and is written as null.
    let nothing = kwargs.is_empty();
    crate::bind::decode(T::NAME, kwargs).or_else(|error| match nothing {
        true => serde_json::from_value(serde_json::Value::Null).map_err(|_| error),
        false => Err(error),
    })
}

fn named<T: Task>(args: Args, kwargs: Kwargs) -> Result<Kwargs> {
    match serde_json::to_value(bind_to::<T>(args, kwargs)?) {
        Ok(serde_json::Value::Object(named)) => Ok(named),
        // A unit struct.
        Ok(_) => Ok(Kwargs::new()),
        Err(error) => Err(Error::new(ErrorKind::Encode, error.to_string())),
    }
}

async fn run<T: Task>(ctx: &Context, args: Args, kwargs: Kwargs) -> Result<String, TaskError> {
    let task: T = bind_to(args, kwargs).map_err(|error| {
        TaskError::permanent(Named {
            kind: "Bind",
            message: error.to_string(),
        })
    })?;
    let output = task.run(ctx).await?;
    let ignored = ctx.ignore_result().unwrap_or(T::OPTIONS.ignore_result);
    written(&output).or_else(|what| match ignored {
        // Nobody will read it, so nothing is wrong with it.
        true => Ok("null".to_owned()),
        false => Err(TaskError::permanent(Named {
            kind: "Encode",
            message: format!(
                "{}() returned what can't be written as JSON: {what}",
                T::NAME
            ),
        })),
    })
}

/// A value as JSON that can be read back.
pub(crate) fn written(output: &impl Serialize) -> Result<String, String> {
    finite::check(output, json::DEPTH).map_err(|error| error.to_string())?;
    serde_json::to_string(output).map_err(|error| error.to_string())
}

/// The tasks that a worker or a producer knows, by name.
///
/// ```
/// use sedano::{task, tasks, Tasks};
///
/// #[task]
/// async fn ping() {}
///
/// let all: Tasks = tasks![ping];
/// assert_eq!(all.get("ping")?.name, "ping");
/// assert_eq!(
///     all.get("pong").unwrap_err().to_string(),
///     "no task is named `pong`; did you mean `ping`?"
/// );
/// # Ok::<(), sedano::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tasks(Vec<TaskDef>);

impl Tasks {
    /// These tasks.
    pub fn new(tasks: impl IntoIterator<Item = TaskDef>) -> Self {
        Self(tasks.into_iter().collect())
    }

    /// These tasks and those of another part of the program.
    #[must_use]
    pub fn and(mut self, more: Tasks) -> Self {
        self.0.extend(more.0);
        self
    }

    /// Every task, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &TaskDef> {
        self.0.iter()
    }

    /// The task that answers to this name or alias.
    ///
    /// # Errors
    /// `NotRegistered`, with the nearest name that is.
    pub fn get(&self, name: &str) -> Result<&TaskDef> {
        self.find(name).ok_or_else(|| {
            let hint = nearest(name, self.names())
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            Error::new(
                ErrorKind::NotRegistered,
                format!("no task is named `{}`{hint}", shortened(name, QUOTED)),
            )
        })
    }

    /// Whether a task answers to this name or alias, without the search for a near one.
    pub(crate) fn find(&self, name: &str) -> Option<&TaskDef> {
        let known = self.0.iter().chain(&crate::engine::BUILT_IN);
        let mut known = known.filter(|task| task.name == name || task.aliases.contains(&name));
        known.next()
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0
            .iter()
            .flat_map(|task| std::iter::once(task.name).chain(task.aliases.iter().copied()))
    }

    /// No name and no alias stands twice.
    ///
    /// # Errors
    /// `Config`, with the name.
    pub fn check(&self) -> Result<()> {
        let mut seen = std::collections::BTreeSet::new();
        match self.names().find(|name| !seen.insert(*name)) {
            None => Ok(()),
            Some(name) => Err(Error::new(
                ErrorKind::Config,
                format!("two tasks are named `{name}`: give one `#[task(name = \"…\")]`"),
            )),
        }
    }
}

impl<const N: usize> From<[TaskDef; N]> for Tasks {
    fn from(tasks: [TaskDef; N]) -> Self {
        Self(tasks.into())
    }
}

/// The most bytes of a stranger's text that an error quotes.
pub(crate) const QUOTED: usize = 200;

/// The candidate nearest to what was written, if one is near enough to be meant. Nobody means anything by
/// a name that is longer than any can be.
///
/// ```
/// assert_eq!(sedano::nearest("ad", ["add", "mul"].into_iter()), Some("add"));
/// assert_eq!(sedano::nearest("resize", ["add", "mul"].into_iter()), None);
/// ```
pub fn nearest<'a>(written: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .filter(|_| written.len() <= 512)
        .map(|candidate| (strsim::jaro_winkler(written, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Lists tasks by the names of their functions or types: `tasks![add, mul, Charge]`.
#[macro_export]
macro_rules! tasks {
    ($($task:ty),* $(,)?) => {
        $crate::Tasks::new([$($crate::TaskDef::of::<$task>()),*])
    };
}
