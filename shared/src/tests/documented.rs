//! The limits that the guide states are those of the code, and so is what it says of costs.

use std::time::Duration;

use crate::limits::MESSAGE_BYTES;
use crate::memory::Counts;
use crate::ports::{BATCH_BYTES, ITEM_BYTES, MAX_DELAY};
use crate::time::Timestamp;
use crate::{id, json};

/// The table's rows: what is limited, and the limit.
fn stated() -> Vec<(&'static str, &'static str)> {
    let guide = include_str!("../../docs/message.md");
    let (_, section) = guide.split_once("## Limits\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split_once(" | "));
    cells
        .filter_map(|(what, rest)| Some((what, rest.split(" | ").next()?)))
        .collect()
}

#[test]
fn the_guide_states_the_limits_of_the_code() {
    let last = Timestamp::default() + Duration::MAX;
    let wanted = [
        (
            "a message, attributes included",
            format!("{BATCH_BYTES} bytes"),
        ),
        (
            "a message from `App::send` or the API",
            format!("{} bytes", MESSAGE_BYTES),
        ),
        ("a record", format!("{ITEM_BYTES} bytes")),
        (
            "nesting, of a message and of a result",
            format!("{} levels", json::DEPTH),
        ),
        ("whole numbers", format!("{} to {}", i64::MIN, u64::MAX)),
        ("other numbers", format!("{:e}", f64::MAX)),
        ("`id`", format!("1 to {} bytes", id::BYTES)),
        (
            "other names and ids",
            format!("{} bytes", crate::message::TEXT),
        ),
        (
            "`retries`, `attempt`, `hops`, `generation`",
            crate::message::MOST.to_string(),
        ),
        ("instants", last.to_string()),
        (
            "a delay of the queue's own",
            format!("{} s", MAX_DELAY.as_secs()),
        ),
    ];
    let wanted: Vec<(&str, &str)> = wanted
        .iter()
        .map(|(what, limit)| (*what, limit.as_str()))
        .collect();
    assert_eq!(stated(), wanted);
}

#[test]
fn the_schema_states_the_limits_of_the_code() {
    let schema = include_str!("../../docs/message.schema.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let stated = &schema["properties"]["id"];
    assert_eq!(stated["maxLength"], id::BYTES);
    assert_eq!(stated["pattern"], id::PATTERN);
    assert_eq!(schema["$defs"]["count"]["maximum"], crate::message::MOST);
}

/// `docs/cost.md` has this as a row: the calls, the read units and the write units.
pub(crate) fn costs(what: &str, counts: &Counts) {
    let calls = counts.calls.iter();
    let calls: Vec<String> = calls
        .map(|(name, calls)| format!("{calls} `{name}`"))
        .collect();
    let calls = match calls.is_empty() {
        true => "none".to_owned(),
        false => calls.join(", "),
    };
    let (read, write) = (counts.read_units, counts.write_units);
    let row = format!("| {what} | {calls} | {read} | {write} |");
    let guide = include_str!("../../docs/cost.md");
    assert!(
        guide.lines().any(|line| line == row),
        "docs/cost.md doesn't say {row}"
    );
}
