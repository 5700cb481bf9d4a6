//! A call that isn't sent yet: which task, with what, and how.

use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::app::App;
use crate::bind::{Args, Kwargs};
use crate::error::{Error, ErrorKind, Result};
use crate::options::Options;
use crate::ports::QueueName;
use crate::result::AsyncResult;
use crate::task::Task;
use crate::time::Timestamp;
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
    call: Call,
    types: PhantomData<fn(In) -> Out>,
}

impl<In, Out> Clone for Signature<In, Out> {
    fn clone(&self) -> Self {
        Self {
            call: self.call.clone(),
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
    pub(crate) headers: Map<String, Value>,
    pub(crate) message_group: Option<String>,
    pub(crate) root_id: Option<String>,
    pub(crate) parent_id: Option<String>,
    pub(crate) hops: u32,
    pub(crate) trace: Option<String>,
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
            headers: Map::new(),
            message_group: None,
            root_id: None,
            parent_id: None,
            hops: 0,
            trace: None,
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
        Self {
            call,
            types: PhantomData,
        }
    }

    /// A call of a task that is known by name only: its arguments are checked by the worker, and its
    /// result is read as whatever type the caller says (`serde_json::Value` takes anything).
    ///
    /// ```
    /// use sedano::Signature;
    ///
    /// let call: Signature<(), i64> = Signature::named("add").arg(2).kwarg("y", 3);
    /// ```
    pub fn named(task: impl Into<String>) -> Self {
        Self {
            call: Call::named(task),
            types: PhantomData,
        }
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
    pub(crate) fn call_mut(&mut self) -> &mut Call {
        &mut self.call
    }

    pub(crate) fn into_call(self) -> Call {
        self.call
    }

    /// The same call where nobody asks for its result.
    pub(crate) fn forget_output(self) -> Signature<In, ()> {
        Signature {
            call: self.call,
            types: PhantomData,
        }
    }

    /// The task's name.
    pub fn task(&self) -> &str {
        &self.call.task
    }

    /// One more argument by position. One that can't be written as JSON is an error of the send.
    pub fn arg(mut self, value: impl Serialize) -> Self {
        self.add(value, |(args, _), value| args.push(value));
        self
    }

    /// One more argument by name.
    pub fn kwarg(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        self.add(value, |(_, kwargs), value| {
            kwargs.insert(name.into(), value);
        });
        self
    }

    fn add(&mut self, value: impl Serialize, put: impl FnOnce(&mut (Args, Kwargs), Value)) {
        if let Ok(arguments) = &mut self.call.arguments {
            match to_json(&value, json::DEPTH - 2) {
                Ok(value) => put(arguments, value),
                Err(what) => self.call.arguments = Err(what),
            }
        }
    }

    /// The task's id, chosen by the caller: any text of 1 to 512 bytes without control characters. Of
    /// several messages with one id, one takes effect.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.call.id = Some(id.into());
        self
    }

    /// The queue, by its name in `SEDANO_QUEUES`, instead of the task's own.
    pub fn queue(mut self, queue: impl AsRef<str>) -> Self {
        self.call.queue = Some(QueueName::new(queue));
        self
    }

    /// Not before this long from the send. Wins over [`eta`](Signature::eta), as in Celery.
    pub fn countdown(mut self, delay: Duration) -> Self {
        self.call.countdown = Some(delay);
        self
    }

    /// Not before this instant.
    pub fn eta(mut self, eta: Timestamp) -> Self {
        self.call.eta = Some(eta);
        self
    }

    /// Revoked, if it hasn't started this long after the send.
    pub fn expires(mut self, after: Duration) -> Self {
        self.call.expires = Some(Expires::After(after));
        self
    }

    /// Revoked, if it hasn't started at this instant.
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.call.expires = Some(Expires::At(at));
        self
    }

    /// From 0 to 9; carried with the message, not acted on by SQS.
    pub fn priority(mut self, priority: u8) -> Self {
        self.call.priority = Some(priority);
        self
    }

    /// Stops a run after this long, instead of the task's own limit.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.call.time_limit = Some(limit);
        self
    }

    /// Warns a run after this long, instead of the task's own soft limit.
    pub fn soft_time_limit(mut self, limit: Duration) -> Self {
        self.call.soft_time_limit = Some(limit);
        self
    }

    /// Whether the return value is dropped, instead of the task's own choice.
    pub fn ignore_result(mut self, ignore: bool) -> Self {
        self.call.ignore_result = Some(ignore);
        self
    }

    /// A header for the task to read.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.call.headers.insert(name.into(), value.into());
        self
    }

    /// SQS's message group: the order on FIFO queues, the tenant on others.
    pub fn message_group(mut self, group: impl Into<String>) -> Self {
        self.call.message_group = Some(group.into());
        self
    }
}

/// What is sent as JSON, or why there is none of it; the levels around it are the message's.
fn to_json(value: &impl Serialize, levels: usize) -> Result<Value, String> {
    finite::check(value, levels).map_err(|error| error.to_string())?;
    serde_json::to_value(value).map_err(|error| error.to_string())
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
