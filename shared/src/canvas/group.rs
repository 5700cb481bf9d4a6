//! Groups, chords and long chains, typed.

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::signature::Signature;

use super::typed::Step;
use super::{Canvas, Fails, Group};

/// Runs them side by side; yields their results in order.
///
/// An array or a `Vec` of members yields a `Vec`, a tuple of up to twelve yields a tuple. All of them need the same:
/// a group that follows a step hands its result to each member. Iterators collect into a group.
///
/// ```
/// use sedano::{group, task, Signature, TaskError};
///
/// #[task]
/// async fn add(x: i64, y: i64) -> Result<i64, TaskError> { Ok(x + y) }
/// #[task]
/// async fn name(id: u64) -> Result<String, TaskError> { Ok(format!("user {id}")) }
///
/// let sums: Signature<(), Vec<i64>> = group([add::s(1, 1), add::s(2, 2)]);
/// let mixed: Signature<(), (i64, String)> = group((add::s(1, 1), name::s(7)));
/// let many: Signature<(), Vec<i64>> = (0..100).map(|n| add::s(n, n)).collect();
/// let each: Signature<(), Vec<i64>> = add::s(2, 2) | group([add::partial(4), add::partial(8)]);
/// ```
///
/// A group that something follows is a [`chord`], as in Celery. An empty group is one that is done.
pub fn group<In, M: Members<In>>(members: M) -> Signature<In, M::Out> {
    members.into_group()
}

/// Runs `header` side by side, and then `body` with the list of its results: `group(header) | body`.
///
/// ```
/// use sedano::{chord, task, Signature, TaskError};
///
/// #[task]
/// async fn add(x: i64, y: i64) -> Result<i64, TaskError> { Ok(x + y) }
/// #[task]
/// async fn xsum(numbers: Vec<i64>) -> Result<i64, TaskError> { Ok(numbers.iter().sum()) }
///
/// let sum: Signature<(), i64> = chord([add::s(1, 1), add::s(2, 2)], xsum::partial());
/// ```
pub fn chord<In, H, B>(header: H, body: B) -> Signature<In, B::Out>
where
    H: Members<In>,
    H::Out: 'static,
    B: Step<H::Out>,
{
    group(header).then(body)
}

/// One after the other, where their number is known at run time only: each takes and yields what `first` yields.
///
/// ```
/// use sedano::{chain, task, Signature, TaskError};
///
/// #[task]
/// async fn add(x: i64, y: i64) -> Result<i64, TaskError> { Ok(x + y) }
///
/// let steps = vec![add::partial(1), add::partial(2)];
/// let sum: Signature<(), i64> = chain(add::s(2, 2), steps);
/// ```
pub fn chain<In, T, S>(
    first: Signature<In, T>,
    steps: impl IntoIterator<Item = S>,
) -> Signature<In, T>
where
    T: 'static,
    S: Step<T, Out = T>,
{
    steps.into_iter().fold(first, Signature::then)
}

/// These members, as a group that fails as soon as one of them does, instead of when all are done. Nobody waits for
/// the others, which still run if they have been sent.
///
/// ```
/// # use sedano::{fail_fast, group, task, TaskError};
/// # #[task]
/// # async fn add(x: i64, y: i64) -> Result<i64, TaskError> { Ok(x + y) }
/// let sums = group(fail_fast([add::s(1, 1), add::s(2, 2)]));
/// ```
pub fn fail_fast<M>(members: M) -> FailFast<M> {
    FailFast(members)
}

/// These members, as a group that doesn't fail when they do: each yields a [`Settled`], its result or its failure.
///
/// ```
/// use sedano::{chord, collect_failures, task, Settled, TaskError};
///
/// #[task]
/// async fn fetch(url: String) -> Result<u64, TaskError> { Ok(0) }
/// #[task]
/// async fn report(pages: Vec<Settled<u64>>) -> Result<usize, TaskError> {
///     Ok(pages.into_iter().filter_map(|page| page.into_result().ok()).count())
/// }
///
/// let pages = ["a", "b"].map(|url| fetch::s(url.into()));
/// let read = chord(collect_failures(pages), report::partial());
/// ```
pub fn collect_failures<M>(members: M) -> CollectFailures<M> {
    CollectFailures(members)
}

/// What a [`group`] can be made of: arrays, `Vec`s and tuples of up to twelve steps that all need `In`.
///
/// There is nothing to implement.
#[diagnostic::on_unimplemented(
    message = "a group can't be made of `{Self}`",
    note = "a group is made of an array, a `Vec` or a tuple of up to twelve steps that all need the same; iterators `collect()`"
)]
pub trait Members<In>: sealed::Sealed {
    /// The list of their results.
    type Out;
    /// The list of their results, or of what became of each.
    type Settled;

