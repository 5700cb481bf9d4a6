//! Steps of a composition, typed: what may follow what, and what is sent when it has ended.
//!
//! A [`Signature`] is a [`Canvas`] with two types that live at compile time only: what it needs from the step
//! before it, and what it yields. They add no rule of their own: what is put together here is what a sender in
//! another language writes as JSON.

use std::any::TypeId;
use std::marker::PhantomData;
use std::ops::BitOr;

use serde_json::Value;

use crate::failure::Failure;
use crate::signature::Signature;

use super::Canvas;

/// What can follow a step that yields `Prev`: a [`Signature`] that needs just that, or an [`Immutable`] one.
///
/// There is nothing to implement: the two are all.
#[diagnostic::on_unimplemented(
    message = "this step can't follow a step that yields `{Prev}`",
    label = "doesn't take `{Prev}` from the step before it",
    note = "a step is given the result of the one before it as its first argument: leave that one out with `partial(…)`",
    note = "use `.immutable()` to ignore the previous result"
)]
pub trait Step<Prev>: sealed::Sealed {
    /// What the step yields.
    type Out;

    /// The step as a signature that follows a `Prev`.
    fn into_signature(self) -> Signature<Prev, Self::Out>;
}

mod sealed {
    pub trait Sealed {}
    impl<In, Out> Sealed for crate::Signature<In, Out> {}
    impl<Out> Sealed for super::Immutable<Out> {}
}

impl<Prev, Out> Step<Prev> for Signature<Prev, Out> {
    type Out = Out;

    fn into_signature(self) -> Signature<Prev, Out> {
        self
    }
}

/// A step that takes nothing from the one before it, and so follows any: Celery's `.si(…)`.
///
/// ```
/// use sedano::{task, Signature, TaskError};
///
/// #[task]
/// async fn charge(order: u64) -> Result<u64, TaskError> { Ok(order) }
/// #[task]
/// async fn mail(text: String) -> Result<(), TaskError> { Ok(()) }
///
/// let both: Signature<(), ()> = charge::s(7) | mail::s("done".into()).immutable();
/// ```
#[must_use = "a signature does nothing until it is sent"]
#[derive(Debug)]
pub struct Immutable<Out> {
    canvas: Canvas,
    yields: PhantomData<fn() -> Out>,
}

impl<Out> Clone for Immutable<Out> {
    fn clone(&self) -> Self {
        Self {
            canvas: self.canvas.clone(),
            yields: PhantomData,
        }
    }
}

impl<Prev, Out> Step<Prev> for Immutable<Out> {
    type Out = Out;

    fn into_signature(self) -> Signature<Prev, Out> {
        Signature::of(self.canvas)
    }
}

impl<Out> Signature<(), Out> {
    /// The same as a step that ignores the result of the one before it: its arguments are all there. Of a chain
    /// it is the first step that ignores it, of a group each member.
    pub fn immutable(self) -> Immutable<Out> {
        let mut canvas = self.into_canvas();
        take_nothing(&mut canvas);
        Immutable {
            canvas,
            yields: PhantomData,
        }
    }
}

impl<In, Out: 'static> Signature<In, Out> {
    /// This, and then `step` with its result: `|` as a method.
    ///
    /// After a step that yields `()` comes one that needs nothing: it is given nothing, not the `null` that
    /// Celery would put in front of its arguments.
    pub fn then<S: Step<Out>>(self, step: S) -> Signature<In, S::Out> {
        Signature::of(self.into_canvas().then(following(step)))
    }

    /// Also sent when this has succeeded, with its result; may be said several times. Of a chain or a chord it is
    /// the result of the last step, of a group the list of its members'.
    ///
    /// Nobody waits for a callback: what follows with [`then`](Signature::then) is given this result, and not the
    /// callback's.
    pub fn link<S: Step<Out>>(mut self, callback: S) -> Self {
        self.canvas_mut().link(following(callback));
        self
    }
}

