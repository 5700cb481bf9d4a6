//! Where a member of a group stands, by the records of its steps: whether anything is to be waited for.

use std::collections::BTreeMap;

use crate::canvas::Canvas;
use crate::ports::Item;
use crate::record::{State, field, instant, status};
use crate::signature::Call;
use crate::time::Timestamp;

/// Records by id.
pub(super) type Items = BTreeMap<String, Item>;

/// Where a member stands that isn't counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stand {
    /// It has ended.
    Over,
    /// Somebody else looks after it.
    Alive,
    /// Nothing was heard of it since then. If that is in the future, it isn't due.
    Quiet(Timestamp),
}

/// Where a composition stands, by the records of its steps. `since` is when it could begin, and becomes when
/// the step that it stopped at could.
pub(super) fn stand(
    canvas: &Canvas,
    items: &Items,
    since: &mut Timestamp,
    now: Timestamp,
) -> Stand {
    let of_id = |id: Option<&String>, since: &mut Timestamp| {
        let item = id.and_then(|id| items.get(id))?;
        *since = instant(item, field::FINISHED_AT).unwrap_or(*since);
        Some(stand_of(item, *since, now))
    };
    match canvas {
        Canvas::Task(call) => {
            let stand = of_id(call.id.as_ref(), since);
            stand.unwrap_or_else(|| Stand::Quiet(due(call, *since)))
        }
        Canvas::Chain(steps) => {
            let mut steps = steps.iter().map(|step| stand(step, items, since, now));
            let stopped = steps.find(|stand| *stand != Stand::Over);
            stopped.unwrap_or(Stand::Over)
        }
        Canvas::Group(group) => match (of_id(group.id.as_ref(), since), &group.body) {
            (Some(Stand::Over), Some(body)) => stand(body, items, since, now),
            (Some(stand), _) => stand,
            (None, _) => Stand::Quiet(*since),
        },
    }
}

/// The step that a composition stopped at: the first that hasn't ended, by the records of its steps.
pub(super) fn stopped_at<'a>(canvas: &'a Canvas, items: &Items, now: Timestamp) -> &'a Canvas {
    let is_over = |step: &Canvas| stand(step, items, &mut { now }, now) == Stand::Over;
    match canvas {
        Canvas::Task(_) => canvas,
        Canvas::Chain(steps) => {
            let stopped = steps.iter().find(|step| !is_over(step));
            match stopped.or(steps.back()) {
                Some(step) => stopped_at(step, items, now),
                None => canvas,
            }
        }
        Canvas::Group(group) => {
            let header = group.id.as_ref().and_then(|id| items.get(id));
            let has_ended = header.and_then(status).is_some_and(State::is_final);
            match group.body.as_ref().filter(|_| has_ended) {
                Some(body) => stopped_at(body, items, now),
                None => canvas,
            }
        }
    }
}

/// Where a task or a group stands that has a record and could begin at `since`.
pub(super) fn stand_of(item: &Item, since: Timestamp, now: Timestamp) -> Stand {
    let heard = |name| instant(item, name);
    match status(item) {
        Some(state) if state.is_final() => Stand::Over,
        Some(State::Started) => match heard(field::LEASE_UNTIL) {
            Some(until) if until < now => Stand::Quiet(until),
            // It runs; or it is a group, which is watched itself.
            _ => Stand::Alive,
        },
        // Given up by its worker, it has no due time: it is due when its lease would have ended.
        Some(State::Retry | State::Pending) => {
            let due = heard(field::DUE_AT).or_else(|| heard(field::LEASE_UNTIL));
            Stand::Quiet(due.unwrap_or(since))
        }
        _ => Stand::Quiet(since),
    }
}

/// When a call may run that was sent then.
fn due(call: &Call, sent: Timestamp) -> Timestamp {
    let delayed = call.countdown.map(|delay| sent + delay);
    delayed.or(call.eta).map_or(sent, |due| due.max(sent))
}
