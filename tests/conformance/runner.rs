//! Runs every case on every backend, at once as far as that doesn't disturb, and prints one line for
//! each in a fixed order.

use std::any::Any;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use sedano::StoreWrites;
use sedano_tests::emulator::{Emulator, Missing};
use sedano_tests::setup::Setup;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::differences::difference;
use crate::world::{Backend, World};

/// A case: its name and what it does.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(World) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// A list of cases from async functions, under the functions' names.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(crate) const CASES: &[$crate::runner::Case] = &[$(
            $crate::runner::Case { name: stringify!($name), run: |world| Box::pin($name(world)) },
        )*];
    };
}
pub(crate) use cases;

/// Cases about one port.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) cases: &'static [Case],
    pub(crate) paths: Paths,
}

/// Which of the two write paths of the store a group runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paths {
    /// It doesn't matter to these cases.
    One,
    /// Each.
    Both,
}

/// The most cases at once on one emulator: enough to sleep together, few enough to be answered soon.
const AT_ONCE: usize = 8;

enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

struct Job {
    label: String,
    case: &'static Case,
    place: Place,
}

enum Place {
    Run(Backend, StoreWrites),
    Absent(Missing),
    Differs(String),
}

/// Runs the cases whose label has all the words.
pub(crate) fn run(groups: &[Group], words: &[String]) -> ExitCode {
    std::panic::set_hook(Box::new(|info| PANIC.set(Some(info.to_string()))));
    let jobs = jobs(groups);
    let jobs: Vec<Job> = jobs
        .into_iter()
        .filter(|job| words.iter().all(|word| job.label.contains(word.as_str())))
        .collect();
    let labels: Vec<String> = jobs.iter().map(|job| job.label.clone()).collect();
    let verdicts = verdicts(jobs);
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (label, verdict) in labels.iter().zip(verdicts) {
        match verdict {
            Verdict::Passed => {
                passed += 1;
                println!("ok       {label}");
            }
            Verdict::Failed(why) => {
                failed += 1;
                println!(
                    "FAILED   {label}\n         {}",
                    why.replace('\n', "\n         ")
                );
            }
            Verdict::Skipped(why) => {
                skipped += 1;
                println!("skipped  {label}: {why}");
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn jobs(groups: &[Group]) -> Vec<Job> {
    let emulators = Emulator::ALL.map(|emulator| {
        let backend = emulator.url().map(|url| Backend::Emulator {
            emulator,
            setup: Arc::new(Setup::new(&url)),
            url: url.into(),
        });
        (emulator, backend)
    });
    let mut jobs = Vec::new();
    for group in groups {
        for case in group.cases {
            let name = format!("{}::{}", group.name, case.name);
            for mode in [StoreWrites::Batch, StoreWrites::Single] {
                if mode == StoreWrites::Single && group.paths == Paths::One {
                    continue;
                }
                let path = match (group.paths, mode) {
                    (Paths::One, _) => "",
                    (Paths::Both, StoreWrites::Batch) => "/batch",
                    (Paths::Both, StoreWrites::Single) => "/single",
                };
                let label = |place: &str| format!("{:<17} {name}", format!("{place}{path}"));
                let place = match difference(&name, None, mode) {
                    Some(reason) => Place::Differs(reason.to_owned()),
                    None => Place::Run(Backend::Memory, mode),
                };
                jobs.push(Job {
                    label: label("memory"),
                    case,
                    place,
                });
                for (emulator, backend) in &emulators {
                    let place = match (difference(&name, Some(*emulator), mode), backend) {
                        (Some(reason), _) => Place::Differs(reason.to_owned()),
                        (None, Ok(backend)) => Place::Run(backend.clone(), mode),
                        (None, Err(missing)) => Place::Absent(missing.clone()),
                    };
                    jobs.push(Job {
                        label: label(emulator.name()),
                        case,
                        place,
                    });
                }
            }
        }
    }
    jobs
}

fn verdicts(jobs: Vec<Job>) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut real = Vec::new();
    for (index, job) in jobs.into_iter().enumerate() {
        verdicts.push(match job.place {
            Place::Run(Backend::Memory, mode) => in_virtual_time(job.case, mode),
            Place::Run(backend, mode) => {
                real.push((index, job.case, backend, mode));
                Verdict::Failed("it did not end".to_owned())
            }
            Place::Absent(missing) if missing.required => Verdict::Failed(missing.to_string()),
            Place::Absent(missing) => Verdict::Skipped(missing.to_string()),
            Place::Differs(reason) => Verdict::Skipped(reason),
        });
    }
    for (index, verdict) in in_real_time(real) {
        verdicts[index] = verdict;
    }
    verdicts
}

fn in_virtual_time(case: &'static Case, mode: StoreWrites) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system");
    runtime.block_on(async { caught((case.run)(World::new(Backend::Memory, mode))).await })
}

fn in_real_time(jobs: Vec<(usize, &'static Case, Backend, StoreWrites)>) -> Vec<(usize, Verdict)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system gives a poller");
    let permits = Emulator::ALL.map(|emulator| (emulator, Arc::new(Semaphore::new(AT_ONCE))));
    runtime.block_on(async move {
        let mut running = JoinSet::new();
        for (index, case, backend, mode) in jobs {
            let permit = permits.iter().find(|(emulator, _)| backend.is(*emulator));
            let permit = permit.map(|(_, permit)| permit.clone());
            running.spawn(async move {
                let _permit = match &permit {
                    Some(permit) => permit.acquire().await.ok(),
                    None => None,
                };
                (index, caught((case.run)(World::new(backend, mode))).await)
            });
        }
        running.join_all().await
    })
}

thread_local! {
    /// What the last panic of this thread said, and where.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs a case to its end or its panic.
async fn caught(mut case: Pin<Box<dyn Future<Output = ()> + Send>>) -> Verdict {
    poll_fn(move |context| {
        // A case that panicked is never polled again.
        match catch_unwind(AssertUnwindSafe(|| case.as_mut().poll(context))) {
            Ok(poll) => poll.map(|()| Verdict::Passed),
            Err(payload) => std::task::Poll::Ready(Verdict::Failed(said(&*payload))),
        }
    })
    .await
}

fn said(payload: &(dyn Any + Send)) -> String {
    PANIC
        .take()
        .unwrap_or_else(|| match payload.downcast_ref::<String>() {
            Some(text) => text.clone(),
            None => "a panic without a message".to_owned(),
        })
}
