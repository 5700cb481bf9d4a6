//! A call that isn't sent yet: which task, with what, and how.

use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::app::App;
use crate::bind::{Args, Kwargs};
use crate::canvas::{self, Canvas};
use crate::error::{Error, ErrorKind, Result};
use crate::options::Options;
use crate::ports::QueueName;
use crate::result::AsyncResult;
use crate::task::Task;
use crate::time::Timestamp;
use crate::unique::Unique;
use crate::{finite, json};

/// A task with its arguments and sending options; `In` is what it still needs (`()`: nothing), `Out`
/// what it yields. Celery's signature.
///
/// ```
/// use sedano::{task, Signature, TaskError};
/// use std::time::Duration;
///
/// #[task]
/// async fn add(x: i64, y: i64) -> Result<i64, TaskError> { Ok(x + y) }
///
/// let by_position: Signature<(), i64> = add::s(2, 3);
/// let by_name: Signature<(), i64> = add { y: 3, x: 2 }.into();
/// let later = add::s(2, 3).queue("bulk").countdown(Duration::from_secs(10)).priority(9);
/// ```
#[must_use = "a signature does nothing until it is sent"]
#[derive(Debug)]
pub struct Signature<In, Out> {
    canvas: Canvas,
    types: PhantomData<fn(In) -> Out>,
}

impl<In, Out> Clone for Signature<In, Out> {
    fn clone(&self) -> Self {
        Self {
            canvas: self.canvas.clone(),
            types: PhantomData,
        }
    }
}

/// A call as plain data: all that is left of a [`Signature`] without its types.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) task: String,
    /// An argument that can't be written as JSON shows when the call is sent.
    pub(crate) arguments: Result<(Args, Kwargs), String>,
    /// What the task says of itself, where its definition is known.
    pub(crate) options: Option<Options>,
    pub(crate) id: Option<String>,
    pub(crate) queue: Option<QueueName>,
    pub(crate) countdown: Option<Duration>,
    pub(crate) eta: Option<Timestamp>,
    pub(crate) expires: Option<Expires>,
    pub(crate) priority: Option<u8>,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) soft_time_limit: Option<Duration>,
    pub(crate) ignore_result: Option<bool>,
    pub(crate) unique: Option<Unique>,
    pub(crate) unique_for: Option<Duration>,
    pub(crate) headers: Map<String, Value>,
    pub(crate) message_group: Option<String>,
    pub(crate) root_id: Option<String>,
    pub(crate) parent_id: Option<String>,
    pub(crate) hops: u32,
    pub(crate) trace: Option<String>,
    /// Whether it takes nothing from the step before it.
    pub(crate) immutable: bool,
    pub(crate) link: Vec<Canvas>,
    pub(crate) link_error: Vec<Canvas>,
    /// Whether its queue and all that goes with it is settled: routes aren't asked again.
    pub(crate) routed: bool,
    /// What a sender wrote and nobody here knows.
    pub(crate) extra: Map<String, Value>,
}

/// When a message stops being worth a start.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expires {
    After(Duration),
    At(Timestamp),
}

impl Call {
    pub(crate) fn named(task: impl Into<String>) -> Self {
        Self {
            task: task.into(),
            arguments: Ok((Args::new(), Kwargs::new())),
            options: None,
            id: None,
            queue: None,
            countdown: None,
            eta: None,
            expires: None,
            priority: None,
            time_limit: None,
            soft_time_limit: None,
            ignore_result: None,
            unique: None,
            unique_for: None,
            headers: Map::new(),
            message_group: None,
            root_id: None,
            parent_id: None,
            hops: 0,
            trace: None,
            immutable: false,
            link: Vec::new(),
            link_error: Vec::new(),
            routed: false,
            extra: Map::new(),
        }
    }
}

impl<Out> Signature<(), Out> {
    /// This call of a task.
    pub fn new<T: Task<Output = Out>>(task: T) -> Self {
        let mut call = Call::named(T::NAME);
        call.options = Some(T::OPTIONS);
        call.arguments = match to_json(&task, json::DEPTH - 1) {
            Ok(Value::Object(kwargs)) => Ok((Args::new(), kwargs)),
            // A unit struct: a task without parameters.
            Ok(Value::Null) => Ok((Args::new(), Kwargs::new())),
            Ok(other) => Err(format!(
                "the task must be a struct with named fields, not {other}"
            )),
            Err(what) => Err(what),
        };
        Self::of(call.into())
    }
}

