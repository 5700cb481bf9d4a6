//! What must come of a composition, by what the guide says of it and nothing that the engine does: which of its
//! tasks run, what each is given, and what the whole yields.
//!
//! A failure stands in values as `{"failures": […]}`: the types and messages that it may have, `null` for any.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::shapes::{Callback, How, Kind, OnFailure, Shape};
use super::steps::{echoed, no_luck, sum};

/// Types and messages that a failure may have; none, if it may be any.
pub(crate) type Failures = Option<BTreeSet<(String, String)>>;

/// Whether a task runs that is given this.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Run {
    Must(Value),
    May(Value),
    /// Once the last task of what it is linked to was redriven.
    Later(Value),
}

/// What is known of a world beforehand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The marks of tasks that failed by no fault of their own.
    pub(crate) lost: BTreeSet<u64>,
    /// Whether messages get lost that a worker is at: with them what was still to be sent to callbacks.
    pub(crate) purged: bool,
    /// Whether a worker may die: then members of a group that has failed at once are sent, or not.
    pub(crate) faults: bool,
}

/// What comes of a composition.
pub(crate) struct Outcome {
    pub(crate) now: Result<Value, Failures>,
    /// What the whole yields once its last task was redriven: that alone has failed.
    pub(crate) later: Option<Value>,
}

/// What comes of many.
pub(crate) struct Expected<'a> {
    known: &'a Known,
    /// By marks. Whatever isn't here never runs.
    pub(crate) runs: BTreeMap<u64, Run>,
    /// More than none: what is run now may as well be left out.
    left: u32,
    /// More than none: what is run now runs once that which sends it was redriven.
    late: u32,
}

impl<'a> Expected<'a> {
    pub(crate) fn new(known: &'a Known) -> Self {
        Self {
            known,
            runs: BTreeMap::new(),
            left: 0,
            late: 0,
        }
    }

    /// What comes of a shape with this input, and with these steps behind it.
    pub(crate) fn of(&mut self, shape: &Shape, input: &Value, rest: &[&Shape]) -> Outcome {
        let outcome = self.of_kind(shape, input, rest);
        match (&outcome.now, &outcome.later) {
            (Ok(value), _) => self.call(&shape.link, value, Run::Must),
            (Err(failures), later) => {
                self.call(&shape.link_error, &failed(failures), Run::Must);
                if let Some(later) = later {
                    self.call(&shape.link, later, Run::Later);
                }
            }
        }
        outcome
    }

    fn of_kind(&mut self, shape: &Shape, input: &Value, rest: &[&Shape]) -> Outcome {
        let mark = shape.mark;
        match &shape.kind {
            Kind::Leaf(task, n) => {
                let value = match *task {
                    "echo" => echoed(input, *n),
                    _ => json!(n + sum(input)),
                };
                self.of_task(mark, input, Ok(value.clone()), Some(value))
            }
            Kind::Fails("fails") => {
                let failure = one("TaskError", no_luck(input));
                self.of_task(mark, input, Err(failure), None)
            }
            Kind::Fails(_) => {
                let failure = one("Rejected", no_luck(input));
                self.of_task(mark, input, Err(failure), Some(json!(sum(input))))
            }
            Kind::Replaces(by) => {
                // Lost, it may have sent what stands for it.
                let is_lost = self.known.lost.contains(&mark);
                self.left += u32::from(is_lost);
                let numbers = json!(sum(input));
                let first = self.of_task(mark - 1, input, Ok(numbers.clone()), None);
                let now = match first.now {
                    Ok(numbers) => self.of(by, &numbers, &[]).now,
                    lost => lost,
                };
                self.left -= u32::from(is_lost);
                // What has failed with that which stands for it isn't revived by redriving that alone.
                let later = now.clone().ok().filter(|_| is_lost);
                self.of_task(mark, input, now, later)
            }
            // What it adds is its group's.
            Kind::Grows(n, _) => {
                let value = json!(n + sum(input));
                self.of_task(mark, input, Ok(value.clone()), Some(value))
            }
            Kind::Chain(steps) => self.of_chain(steps, input, rest),
            Kind::Group(members, fails) => {
                let now = self.of_members(members, *fails, input);
                if let Err(failures) = &now {
                    self.tell(rest, failures);
                }
                Outcome { now, later: None }
            }
            Kind::Chord(members, fails, body) => match self.of_members(members, *fails, input) {
                Ok(results) => self.of(body, &results, rest),
                Err(failures) => {
                    let behind = [&[&**body], rest].concat();
                    self.tell(&behind, &failures);
                    let now = Err(failures);
                    Outcome { now, later: None }
                }
            },
        }
    }

