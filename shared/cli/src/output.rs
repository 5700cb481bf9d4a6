//! What is written, and how it looks to people.

use std::io::Write;
use std::process::ExitCode;

use sedano::ports::Depth;
use sedano::{Failure as TaskFailure, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::{Exit, Failure, Result};
use crate::target::TaskInfo;

/// Writes a result: as one line of JSON, or for people.
pub(crate) fn print(json: bool, value: &impl Serialize, text: impl FnOnce() -> String) {
    let text = match (json, serde_json::to_string(value)) {
        (true, Ok(text)) => text,
        (true, Err(error)) => return complain(&format!("the answer is no JSON: {error}")),
        (false, _) => text(),
    };
    write(format!("{}\n", text.trim_end()).as_bytes());
}

/// Writes to standard output. Whoever reads there may have gone: `sedano tasks | head -1`.
pub(crate) fn write(bytes: &[u8]) {
    let mut out = std::io::stdout();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Asks at the terminal, leaving the answer on the same line.
pub(crate) fn ask(text: &str) {
    let mut out = std::io::stderr();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes to standard error.
pub(crate) fn complain(text: &str) {
    // There is nowhere else to say it.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says why the command failed.
pub(crate) fn fail(failure: &Failure, json: bool) -> ExitCode {
    if json {
        complain(&failure.to_json().to_string());
    } else {
        complain(&format!("sedano: {}", failure.message));
    }
    failure.exit.into()
}

/// Whether nothing more will happen to the task of a record.
pub(crate) fn is_final(record: &Value) -> bool {
    let status = record.get("status").and_then(Value::as_str);
    status.is_some_and(is_final_word)
}

/// A word that this version doesn't know isn't final: then the answer is shown as it is.
fn is_final_word(status: &str) -> bool {
    let mut finals = State::ALL.iter().filter(|state| state.is_final());
    finals.any(|state| state.as_str() == status)
}

/// A record as it is shown: the HTTP API's, or one read directly, which is the same.
#[derive(Debug, Deserialize)]
pub(crate) struct View {
    pub(crate) id: String,
    pub(crate) status: String,
    task: Option<String>,
    progress: Option<Progress>,
    custom: Option<Custom>,
    result: Option<Value>,
    error: Option<TaskFailure>,
    #[serde(default)]
    retries: u32,
    #[serde(default)]
    generation: u32,
    queue: Option<String>,
    started_at: Option<String>,
    finished_at: Option<String>,
    due_at: Option<String>,
    revoke_requested: Option<String>,
    parent_id: Option<String>,
    root_id: Option<String>,
    #[serde(default)]
    attempts: Vec<Run>,
}

/// How far a task has come, by its own account.
#[derive(Debug, Deserialize)]
struct Progress {
    done: u64,
    total: Option<u64>,
    note: Option<String>,
}

/// The state that a task has given itself.
#[derive(Debug, Deserialize)]
struct Custom {
    state: String,
    #[serde(default)]
    meta: Value,
}

#[derive(Debug, Deserialize)]
struct Run {
    start: String,
    end: Option<String>,
    error: Option<String>,
    request: String,
}

impl View {
    pub(crate) fn of(record: &Value) -> Result<Self> {
        serde_json::from_value(record.clone()).map_err(|error| {
            let what = format!("the answer isn't a task's record: {error}");
            Failure::new(Exit::Other, what)
        })
    }

    pub(crate) fn is_final(&self) -> bool {
        is_final_word(&self.status)
    }

    /// How a program ends that asked after this task.
    pub(crate) fn exit(&self) -> Exit {
        match self.status.as_str() {
            "FAILURE" | "REVOKED" => Exit::TaskFailed,
            _ => Exit::Success,
        }
    }

    /// What the task returned, as JSON; `null`, if nothing is kept.
    pub(crate) fn value(&self) -> String {
        match &self.result {
            Some(value) => value.to_string(),
            None => "null".to_owned(),
        }
    }

    /// Why there is no result.
    pub(crate) fn failure(&self) -> String {
        let task = self.task.as_deref().unwrap_or("task");
        let retries = match self.retries {
            0 => String::new(),
            1 => " after 1 retry".to_owned(),
            retries => format!(" after {retries} retries"),
        };
        let mut text = format!("{task} {} is {}{retries}", self.id, self.status);
        for line in self.error_lines() {
            text.push_str("\n  ");
            text.push_str(&line);
        }
        text
    }

    fn error_lines(&self) -> Vec<String> {
        let Some(error) = &self.error else {
            return Vec::new();
        };
        let causes = error
            .causes
            .iter()
            .map(|cause| format!("caused by: {cause}"));
        std::iter::once(error.to_string()).chain(causes).collect()
    }

    /// All that is known, a line each.
    pub(crate) fn block(&self) -> String {
        let mut rows: Vec<(&str, String)> = vec![("id", self.id.clone())];
        let mut row = |name, value: Option<String>| rows.extend(value.map(|value| (name, value)));
        row("task", self.task.clone());
        row("status", Some(self.status.clone()));
        row("state", self.custom.as_ref().map(Custom::line));
        row("progress", self.progress.as_ref().map(Progress::line));
        row("result", self.result.as_ref().map(Value::to_string));
        for (place, line) in self.error_lines().into_iter().enumerate() {
            row(if place == 0 { "error" } else { "" }, Some(line));
        }
        // A record says 0 of a task that hasn't begun, too.
        row(
            "retries",
            self.task.as_ref().map(|_| self.retries.to_string()),
        );
        let generation = (self.generation > 0).then(|| self.generation.to_string());
        row("generation", generation);
        row("queue", self.queue.clone());
        row("started", self.started_at.clone());
        row("finished", self.finished_at.clone());
        row("asked", self.revoke_requested.clone());
        row("due", self.due_at.clone());
        row("parent", self.parent_id.clone());
        row("root", self.root_id.clone());
        for (place, run) in self.attempts.iter().enumerate() {
            row(if place == 0 { "runs" } else { "" }, Some(run.line()));
        }
        let lines = rows
            .iter()
            .map(|(name, value)| format!("{name:<9} {value}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Progress {
    fn line(&self) -> String {
        let total = self.total.map(|total| format!(" of {total}"));
        let note = self.note.as_ref().map(|note| format!(": {note}"));
        let [total, note] = [total, note].map(Option::unwrap_or_default);
        format!("{}{total}{note}", self.done)
    }
}

impl Custom {
    fn line(&self) -> String {
        match self.meta {
            Value::Null => self.state.clone(),
            ref meta => format!("{} {meta}", self.state),
        }
    }
}

impl Run {
    fn line(&self) -> String {
        let end = self.end.as_deref().unwrap_or("no end known");
        let error = match &self.error {
            Some(error) => format!(": {error}"),
            None => String::new(),
        };
        format!("{} to {end} in {}{error}", self.start, self.request)
    }
}

/// Queues as a table.
pub(crate) fn queues(queues: &[(String, Depth)]) -> String {
    let head = ["QUEUE", "WAITING", "RUNNING", "DELAYED"].map(str::to_owned);
    let rows = queues.iter().map(|(name, depth)| {
        let [waiting, running, delayed] =
            [depth.visible, depth.in_flight, depth.delayed].map(|count| count.to_string());
        [name.clone(), waiting, running, delayed]
    });
    table(std::iter::once(head).chain(rows).collect())
}

/// Revocations as a table.
pub(crate) fn revocations(all: &[Value]) -> String {
    let names = ["kind", "value", "revoked_at", "expires_at"];
    let head = ["KIND", "VALUE", "SINCE", "UNTIL"].map(str::to_owned);
    let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
    let rows = all
        .iter()
        .map(|one| names.map(|name| text(one, name).unwrap_or_default()));
    table(std::iter::once(head).chain(rows).collect())
}

/// Tasks as a table: `top_words(counts, [limit])`.
pub(crate) fn tasks(tasks: &[TaskInfo]) -> String {
    let head = ["TASK", "QUEUE"].map(str::to_owned);
    let rows = tasks.iter().map(|task| {
        let parameters: Vec<String> = task
            .parameters
            .iter()
            .map(|parameter| match parameter.required {
                true => parameter.name.clone(),
                false => format!("[{}]", parameter.name),
            })
            .collect();
        let call = format!("{}({})", task.name, parameters.join(", "));
        [call, task.queue.clone()]
    });
    table(std::iter::once(head).chain(rows).collect())
}

/// Columns as wide as their widest cell, two spaces apart; numbers to the right.
pub(crate) fn table<const N: usize>(rows: Vec<[String; N]>) -> String {
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let is_number = |cell: &str| !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit());
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| match is_number(cell) {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            })
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_failed_task_tells_its_type_message_and_causes() {
        let record = json!({
            "id": "t1", "task": "fetch", "status": "FAILURE", "retries": 1, "attempt": 1,
            "error": {
                "type": "TaskError", "message": "no page", "causes": ["timed out", "no route"],
                "retries": 1, "at": "2026-03-01T12:00:00.000Z"
            },
            "started_at": "2026-03-01T12:00:00.000Z", "queue": "default",
            "attempts": [
                {"start": "a", "end": "b", "error": "TaskError: no page", "request": "r1"},
                {"start": "c", "request": "r2"},
            ],
        });
        let view = View::of(&record).unwrap();
        assert_eq!(
            view.failure(),
            "fetch t1 is FAILURE after 1 retry\n  \
             TaskError: no page\n  caused by: timed out\n  caused by: no route"
        );
        assert_eq!(
            view.block(),
            "id        t1\n\
             task      fetch\n\
             status    FAILURE\n\
             error     TaskError: no page\n\
             \x20         caused by: timed out\n\
             \x20         caused by: no route\n\
             retries   1\n\
             queue     default\n\
             started   2026-03-01T12:00:00.000Z\n\
             runs      a to b in r1: TaskError: no page\n\
             \x20         c to no end known in r2"
        );
        assert_eq!((view.exit(), view.is_final()), (Exit::TaskFailed, true));
    }

    #[test]
    fn a_running_task_tells_how_far_it_is() {
        let record = json!({
            "id": "t1", "status": "STARTED",
            "progress": {"done": 30, "total": 120, "note": "pages", "at": "a"},
            "custom": {"state": "PROGRESS", "meta": {"page": 30}, "at": "a"},
        });
        assert_eq!(
            View::of(&record).unwrap().block(),
            "id        t1\n\
             status    STARTED\n\
             state     PROGRESS {\"page\":30}\n\
             progress  30 of 120: pages"
        );
    }

    #[test]
    fn states_and_exit_codes() {
        let exit = |status: &str| {
            let view = View::of(&json!({"id": "t", "status": status})).unwrap();
            (view.is_final(), view.exit())
        };
        for status in ["PENDING", "STARTED", "RETRY"] {
            assert_eq!(exit(status), (false, Exit::Success), "{status}");
        }
        for status in ["SUCCESS", "IGNORED"] {
            assert_eq!(exit(status), (true, Exit::Success), "{status}");
        }
        for status in ["FAILURE", "REVOKED"] {
            assert_eq!(exit(status), (true, Exit::TaskFailed), "{status}");
        }
    }

    #[test]
    fn tables_are_aligned() {
        let depth = |visible| Depth {
            visible,
            in_flight: 0,
            delayed: 12,
        };
        let rows = [
            ("default".to_owned(), depth(3)),
            ("q".to_owned(), depth(10_000_000)),
        ];
        assert_eq!(
            queues(&rows),
            "QUEUE    WAITING   RUNNING  DELAYED\n\
             default         3        0       12\n\
             q        10000000        0       12"
        );
    }
}