impl<Out> Signature<(), Out> {
    /// Sends it: [`App::send`], read from left to right.
    ///
    /// ```
    /// # use sedano::{memory::Memory, task, TaskError};
    /// # #[task]
    /// # async fn add(x: i64, y: i64) -> Result<i64, TaskError> { Ok(x + y) }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let app = Memory::default().app();
    /// let sum = add::s(2, 3).countdown(std::time::Duration::from_secs(10)).send(&app).await?;
    /// # Ok::<(), sedano::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`App::send`].
    pub async fn send(self, app: &App) -> Result<AsyncResult<Out>> {
        app.send(self).await
    }

    /// [`send`](Signature::send), under the name that Celery's users look for.
    ///
    /// # Errors
    /// As [`App::send`].
    pub async fn delay(self, app: &App) -> Result<AsyncResult<Out>> {
        app.send(self).await
    }
}

impl<In, Out> Signature<In, Out> {
    /// A call of a task that is known by name only: its arguments are checked by the worker, and its
    /// result is read as whatever type the caller says (`serde_json::Value` takes anything). In a composition
    /// it needs what the step before it yields, as the first of its arguments.
    ///
    /// ```
    /// use sedano::Signature;
    ///
    /// let call: Signature<(), i64> = Signature::named("add").arg(2).kwarg("y", 3);
    /// let both: Signature<(), i64> = call | Signature::<i64, _>::named("mul").arg(8);
    /// ```
    pub fn named(task: impl Into<String>) -> Self {
        Self::of(Call::named(task).into())
    }

    /// A call of this task that lacks its arguments: the first is the result of the step before it, the others
    /// are added by name. It is what `partial(…)` of a [`#[task]`](macro@crate::task) is made of; by hand, the
    /// caller vouches for the type of the first.
    ///
    /// ```
    /// use sedano::{Context, Param, Signature, Task, TaskError};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Charge { order: String, cents: u64 }
    ///
    /// impl Task for Charge {
    ///     const NAME: &'static str = "billing.charge";
    ///     const PARAMS: &'static [Param] = &[Param::required("order"), Param::required("cents")];
    ///     type Output = ();
    ///     async fn run(self, _: &Context) -> Result<(), TaskError> { Ok(()) }
    /// }
    ///
    /// let charge: Signature<String, ()> = Signature::partial::<Charge>().kwarg("cents", 1200);
    /// ```
    pub fn partial<T: Task<Output = Out>>() -> Self {
        let mut call = Call::named(T::NAME);
        call.options = Some(T::OPTIONS);
        Self::of(call.into())
    }

    /// A composition of these types, which the caller vouches for.
    pub(crate) fn of(canvas: Canvas) -> Self {
        Self {
            canvas,
            types: PhantomData,
        }
    }

    pub(crate) fn canvas_mut(&mut self) -> &mut Canvas {
        &mut self.canvas
    }

    pub(crate) fn into_canvas(self) -> Canvas {
        self.canvas
    }

    /// The same call where nobody asks for its result.
    pub(crate) fn forget_output(self) -> Signature<In, ()> {
        Signature::of(self.canvas)
    }

    /// The task's name; of a chain its first's, and `sedano.group` of a group.
    pub fn task(&self) -> &str {
        self.canvas.name()
    }

    /// One more argument by position. One that can't be written as JSON is an error of the send.
    pub fn arg(mut self, value: impl Serialize) -> Self {
        self.add(value, |(args, _), value| args.push(value));
        self
    }

    /// One more argument by name.
    pub fn kwarg(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        let name = name.into();
        self.add(value, |(_, kwargs), value| {
            kwargs.insert(name.clone(), value);
        });
        self
    }

    fn add(&mut self, value: impl Serialize, mut put: impl FnMut(&mut (Args, Kwargs), Value)) {
        let value = to_json(&value, json::DEPTH - 2);
        self.canvas.first_calls(&mut |call| {
            if let Ok(arguments) = &mut call.arguments {
                match &value {
                    Ok(value) => put(arguments, value.clone()),
                    Err(what) => call.arguments = Err(what.clone()),
                }
            }
        });
    }

    fn each(mut self, mut change: impl FnMut(&mut Call)) -> Self {
        self.canvas.each_call(&mut change);
        self
    }

    fn first(mut self, mut change: impl FnMut(&mut Call)) -> Self {
        self.canvas.first_calls(&mut change);
        self
    }

