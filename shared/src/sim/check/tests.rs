//! Each invariant can fail: forged histories, each broken in one place.

use super::*;
use crate::ports::QueueName;
use crate::record::State;
use crate::sim::history::{Caller, DeadLetter, End, Invoked, Run, Sent, SentTask, Step};
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
        outcome: Vec::new(),
    }
}

fn run(invocation: u32, begun: i64, ended: i64) -> Run {
    Run {
        id: "a".to_owned(),
        task: "add".to_owned(),
        attempt: 0,
        retries: 0,
        invocation,
        begun: at(begun),
        begun_there: at(begun),
        claimed_there: at(begun),
        ended: Some((at(ended), End::Returned)),
    }
}

fn invoked(killed: bool) -> Invoked {
    let ids = vec!["a".to_owned()];
    let queue = QueueName::new(QueueName::QUARANTINE);
    Invoked { ids, queue, killed }
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
    let unanswered = |history: &mut History| {
        again(history);
        history.unanswered.insert((0, "a".to_owned()));
    };
    assert_eq!(forged(unanswered), []);
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
fn early_and_expired_are_found() {
    let said =
        |say: fn(&mut SentTask)| forged(move |history| say(history.sent[0].task.as_mut().unwrap()));
    assert_eq!(said(|task| task.eta = Some(at(11))), [Invariant::OnTime]);
    assert_eq!(said(|task| task.eta = Some(at(10))), []);
    assert_eq!(said(|task| task.expires = Some(at(9))), [Invariant::OnTime]);
    let retry = forged(|history| {
        let mut retry = step(6, State::Retry);
        (retry.attempt, retry.due_at) = (1, Some(at(12)));
        steps(history).splice(1..1, [retry, step(7, State::Started)]);
        history.runs[0].attempt = 1;
    });
    assert_eq!(retry, [Invariant::OnTime]);
}

#[test]
fn an_innocent_is_not_given_up() {
    let failed = |kind: &'static str| {
        move |history: &mut History| {
            let last = steps(history).last_mut().unwrap();
            last.state = State::Failure;
            last.error_kind = Some(kind.to_owned());
            history.dead_letters.push(DeadLetter {
                message_id: "m".to_owned(),
                id: Some("a".to_owned()),
                reason: Some(kind.to_owned()),
            });
        }
    };
    assert_eq!(forged(failed("WorkerLost")), [Invariant::Neighbours]);
    assert_eq!(forged(failed("NotRegistered")), [Invariant::Neighbours]);
    let died = |history: &mut History| {
        failed("WorkerLost")(history);
        history.invocations = vec![invoked(true); 3];
    };
    assert_eq!(forged(died), []);
}

#[test]
fn too_many_retries_are_found() {
    assert_eq!(
        forged(|history| history.runs[0].retries = 3),
        [Invariant::Retries]
    );
}

#[test]
fn dead_letters_are_those_with_a_reason_and_all_of_those() {
    let letter = |id: Option<&str>, reason: Option<&str>| DeadLetter {
        message_id: "m".to_owned(),
        id: id.map(str::to_owned),
        reason: reason.map(str::to_owned),
    };
    let with = |letter: DeadLetter| forged(move |history| history.dead_letters.push(letter));
    assert_eq!(
        with(letter(Some("a"), Some("Rejected"))),
        [Invariant::DeadLetters]
    );
    assert_eq!(with(letter(None, None)), [Invariant::DeadLetters]);
    assert_eq!(with(letter(None, Some("Undecodable"))), []);
    let undecodable = |history: &mut History| {
        history.sent.push(Sent {
            group: None,
            task: None,
            ..sent("u", "")
        })
    };
    assert_eq!(forged(undecodable), [Invariant::DeadLetters]);
    let rejected = |history: &mut History| {
        let last = steps(history).last_mut().unwrap();
        (last.state, last.error_kind) = (State::Failure, Some("Rejected".to_owned()));
    };
    assert_eq!(forged(rejected), [Invariant::DeadLetters], "none for it");
}
