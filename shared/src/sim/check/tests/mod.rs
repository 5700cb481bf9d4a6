//! Each invariant can fail: forged histories, each broken in one place.

mod letters;
mod limits;

use super::*;
use crate::ports::QueueName;
use crate::record::State;
use crate::sim::history::{Caller, DeadLetter, End, Invoked, Run, Sent, SentTask, Step, Stepped};
use crate::time::Timestamp;
use crate::{TaskError, task, tasks};

#[task(max_retries = 2)]
async fn add(x: i64) -> Result<i64, TaskError> {
    Ok(x)
}

#[task(idempotent, ignore_result)]
async fn silent() {}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn sent(id: &str, name: &str) -> Sent {
    Sent {
        at: at(0),
        body: "{oops".to_owned(),
        group: None,
        by: Caller::Sender,
        queue: QueueName::new(QueueName::DEFAULT),
        message_id: format!("message of {id}"),
        task: Some(SentTask {
            id: id.to_owned(),
            name: name.to_owned(),
            attempt: 0,
            eta: None,
            expires: None,
            ignore_result: None,
            parent_id: None,
            generation: 0,
            hops: 0,
            arguments: String::new(),
        }),
    }
}

fn step(millis: i64, state: State) -> Step {
    Step {
        at: at(millis),
        by: Caller::Invocation(0),
        state,
        attempt: 0,
        generation: 0,
        retries: 0,
        due_at: None,
        error_kind: None,
        replaced: false,
        error: None,
        checkpoints: BTreeMap::new(),
        owner: None,
        requested: false,
        reported: [None, None],
        ttl: None,
        outcome: Vec::new(),
    }
}

fn run(invocation: u32, begun: i64, ended: i64) -> Run {
    Run {
        id: "a".to_owned(),
        task: "add".to_owned(),
        attempt: 0,
        generation: 0,
        retries: 0,
        invocation,
        begun: at(begun),
        bears: None,
        begun_there: at(begun),
        claimed_there: at(begun),
        limit: None,
        stopped_there: at(58_500),
        ended: Some((at(ended), End::Returned)),
    }
}

fn invoked(killed: bool) -> Invoked {
    let ids = vec!["a".to_owned()];
    let queue = QueueName::new(QueueName::QUARANTINE);
    Invoked {
        ids,
        queue,
        begun: at(0),
        deadline: at(60_000),
        killed,
        panicked: false,
        frozen: false,
    }
}

/// One task that was sent, claimed, run and recorded.
fn sound() -> History {
    let mut history = History {
        sent: vec![sent("a", "add")],
        runs: vec![run(0, 10, 20)],
        invocations: vec![invoked(false), invoked(false)],
        ..History::default()
    };
    let steps = vec![step(5, State::Started), step(30, State::Success)];
    history.steps.insert("a".to_owned(), steps);
    history
}

fn steps(history: &mut History) -> &mut Vec<Step> {
    history.steps.get_mut("a").unwrap()
}

/// The invariants that a history breaks.
fn broken(history: &History) -> Vec<Invariant> {
    let rules = Rules {
        tasks: tasks![add, silent],
        sometimes: BTreeSet::new(),
        unknown_task_grace: Duration::from_secs(300),
        only_outages: true,
        timeout: Duration::from_secs(60),
        soon: Duration::from_secs(1),
        call: Duration::from_secs(1),
        quarantine: true,
        dead: &crate::engine::DEAD,
    };
    let found = check(history, &rules);
    found.iter().map(|found| found.invariant).collect()
}

fn forged(forge: impl FnOnce(&mut History)) -> Vec<Invariant> {
    let mut history = sound();
    forge(&mut history);
    broken(&history)
}

#[test]
fn a_sound_history_breaks_nothing() {
    assert_eq!(broken(&sound()), []);
}

#[test]
fn a_task_without_a_record_is_lost() {
    assert_eq!(
        forged(|history| history.steps.clear()),
        [Invariant::NothingLost]
    );
    let silent = |history: &mut History| {
        history.sent = vec![sent("a", "silent")];
        history.steps.clear();
    };
    assert_eq!(forged(silent), [], "it leaves no record, and has run");
    let left_behind = |history: &mut History| {
        silent(history);
        let claimed = vec![step(5, State::Started)];
        history.steps.insert("a".to_owned(), claimed);
    };
    assert_eq!(
        forged(left_behind),
        [],
        "of a run that died, and it has run since"
    );
    let never_run = |history: &mut History| {
        silent(history);
        history.runs.clear();
    };
    assert_eq!(forged(never_run), [Invariant::NothingLost]);
}

