//! Compositions of every shape: drawn from a world's seed, or by proptest, which makes those that break
//! something smaller.

use proptest::collection::vec;
use proptest::prelude::*;
use sedano::sim::Random;
use serde_json::{Map, Value, json};

/// A composition, with what is linked to the whole of it.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    pub(crate) link: Vec<Callback>,
    pub(crate) link_error: Vec<Callback>,
    /// Of a task: no other call of the world has it, nor that before it.
    pub(crate) mark: u64,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A task that takes all numbers it is given and its own: `leaf`, `flaky`, `light` or `echo`; or `late`, a
    /// `leaf` with a countdown.
    Leaf(&'static str, i64),
    /// A task that fails for good: `fails` or `rejects`.
    Fails(&'static str),
    Replaces(Box<Shape>),
    /// A `leaf` that adds these to the group which it is a member of, as it always is.
    Grows(i64, Vec<Shape>),
    Chain(Vec<Shape>),
    Group(Vec<Shape>, OnFailure),
    Chord(Vec<Shape>, OnFailure, Box<Shape>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum OnFailure {
    Wait,
    Fast,
    Collect,
}

/// What is sent with a result, or with a failure.
#[derive(Debug, Clone)]
pub(crate) struct Callback {
    pub(crate) how: How,
    pub(crate) mark: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum How {
    Plain,
    Immutable,
    /// Behind an `echo`, whose mark is one less.
    Through,
}

const LEAVES: [&str; 7] = ["leaf", "leaf", "leaf", "late", "flaky", "light", "echo"];
const FAILS: [&str; 2] = ["fails", "rejects"];
const POLICIES: [OnFailure; 4] = [
    OnFailure::Wait,
    OnFailure::Wait,
    OnFailure::Fast,
    OnFailure::Collect,
];
const HOWS: [How; 4] = [How::Plain, How::Plain, How::Immutable, How::Through];

impl From<Kind> for Shape {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            link: Vec::new(),
            link_error: Vec::new(),
            mark: 0,
        }
    }
}

impl From<How> for Callback {
    fn from(how: How) -> Self {
        Self { how, mark: 0 }
    }
}

fn pick<T: Copy>(random: &Random, among: &[T]) -> T {
    match random.pick(among) {
        Some(one) => *one,
        None => unreachable!("there is always something to be picked"),
    }
}

impl Shape {
    pub(crate) fn random(random: &Random, depth: u64) -> Self {
        let many = |most| {
            let shapes = 0..random.below(most);
            shapes.map(|_| Self::random(random, depth - 1)).collect()
        };
        let members = |most| {
            let mut members: Vec<Shape> = many(most);
            for member in &mut members {
                if random.chance(0.15) {
                    *member = Kind::Grows(2, many(4)).into();
                }
            }
            members
        };
        let one = || Box::new(Self::random(random, depth - 1));
        let kind = match random.below(if depth == 0 { 5 } else { 10 }) {
            0 if random.chance(0.3) => Kind::Fails(pick(random, &FAILS)),
            0..5 => {
                let n = i64::try_from(random.below(10)).unwrap_or(0);
                Kind::Leaf(pick(random, &LEAVES), n)
            }
            5 | 6 => {
                let mut steps: Vec<Shape> = many(3);
                steps.push(*one());
                Kind::Chain(steps)
            }
            7 if random.chance(0.5) => Kind::Replaces(one()),
            7 => Kind::Group(members(5), pick(random, &POLICIES)),
            _ => Kind::Chord(members(6), pick(random, &POLICIES), one()),
        };
        let callbacks = || {
            let some = 0..random.below(7).saturating_sub(4);
            some.map(|_| pick(random, &HOWS).into()).collect()
        };
        Self {
            link: callbacks(),
            link_error: callbacks(),
            ..kind.into()
        }
    }

    /// The same by proptest.
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        let leaf = (proptest::sample::select(&LEAVES[..]), 0..10_i64);
        let leaf = leaf.prop_map(|(task, n)| Kind::Leaf(task, n));
        let fails = proptest::sample::select(&FAILS[..]).prop_map(Kind::Fails);
        let leaf = prop_oneof![9 => leaf, 1 => fails];
        linked(leaf).prop_recursive(4, 30, 5, |shape| {
            let one = shape.clone().prop_map(Box::new);
            let added = vec(shape.clone(), 0..=3);
            let grows = linked((0..10_i64, added).prop_map(|(n, added)| Kind::Grows(n, added)));
            let member = prop_oneof![5 => shape.clone(), 1 => grows];
            let many = |most| vec(member.clone(), 0..=most);
            let policy = || proptest::sample::select(&POLICIES[..]);
            linked(prop_oneof![
                2 => vec(shape.clone(), 1..=3).prop_map(Kind::Chain),
                1 => one.clone().prop_map(Kind::Replaces),
                1 => (many(4), policy()).prop_map(|(all, fails)| Kind::Group(all, fails)),
                3 => (many(5), policy(), one).prop_map(|(all, fails, body)| Kind::Chord(all, fails, body)),
            ])
        })
    }

    /// Gives each call a mark of its own.
    pub(crate) fn number(&mut self, next: &mut u64) {
        let mut mark = |step| {
            *next += step;
            *next
        };
        self.mark = mark(2);
        for callback in self.link.iter_mut().chain(&mut self.link_error) {
            callback.mark = mark(2);
        }
        for part in self.parts() {
            part.number(next);
        }
    }

    fn parts(&mut self) -> Vec<&mut Shape> {
        match &mut self.kind {
            Kind::Leaf(..) | Kind::Fails(_) => Vec::new(),
            Kind::Replaces(by) => vec![by],
            Kind::Grows(_, all) | Kind::Chain(all) | Kind::Group(all, _) => {
                all.iter_mut().collect()
            }
            Kind::Chord(all, _, body) => all.iter_mut().chain([&mut **body]).collect(),
        }
    }

    fn has_failures(&mut self) -> bool {
        matches!(self.kind, Kind::Fails(_)) || self.parts().into_iter().any(Self::has_failures)
    }

    /// Without groups that fail at once, if something in it fails, and without dead letters.
    pub(crate) fn tame(&mut self) {
        if self.has_failures() {
            self.wait();
        }
    }

    fn wait(&mut self) {
        if let Kind::Group(_, fails) | Kind::Chord(_, fails, _) = &mut self.kind
            && *fails == OnFailure::Fast
        {
            *fails = OnFailure::Wait;
        }
        if let Kind::Fails(task) = &mut self.kind {
            *task = "fails";
        }
        self.parts().into_iter().for_each(Self::wait);
    }

    pub(crate) fn json(&self) -> Value {
        let all = |shapes: &[Shape]| shapes.iter().map(Shape::json).collect::<Vec<_>>();
        let mark = self.mark;
        let mut json = match &self.kind {
            Kind::Leaf("late", n) => {
                json!({ "task": "leaf", "kwargs": { "n": n, "mark": mark }, "countdown": 3 * n })
            }
            Kind::Leaf(task, n) => json!({ "task": task, "kwargs": { "n": n, "mark": mark } }),
            Kind::Fails(task) => json!({ "task": task, "kwargs": { "mark": mark } }),
            Kind::Replaces(by) => {
                json!({ "task": "replaces", "kwargs": { "by": by.json(), "mark": mark } })
            }
            Kind::Grows(n, added) => {
                json!({ "task": "grows", "kwargs": { "n": n, "add": all(added), "mark": mark } })
            }
            Kind::Chain(steps) => json!({ "chain": all(steps) }),
            Kind::Group(members, fails) => {
                json!({ "group": all(members), "on_failure": fails.word() })
            }
            Kind::Chord(members, fails, body) => {
                json!({ "chord": all(members), "body": body.json(), "on_failure": fails.word() })
            }
        };
        let links = [("link", &self.link), ("link_error", &self.link_error)];
        for (name, callbacks) in links {
            if let Some(map) = json.as_object_mut().filter(|_| !callbacks.is_empty()) {
                write(map, name, callbacks);
            }
        }
        json
    }
}

fn write(map: &mut Map<String, Value>, name: &str, callbacks: &[Callback]) {
    let callbacks = callbacks.iter().map(|Callback { how, mark }| {
        let called = json!({ "task": "called", "kwargs": { "mark": mark } });
        match how {
            How::Plain => called,
            How::Immutable => {
                json!({ "task": "called", "kwargs": { "mark": mark }, "immutable": true })
            }
            How::Through => {
                let echo = json!({ "task": "echo", "kwargs": { "n": 1, "mark": mark - 1 } });
                json!({ "chain": [echo, called] })
            }
        }
    });
    map.insert(name.to_owned(), callbacks.collect());
}

impl OnFailure {
    fn word(self) -> &'static str {
        match self {
            OnFailure::Wait => "wait",
            OnFailure::Fast => "fast",
            OnFailure::Collect => "collect",
        }
    }
}

fn linked(kind: impl Strategy<Value = Kind> + 'static) -> BoxedStrategy<Shape> {
    let how = || proptest::sample::select(&HOWS[..]).prop_map(Callback::from);
    let callbacks = move || prop_oneof![2 => Just(Vec::new()), 1 => vec(how(), 1..=2)];
    let shape = (kind, callbacks(), callbacks());
    let shape = shape.prop_map(|(kind, link, link_error)| Shape {
        link,
        link_error,
        ..kind.into()
    });
    shape.boxed()
}
