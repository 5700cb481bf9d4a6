//! A worked schedule: each night a report of the tasks that finished the day before, by user.
//!
//! Results are gone after a day, so the report is kept from rows of its own. A task that is to be in it is sent with a
//! callback, which notes who it was for:
//!
//! ```
//! use sedano_tasks::arithmetic::add;
//! use sedano_tasks::report::record_finished;
//!
//! let call = add::s(2, 3).link(record_finished::s("ada".into()).immutable());
//! ```
//!
//! The entry in [`schedule`](crate::schedule) is due at 00:15 in Kyiv, when the callbacks of the day's last tasks
//! are through. The day is one of Kyiv's calendar: of 23 hours in March, of 25 in October. Everything is written under
//! what it belongs to, a task or a day and a user, so that what is done twice is as if it were done once.

use std::collections::BTreeMap;

use jiff::civil::Date;
use sedano::ports::{Attribute, Field, Item, Op, When};
use sedano::{Context, ResultExt, TaskError, Timestamp, task};
use serde::{Deserialize, Serialize};

use crate::{KYIV, Rows};

const FINISHED_AT: &str = "finished_at";
/// How long what the report is made from is kept. The reports stay.
const KEPT_DAYS: i64 = 90;
/// The most bytes of a key's second half in DynamoDB.
const LONGEST_USER: usize = 1024;

/// What a report covers. The report itself is one row for each user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The day, as 2026-03-29.
    pub day: String,
    /// How many users had a task finished.
    pub users: usize,
    /// How many tasks.
    pub tasks: usize,
}

/// Notes that the task it is linked to has finished, for this user. When that was, its record says.
#[task(backoff = exponential(secs(5)))]
pub async fn record_finished(
    #[ctx] ctx: &Context,
    #[state] rows: &Rows,
    user: String,
) -> Result<(), TaskError> {
    if !(1..=LONGEST_USER).contains(&user.len()) {
        let what = format!("a user's name has 1 to {LONGEST_USER} bytes");
        return Err(TaskError::permanent(what));
    }
    let id = ctx.parent_id().ok_or_else(|| {
        TaskError::permanent("follows no task: send it as another's callback, by `link`")
    })?;
    let record = ctx.app().record(id).await.retry()?;
    let (Some(name), Some(finished_at)) = (record.task, record.finished_at) else {
        let what = format!("{id} has no record of its end: does it ignore its result?");
        return Err(TaskError::permanent(what));
    };
    let row = Item::from([
        ("user".into(), user.into()),
        ("name".into(), name.into()),
        (FINISHED_AT.into(), finished_at.into()),
        (
            "ttl".into(),
            (finished_at.as_secs() + KEPT_DAYS * 86_400).into(),
        ),
    ]);
    let day = finished_on(day_of(finished_at)?);
    rows.write(&day, id, Op::Put(row), When::Always).await?;
    Ok(())
}

/// Reports the day that was over when it was due: for each user a row under `report DAY`, with the tasks' ids, names and
/// when they finished.
#[task(backoff = exponential(secs(5)))]
pub async fn end_of_day_report(
    #[ctx] ctx: &Context,
    #[state] rows: &Rows,
) -> Result<Report, TaskError> {
    // Called by hand, it is due when it is called.
    let due = ctx.due().unwrap_or(ctx.started_at());
    let day = day_of(due)?.yesterday().permanent()?;
    let mut users: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    for row in rows.part(&finished_on(day)).await? {
        let text = |name| row.get(name).and_then(Attribute::as_text);
        if let (Some(user), Some(id), Some(name), Some(finished_at)) =
            (text("user"), text("sk"), text("name"), text(FINISHED_AT))
        {
            let task = [("id", id), ("name", name), (FINISHED_AT, finished_at)];
            let task = task.map(|(name, value)| (Field::from(name), value.into()));
            users
                .entry(user.to_owned())
                .or_default()
                .push(Item::from(task));
        }
    }
    let report = Report {
        day: day.to_string(),
        users: users.len(),
        tasks: users.values().map(Vec::len).sum(),
    };
    for (user, mut tasks) in users {
        // Stable: those of one moment stay in the order of their ids.
        tasks.sort_by(|a, b| finished(a).cmp(&finished(b)));
        let tasks = tasks.into_iter().map(Attribute::Map).collect();
        let row = Item::from([("tasks".into(), Attribute::List(tasks))]);
        rows.write(&reported_on(day), &user, Op::Put(row), When::Always)
            .await?;
    }
    Ok(report)
}

/// When, in words that sort as time does.
fn finished(task: &Item) -> Option<&str> {
    task.get(FINISHED_AT).and_then(Attribute::as_text)
}

fn finished_on(day: Date) -> String {
    format!("finished {day}")
}

fn reported_on(day: Date) -> String {
    format!("report {day}")
}

/// The day in Kyiv.
fn day_of(instant: Timestamp) -> Result<Date, TaskError> {
    let instant = jiff::Timestamp::from_millisecond(instant.as_millis());
    let there = instant.and_then(|instant| instant.in_tz(KYIV));
    Ok(there.permanent()?.date())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(instant: &str) -> String {
        day_of(instant.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn days_are_as_long_as_kyiv_s() {
        for (first, last, date) in [
            (
                "2026-03-28T22:00:00Z",
                "2026-03-29T20:59:59.999Z",
                "2026-03-29",
            ),
            (
                "2026-10-24T21:00:00Z",
                "2026-10-25T21:59:59.999Z",
                "2026-10-25",
            ),
        ] {
            assert_eq!((day(first), day(last)), (date.into(), date.into()));
            let outside = [
                first.parse::<Timestamp>().unwrap() - std::time::Duration::from_millis(1),
                last.parse::<Timestamp>().unwrap() + std::time::Duration::from_millis(1),
            ];
            assert!(
                outside
                    .iter()
                    .all(|instant| day(&instant.to_string()) != date)
            );
        }
    }
}
