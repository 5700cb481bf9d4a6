//! A process in the world: its clock, its calls with what becomes of them, and the bodies it runs.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, oneshot};

use super::clock::{Skew, SkewedClock};
use super::faults::{Faults, MOST_SKEW};
use super::history::{Caller, End, History, Run};
use super::random::Random;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::failure::TaskError;
use crate::memory::Memory;
use crate::ports::{BoxFuture, Clock};
use crate::time::Timestamp;

/// What all processes of a world share.
pub(super) struct Shared {
    pub(super) seed: u64,
    pub(super) memory: Memory,
    /// Exact time.
    pub(super) clock: Arc<dyn Clock>,
    pub(super) faults: Faults,
    pub(super) faults_end: Timestamp,
    /// From when to when the tables answer nobody.
    outage: Option<(Timestamp, Timestamp)>,
    history: Mutex<History>,
    /// Calls on their way whose process need not live.
    pub(super) on_their_way: AtomicUsize,
    /// Told whenever the world may have become quiet.
    pub(super) changed: Notify,
}

impl Shared {
    pub(super) fn new(
        seed: u64,
        memory: Memory,
        clock: Arc<dyn Clock>,
        faults: Faults,
        told: bool,
    ) -> Self {
        let mut history = History::default();
        history.log.lines = told.then(Vec::new);
        let random = Random::stream(seed, "outage", 0);
        let happens = random.chance(faults.outage);
        let from = clock.now() + random.between(Duration::ZERO, Duration::from_secs(300));
        let to = from + random.between(Duration::ZERO, Duration::from_secs(2400));
        Self {
            outage: happens.then_some((from, to)),
            seed,
            memory,
            faults_end: clock.now() + faults.until,
            clock,
            faults,
            history: Mutex::new(history),
            on_their_way: AtomicUsize::new(0),
            changed: Notify::new(),
        }
    }

    /// Whether the tables answer nobody now.
    fn is_out(&self) -> bool {
        let now = self.clock.now();
        self.outage
            .is_some_and(|(from, to)| from <= now && now < to)
    }

    /// What goes wrong now.
    pub(super) fn faults(&self) -> Faults {
        if self.clock.now() < self.faults_end {
            self.faults
        } else {
            Faults::none()
        }
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        // Lists are appended to, so a poisoned lock holds good ones.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn log(&self, who: &Caller, what: fmt::Arguments<'_>) {
        self.history().log.add(self.clock.now(), who, what);
    }
}

/// A sender or a worker.
pub(super) struct Process {
    pub(super) shared: Arc<Shared>,
    skew: Skew,
    pub(super) random: Random,
    is_worker: bool,
    /// The invocation it is in.
    invocation: AtomicU32,
    dead: AtomicBool,
    dying: Notify,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    Throttled,
    Unreachable,
    AnswerLost,
    Twice,
}

tokio::task_local! {
    /// The process that the code at hand runs in.
    static RUNNING: Arc<Process>;
}

impl Process {
    pub(super) fn new(shared: Arc<Shared>, is_worker: bool, number: u64) -> Self {
        let concern = if is_worker { "worker" } else { "sender" };
        let random = Random::stream(shared.seed, concern, number);
        let most = shared.faults.skew.min(MOST_SKEW);
        let ahead = random.between(Duration::ZERO, most * 2).as_millis();
        let skew = i64::try_from(ahead).unwrap_or(0) - i64::try_from(most.as_millis()).unwrap_or(0);
        Self {
            shared,
            skew: Skew(skew),
            random,
            is_worker,
            invocation: AtomicU32::new(0),
            dead: AtomicBool::new(false),
            dying: Notify::new(),
        }
    }

    pub(super) fn clock(&self) -> SkewedClock {
        SkewedClock::new(self.shared.clock.clone(), self.skew)
    }

    pub(super) fn caller(&self) -> Caller {
        match self.is_worker {
            true => Caller::Invocation(self.invocation.load(Ordering::Relaxed)),
            false => Caller::Sender,
        }
    }

    /// Runs what belongs to an invocation of this process.
    pub(super) async fn scope<T>(
        self: &Arc<Self>,
        invocation: u32,
        inside: impl Future<Output = T>,
    ) -> T {
        self.invocation.store(invocation, Ordering::Relaxed);
        RUNNING.scope(self.clone(), inside).await
    }

    /// From now on what ends in it has died.
    pub(super) fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    /// Completes when a task asks for the process to die.
    pub(super) async fn dying(&self) {
        self.dying.notified().await;
    }

    fn fate(&self, faults: &Faults) -> Fate {
        let fates = [
            (faults.throttled, Fate::Throttled),
            (faults.unreachable, Fate::Unreachable),
            (faults.answer_lost, Fate::AnswerLost),
            (faults.done_twice, Fate::Twice),
        ];
        // Each is drawn, so that changing one rate moves none of the others.
        let drawn = fates.map(|(rate, fate)| self.random.chance(rate).then_some(fate));
        drawn.into_iter().flatten().next().unwrap_or(Fate::Done)
    }

    /// The error of a call of the tables that nobody answers.
    pub(super) async fn outage(&self) -> Result<()> {
        if !self.is_worker || !self.shared.is_out() {
            return Ok(());
        }
        let pause = self.random.between(Duration::ZERO, Duration::from_secs(2));
        self.shared.clock.sleep(pause).await;
        self.shared
            .log(&self.caller(), format_args!("the tables answer nobody"));
        Err(Error::new(
            ErrorKind::Unavailable,
            "the tables answer nobody",
        ))
    }

