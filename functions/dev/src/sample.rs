//! The sample workload: an addition, a task that fails twice, and the words of real files.
//!
//! It goes through everything a task goes through: the queue, batches, claims, retries, results. The
//! words of each file are counted by a task of its own, a chord over some files adds them up, and a chord
//! over those chords all of them.

use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;

use sedano::memory::Counts as Cost;
use sedano::{App, AsyncResult, Record, Result, State, Timestamp, chord};
use sedano_tasks::arithmetic::add;
use sedano_tasks::failing::flaky;
use sedano_tasks::words::{Counts, count_words, top_words};
use serde::de::DeserializeOwned;

use crate::Stack;
use crate::files::Files;
use crate::progress::Progress;

/// How many words are shown.
const TOP: usize = 20;
/// How many words of each file are kept on the way: what remains below 16 KB a file.
const KEPT: usize = 500;
/// How many files one chord takes.
const FAN_IN: usize = 40;
/// How often and how many results are asked after.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOK_AT: usize = 200;
/// When nothing has finished for this long, nothing will.
const PATIENCE: Duration = Duration::from_secs(90);

/// What came of the workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// `add(2, 3)`.
    pub sum: Option<i64>,
    /// `flaky(2)`: how many retries it took.
    pub retries: Option<u32>,
    /// How many files were counted.
    pub files: usize,
    /// How many were left out.
    pub left_out: usize,
    /// The most frequent words.
    pub top: Counts,
    /// What went wrong, a sentence each.
    pub failures: Vec<String>,
    /// How many tasks there were.
    pub tasks: usize,
    /// How often they were run.
    pub runs: u32,
    /// How long it took.
    pub took: Duration,
    /// What it would have cost on AWS.
    pub cost: Cost,
}

/// Runs the workload over the files; each failed task is in the outcome's `failures`.
///
/// # Errors
/// When the stack itself fails.
pub async fn run<W: Write>(
    stack: &Stack,
    files: &Files,
    progress: &mut Progress<W>,
) -> Result<Outcome> {
    let app = stack.app();
    let (started, before) = (app.ports().clock.now(), stack.memory().counts());
    let mut run = Run {
        app,
        progress,
        tasks: 0,
        runs: 0,
        failures: Vec::new(),
    };
    let sum = app.send(add::s(2, 3)).await?;
    let flaky = app.send(flaky::s(2)).await?;
    let top = run.words(&files.paths).await?;
    let sum = run
        .values("add(2, 3)", vec![sum], |_| "add(2, 3)".into())
        .await?;
    let retries = run
        .values("flaky(2), which fails twice", vec![flaky], |_| {
            "flaky(2)".into()
        })
        .await?;
    run.progress.end();
    Ok(Outcome {
        sum: sum.into_iter().next(),
        retries: retries.into_iter().next(),
        files: files.paths.len(),
        left_out: files.left_out,
        top,
        failures: run.failures,
        tasks: run.tasks,
        runs: run.runs,
        took: app.ports().clock.now().since(started),
        cost: stack.memory().counts().since(&before),
    })
}

impl Outcome {
    /// Whether every task succeeded with the right result.
    pub fn is_success(&self) -> bool {
        self.failures.is_empty() && self.sum == Some(5) && self.retries == Some(2)
    }
}

struct Run<'a, W> {
    app: &'a App,
    progress: &'a mut Progress<W>,
    tasks: usize,
    runs: u32,
    failures: Vec<String>,
}

impl<W: Write> Run<'_, W> {
    /// The words of all files: a chord for some files each, and one over the chords.
    async fn words(&mut self, paths: &[String]) -> Result<Counts> {
        let counted = |paths: &[String], limit| {
            let counts = paths.iter().map(|path| count_words::s(path.clone(), KEPT));
            chord(counts.collect::<Vec<_>>(), top_words::partial(limit))
        };
        let all = match paths.len() {
            0..=FAN_IN => counted(paths, TOP),
            _ => {
                let chords = paths.chunks(FAN_IN).map(|paths| counted(paths, KEPT));
                chord(chords.collect::<Vec<_>>(), top_words::partial(TOP))
            }
        };
        let top = self.app.send(all).await?;
        let clock = &self.app.ports().clock;
        let (mut done, mut moved) = (0, clock.now());
        let graph = loop {
            let graph = top.graph().await?;
            let states = graph.nodes.values().map(|node| node.status);
            let over = states.filter(|state| state.is_final()).count();
            let now = clock.now();
            if over > done {
                (done, moved) = (over, now);
            }
            let of = graph.nodes.len();
            self.progress.tell(
                now,
                &format!("counting the words of files: {done} of {of} done"),
            );
            if top.ready().await? || now.since(moved) > PATIENCE {
                break graph;
            }
            clock.sleep(LOOK_EVERY).await;
        };
        for id in graph.nodes.keys() {
            let record = self.app.record(id).await?;
            if record.size.is_none() {
                self.tasks += 1;
                self.runs += record.attempt + 1;
            }
            // What failed by another's failure says so; the other is told.
            if record.status != State::Success
                && let Err(why) = value::<serde_json::Value>(record)
            {
                self.failures.push(why);
            }
        }
        match top.try_get().await {
            Ok(counts) => Ok(counts.unwrap_or_default()),
            Err(_) => Ok(Counts::new()),
        }
    }

    /// The values of the tasks that succeed, in order; a sentence on each that doesn't.
    async fn values<Out: DeserializeOwned>(
        &mut self,
        what: &str,
        tasks: Vec<AsyncResult<Out>>,
        name: impl Fn(usize) -> String,
    ) -> Result<Vec<Out>> {
        let records = self.records(what, &tasks).await?;
        let mut values = Vec::new();
        for (place, record) in records.into_iter().enumerate() {
            self.tasks += 1;
            self.runs += record.attempt + 1;
            match value(record) {
                Ok(value) => values.push(value),
                Err(why) => self.failures.push(format!("{}: {why}", name(place))),
            }
        }
        Ok(values)
    }

    /// The tasks' records, each as soon as it is final; as they are when nothing moves any more.
    async fn records<Out>(
        &mut self,
        what: &str,
        tasks: &[AsyncResult<Out>],
    ) -> Result<Vec<Record>> {
        let clock = &self.app.ports().clock;
        let mut open: VecDeque<usize> = (0..tasks.len()).collect();
        let mut records: Vec<Record> = Vec::new();
        records.extend(tasks.iter().map(|task| Record::pending(task.id())));
        let mut moved: Timestamp = clock.now();
        loop {
            for _ in 0..open.len().min(LOOK_AT) {
                let Some(place) = open.pop_front() else { break };
                let (Some(task), Some(record)) = (tasks.get(place), records.get_mut(place)) else {
                    continue;
                };
                *record = task.record().await?;
                if record.status.is_final() {
                    moved = clock.now();
                } else {
                    open.push_back(place);
                }
            }
            let done = tasks.len() - open.len();
            let now = clock.now();
            self.progress
                .tell(now, &format!("{what}: {done} of {} done", tasks.len()));
            if open.is_empty() || now.since(moved) > PATIENCE {
                return Ok(records);
            }
            clock.sleep(LOOK_EVERY).await;
        }
    }
}

fn value<Out: DeserializeOwned>(record: Record) -> std::result::Result<Out, String> {
    match (record.status, record.error) {
        (State::Success, _) => serde_json::from_value(record.result.unwrap_or_default())
            .map_err(|error| format!("the result isn't what was expected: {error}")),
        (_, Some(failure)) => Err(failure.to_string()),
        (state, None) => Err(format!("still {state} when nothing moved any more")),
    }
}