impl<In, Out> Signature<In, Out> {
    /// Sent when this has failed for good, with its [`Failure`]; may be said several times.
    ///
    /// Of a chain it is sent with the failure of whichever step failed: those after it don't run. Of a group it is
    /// sent once, however many members failed, and of a chord once, whether its header failed or its body.
    pub fn link_error<S: Step<Failure>>(mut self, errback: S) -> Self {
        let errback = following(errback);
        self.canvas_mut().link_error(&errback);
        self
    }

    /// [`link_error`](Signature::link_error), under the name that reads better on a whole workflow.
    pub fn on_error<S: Step<Failure>>(self, errback: S) -> Self {
        self.link_error(errback)
    }

    /// A header on each message of the composition, callbacks and errbacks included: Celery's stamp. Those that
    /// are added later don't bear it.
    pub fn stamp(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.canvas_mut().every_call(&mut |call| {
            call.headers.insert(name.clone(), value.clone());
        });
        self
    }
}

impl<In, Out: 'static, S: Step<Out>> BitOr<S> for Signature<In, Out> {
    type Output = Signature<In, S::Out>;

    fn bitor(self, step: S) -> Self::Output {
        self.then(step)
    }
}

/// The step as it stands behind one that yields `Prev`. Nothing to hand over is no argument, not `null`.
fn following<Prev: 'static, S: Step<Prev>>(step: S) -> Canvas {
    let mut canvas = step.into_signature().into_canvas();
    if TypeId::of::<Prev>() == TypeId::of::<()>() {
        take_nothing(&mut canvas);
    }
    canvas
}

