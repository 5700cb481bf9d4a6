//! `sedano beat`: the entries, looked at and steered.

mod args;

use sedano::beat::{Coming, Past, Standing};

pub(crate) use args::EntriesCommand;

use crate::failure::{Exit, Result};
use crate::output;
use crate::target::Target;

/// Does what the command line says.
pub(crate) fn run(target: &dyn Target, command: &EntriesCommand, json: bool) -> Result<Exit> {
    match command {
        EntriesCommand::List => {
            let entries = target.entries()?;
            output::print(json, &entries, || list(&entries));
        }
        EntriesCommand::Show { name } => {
            let entry = target.entry(name)?;
            output::print(json, &entry, || block(&entry));
        }
        EntriesCommand::Next { name, count } => {
            let next = target.next(name, count.n)?;
            output::print(json, &next, || coming(&next));
        }
        EntriesCommand::History { name, count } => {
            let past = target.history(name, count.n)?;
            output::print(json, &past, || history(&past));
        }
        EntriesCommand::Add(args) => {
            let entry = target.add_entry(&args.name, args.definition()?)?;
            output::print(json, &entry, || said("added", &entry));
        }
        EntriesCommand::Edit(args) => {
            let name = &args.entry.name;
            let there = target.entry(name)?.entry;
            let entry = target.edit_entry(name, args.definition(there)?)?;
            output::print(json, &entry, || said("changed", &entry));
        }
        EntriesCommand::Pause { name } => {
            let entry = target.set_paused(name, true)?;
            output::print(json, &entry, || said("paused", &entry));
        }
        EntriesCommand::Resume { name } => {
            let entry = target.set_paused(name, false)?;
            output::print(json, &entry, || said("resumed", &entry));
        }
        EntriesCommand::RunNow { name } => {
            let sent = target.run_entry(name)?;
            output::print(json, &sent, || sent.id.clone());
        }
        EntriesCommand::Remove { name } => {
            let entry = target.remove_entry(name)?;
            output::print(json, &entry, || format!("removed {name}"));
        }
    }
    Ok(Exit::Success)
}

/// What was done, and when it is due next.
fn said(what: &str, entry: &Standing) -> String {
    format!("{what} {}; next: {}", entry.name, next(entry))
}

fn next(entry: &Standing) -> String {
    match (&entry.next, &entry.rule) {
        (Some(next), _) => local(next),
        (None, _) if entry.paused => "paused".to_owned(),
        (None, Some(rule)) => format!("by rule {rule}"),
        (None, None) if entry.problem.is_some() => "can't be read".to_owned(),
        (None, None) if entry.entry.get("enabled").is_some() => "disabled".to_owned(),
        (None, None) => "never".to_owned(),
    }
}

fn local(coming: &Coming) -> String {
    format!("{} {}", coming.local, coming.tz)
}

fn list(entries: &[Standing]) -> String {
    if entries.is_empty() {
        return "no entry: `sedano beat add` makes one".to_owned();
    }
    let head = ["NAME", "SCHEDULE", "TASK", "FROM", "NEXT"].map(str::to_owned);
    let rows = entries.iter().map(|entry| {
        let task = entry.entry.pointer("/task/task");
        let task = task.and_then(|task| task.as_str()).unwrap_or("?");
        [
            entry.name.clone(),
            entry.schedule.clone().unwrap_or_else(|| "?".to_owned()),
            task.to_owned(),
            entry.source.name().to_owned(),
            next(entry),
        ]
    });
    output::table(std::iter::once(head).chain(rows).collect())
}

/// All that is known, a line each, and the definition.
fn block(entry: &Standing) -> String {
    let rows = [
        ("name", Some(entry.name.clone())),
        ("schedule", entry.schedule.clone()),
        ("problem", entry.problem.clone()),
        ("from", Some(entry.source.name().to_owned())),
        ("since", Some(entry.since.to_string())),
        ("runs", entry.runs.map(|runs| runs.to_string())),
        ("rule", entry.rule.clone()),
        ("next", Some(next(entry))),
    ];
    let rows = rows
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name:<9} {}", value?)));
    let definition = serde_json::to_string_pretty(&entry.entry);
    let definition = definition.unwrap_or_else(|_| entry.entry.to_string());
    format!("{}\n\n{definition}", rows.collect::<Vec<_>>().join("\n"))
}

fn coming(next: &[Coming]) -> String {
    if next.is_empty() {
        return "nothing is due".to_owned();
    }
    let head = ["LOCAL", "ZONE", "UTC"].map(str::to_owned);
    let rows = next
        .iter()
        .map(|next| [next.local.clone(), next.tz.clone(), next.due.to_string()]);
    output::table(std::iter::once(head).chain(rows).collect())
}

fn history(past: &[Past]) -> String {
    if past.is_empty() {
        return "nothing was due yet".to_owned();
    }
    let head = ["DUE", "STATUS", "FINISHED", "ID", ""].map(str::to_owned);
    let rows = past.iter().map(|past| {
        let finished = past.finished_at.map(|at| at.to_string());
        [
            past.due.to_string(),
            past.status.to_string(),
            finished.unwrap_or_default(),
            past.id.clone(),
            if past.by_hand { "by hand" } else { "" }.to_owned(),
        ]
    });
    output::table(std::iter::once(head).chain(rows).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_are_rows_and_blocks() {
        let standing = |more: serde_json::Value| -> Standing {
            let mut json = json!({
                "name": "a", "entry": {"task": {"task": "add"}}, "schedule": "every 30 s", "source": "code",
                "revision": 1, "since": "2026-03-01T12:00:00.000Z", "paused": false,
            });
            json.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            serde_json::from_value(json).unwrap()
        };
        let next = json!({
            "due": "2026-03-01T16:00:00.000Z", "local": "2026-03-01T18:00:00+02:00", "tz": "Europe/Kyiv"
        });
        let entries = [
            standing(json!({"next": next})),
            standing(json!({"name": "b", "paused": true, "source": "run time"})),
            standing(json!({"name": "c", "rule": "s-c"})),
        ];
        assert_eq!(
            list(&entries),
            "NAME  SCHEDULE    TASK  FROM      NEXT\n\
             a     every 30 s  add   code      2026-03-01T18:00:00+02:00 Europe/Kyiv\n\
             b     every 30 s  add   run time  paused\n\
             c     every 30 s  add   code      by rule s-c"
        );
        assert_eq!(
            block(&entries[1]),
            "name      b\nschedule  every 30 s\nfrom      run time\nsince     2026-03-01T12:00:00.000Z\n\
             next      paused\n\n{\n  \"task\": {\n    \"task\": \"add\"\n  }\n}"
        );
        assert_eq!(
            said("resumed", &entries[0]),
            "resumed a; next: 2026-03-01T18:00:00+02:00 Europe/Kyiv"
        );
    }
}