#[test]
fn what_stays_started_is_left() {
    let started = forged(|history| drop(steps(history).pop()));
    assert_eq!(started, [Invariant::NothingLost, Invariant::NothingLeft]);
    let queued = forged(|history| history.left.push("a message".to_owned()));
    assert_eq!(queued, [Invariant::NothingLeft]);
}

#[test]
fn a_final_record_stays_as_it_is() {
    let revived = forged(|history| steps(history).push(step(40, State::Failure)));
    assert_eq!(revived, [Invariant::OneFinalState]);
    let other = |history: &mut History| {
        let mut other = step(40, State::Success);
        other.outcome = vec![Some("2".into())];
        steps(history).push(other);
    };
    assert_eq!(forged(other), [Invariant::OneFinalState]);
    let same = forged(|history| steps(history).push(step(40, State::Success)));
    assert_eq!(same, []);
}

#[test]
fn a_message_of_an_earlier_generation_does_not_run() {
    let redriven = |generation: u32| {
        forged(move |history| {
            let mut failed = step(1, State::Failure);
            failed.error_kind = Some("TaskError".to_owned());
            let mut retry = step(2, State::Retry);
            (retry.by, retry.attempt) = (Caller::Sender, 1);
            steps(history).splice(0..0, [failed, retry]);
            for step in &mut steps(history)[1..] {
                step.generation = 1;
            }
            (history.runs[0].attempt, history.runs[0].generation) = (1, generation);
        })
    };
    assert_eq!(redriven(1), []);
    assert_eq!(redriven(0), [Invariant::OneFinalState]);
}

#[test]
fn a_record_takes_only_documented_steps() {
    assert_eq!(
        forged(|history| drop(steps(history).remove(0))),
        [Invariant::OneFinalState],
        "PENDING to SUCCESS, and it isn't idempotent"
    );
}

#[test]
fn bodies_that_overlap_are_found() {
    let overlap = |history: &mut History| {
        history.runs.push(run(1, 15, 25));
        history.invocations[0].killed = true;
    };
    assert_eq!(forged(overlap), [Invariant::OneRunner]);
}

#[test]
fn a_run_again_needs_a_reason() {
    let again = |history: &mut History| history.runs.push(run(1, 21, 25));
    assert_eq!(forged(again), [Invariant::OneRunner]);
    let died = |history: &mut History| {
        again(history);
        history.invocations[0].killed = true;
    };
    assert_eq!(forged(died), []);
    let unanswered = |last: i64| {
        move |history: &mut History| {
            again(history);
            history.unanswered.insert((0, "a".to_owned()), at(last));
        }
    };
    assert_eq!(forged(unanswered(59_500)), []);
    let gave_up = forged(unanswered(25));
    assert_eq!(
        gave_up,
        [Invariant::OneRunner],
        "there was time to try again"
    );
}

#[test]
fn no_body_begins_after_the_end() {
    let late = |history: &mut History| history.runs[0].begun = at(31);
    assert!(forged(late).contains(&Invariant::OneRunner));
}

#[test]
fn children_of_chance_are_found() {
    let child = |id: &str, by: u32| {
        let mut child = sent(id, "silent");
        child.by = Caller::Invocation(by);
        if let Some(task) = &mut child.task {
            task.parent_id = Some("a".to_owned());
        }
        child
    };
    let twice = |second: &str| {
        let second = second.to_owned();
        forged(move |history| {
            history.runs.push(run(1, 21, 25));
            history.invocations[0].killed = true;
            history.sent.extend([child("b", 0), child(&second, 1)]);
            for id in ["b", "c"] {
                let success = vec![step(50, State::Success)];
                history.steps.insert(id.to_owned(), success);
            }
        })
    };
    assert_eq!(twice("c"), [Invariant::ChildrenOnce]);
    assert_eq!(twice("b"), []);
}

#[test]
fn a_life_after_a_forgotten_one_is_a_life() {
    let sent_again = |ended: bool| {
        move |history: &mut History| {
            steps(history)[1].ttl = Some(at(10_000));
            history.sent.push(Sent {
                at: at(20_000),
                ..sent("a", "add")
            });
            if ended {
                history.runs.push(run(1, 20_010, 20_020));
                let again = [step(20_005, State::Started), step(20_030, State::Success)];
                steps(history).extend(again);
            }
        }
    };
    assert_eq!(forged(sent_again(true)), []);
    assert!(forged(sent_again(false)).contains(&Invariant::NothingLost));
}
