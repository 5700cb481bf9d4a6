//! What a running task knows about itself.

use std::any::{Any, TypeId, type_name};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::canvas::{self, Canvas};
use crate::checkpoint::Checkpoints;
use crate::engine::{Branch, reached};
use crate::error::ErrorKind;
use crate::failure::{BoxError, Revoked, TaskError, shortened};
use crate::id;
use crate::launch::Origin;
use crate::message::Message;
use crate::record::{Progress, is_no_custom_state};
use crate::report::{Custom, META_BYTES, NOTE_BYTES, Reports};
use crate::result::AsyncResult;
use crate::revocations::Asked;
use crate::signature::Signature;
use crate::task::written;
use crate::time::Timestamp;

/// So many children are remembered in a task's record.
const CHILDREN: usize = 100;
/// The header that says when a task was due by its schedule.
pub(crate) const DUE: &str = "sedano-due";

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
    /// The first of what was sent.
    sent: Mutex<Vec<String>>,
    /// The members it adds to its group, as JSON.
    added: Mutex<Vec<Value>>,
    checkpoints: Arc<Checkpoints>,
    reports: Arc<Reports>,
    asked: Arc<Asked>,
    derives_children: bool,
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
            sent: Mutex::default(),
            added: Mutex::default(),
            checkpoints: Arc::default(),
            reports: Arc::default(),
            asked: Arc::default(),
            derives_children: true,
        }
    }

    pub(crate) fn with_checkpoints(mut self, checkpoints: Arc<Checkpoints>) -> Self {
        self.checkpoints = checkpoints;
        self
    }

    pub(crate) fn with_reports(mut self, reports: Arc<Reports>) -> Self {
        self.reports = reports;
        self
    }

    pub(crate) fn with_asked(mut self, asked: Arc<Asked>) -> Self {
        self.asked = asked;
        self
    }

    /// Whether children's ids are derived: always, but in the simulation.
    pub(crate) fn with_derived_children(mut self, derives: bool) -> Self {
        self.derives_children = derives;
        self
    }

    #[cfg(feature = "sim")]
    pub(crate) fn message(&self) -> &Message {
        &self.message
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

    /// When its schedule had it due: of what beat sends, the same in every run, however late that is and however
    /// often it is retried. A task that does what belongs to a day asks this and no clock.
    ///
    /// It is what the header `sedano-due` says. Other senders may set it too, to have a day done again; without it,
    /// or where it is no instant, there is none.
    pub fn due(&self) -> Option<Timestamp> {
        self.headers().get(DUE)?.as_str()?.parse().ok()
    }

    /// Whether the sender dropped or asked for the result, instead of the task's own choice.
    pub(crate) fn ignore_result(&self) -> Option<bool> {
        self.message.ignore_result
    }

    /// A key for services that take one (Stripe's `Idempotency-Key`): the same in every run of this
    /// task, so that an effect which a crash cut off from its record isn't repeated. A task that is redriven
    /// with other arguments keeps it too: such a service then refuses them, or answers for the old ones.
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

    /// Completes when the task should come to an end: at its soft time limit; without one, two seconds
    /// before it is stopped, or a quarter of its time if that is less. Race it against work that can be
    /// given up in good order, and return what says so: a snooze, to go on later.
    ///
    /// ```
    /// use sedano::{Context, TaskError, task};
    /// use std::time::Duration;
    ///
    /// # async fn work() {}
    /// #[task]
    /// async fn crunch(#[ctx] ctx: &Context) -> Result<(), TaskError> {
    ///     tokio::select! {
    ///         () = work() => Ok(()),
    ///         () = ctx.cancelled() => Err(TaskError::snooze(Duration::ZERO)),
    ///     }
    /// }
    /// ```
    pub async fn cancelled(&self) {
        let clock = &self.app.ports().clock;
        clock.sleep(self.end().since(clock.now())).await;
    }

    /// Whether [`cancelled`](Context::cancelled) has completed: for loops that look now and then.
    pub fn is_cancelled(&self) -> bool {
        self.app.now() >= self.end()
    }

    /// Whether the task was revoked since it began: by its id, or by a group, a root, a stamp or a name
    /// that it bears. A body that goes on for long asks now and then; nothing else stops it.
    ///
    /// It reads the record, but at most once in two seconds, and what it has learned stays: ask as often as you like. Where
    /// the tables don't answer, it isn't.
    pub async fn is_revoked(&self) -> bool {
        self.asked.ask(&self.app, &self.message).await
    }

    /// The same as an error, for `?`: returned by the task it ends it as REVOKED, and nothing that follows the task
    /// is sent.
    ///
    /// ```
    /// use sedano::{Context, TaskError, task};
    ///
    /// # async fn import(row: &str) -> Result<(), std::io::Error> { Ok(()) }
    /// #[task]
    /// async fn import_all(#[ctx] ctx: &Context, rows: Vec<String>) -> Result<(), TaskError> {
    ///     for row in &rows {
    ///         ctx.ensure_not_revoked().await?;
    ///         import(row).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// If the task was revoked.
    pub async fn ensure_not_revoked(&self) -> Result<(), Revoked> {
        match self.is_revoked().await {
            true => Err(Revoked),
            false => Ok(()),
        }
    }

    fn end(&self) -> Timestamp {
        const NOTICE: Duration = Duration::from_secs(2);
        let whole = self.deadline.since(self.started_at);
        self.soft_deadline
            .unwrap_or_else(|| self.deadline - NOTICE.min(whole / 4))
    }

    /// A step of the task that is done once: its value is written into the task's record, and a later run,
    /// after a retry or a crash, takes it from there and doesn't do the step. Between the step's end and
    /// the write lies a moment in which a crash repeats it: what a step does outside is best repeatable, by
    /// [`idempotency_key`](Context::idempotency_key).
    ///
    /// The value is kept as JSON until the task succeeds. Names tell the steps of one task apart; all
    /// checkpoints of a task have 100 KiB. Each costs a write.
    ///
    /// ```
    /// use sedano::{Context, TaskError, task};
    ///
    /// # async fn charge(order: &str, key: &str) -> Result<String, std::io::Error> { Ok(order.into()) }
    /// # async fn ship(order: &str, receipt: &str) -> Result<(), std::io::Error> { Ok(()) }
    /// #[task(retry)]
    /// async fn fulfil(#[ctx] ctx: &Context, order: String) -> Result<(), TaskError> {
    ///     let receipt = ctx.checkpoint("charge", charge(&order, ctx.idempotency_key())).await?;
    ///     ship(&order, &receipt).await?; // may fail and be retried: the card is charged once
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// The step's own, and then nothing is kept. Permanent: a kept value that isn't a `T`, one that can't
    /// be written as JSON or is too large, or a task marked `idempotent`, which has no claim to keep it
    /// under. To be retried: a store that doesn't answer until the run ends.
    pub async fn checkpoint<T, E>(
        &self,
        name: &str,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, TaskError>
    where
        T: Serialize + DeserializeOwned,
        E: Into<BoxError>,
    {
        if let Some(kept) = self.checkpoints.get(name).await {
            reached(Branch::CheckpointTaken);
            #[cfg(feature = "sim")]
            crate::sim::stepped(self, name, &kept, true);
            return serde_json::from_str(&kept).map_err(|error| {
                let what = std::any::type_name::<T>();
                TaskError::permanent(format!("checkpoint `{name}` holds no {what}: {error}"))
            });
        }
        let value = step.await.map_err(TaskError::new)?;
        let json = serde_json::to_string(&value).map_err(|error| {
            TaskError::permanent(format!("checkpoint `{name}` can't be JSON: {error}"))
        })?;
        #[cfg(feature = "sim")]
        crate::sim::stepped(self, name, &json, false);
        let kept = self
            .checkpoints
            .set(self.app.ports(), &self.reports, name, json)
            .await;
        match kept {
            Ok(()) => Ok(value),
            Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::TooLarge) => {
                Err(TaskError::permanent(error))
            }
            Err(error) => Err(TaskError::retry(error)),
        }
    }

    /// Says how far the task has come: `done` of `total`, where 0 says that nobody knows how much there is, and a
    /// note for people; an empty one is none. Its record shows it as [`Record::progress`](crate::Record::progress),
    /// and so do the HTTP API and the page.
    ///
    /// A call costs nothing and never fails. Once a second, at the most, the latest is written to the record, while
    /// the task awaits something; what takes less than a second writes nothing. It is there while the task is
    /// STARTED: its end, and the next run, take it away. An idempotent task has no record while it runs, unless it
    /// was [claimed all the same](crate::guide::tasks); then, and if the run has lost its lease, a warning is logged
    /// once and nothing is written.
    ///
    /// Numbers are of any type; what isn't a whole number from 0 on counts as 0. Of a note 500 bytes are kept.
    ///
    /// ```
    /// use sedano::{Context, TaskError, task};
    ///
    /// # async fn import(row: &str) -> Result<(), std::io::Error> { Ok(()) }
    /// #[task(retry)]
    /// async fn import_all(#[ctx] ctx: &Context, rows: Vec<String>) -> Result<(), TaskError> {
    ///     for (done, row) in rows.iter().enumerate() {
    ///         ctx.progress(done, rows.len(), format!("row {row}"));
    ///         import(row).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn progress(
        &self,
        done: impl TryInto<u64>,
        total: impl TryInto<u64>,
        note: impl Into<String>,
    ) {
        let note = note.into();
        let progress = Progress {
            done: done.try_into().unwrap_or(0),
            total: total.try_into().ok().filter(|total| *total > 0),
            note: (!note.is_empty()).then(|| match note.len() > NOTE_BYTES {
                true => shortened(&note, NOTE_BYTES),
                false => note,
            }),
            at: self.app.now(),
        };
        self.reports.progress(self.id(), progress);
    }

    /// Gives the task a state of its own, with what there is to say about it: Celery's
    /// `self.update_state(state=…, meta=…)`. Its record shows both as [`Record::custom`](crate::Record::custom), beside
    /// `status`, which stays STARTED.
    ///
    /// It is written as [`progress`](Context::progress) is, in the same write, and is gone as soon: once a second at
    /// the most, the latest; while the task is STARTED.
    ///
    /// ```
    /// use sedano::{Context, TaskError, task};
    /// use serde_json::json;
    ///
    /// # async fn fetch(page: u32) -> Result<(), std::io::Error> { Ok(()) }
    /// #[task(retry)]
    /// async fn crawl(#[ctx] ctx: &Context, pages: u32) -> Result<(), TaskError> {
    ///     for page in 0..pages {
    ///         ctx.update_state("PROGRESS", json!({"current": page, "total": pages}))?;
    ///         fetch(page).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Permanent: a name that isn't 1 to 64 of A to Z, 0 to 9 and `_`, a letter first, or that is a state of
    /// every task (`SUCCESS`); a `meta` that can't be written as JSON, or has over 16 KB of it. None for what becomes of
    /// the write.
    pub fn update_state(
        &self,
        state: impl Into<String>,
        meta: impl Serialize,
    ) -> Result<(), TaskError> {
        let state = state.into();
        if let Some(why) = is_no_custom_state(&state) {
            return Err(TaskError::permanent(why));
        }
        let meta = written(&meta).map_err(|error| {
            TaskError::permanent(format!(
                "the meta of state `{state}` can't be JSON: {error}"
            ))
        })?;
        if meta.len() > META_BYTES {
            let bytes = meta.len();
            return Err(TaskError::permanent(format!(
                "the meta of state `{state}` has {bytes} bytes; {META_BYTES} is the most: keep a reference to the \
                 data instead"
            )));
        }
        let at = self.app.now();
        self.reports.custom(self.id(), Custom { state, meta, at });
        Ok(())
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
    ) -> crate::Result<AsyncResult<Out>> {
        let mut canvas = child.into().into_canvas();
        if canvas.id().is_none() && self.derives_children {
            let id = self.child_id(&canvas);
            canvas.set_id(id);
        }
        let sent = self
            .app
            .send_from(canvas, Origin::after(&self.message))
            .await?;
        let mut children = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if children.len() < CHILDREN {
            children.push(sent.first().to_owned());
        }
        drop(children);
        Ok(sent)
    }

    /// Answers with another task or a whole workflow: return it as the error, and the task's result is that one's.
    /// What follows the task, its chain, callbacks and group, waits for that. Celery's `replace`.
    ///
    /// ```
    /// use sedano::{Context, Signature, TaskError, group, task};
    ///
    /// #[task]
    /// async fn add(x: i64, y: i64) -> Result<i64, TaskError> { Ok(x + y) }
    /// #[task]
    /// async fn xsum(numbers: Vec<i64>) -> Result<i64, TaskError> { Ok(numbers.iter().sum()) }
    ///
    /// #[task]
    /// async fn fanned_out(#[ctx] ctx: &Context, most: i64) -> Result<i64, TaskError> {
    ///     let parts: Vec<_> = (0..most).map(|n| add::s(n, n)).collect();
    ///     Err(ctx.replace(group(parts) | xsum::partial()))
    /// }
    /// ```
    pub fn replace<Out>(&self, by: impl Into<Signature<(), Out>>) -> TaskError {
        TaskError::replaced(by.into().into_canvas())
    }

    /// Adds a member to the group or chord that this task is a member of: its body waits for that one, too, and is
    /// given its result behind this task's own. What has been added is sent when this run has succeeded; a run that
    /// fails, is retried or dies adds nothing. Celery's `add_to_chord`.
    ///
    /// ```
    /// use sedano::{Context, TaskError, task};
    ///
    /// # async fn links_of(url: &str) -> Vec<String> { Vec::new() }
    /// /// A member of a chord whose body gets the numbers of all pages, however many turn up.
    /// #[task]
    /// async fn crawl(#[ctx] ctx: &Context, url: String) -> Result<usize, TaskError> {
    ///     let links = links_of(&url).await;
    ///     for link in &links {
    ///         ctx.add_to_chord(crawl::s(link.clone()))?;
    ///     }
    ///     Ok(links.len())
    /// }
    /// ```
    ///
    /// What is added yields what the group's other members do: the compiler can't see that, and where it is wrong the
    /// body fails with a type error. What one run adds and returns has to fit into its record, 380 KB in all; it may add
    /// more by adding a member that does. A [`checkpoint`](Context::checkpoint)'s step that isn't done again adds nothing.
    ///
    /// # Errors
    /// Permanent: a task that is no member of a group; one that something in its member follows, or that stands for
    /// a task which was replaced; what [`App::send`] would refuse.
    pub fn add_to_chord<Out>(
        &self,
        member: impl Into<Signature<(), Out>>,
    ) -> Result<(), TaskError> {
        let refused = |why: &str| {
            let task = self.task();
            TaskError::permanent(format!("`{task}` can't add members to a chord: {why}"))
        };
        let Some(place) = &self.message.member else {
            return Err(refused("it is no member of one"));
        };
        if !self.message.chain.is_empty() {
            return Err(refused(
                "it isn't the last step of its member; let that one add them",
            ));
        }
        if place.stands {
            return Err(refused("it stands for a task that was replaced"));
        }
        let mut canvas = member.into().into_canvas();
        let settled = self.app.settle(&mut canvas);
        settled.map_err(TaskError::permanent)?;
        self.app.check(&mut canvas).map_err(TaskError::permanent)?;
        let member = canvas::write(canvas).map_err(TaskError::permanent)?;
        let mut added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        added.push(member);
        Ok(())
    }

    /// The members it adds to its group.
    pub(crate) fn added(&self) -> Vec<Value> {
        std::mem::take(&mut *self.added.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The ids of what was sent.
    pub(crate) fn sent(&self) -> Vec<String> {
        self.sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn child_id(&self, child: &Canvas) -> String {
        let arguments = match child {
            Canvas::Task(call) => call.arguments.clone().map(|given| json!(given)),
            _ => canvas::write(child.clone()).map_err(|error| error.to_string()),
        };
        // The send will say what is wrong with them.
        let arguments = arguments.map_or_else(|what| what, |given| given.to_string());
        let alike = id::derived(&[self.id(), "child", child.name(), &arguments]);
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

    pub(crate) fn get<S: Send + Sync + 'static>(&self) -> Option<&S> {
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