    fn of_task(
        &mut self,
        mark: u64,
        input: &Value,
        now: Result<Value, Failures>,
        later: Option<Value>,
    ) -> Outcome {
        self.run(mark, input.clone(), Run::Must);
        match self.known.lost.contains(&mark) {
            true => Outcome {
                now: Err(None),
                later,
            },
            false => Outcome { now, later },
        }
    }

    fn of_chain(&mut self, steps: &[Shape], input: &Value, rest: &[&Shape]) -> Outcome {
        let mut input = input.clone();
        for (place, step) in steps.iter().enumerate() {
            let behind: Vec<&Shape> = steps[place + 1..].iter().collect();
            let is_last = behind.is_empty();
            let outcome = self.of(step, &input, &[&behind[..], rest].concat());
            match outcome.now {
                Ok(value) if !is_last => input = value,
                _ if is_last => return outcome,
                now => {
                    if let Some(later) = &outcome.later {
                        self.sent_in_vain(&[&behind[..], rest].concat(), later);
                    }
                    return Outcome { now, later: None };
                }
            }
        }
        let now = Ok(input);
        Outcome { now, later: None }
    }

    /// A step that is redriven sends the next, which has ended. One that has no claim runs before it finds that out.
    fn sent_in_vain(&mut self, behind: &[&Shape], input: &Value) {
        match behind.first().map(|next| (&next.kind, next.mark)) {
            Some((Kind::Leaf("light", _), mark)) => self.run(mark, input.clone(), Run::Later),
            Some((Kind::Chain(steps), _)) => {
                let steps: Vec<&Shape> = steps.iter().collect();
                self.sent_in_vain(&steps, input);
            }
            _ => {}
        }
    }

    fn of_members(
        &mut self,
        members: &[Shape],
        fails: OnFailure,
        input: &Value,
    ) -> Result<Value, Failures> {
        let before = self.runs.clone();
        let outcomes: Vec<_> = members
            .iter()
            .map(|member| self.of_member(member, fails, input))
            .collect();
        let lost: Vec<&Failures> = outcomes
            .iter()
            .filter_map(|one| one.as_ref().err())
            .collect();
        if lost.is_empty() {
            return Ok(outcomes.into_iter().flatten().flatten().collect());
        }
        if fails == OnFailure::Fast && self.known.faults {
            // Whoever sends the members may die, and find the group at its end.
            self.runs = before;
            self.left += 1;
            for member in members {
                drop(self.of_member(member, fails, input));
            }
            self.left -= 1;
        }
        let candidates = match fails {
            OnFailure::Fast => &lost[..],
            _ => &lost[..1],
        };
        let all: Option<Vec<_>> = candidates
            .iter()
            .map(|failures| failures.as_ref())
            .collect();
        Err(all.map(|all| all.into_iter().flatten().cloned().collect()))
    }

    /// What a member has for its group: its result, and behind it those of what it adds; or the failure by which
    /// the group fails.
    fn of_member(
        &mut self,
        member: &Shape,
        fails: OnFailure,
        input: &Value,
    ) -> Result<Vec<Value>, Failures> {
        let own = self.of(member, input, &[]);
        if let (Err(_), Some(_), Kind::Grows(_, added)) = (&own.now, &own.later, &member.kind) {
            // Redriven it adds them still; its group has ended.
            self.late += 1;
            drop(self.of_members(added, fails, &Value::Null));
            self.late -= 1;
        }
        let mut results = match (own.now, fails) {
            (Ok(value), OnFailure::Collect) => vec![json!({ "ok": value })],
            (Ok(value), _) => vec![value],
            (Err(failures), OnFailure::Collect) => {
                return Ok(vec![json!({ "error": failed(&failures) })]);
            }
            (Err(failures), _) => {
                let error = |(kind, message): &(String, String)| {
                    let message = format!("Dependency * raised {kind}({message:?})");
                    ("ChordError".to_owned(), message)
                };
                return Err(failures.map(|failures| failures.iter().map(error).collect()));
            }
        };
        if let Kind::Grows(_, added) = &member.kind
            && let Value::Array(added) = self.of_members(added, fails, &Value::Null)?
        {
            results.extend(added);
        }
        Ok(results)
    }

