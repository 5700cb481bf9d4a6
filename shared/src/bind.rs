//! Arguments to parameters: `args` by position, `kwargs` by name, with Python's own errors.

use std::cell::Cell;

use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::failure::{abridged, shortened};
use crate::task::{Param, QUOTED};

/// The arguments of a call.
pub(crate) type Args = Vec<Value>;
/// The named arguments of a call.
pub(crate) type Kwargs = Map<String, Value>;

/// Binds a call's arguments to a task's parameters and decodes them.
///
/// The checks, their order and their words are CPython's, which Celery's users know. A value of the
/// wrong type is named with its parameter.
pub(crate) fn bind<T: DeserializeOwned>(
    task: &str,
    params: &'static [Param],
    args: Args,
    mut kwargs: Kwargs,
) -> Result<T> {
    let fail = |message: String, parameter: Option<&str>| {
        let error = Error::new(ErrorKind::Bind, format!("{task}() {message}"));
        Err(match parameter {
            Some(name) => error.about(name),
            None => error,
        })
    };
    if let Some(name) = kwargs
        .keys()
        .find(|name| !params.iter().any(|param| param.name == *name))
    {
        let name = shortened(name, QUOTED);
        let what = format!("got an unexpected keyword argument '{name}'");
        return fail(what, Some(&name));
    }
    let given = args.len();
    for (param, value) in params.iter().zip(args) {
        if kwargs.insert(param.name.to_owned(), value).is_some() {
            let what = format!("got multiple values for argument '{}'", param.name);
            return fail(what, Some(param.name));
        }
    }
    if given > params.len() {
        return fail(too_many(params, given), None);
    }
    let missing: Vec<&str> = params
        .iter()
        .filter(|param| param.required && !kwargs.contains_key(param.name))
        .map(|param| param.name)
        .collect();
    if !missing.is_empty() {
        return fail(too_few(&missing), missing.first().copied());
    }
    decode(task, kwargs)
}

pub(crate) fn decode<T: DeserializeOwned>(task: &str, kwargs: Kwargs) -> Result<T> {
    let current: Cell<Option<String>> = Cell::new(None);
    let mut rest = kwargs.into_iter();
    // Past the last one, what is wrong is a parameter that isn't there.
    let entries = std::iter::from_fn(|| {
        let entry = rest.next();
        current.set(entry.as_ref().map(|(name, _)| name.clone()));
        entry
    });
    T::deserialize(MapDeserializer::new(entries)).map_err(|error: serde_json::Error| {
        // It quotes the value, and what was expected stands after that.
        let error = abridged(&error.to_string(), 2 * QUOTED);
        let fail = |what: String| Error::new(ErrorKind::Bind, format!("{task}() {what}"));
        match current.take() {
            Some(name) => fail(format!("argument '{}': {error}", shortened(&name, QUOTED)))
                .about(&shortened(&name, QUOTED)),
            None => fail(error),
        }
    })
}

fn too_many(params: &[Param], given: usize) -> String {
    let most = params.len();
    let least = params.iter().filter(|param| param.required).count();
    let takes = if least < most {
        format!("from {least} to {most}")
    } else {
        most.to_string()
    };
    let arguments = if most == 1 && least == most {
        "argument"
    } else {
        "arguments"
    };
    let were = if given == 1 { "was" } else { "were" };
    format!("takes {takes} positional {arguments} but {given} {were} given")
}

fn too_few(missing: &[&str]) -> String {
    let quoted: Vec<String> = missing.iter().map(|name| format!("'{name}'")).collect();
    let names = match quoted.as_slice() {
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [rest @ .., last] => format!("{}, and {last}", rest.join(", ")),
        [] => String::new(),
    };
    let arguments = if missing.len() == 1 {
        "argument"
    } else {
        "arguments"
    };
    format!(
        "missing {} required positional {arguments}: {names}",
        missing.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Call {
        x: i64,
        y: i64,
        #[serde(default)]
        z: i64,
    }

    const PARAMS: &[Param] = &[
        Param::required("x"),
        Param::required("y"),
        Param::optional("z"),
    ];

    fn call(args: Value, kwargs: Value) -> Result<Call, String> {
        let (Value::Array(args), Value::Object(kwargs)) = (args, kwargs) else {
            unreachable!()
        };
        bind("add", PARAMS, args, kwargs).map_err(|error| error.to_string())
    }

    #[test]
    fn by_position_and_by_name() {
        assert_eq!(
            call(json!([1, 2]), json!({})),
            Ok(Call { x: 1, y: 2, z: 0 })
        );
        assert_eq!(
            call(json!([1]), json!({"z": 3, "y": 2})),
            Ok(Call { x: 1, y: 2, z: 3 })
        );
    }

    #[test]
    fn errors_are_pythons() {
        let cases = [
            (
                json!([1, 2, 3, 4]),
                json!({}),
                "add() takes from 2 to 3 positional arguments but 4 were given",
            ),
            (
                json!([1]),
                json!({}),
                "add() missing 1 required positional argument: 'y'",
            ),
            (
                json!([]),
                json!({}),
                "add() missing 2 required positional arguments: 'x' and 'y'",
            ),
            (
                json!([1]),
                json!({"x": 2}),
                "add() got multiple values for argument 'x'",
            ),
            (
                json!([]),
                json!({"w": 2}),
                "add() got an unexpected keyword argument 'w'",
            ),
            (
                json!([1, "two"]),
                json!({}),
                "add() argument 'y': invalid type: string \"two\", expected i64",
            ),
        ];
        for (args, kwargs, message) in cases {
            assert_eq!(call(args, kwargs), Err(message.to_owned()));
        }
        let by_name_only = decode::<Call>("add", Kwargs::from_iter([("x".to_owned(), 1.into())]));
        assert_eq!(
            by_name_only.unwrap_err().to_string(),
            "add() missing field `y`"
        );
        assert_eq!(
            too_few(&["a", "b", "c"]),
            "missing 3 required positional arguments: 'a', 'b', and 'c'"
        );
        assert_eq!(
            too_many(&[Param::required("a")], 2),
            "takes 1 positional argument but 2 were given"
        );
        assert_eq!(
            too_many(&[], 1),
            "takes 0 positional arguments but 1 was given"
        );
    }
}