    /// The group of them.
    fn into_group(self) -> Signature<In, Self::Out>;
}

mod sealed {
    pub trait Sealed {}
}

/// What became of a member of a group that [collects failures](collect_failures); as JSON `{"ok": …}` or
/// `{"error": …}`.
///
/// ```
/// use sedano::Settled;
///
/// let members: Vec<Settled<i64>> = serde_json::from_str(
///     r#"[{"ok": 4}, {"error": {"type": "TaskError", "message": "no", "at": "2026-03-01T00:00:00Z"}}]"#,
/// ).unwrap();
/// let results: Vec<Result<i64, String>> =
///     members.into_iter().map(|one| one.into_result().map_err(|failure| failure.message)).collect();
/// assert_eq!(results, [Ok(4), Err("no".into())]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settled<T> {
    /// Its result.
    #[serde(rename = "ok")]
    Ok(T),
    /// Why it has none.
    #[serde(rename = "error")]
    Err(Failure),
}

impl<T> Settled<T> {
    /// For `?` and the methods of [`Result`].
    ///
    /// # Errors
    /// The member's failure.
    pub fn into_result(self) -> Result<T, Failure> {
        match self {
            Settled::Ok(value) => Ok(value),
            Settled::Err(failure) => Err(failure),
        }
    }
}

impl<T> From<Settled<T>> for Result<T, Failure> {
    fn from(settled: Settled<T>) -> Self {
        settled.into_result()
    }
}

/// See [`fail_fast`].
#[derive(Debug, Clone)]
pub struct FailFast<M>(M);

/// See [`collect_failures`].
#[derive(Debug, Clone)]
pub struct CollectFailures<M>(M);

impl<M> sealed::Sealed for FailFast<M> {}

impl<In, M: Members<In>> Members<In> for FailFast<M> {
    type Out = M::Out;
    type Settled = M::Settled;

    fn into_group(self) -> Signature<In, M::Out> {
        let mut group = self.0.into_group();
        // Of a group that collects, the type of its results says so.
        if let Canvas::Group(group) = group.canvas_mut()
            && group.fails != Fails::Collect
        {
            group.fails = Fails::Fast;
        }
        group
    }
}

impl<M> sealed::Sealed for CollectFailures<M> {}

impl<In, M: Members<In>> Members<In> for CollectFailures<M> {
    type Out = M::Settled;
    type Settled = M::Settled;

    fn into_group(self) -> Signature<In, M::Settled> {
        let mut canvas = self.0.into_group().into_canvas();
        if let Canvas::Group(group) = &mut canvas {
            group.fails = Fails::Collect;
        }
        Signature::of(canvas)
    }
}

fn of<In, Out>(members: Vec<Canvas>) -> Signature<In, Out> {
    Signature::of(Canvas::Group(Box::new(Group {
        members,
        ..Group::default()
    })))
}

fn member<In, S: Step<In>>(step: S) -> Canvas {
    step.into_signature().into_canvas()
}

impl<S> sealed::Sealed for Vec<S> {}

impl<In, S: Step<In>> Members<In> for Vec<S> {
    type Out = Vec<S::Out>;
    type Settled = Vec<Settled<S::Out>>;

    fn into_group(self) -> Signature<In, Vec<S::Out>> {
        of(self.into_iter().map(member).collect())
    }
}

impl<S, const N: usize> sealed::Sealed for [S; N] {}

impl<In, S: Step<In>, const N: usize> Members<In> for [S; N] {
    type Out = Vec<S::Out>;
    type Settled = Vec<Settled<S::Out>>;

    fn into_group(self) -> Signature<In, Vec<S::Out>> {
        of(self.into_iter().map(member).collect())
    }
}

impl<In, Out, S: Step<In, Out = Out>> FromIterator<S> for Signature<In, Vec<Out>> {
    fn from_iter<I: IntoIterator<Item = S>>(members: I) -> Self {
        of(members.into_iter().map(member).collect())
    }
}

macro_rules! tuples {
    ($(($($member:ident),+))+) => {$(
        impl<$($member),+> sealed::Sealed for ($($member,)+) {}

        impl<In, $($member: Step<In>),+> Members<In> for ($($member,)+) {
            type Out = ($($member::Out,)+);
            type Settled = ($(Settled<$member::Out>,)+);

            fn into_group(self) -> Signature<In, Self::Out> {
                #[expect(non_snake_case, reason = "named as their types")]
                let ($($member,)+) = self;
                of(vec![$(member($member)),+])
            }
        }
    )+};
}

