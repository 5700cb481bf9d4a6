//! Times, limits and steps, forged.

use super::letters::letter;
use super::*;

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
fn what_begins_though_it_was_revoked_is_found() {
    let bearing = |begun: i64| {
        forged(move |history| {
            let tenant = crate::Revocation::stamp("tenant", "acme");
            history.calm_from = at(10_000);
            history.runs[0] = run(0, begun, begun + 10);
            history.runs[0].bears = Some((tenant, at(0)));
            steps(history)[1].at = at(begun + 20);
        })
    };
    assert_eq!(bearing(6500), [Invariant::Revocations]);
    assert_eq!(bearing(5500), []);
    let asked = forged(|history| {
        let mut dead = step(3, State::Started);
        dead.requested = true;
        steps(history).insert(0, dead);
    });
    assert_eq!(asked, [Invariant::Revocations]);
}

#[test]
fn an_innocent_is_not_given_up() {
    let failed = |kind: &'static str| {
        move |history: &mut History| {
            let last = steps(history).last_mut().unwrap();
            last.state = State::Failure;
            last.error_kind = Some(kind.to_owned());
            last.error = Some("oh".to_owned());
            history.dead_letters.push(letter(Some("a"), Some(kind)));
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
fn what_is_due_begins_soon_when_nothing_goes_wrong() {
    let late = |history: &mut History| {
        history.runs[0] = run(0, 2010, 2020);
        steps(history)[0].at = at(2005);
        steps(history)[1].at = at(2030);
    };
    assert_eq!(forged(late), [Invariant::OnTime]);
    let troubled = |history: &mut History| {
        late(history);
        history.calm_from = at(1500);
    };
    assert_eq!(forged(troubled), []);
}

#[test]
fn a_body_has_its_time_and_no_more() {
    let broken = [Invariant::Neighbours];
    assert_eq!(
        forged(|history| {
            history.runs[0] = run(0, 10, 500);
            history.runs[0].stopped_there = at(300);
        }),
        broken,
        "it went on"
    );
    let stopped = |history: &mut History| history.runs[0].ended = Some((at(20), End::Stopped));
    assert_eq!(forged(stopped), [], "by its task's own doing");
    let late = |history: &mut History| {
        stopped(history);
        history.runs[0].claimed_there = at(50_000);
        history.invocations[0].begun = at(-49_990);
    };
    assert_eq!(forged(late), broken, "it was known to be too late");
    let failed = |history: &mut History| {
        stopped(history);
        let last = steps(history).last_mut().unwrap();
        (last.state, last.error_kind) = (State::Failure, Some("TimeLimit".to_owned()));
    };
    assert_eq!(forged(failed), broken, "after 10 ms");
}

#[test]
fn a_panic_that_ends_a_process_is_found() {
    let panicked = |history: &mut History| history.invocations[0].panicked = true;
    assert_eq!(forged(panicked), [Invariant::Neighbours]);
}

#[test]
fn an_endless_chain_is_found() {
    let far = |history: &mut History| history.sent[0].task.as_mut().unwrap().hops = 1001;
    assert_eq!(forged(far), [Invariant::Retries]);
}

#[test]
fn a_step_that_was_recorded_is_not_done_again() {
    let stepped = |json: &'static str, kept: bool| {
        move |history: &mut History| {
            let one = BTreeMap::from([("one".to_owned(), "1".to_owned())]);
            steps(history)[0].checkpoints = one;
            history.stepped.push(Stepped {
                id: "a".to_owned(),
                attempt: 0,
                invocation: 0,
                name: "one".to_owned(),
                json: json.to_owned(),
                kept,
            });
        }
    };
    assert_eq!(forged(stepped("1", true)), []);
    assert_eq!(forged(stepped("1", false)), [Invariant::StepsOnce]);
    assert_eq!(forged(stepped("2", true)), [Invariant::StepsOnce]);
    let lost = |history: &mut History| {
        stepped("1", true)(history);
        steps(history).insert(1, step(25, State::Started));
    };
    assert_eq!(forged(lost), [Invariant::StepsOnce]);
    let left = |history: &mut History| {
        stepped("1", true)(history);
        steps(history)[1].checkpoints = steps(history)[0].checkpoints.clone();
    };
    assert_eq!(forged(left), [Invariant::NothingLeft]);
}

#[test]
fn what_a_run_reports_is_its_own() {
    let said = || [Some(crate::ports::Attribute::from("half")), None];
    let started = |by: u32, owner: &str| {
        let mut started = step(15, State::Started);
        (started.by, started.owner) = (Caller::Invocation(by), Some(owner.to_owned()));
        started
    };
    // The claim, what is reported under it, and the end.
    let reported = |by: u32| {
        let said = said();
        move |history: &mut History| {
            let steps = steps(history);
            steps[0] = started(0, "a");
            let mut report = started(by, "a");
            report.reported = said.clone();
            steps.insert(1, report);
        }
    };
    assert_eq!(forged(reported(0)), []);
    assert_eq!(forged(reported(1)), [Invariant::Reports], "another's");
    let kept = |history: &mut History| {
        reported(0)(history);
        steps(history)[2].reported = said();
    };
    assert_eq!(forged(kept), [Invariant::Reports], "it outlives the run");
    let meddles = |history: &mut History| {
        reported(0)(history);
        steps(history)[1].due_at = Some(at(5));
    };
    assert_eq!(forged(meddles), [Invariant::Reports], "it changes more");
    let inherits = |history: &mut History| {
        reported(0)(history);
        let mut again = started(0, "b");
        again.reported = said();
        steps(history).insert(2, again);
    };
    assert!(
        forged(inherits).contains(&Invariant::Reports),
        "a claim begins anew"
    );
}