    /// Whoever follows a group is told of its failure, as the body of a chord is: if that is a group, what follows
    /// that as well.
    fn tell(&mut self, behind: &[&Shape], failures: &Failures) {
        let [first, rest @ ..] = behind else {
            return;
        };
        self.call(&first.link_error, &failed(failures), Run::Must);
        let behind = match &first.kind {
            Kind::Leaf(..) | Kind::Fails(_) | Kind::Replaces(_) | Kind::Grows(..) => return,
            Kind::Chain(steps) => steps.iter().chain(rest.iter().copied()).collect(),
            Kind::Group(..) => rest.to_vec(),
            Kind::Chord(_, _, body) => [&[&**body], rest].concat(),
        };
        self.tell(&behind, failures);
    }

    fn call(&mut self, callbacks: &[Callback], value: &Value, run: fn(Value) -> Run) {
        self.left += u32::from(self.known.purged);
        for Callback { how, mark } in callbacks {
            let value = match how {
                How::Plain => value.clone(),
                How::Immutable => Value::Null,
                How::Through => {
                    self.run(mark - 1, value.clone(), run);
                    if self.known.lost.contains(&(mark - 1)) {
                        continue;
                    }
                    echoed(value, 1)
                }
            };
            self.run(*mark, value, run);
        }
        self.left -= u32::from(self.known.purged);
    }

    fn run(&mut self, mark: u64, input: Value, run: fn(Value) -> Run) {
        let run = match run(input) {
            Run::Must(input) | Run::May(input) if self.late > 0 => Run::Later(input),
            // What is lost may never have begun.
            Run::Must(input) if self.left > 0 || self.known.lost.contains(&mark) => Run::May(input),
            run => run,
        };
        self.runs.insert(mark, run);
    }
}

fn one(kind: &str, message: String) -> Failures {
    Some(BTreeSet::from([(kind.to_owned(), message)]))
}

fn failed(failures: &Failures) -> Value {
    json!({ "failures": failures })
}

/// Whether this was found that was expected.
pub(crate) fn fits(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Array(found), Value::Array(expected)) => {
            let mut both = found.iter().zip(expected);
            found.len() == expected.len() && both.all(|(found, expected)| fits(found, expected))
        }
        (Value::Object(found), Value::Object(expected)) => match expected.get("failures") {
            Some(Value::Array(any)) => {
                let failure = json!([found.get("type"), found.get("message").map(nameless)]);
                any.contains(&failure)
            }
            Some(_) => is_failure(found),
            None => {
                let mut fields = expected.iter();
                found.len() == expected.len()
                    && fields.all(|(name, expected)| {
                        found.get(name).is_some_and(|found| fits(found, expected))
                    })
            }
        },
        (found, expected) => found == expected,
    }
}

fn is_failure(map: &Map<String, Value>) -> bool {
    map.contains_key("type") && map.contains_key("message")
}

/// The ids of members are derived, and so not known.
fn nameless(message: &Value) -> String {
    let message = message.as_str().unwrap_or_default();
    let mut parts = message.split("Dependency ");
    let mut nameless = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let behind = part.split_once(' ').map_or("", |(_, behind)| behind);
        nameless += &format!("Dependency * {behind}");
    }
    nameless
}

/// A value without what a second run of whoever failed says otherwise: when.
pub(crate) fn timeless(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(timeless).collect(),
        Value::Object(map) => {
            let mut map = map.clone();
            if is_failure(&map) {
                map.remove("at");
            }
            let fields = map
                .iter()
                .map(|(name, value)| (name.clone(), timeless(value)));
            Value::Object(fields.collect())
        }
        value => value.clone(),
    }
}