tuples! {
    (A)
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, E)
    (A, B, C, D, E, F)
    (A, B, C, D, E, F, G)
    (A, B, C, D, E, F, G, H)
    (A, B, C, D, E, F, G, H, I)
    (A, B, C, D, E, F, G, H, I, J)
    (A, B, C, D, E, F, G, H, I, J, K)
    (A, B, C, D, E, F, G, H, I, J, K, L)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::canvas::{read, write};
    use crate::{TaskError, task};

    #[task]
    async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
        Ok(x + y)
    }

    #[task]
    async fn name(id: i64) -> Result<String, TaskError> {
        Ok(id.to_string())
    }

    fn lowered<In, Out>(signature: Signature<In, Out>) -> Value {
        write(signature.into_canvas()).unwrap()
    }

    fn calls(numbers: impl IntoIterator<Item = i64>) -> Value {
        let call = |n| json!({"task": "add", "kwargs": {"x": n, "y": n}});
        json!({"group": numbers.into_iter().map(call).collect::<Vec<_>>()})
    }

    #[test]
    fn arrays_lists_iterators_and_tuples_are_groups() {
        let both: Signature<(), Vec<i64>> = group([add::s(1, 1), add::s(2, 2)]);
        assert_eq!(lowered(both), calls([1, 2]));
        let list: Signature<(), Vec<i64>> = group(vec![add::s(1, 1)]);
        assert_eq!(lowered(list), calls([1]));
        let many = (0..100).map(|n| add::s(n, n));
        assert_eq!(
            lowered(many.collect::<Signature<_, _>>() | Signature::<_, i64>::named("xsum")),
            json!({"chord": calls(0..100)["group"], "body": {"task": "xsum"}})
        );
        let mixed: Signature<i64, (i64, String)> = group((add::partial(4), name::partial()));
        assert_eq!(
            lowered(mixed),
            json!({"group": [{"task": "add", "kwargs": {"y": 4}}, {"task": "name"}]})
        );
        let a = || add::s(1, 1);
        let twelve = group((a(), a(), a(), a(), a(), a(), a(), a(), a(), a(), a(), a()));
        assert_eq!(lowered(twelve), calls([1; 12]));
    }

    #[test]
    fn an_empty_group_is_one() {
        let none: Signature<(), Vec<i64>> = std::iter::empty::<Signature<(), i64>>().collect();
        assert_eq!(lowered(none), json!({"group": []}));
        let sum = chord(Vec::<Signature<(), i64>>::new(), xsum());
        assert_eq!(lowered(sum), json!({"chord": [], "body": {"task": "xsum"}}));
    }

    fn xsum() -> Signature<Vec<i64>, i64> {
        Signature::named("xsum")
    }

    #[test]
    fn groups_in_groups_stay_nested() {
        let grid = group([group([add::s(1, 1)]), group([add::s(2, 2)])]);
        let typed: &Signature<(), Vec<Vec<i64>>> = &grid;
        assert_eq!(
            lowered(typed.clone()),
            json!({"group": [calls([1]), calls([2])]})
        );
    }

    #[test]
    fn a_policy_is_written_with_the_group() {
        let members = || [add::s(1, 1), add::s(2, 2)];
        let with = |word: &str| {
            let mut group = calls([1, 2]);
            group["on_failure"] = word.into();
            group
        };
        let fast: Signature<(), Vec<i64>> = group(fail_fast(members()));
        assert_eq!(lowered(fast), with("fast"));
        let collected: Signature<(), Vec<Settled<i64>>> = group(collect_failures(members()));
        assert_eq!(lowered(collected), with("collect"));
        // Of both, the one that the type of the results tells of.
        let both: Signature<(), Vec<Settled<i64>>> = group(fail_fast(collect_failures(members())));
        assert_eq!(lowered(both), with("collect"));
        let tuple: Signature<i64, (Settled<i64>, Settled<String>)> =
            group(collect_failures((add::partial(1), name::partial())));
        assert_eq!(lowered(tuple)["on_failure"], "collect");
        let body: Signature<Vec<Settled<i64>>, usize> = Signature::named("report");
        let chord = lowered(chord(collect_failures(members()), body));
        assert_eq!(
            (&chord["on_failure"], &chord["body"]["task"]),
            (&"collect".into(), &"report".into())
        );
        let again = read(chord.clone(), "it").unwrap();
        assert_eq!(write(again).unwrap(), chord);
    }

    #[test]
    fn what_became_of_a_member_is_read_as_written() {
        let failure = json!({
            "type": "TaskError", "message": "no", "causes": [], "retries": 3, "at": "2026-03-01T00:00:00.000Z",
        });
        let json = json!([{"ok": null}, {"error": failure}]);
        let members: Vec<Settled<()>> = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&members).unwrap(), json);
        let results: Vec<Result<(), Failure>> = members.into_iter().map(Into::into).collect();
        assert_eq!(results[0], Ok(()));
        assert_eq!(results[1].as_ref().unwrap_err().retries, 3);
    }
}