    /// One call of a service: it takes its time, and something becomes of it. `apply` is what the
    /// service does; it may be asked twice.
    pub(super) async fn call<T, R>(
        &self,
        request: R,
        mut apply: impl FnMut(&R) -> Result<T> + Send + 'static,
    ) -> Result<T>
    where
        T: fmt::Debug + Send + 'static,
        R: fmt::Debug + Send + 'static,
    {
        let shared = self.shared.clone();
        let faults = shared.faults();
        let slow = self.random.chance(faults.slow);
        let most = Duration::from_millis(if slow { 8_000 } else { 200 });
        let whole = self.random.between(Duration::ZERO, most);
        let before = self.random.between(Duration::ZERO, whole);
        let gap = self.random.between(Duration::ZERO, most);
        let late = self.random.chance(faults.done_late);
        let fate = self.fate(&faults);
        let who = self.caller();
        let not_done = |kind, text| {
            shared.log(&who, format_args!("{request:?} -> not done: {text}"));
            Err(Error::new(kind, text))
        };
        match fate {
            Fate::Throttled => {
                shared.clock.sleep(whole).await;
                return not_done(ErrorKind::Throttled, "slow down");
            }
            Fate::Unreachable => {
                shared.clock.sleep(whole).await;
                return not_done(ErrorKind::Unavailable, "no connection");
            }
            Fate::Done | Fate::AnswerLost | Fate::Twice => {}
        }
        let service = shared.clone();
        let work = async move {
            service.clock.sleep(before).await;
            let mut answer = apply(&request);
            service.log(&who, format_args!("{request:?} -> {answer:?} ({fate:?})"));
            if fate == Fate::Twice {
                service.clock.sleep(gap).await;
                answer = apply(&request);
                service.log(&who, format_args!("{request:?} -> {answer:?} (again)"));
            }
            answer
        };
        let answer = if late {
            detached(&shared, work).await
        } else {
            work.await
        };
        shared.clock.sleep(whole.saturating_sub(before)).await;
        if fate == Fate::AnswerLost {
            return Err(Error::new(ErrorKind::Unavailable, "the answer was lost"));
        }
        answer
    }

    fn begin(self: &Arc<Self>, ctx: &Context) -> Body {
        let now = self.shared.clock.now();
        let message = ctx.message();
        let run = Run {
            id: message.id.clone(),
            task: message.task.clone(),
            attempt: message.attempt,
            retries: message.retries,
            invocation: self.invocation.load(Ordering::Relaxed),
            begun: now,
            begun_there: self.skew.shown(now),
            claimed_there: ctx.started_at(),
            ended: None,
        };
        let who = self.caller();
        let (id, task, attempt) = (&run.id, &run.task, run.attempt);
        self.shared.log(
            &who,
            format_args!("body of {task} {id}, attempt {attempt}, begins"),
        );
        let mut history = self.shared.history();
        history.runs.push(run);
        Body {
            process: self.clone(),
            place: history.runs.len() - 1,
        }
    }
}

/// Goes on whatever becomes of whoever waits for it.
async fn detached<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let (answer, answered) = oneshot::channel();
    let world = shared.clone();
    world.on_their_way.fetch_add(1, Ordering::Relaxed);
    tokio::runtime::Handle::current().spawn(async move {
        // Whoever asked may be dead.
        drop(answer.send(work.await));
        world.on_their_way.fetch_sub(1, Ordering::Relaxed);
        world.changed.notify_waiters();
    });
    let lost = || Error::new(ErrorKind::Unavailable, "the world has ended");
    answered.await.unwrap_or_else(|_| Err(lost()))
}

/// What a port in memory answers: at once.
pub(super) fn at_once<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || Error::new(ErrorKind::Unavailable, "memory didn't answer at once");
    answer.now_or_never().unwrap_or_else(|| Err(late()))
}

/// A run of a body that is going on; when it is dropped, that was its end.
struct Body {
    process: Arc<Process>,
    place: usize,
}

impl Body {
    fn ended(&self, end: End) {
        let (shared, who) = (&self.process.shared, self.process.caller());
        let mut history = shared.history();
        let now = shared.clock.now();
        if let Some(run) = history.runs.get_mut(self.place)
            && run.ended.is_none()
        {
            run.ended = Some((now, end));
            let id = run.id.clone();
            history
                .log
                .add(now, &who, format_args!("body of {id}: {end:?}"));
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let dead = self.process.dead.load(Ordering::Relaxed);
        self.ended(if dead { End::Died } else { End::Stopped });
    }
}

/// The body, watched if it runs in a simulation.
pub(crate) fn recorded<'a>(
    ctx: &'a Context,
    body: BoxFuture<'a, Result<String, TaskError>>,
) -> BoxFuture<'a, Result<String, TaskError>> {
    let Ok(process) = RUNNING.try_with(Arc::clone) else {
        return body;
    };
    Box::pin(async move {
        let watched = process.begin(ctx);
        let outcome = body.await;
        let end = if outcome.is_ok() {
            End::Returned
        } else {
            End::Failed
        };
        watched.ended(end);
        outcome
    })
}

/// Kills the process that this task runs in, with all that runs beside it: out of memory, or a crash.
/// Outside a simulation it waits for ever.
///
/// ```
/// use sedano::sim::{die, Simulation};
/// use sedano::{task, tasks, State};
///
/// #[task]
/// async fn crash() {
///     die().await
/// }
///
/// Simulation::new(|| tasks![crash]).seeds(0..3).run(async |world| {
///     let crash = world.send(crash::s()).await;
///     world.settle().await;
///     assert_eq!(crash.state().await?, State::Failure);
///     assert_eq!(crash.record().await?.error.unwrap().kind, "WorkerLost");
///     Ok(())
/// }).unwrap();
/// ```
pub async fn die() {
    if let Ok(process) = RUNNING.try_with(Arc::clone) {
        process.dying.notify_one();
    }
    std::future::pending().await
}
