//! A process in the world: its clock, and its calls with what becomes of them.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, oneshot};

use super::clock::{Skew, SkewedClock};
use super::faults::{Faults, MOST_SKEW};
use super::history::{Caller, History};
use super::random::Random;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::Memory;
use crate::ports::Clock;
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
    /// From when to when no function starts.
    unstarted: Option<(Timestamp, Timestamp)>,
    history: Mutex<History>,
    /// Calls on their way whose process need not live.
    pub(super) on_their_way: AtomicUsize,
    /// Told whenever the world may have become quiet.
    pub(super) changed: Notify,
    /// Told whenever a task was parked.
    pub(super) parked: Notify,
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
        let awhile = |concern, rate| {
            let random = Random::stream(seed, concern, 0);
            let happens = random.chance(rate);
            let from = clock.now() + random.between(Duration::ZERO, Duration::from_secs(300));
            let to = from + random.between(Duration::ZERO, Duration::from_secs(2400));
            happens.then_some((from, to))
        };
        let outage = awhile("outage", faults.outage);
        let unstarted = awhile("unstarted", faults.unstarted);
        let faults_end = clock.now() + faults.until;
        history.calm_from = match faults == Faults::none() {
            true => clock.now(),
            false => faults_end,
        };
        for (_, to) in [outage, unstarted].into_iter().flatten() {
            history.calm_from = history.calm_from.max(to);
        }
        Self {
            outage,
            unstarted,
            seed,
            memory,
            faults_end,
            clock,
            faults,
            history: Mutex::new(history),
            on_their_way: AtomicUsize::new(0),
            changed: Notify::new(),
            parked: Notify::new(),
        }
    }

    /// Waits until a task is parked.
    pub(super) async fn something_parked(&self) {
        while self.history().parked.is_empty() {
            self.parked.notified().await;
        }
    }

    /// Beat has nothing left to send of what is due by then.
    pub(super) fn beaten(&self, until: Timestamp) {
        let mut history = self.history();
        history.beaten = history.beaten.max(Some(until));
        drop(history);
        self.changed.notify_waiters();
    }

    /// Up to then something goes wrong, and what is due need not begin soon.
    pub(super) fn disturbed_until(&self, until: Timestamp) {
        let mut history = self.history();
        history.calm_from = history.calm_from.max(until);
    }

    /// Whether the tables answer nobody now.
    fn is_out(&self) -> bool {
        self.is_within(self.outage)
    }

    /// Whether no function starts now.
    pub(super) fn starts_nothing(&self) -> bool {
        self.is_within(self.unstarted)
    }

    fn is_within(&self, span: Option<(Timestamp, Timestamp)>) -> bool {
        let now = self.clock.now();
        span.is_some_and(|(from, to)| from <= now && now < to)
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

    /// Something went wrong, by the name of its rate in [`Faults`].
    pub(super) fn fired(&self, fault: &'static str) {
        *self.history().faults.entry(fault).or_default() += 1;
    }

    pub(super) fn log(&self, who: &Caller, what: fmt::Arguments<'_>) {
        self.history().log.add(self.clock.now(), who, what);
    }
}

/// A sender or a worker.
pub(super) struct Process {
    pub(super) shared: Arc<Shared>,
    pub(super) skew: Skew,
    pub(super) random: Random,
    is_worker: bool,
    /// The invocation it is in.
    pub(super) invocation: AtomicU32,
    pub(super) dead: AtomicBool,
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

impl Fate {
    /// Its name among the [`Faults`].
    fn fault(self) -> Option<&'static str> {
        match self {
            Fate::Done => None,
            Fate::Throttled => Some("throttled"),
            Fate::Unreachable => Some("unreachable"),
            Fate::AnswerLost => Some("answer_lost"),
            Fate::Twice => Some("done_twice"),
        }
    }
}

tokio::task_local! {
    /// The process that the code at hand runs in.
    pub(super) static RUNNING: Arc<Process>;
}

impl Process {
    pub(super) fn new(shared: Arc<Shared>, is_worker: bool, number: u64) -> Self {
        let concern = if is_worker { "worker" } else { "sender" };
        let random = Random::stream(shared.seed, concern, number);
        let most = shared.faults.skew.min(MOST_SKEW);
        let ahead = random.between(Duration::ZERO, most * 2).as_millis();
        let skew = i64::try_from(ahead).unwrap_or(0) - i64::try_from(most.as_millis()).unwrap_or(0);
        if skew != 0 {
            shared.fired("skew");
        }
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

    /// A task asks for the process to die.
    pub(super) fn ask_to_die(&self) {
        self.dying.notify_one();
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
        self.shared.fired("outage");
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
        if slow {
            shared.fired("slow");
        }
        if let Some(fault) = fate.fault() {
            shared.fired(fault);
        }
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
            shared.fired("done_late");
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
