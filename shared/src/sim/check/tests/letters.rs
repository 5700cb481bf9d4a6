//! Dead letters, forged.

use super::*;

pub(super) fn letter(id: Option<&str>, reason: Option<&str>) -> DeadLetter {
    DeadLetter {
        message_id: "m".to_owned(),
        id: id.map(str::to_owned),
        reason: reason.map(str::to_owned),
        error: Some("oh".to_owned()),
        attempts: Some(1),
        dead_at: None,
        body: "{oops".to_owned(),
        task: id.and_then(|id| sent(id, "add").task),
    }
}

#[test]
fn dead_letters_are_those_with_a_reason_and_all_of_those() {
    let with = |letter: DeadLetter| forged(move |history| history.dead_letters.push(letter));
    assert_eq!(
        with(letter(Some("a"), Some("Rejected"))),
        [Invariant::DeadLetters]
    );
    assert_eq!(with(letter(None, None)), [Invariant::DeadLetters]);
    let unknown = with(letter(None, Some("Undecodable")));
    assert_eq!(unknown, [Invariant::DeadLetters], "nobody sent it");
    let undecodable = |history: &mut History| {
        history.sent.push(Sent {
            group: None,
            task: None,
            ..sent("u", "")
        });
    };
    assert_eq!(forged(undecodable), [Invariant::DeadLetters]);
    let kept = |history: &mut History| {
        undecodable(history);
        history.dead_letters.push(DeadLetter {
            message_id: "message of u".to_owned(),
            ..letter(None, Some("Undecodable"))
        });
    };
    assert_eq!(forged(kept), []);
    let rejected = |history: &mut History| {
        let last = steps(history).last_mut().unwrap();
        (last.state, last.error_kind) = (State::Failure, Some("Rejected".to_owned()));
    };
    assert_eq!(forged(rejected), [Invariant::DeadLetters], "none for it");
}

/// A task that was rejected, and its letter.
fn rejected(change: impl FnOnce(&mut DeadLetter)) -> Vec<Invariant> {
    forged(|history| {
        let last = steps(history).last_mut().unwrap();
        (last.state, last.error_kind) = (State::Failure, Some("Rejected".to_owned()));
        last.error = Some("oh".to_owned());
        let mut letter = letter(Some("a"), Some("Rejected"));
        change(&mut letter);
        history.dead_letters.push(letter);
    })
}

#[test]
fn a_dead_letter_says_what_is_recorded_and_holds_what_was_sent() {
    assert_eq!(rejected(|_| {}), []);
    let broken = [Invariant::DeadLetters];
    assert_eq!(rejected(|letter| letter.error = None), broken);
    assert_eq!(rejected(|letter| letter.attempts = Some(0)), broken);
    assert_eq!(rejected(|letter| letter.attempts = Some(2)), broken);
    let other = |letter: &mut DeadLetter| letter.task.as_mut().unwrap().arguments.push('2');
    assert_eq!(rejected(other), broken);
}

#[test]
fn a_second_letter_needs_a_reason() {
    let twice = |repeated: bool| {
        move |history: &mut History| {
            let last = steps(history).last_mut().unwrap();
            (last.state, last.error_kind) = (State::Failure, Some("Rejected".to_owned()));
            last.error = Some("oh".to_owned());
            for dead_at in ["1", "2"] {
                let mut letter = letter(Some("a"), Some("Rejected"));
                letter.dead_at = Some(dead_at.to_owned());
                history.dead_letters.push(letter);
            }
            history.repeated.extend(repeated.then(|| "a".to_owned()));
        }
    };
    assert_eq!(forged(twice(false)), [Invariant::DeadLetters]);
    assert_eq!(forged(twice(true)), []);
}
