//! What a running task knows about itself.

use std::any::{Any, TypeId, type_name};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use crate::app::App;
use crate::error::Result;
use crate::id;
use crate::message::Message;
use crate::result::AsyncResult;
use crate::signature::{Call, Signature};
use crate::time::Timestamp;

/// The run of a task: who it is, how much time it has, what the worker gave it.
///
/// A task takes it as `#[ctx] ctx: &Context`.
#[derive(Debug)]
pub struct Context {
    app: App,
    message: Message,
    state: StateMap,
    started_at: Timestamp,
    deadline: Timestamp,
    soft_deadline: Option<Timestamp>,
    /// How many children were sent with the same call, by what they are derived from.
    children: Mutex<BTreeMap<String, u32>>,
}

impl Context {
    pub(crate) fn new(
        app: App,
        message: Message,
        state: StateMap,
        started_at: Timestamp,
        deadline: Timestamp,
        soft_deadline: Option<Timestamp>,
    ) -> Self {
        Self {
            app,
            message,
            state,
            started_at,
            deadline,
            soft_deadline,
            children: Mutex::default(),
        }
    }

    /// The task's id, the same in every run.
    pub fn id(&self) -> &str {
        &self.message.id
    }

    /// The task's name on the wire.
    pub fn task(&self) -> &str {
        &self.message.task
    }

    /// How many retries there were: 0 in the first run.
    pub fn retries(&self) -> u32 {
        self.message.retries
    }

    /// The first task of the tree this one belongs to; its own id if it is the first.
    pub fn root_id(&self) -> &str {
        self.message.root()
    }

    /// The task that sent this one, if one did.
    pub fn parent_id(&self) -> Option<&str> {
        self.message.parent_id.as_deref()
    }

    /// The sender's headers.
    pub fn headers(&self) -> &Map<String, Value> {
        &self.message.headers
    }

    /// Whether the sender dropped or asked for the result, instead of the task's own choice.
    pub(crate) fn ignore_result(&self) -> Option<bool> {
        self.message.ignore_result
    }

    /// A key for services that take one (Stripe's `Idempotency-Key`): the same in every run of this
    /// task, so that an effect which a crash cut off from its record isn't repeated.
    pub fn idempotency_key(&self) -> &str {
        &self.message.id
    }

    /// When this run started.
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// When this run will be stopped: its time limit, or the end of the invocation if that is sooner.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// Completes when the soft time limit has passed; never, without one. Race it against the work to
    /// give up in good order, and return [`SoftTimeLimit`](crate::SoftTimeLimit).
    pub async fn soft_time_limit(&self) {
        let clock = &self.app.ports().clock;
        match self.soft_deadline {
            Some(limit) => clock.sleep(limit.since(clock.now())).await,
            None => std::future::pending().await,
        }
    }

    /// The application: to look up results, or to send what isn't a child of this task.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Sends a child of this task. Its id is derived from this task's id and the call (of calls that
    /// are alike, their order), so that a run that is repeated doesn't fan out twice: what an earlier
    /// run sent is not sent anew, what it didn't send is.
    ///
    /// # Errors
    /// As [`App::send`].
    pub async fn send<Out>(
        &self,
        child: impl Into<Signature<(), Out>>,
    ) -> Result<AsyncResult<Out>> {
        let mut signature = child.into();
        let call = signature.call_mut();
        if call.id.is_none() {
            call.id = Some(self.child_id(call));
        }
        call.root_id = Some(self.root_id().to_owned());
        call.parent_id = Some(self.id().to_owned());
        call.hops = self.message.hops.saturating_add(1);
        call.trace.clone_from(&self.message.trace);
        self.app.send(signature).await
    }

    fn child_id(&self, call: &Call) -> String {
        let arguments = match &call.arguments {
            Ok((args, kwargs)) => json!([args, kwargs]).to_string(),
            // The send will say what is wrong with them.
            Err(_) => String::new(),
        };
        let alike = id::derived(&[self.id(), "child", &call.task, &arguments]);
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let count = children.entry(alike.clone()).or_default();
        *count += 1;
        id::derived(&[&alike, &count.to_string()])
    }

    /// A value that the worker was given with [`Worker::state`](crate::Worker::state); a task takes it
    /// as `#[state] db: &Db`, and the worker checks at start that it is there.
    ///
    /// # Panics
    /// If the worker has no such value and was started without its check.
    pub fn state<S: Send + Sync + 'static>(&self) -> &S {
        self.state
            .get()
            .unwrap_or_else(|| missing_state(type_name::<S>()))
    }
}

#[expect(
    clippy::panic,
    reason = "Worker::check refuses to start without the state"
)]
fn missing_state(name: &str) -> ! {
    panic!("the worker has no state of type `{name}`: give it with `.state(…)`")
}

/// The values a worker was given, by type.
#[derive(Clone, Default)]
pub(crate) struct StateMap(Arc<BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl StateMap {
    pub(crate) fn insert<S: Send + Sync + 'static>(&mut self, value: S) {
        Arc::make_mut(&mut self.0).insert(TypeId::of::<S>(), Arc::new(value));
    }

    pub(crate) fn contains(&self, id: TypeId) -> bool {
        self.0.contains_key(&id)
    }

    fn get<S: Send + Sync + 'static>(&self) -> Option<&S> {
        self.0
            .get(&TypeId::of::<S>())
            .and_then(|value| value.downcast_ref())
    }
}

impl std::fmt::Debug for StateMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StateMap({} values)", self.0.len())
    }
}