fn take_nothing(canvas: &mut Canvas) {
    canvas.first_calls(&mut |call| call.immutable = true);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::canvas::{read, write};
    use crate::{TaskError, chord, group, id, task};

    #[task]
    async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
        Ok(x + y)
    }

    #[task]
    async fn xsum(numbers: Vec<i64>) -> Result<i64, TaskError> {
        Ok(numbers.iter().sum())
    }

    #[task]
    async fn wake() {}

    #[task]
    async fn alert(failure: Failure, channel: String) {
        let _ = (failure, channel);
    }

    fn lowered<In, Out>(signature: Signature<In, Out>) -> Value {
        write(signature.into_canvas()).unwrap()
    }

    fn identified<In, Out>(signature: Signature<In, Out>) -> Value {
        let mut canvas = signature.into_canvas();
        canvas.identify("x");
        write(canvas).unwrap()
    }

    #[test]
    fn steps_in_a_row_are_one_chain_under_the_id_of_the_last() {
        let four = json!({"task": "add", "kwargs": {"x": 2, "y": 2}, "id": id::derived(&["x", "step", "0"])});
        let eight =
            json!({"task": "add", "kwargs": {"y": 4}, "id": id::derived(&["x", "step", "1"])});
        let last = json!({"task": "add", "kwargs": {"y": 8}, "id": "x"});
        let chain = json!({"chain": [four, eight, last]});
        let (first, second, third) = (add::s(2, 2), add::partial(4), add::partial(8));
        assert_eq!(
            identified(first.clone() | second.clone() | third.clone()),
            chain
        );
        assert_eq!(
            identified(first.clone().then(second.clone().then(third.clone()))),
            chain
        );
        assert_eq!(identified(crate::chain(first, [second, third])), chain);
    }

    #[test]
    fn what_follows_a_group_is_its_body_and_what_follows_a_chord_extends_it() {
        let header = || group([add::s(1, 1), add::s(2, 2)]);
        let members = [1, 2].map(|n| json!({"task": "add", "kwargs": {"x": n, "y": n}}));
        let header_id = id::derived(&["x", "header"]);
        assert_eq!(
            identified(header()),
            json!({"group": members, "group_id": "x"})
        );
        let body = json!({"task": "xsum", "id": "x"});
        let expected = json!({"chord": members, "body": body, "group_id": header_id});
        assert_eq!(identified(header() | xsum::partial()), expected);
        assert_eq!(
            identified(chord([add::s(1, 1), add::s(2, 2)], xsum::partial())),
            expected
        );
        let chord = header() | xsum::partial() | add::partial(1);
        assert_eq!(
            lowered(chord.clone()),
            json!({
                "chord": members,
                "body": {"chain": [{"task": "xsum"}, {"task": "add", "kwargs": {"y": 1}}]},
            })
        );
        assert_eq!(identified(chord)["body"]["chain"][1]["id"], "x");
    }

    #[test]
    fn a_group_in_a_chain_takes_all_that_follows_as_its_body() {
        let fan = add::s(1, 1) | group([add::partial(1), add::partial(2)]);
        let first = json!({"task": "add", "kwargs": {"x": 1, "y": 1}});
        let members =
            json!([{"task": "add", "kwargs": {"y": 1}}, {"task": "add", "kwargs": {"y": 2}}]);
        assert_eq!(
            lowered(fan.clone()),
            json!({"chain": [first, {"group": members}]})
        );
        assert_eq!(
            lowered(fan.clone() | xsum::partial() | add::partial(9)),
            json!({"chain": [first, {
                "chord": members,
                "body": {"chain": [{"task": "xsum"}, {"task": "add", "kwargs": {"y": 9}}]},
            }]})
        );
        // A group of groups' results: the body of the first is the second.
        assert_eq!(
            lowered(fan | group([xsum::partial(), xsum::partial()]) | xsum::partial()),
            json!({"chain": [first, {
                "chord": members,
                "body": {"chord": [{"task": "xsum"}, {"task": "xsum"}], "body": {"task": "xsum"}},
            }]})
        );
    }

    /// Whatever it was, as something that fits anywhere.
    fn any<In, Out>(signature: Signature<In, Out>) -> Signature<Value, Value> {
        Signature::of(signature.into_canvas())
    }

    fn tasks_in(json: &Value, names: &mut Vec<String>) {
        match json {
            Value::Object(map) => {
                names.extend(map.get("task").and_then(Value::as_str).map(str::to_owned));
                for part in ["chain", "group", "chord", "body"] {
                    map.get(part)
                        .into_iter()
                        .for_each(|part| tasks_in(part, names));
                }
            }
            Value::Array(list) => list.iter().for_each(|one| tasks_in(one, names)),
            _ => {}
        }
    }

    #[test]
    fn whatever_is_nested_in_whatever_is_read_back_as_written() {
        type Any = Signature<Value, Value>;
        type Wrapping = (&'static str, fn(Any) -> Any);
        let named = |name: &str| Any::named(name);
        let wrappings: [Wrapping; 7] = [
            ("? <", |inner| inner | Any::named("<")),
            ("> ?", |inner| Any::named(">") | inner),
            ("> ? <", |inner| Any::named(">") | inner | Any::named("<")),
            ("?", |inner| any(group([inner]))),
            ("> ? <", |inner| {
                any(group((Any::named(">"), inner, Any::named("<"))))
            }),
            ("? <", |inner| any(any(group([inner])) | Any::named("<"))),
            ("> ?", |inner| any(any(group([Any::named(">")])) | inner)),
        ];
        let mut shapes = vec![("t".to_owned(), named("t"))];
        for _ in 0..3 {
            let wrapped = shapes.iter().flat_map(|(names, shape)| {
                wrappings.iter().map(move |(wrapping, wrap)| {
                    (wrapping.replace('?', names), wrap(shape.clone()))
                })
            });
            shapes = wrapped.collect();
        }
        assert_eq!(shapes.len(), 343);
        for (names, shape) in shapes {
            let json = lowered(shape);
            let mut found = Vec::new();
            tasks_in(&json, &mut found);
            assert_eq!(found.join(" "), names, "{json}");
            let again = read(json.clone(), "it").unwrap();
            assert_eq!(write(again).unwrap(), json);
        }
    }

    #[test]
    fn an_immutable_step_takes_nothing() {
        let second = json!({"task": "add", "kwargs": {"x": 1, "y": 1}, "immutable": true});
        let first = json!({"task": "add", "kwargs": {"x": 2, "y": 2}});
        assert_eq!(
            lowered(add::s(2, 2) | add::s(1, 1).immutable()),
            json!({"chain": [first, second]})
        );
        // Of a chain the first, of a group each.
        let chain = (add::s(1, 1) | add::partial(4)).immutable();
        assert_eq!(
            lowered(add::s(2, 2) | chain),
            json!({"chain": [first, second, {"task": "add", "kwargs": {"y": 4}}]})
        );
        let both = group([add::s(1, 1), add::s(1, 1)]).immutable();
        assert_eq!(
            lowered(add::s(2, 2) | both),
            json!({"chain": [first, {"group": [second, second]}]})
        );
        // Beside members that take it.
        assert_eq!(
            lowered(add::s(2, 2) | group((add::partial(4), add::s(1, 1).immutable()))),
            json!({"chain": [first, {"group": [{"task": "add", "kwargs": {"y": 4}}, second]}]})
        );
    }

    #[test]
    fn after_nothing_comes_what_needs_nothing() {
        let second = json!({"task": "add", "kwargs": {"x": 1, "y": 1}, "immutable": true});
        assert_eq!(
            lowered(wake::s() | add::s(1, 1) | add::partial(4)),
            json!({"chain": [{"task": "wake"}, second, {"task": "add", "kwargs": {"y": 4}}]})
        );
        assert_eq!(
            lowered(wake::s() | group([add::s(1, 1), add::s(1, 1)])),
            json!({"chain": [{"task": "wake"}, {"group": [second, second]}]})
        );
        assert_eq!(
            lowered(wake::s().link(add::s(1, 1))),
            json!({"task": "wake", "link": [second]})
        );
    }

    #[test]
    fn options_of_a_whole_go_where_they_belong() {
        let whole = add::s(1, 1) | group([add::partial(1), add::partial(2)]) | xsum::partial();
        let whole = whole
            .queue("bulk")
            .countdown(std::time::Duration::from_secs(5))
            .id("sum");
        assert_eq!(
            lowered(whole),
            json!({"chain": [
                {"task": "add", "kwargs": {"x": 1, "y": 1}, "queue": "bulk", "countdown": 5.0},
                {
                    "chord": [
                        {"task": "add", "kwargs": {"y": 1}, "queue": "bulk"},
                        {"task": "add", "kwargs": {"y": 2}, "queue": "bulk"},
                    ],
                    "body": {"task": "xsum", "queue": "bulk", "id": "sum"},
                },
            ]})
        );
        let members = group([add::s(1, 1), add::s(2, 2)])
            .countdown(std::time::Duration::from_secs(5))
            .id("both");
        assert_eq!(
            lowered(members),
            json!({
                "group": [
                    {"task": "add", "kwargs": {"x": 1, "y": 1}, "countdown": 5.0},
                    {"task": "add", "kwargs": {"x": 2, "y": 2}, "countdown": 5.0},
                ],
                "group_id": "both",
            })
        );
    }

    #[test]
    fn callbacks_hang_where_the_result_is() {
        let call = json!({"task": "add", "kwargs": {"x": 1, "y": 1}});
        let linked = |task: &str| json!({"task": task, "link": [{"task": "add", "kwargs": {"y": 7}, "queue": "low"}]});
        let callback = add::partial(7).queue("low");
        assert_eq!(
            lowered(add::s(1, 1) | one().link(callback.clone())),
            json!({"chain": [call, linked("one")]})
        );
        assert_eq!(
            lowered((add::s(1, 1) | one()).link(callback.clone())),
            json!({"chain": [call, linked("one")]})
        );
        assert_eq!(
            lowered(chord([add::s(1, 1)], xsum::partial()).link(callback)),
            json!({"chord": [call], "body": linked("xsum")})
        );
        let group = group([add::s(1, 1)])
            .link(xsum::partial())
            .link(add::s(1, 1).immutable());
        assert_eq!(
            lowered(group),
            json!({"group": [call], "link": [
                {"task": "xsum"},
                {"task": "add", "kwargs": {"x": 1, "y": 1}, "immutable": true},
            ]})
        );
    }

    #[test]
    fn what_hangs_on_a_part_stays_there_when_something_follows() {
        let header = group([add::s(1, 1)])
            .link(xsum::partial())
            .on_error(alert::partial("ops".into()));
        let json = lowered(add::s(1, 1) | header.immutable() | xsum::partial());
        let chord = &json["chain"][1];
        assert_eq!(chord["header_link"], json!([{"task": "xsum"}]));
        assert_eq!(chord["header_link_error"][0]["task"], "alert");
        assert_eq!(chord["body"], json!({"task": "xsum"}));
        assert_eq!(write(read(json.clone(), "it").unwrap()).unwrap(), json);
        let chain = add::s(1, 1).on_error(wake::s().immutable()) | add::partial(1);
        assert_eq!(
            lowered(chain)["chain"][1],
            json!({"task": "add", "kwargs": {"y": 1}})
        );
    }

    fn one() -> Signature<i64, i64> {
        Signature::named("one")
    }

    #[test]
    fn errbacks_hang_on_every_step_of_a_chain_and_once_on_a_group() {
        let errback = || alert::partial("ops".into());
        let list = json!([{"task": "alert", "kwargs": {"channel": "ops"}}]);
        assert_eq!(
            lowered((add::s(1, 1) | add::partial(4)).link_error(errback())),
            json!({"chain": [
                {"task": "add", "kwargs": {"x": 1, "y": 1}, "link_error": list},
                {"task": "add", "kwargs": {"y": 4}, "link_error": list},
            ]})
        );
        let call = json!({"task": "add", "kwargs": {"x": 1, "y": 1}});
        assert_eq!(
            lowered(group([add::s(1, 1)]).on_error(errback())),
            json!({"group": [call], "link_error": list})
        );
        let twice = chord([add::s(1, 1)], xsum::partial())
            .on_error(errback())
            .on_error(wake::s().immutable());
        assert_eq!(
            lowered(twice),
            json!({"chord": [call], "body": {"task": "xsum", "link_error": [
                {"task": "alert", "kwargs": {"channel": "ops"}},
                {"task": "wake", "immutable": true},
            ]}})
        );
    }

    #[test]
    fn a_stamp_is_on_every_message() {
        let errback = alert::partial("ops".into()).link(wake::s());
        let members = group([add::partial(4).link(add::partial(1))]).on_error(errback.clone());
        let whole = (add::s(1, 1) | members)
            .link(xsum::partial() | add::partial(2))
            .on_error(errback);
        let stamped = lowered(whole.stamp("tenant", "acme"));
        let mut calls = 0;
        every_call_in(&stamped, &mut |call| {
            calls += 1;
            assert_eq!(call["headers"], json!({"tenant": "acme"}), "{call}");
        });
        // Two and a callback; two errbacks of the group and one of the first, each with its own callback; a callback
        // of two steps.
        assert_eq!(calls, 3 + 3 * 2 + 2);
        let late = add::s(1, 1).stamp("tenant", "acme").link(add::partial(1));
        assert_eq!(
            lowered(late)["link"],
            json!([{"task": "add", "kwargs": {"y": 1}}])
        );
    }

    fn every_call_in(json: &Value, look: &mut dyn FnMut(&Value)) {
        if json.get("task").is_some() {
            look(json);
        }
        match json {
            Value::Object(map) => map.values().for_each(|part| every_call_in(part, look)),
            Value::Array(list) => list.iter().for_each(|part| every_call_in(part, look)),
            _ => {}
        }
    }

    #[test]
    fn names_compose_as_types_do() {
        let named = Signature::<(), i64>::named("add").arg(2).arg(2)
            | Signature::<_, i64>::named("add").arg(4)
            | Signature::<_, i64>::named("mul").kwarg("y", 8);
        assert_eq!(
            lowered(named | add::partial(1)),
            json!({"chain": [
                {"task": "add", "args": [2, 2]},
                {"task": "add", "args": [4]},
                {"task": "mul", "kwargs": {"y": 8}},
                {"task": "add", "kwargs": {"y": 1}},
            ]})
        );
    }
}
