//! Routes as JSON: one object of names, patterns and where they lead, or a list of such.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::message::Fields;
use crate::task::nearest;

use super::{Glob, PRIORITY, Route, Routes, fault};

const OPTIONS: [&str; 4] = ["queue", "priority", "message_group", "expires"];

/// As in `SEDANO_ROUTES`: `{"refund": "high", "reports.*": "low", "/^img_/": {"queue": "io", "expires": 60}}`.
///
/// # Errors
/// `Config`, with the place in the text, or the route and what is wrong with it. Whether there are such queues shows
/// when an application takes them.
impl FromStr for Routes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: String| Error::new(ErrorKind::Config, what);
        let written: Written = serde_json::from_str(text).map_err(|error| {
            let text = json::unreadable("the text", text.as_bytes(), &error);
            wrong(match error.is_data() {
                // It is JSON, and of another shape.
                true => text.replacen(" is no JSON at", " is wrong at", 1),
                false => text,
            })
            .caused_by(error)
        })?;
        let mut routes = Routes::new();
        for table in written.0 {
            let mut read = Routes::new();
            for (key, value) in table.0 {
                let route = route(value).map_err(|what| wrong(fault(&key, &what)))?;
                read = match regex(&key) {
                    Some(regex) => read.regex(regex, route),
                    None if key.starts_with(PRIORITY) => match priorities(&key) {
                        Some(priorities) => read.priority(priorities, route),
                        None => {
                            let what = "is of no priorities: write `priority 9` or `priority 7-9`";
                            return Err(wrong(fault(&key, what)));
                        }
                    },
                    None if Glob::is_one(&key) => read.glob(&key, route),
                    None => read.exact(key, route),
                };
            }
            routes = routes.and(read);
        }
        routes.sound()?;
        Ok(routes)
    }
}

/// The regular expression, if the key is one: between slashes.
pub(super) fn regex(key: &str) -> Option<&str> {
    key.strip_prefix('/')?.strip_suffix('/')
}

/// The priorities, if the key is of such: `priority 9`, `priority 7-9`.
pub(super) fn priorities(key: &str) -> Option<RangeInclusive<u8>> {
    let written = key.strip_prefix(PRIORITY)?;
    let (from, to) = written.split_once('-').unwrap_or((written, written));
    Some(from.parse().ok()?..=to.parse().ok()?)
}

fn route(value: Value) -> std::result::Result<Route, String> {
    let options = match value {
        Value::String(queue) => return Ok(Route::to(queue)),
        Value::Object(options) => options,
        _ => {
            let what = r#"must lead to a queue's name, or to an object such as {"queue": "low", "priority": 2}"#;
            return Err(what.to_owned());
        }
    };
    if let Some(name) = options
        .keys()
        .find(|name| !OPTIONS.contains(&name.as_str()))
    {
        let hint = match nearest(name, OPTIONS.into_iter()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", OPTIONS.join(", ")),
        };
        return Err(format!("has no option `{name}`; {hint}"));
    }
    options_of(options).map_err(|error| {
        let said = error.to_string();
        // The words are a message's.
        let said = said.strip_prefix("it's field ").unwrap_or(&said);
        format!("has a wrong option: {said}")
    })
}

fn options_of(options: Map<String, Value>) -> Result<Route> {
    let mut fields = Fields::new(options, "it");
    let mut route = match fields.text("queue")? {
        Some(queue) => Route::to(queue),
        None => Route::new(),
    };
    if let Some(priority) = fields.number("priority", 9)? {
        route = route.priority(u8::try_from(priority).unwrap_or(u8::MAX));
    }
    if let Some(group) = fields.text("message_group")? {
        route = route.message_group(group);
    }
    if let Some(after) = fields.seconds("expires")? {
        route = route.expires(after);
    }
    Ok(route)
}

/// In the order written, which a map of `serde_json` doesn't keep.
struct Written(Vec<Pairs>);

struct Pairs(Vec<(String, Value)>);

const WANTED: &str = r#"an object of routes such as {"reports.*": "low"}, or a list of such"#;

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(WANTED)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Written, A::Error> {
                Ok(Written(vec![Pairs::read(map)?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Written, A::Error> {
                let mut tables = Vec::new();
                while let Some(table) = list.next_element()? {
                    tables.push(table);
                }
                Ok(Written(tables))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Pairs {
    fn read<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Self(pairs))
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;

        impl<'de> Visitor<'de> for One {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#"an object of routes such as {"reports.*": "low"}"#)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Pairs, A::Error> {
                Pairs::read(map)
            }
        }

        deserializer.deserialize_map(One)
    }
}