    /// The task's id, chosen by the caller: any text of 1 to 512 bytes without control characters. Of
    /// several messages with one id, one takes effect. Of a chain or a chord it is the id of its last task, of
    /// a group its own: where the result is found.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.canvas.set_id(id.into());
        self
    }

    /// The queue, by its name in `SEDANO_QUEUES`, instead of its [route](crate::Routes)'s and the task's own.
    pub fn queue(self, queue: impl AsRef<str>) -> Self {
        let queue = QueueName::new(queue);
        self.each(|call| call.queue = Some(queue.clone()))
    }

    /// Not before this long from the send. Wins over [`eta`](Signature::eta), as in Celery. Of a chain it is the
    /// first step that waits.
    pub fn countdown(self, delay: Duration) -> Self {
        self.first(|call| call.countdown = Some(delay))
    }

    /// Not before this instant. Of a chain it is the first step that waits.
    pub fn eta(self, eta: Timestamp) -> Self {
        self.first(|call| call.eta = Some(eta))
    }

    /// Revoked, if it hasn't started this long after the send; a later step after it was sent itself.
    pub fn expires(self, after: Duration) -> Self {
        self.each(|call| call.expires = Some(Expires::After(after)))
    }

    /// Revoked, if it hasn't started at this instant.
    pub fn expires_at(self, at: Timestamp) -> Self {
        self.each(|call| call.expires = Some(Expires::At(at)))
    }

    /// From 0 to 9; carried with the message, not acted on by SQS.
    pub fn priority(self, priority: u8) -> Self {
        self.each(|call| call.priority = Some(priority))
    }

    /// Stops a run after this long, instead of the task's own limit.
    pub fn time_limit(self, limit: Duration) -> Self {
        self.each(|call| call.time_limit = Some(limit))
    }

    /// Warns a run after this long, instead of the task's own soft limit.
    pub fn soft_time_limit(self, limit: Duration) -> Self {
        self.each(|call| call.soft_time_limit = Some(limit))
    }

    /// Whether the return value is dropped, instead of the task's own choice. One that something follows from is
    /// kept in any case.
    pub fn ignore_result(self, ignore: bool) -> Self {
        self.each(|call| call.ignore_result = Some(ignore))
    }

    /// Whether it is [unique](crate::Options::unique) by its arguments, instead of the task's own choice.
    pub fn unique(self, unique: bool) -> Self {
        let says = match unique {
            true => Unique::Arguments,
            false => Unique::No,
        };
        self.each(|call| call.unique = Some(says.clone()))
    }

    /// Unique by this text (1 to 512 bytes) in place of its arguments; another task with the same text is another.
    pub fn unique_key(self, key: impl Into<String>) -> Self {
        let key = Unique::Key(key.into());
        self.each(|call| call.unique = Some(key.clone()))
    }

    /// Unique for so long from the send, a second at least, in place of until it is done.
    pub fn unique_for(self, period: Duration) -> Self {
        self.each(|call| call.unique_for = Some(period))
    }

    /// A header for the task to read; in a composition, for each of its tasks.
    pub fn header(self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.each(|call| {
            call.headers.insert(name.clone(), value.clone());
        })
    }

    /// SQS's message group: the order on FIFO queues, the tenant on others.
    pub fn message_group(self, group: impl Into<String>) -> Self {
        let group = group.into();
        self.each(|call| call.message_group = Some(group.clone()))
    }
}

/// What is sent as JSON, or why there is none of it; the levels around it are the message's.
fn to_json(value: &impl Serialize, levels: usize) -> Result<Value, String> {
    finite::check(value, levels).map_err(|error| error.to_string())?;
    serde_json::to_value(value).map_err(|error| error.to_string())
}

/// A composition from its JSON, as senders in other languages write it: a workflow that was stored, or that is
/// put together at run time.
///
/// ```
/// use sedano::Signature;
/// use serde_json::{Value, json};
///
/// let chain = json!({ "chain": [{ "task": "add", "args": [2, 2] }, { "task": "mul", "args": [8] }] });
/// let total: Signature<(), Value> = chain.try_into()?;
///
/// let wrong = Signature::<(), Value>::try_from(json!({ "chain": [{ "tusk": "add" }] })).unwrap_err();
/// assert_eq!(
///     wrong.to_string(),
///     "step 1 of the workflow's chain has none of the fields `task`, `chain`, `group` and `chord`"
/// );
/// # Ok::<(), sedano::Error>(())
/// ```
impl TryFrom<Value> for Signature<(), Value> {
    type Error = Error;

    fn try_from(json: Value) -> Result<Self> {
        canvas::read(json, "the workflow").map(Self::of)
    }
}

impl<T: Task> From<T> for Signature<(), T::Output> {
    fn from(task: T) -> Self {
        Signature::new(task)
    }
}

impl Call {
    /// The arguments, or what was wrong with them.
    pub(crate) fn take_arguments(&mut self) -> Result<(Args, Kwargs)> {
        std::mem::replace(&mut self.arguments, Ok((Args::new(), Kwargs::new()))).map_err(|what| {
            let message = format!(
                "an argument of `{}` can't be written as JSON: {what}",
                self.task
            );
            Error::new(ErrorKind::Encode, message)
        })
    }
}
