//! `sedano dead-letters`: what to act on is chosen first, shown and asked about, and then done one by one.

use std::io::{BufRead, IsTerminal};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::{DeadLettersCommand, DiscardArgs, EditArgs, RedriveArgs, Which};
use crate::failure::{Exit, Failure, Result};
use crate::output;
use crate::target::Target;

/// Does what the command line says.
pub(crate) fn run(target: &dyn Target, command: &DeadLettersCommand, json: bool) -> Result<Exit> {
    match command {
        DeadLettersCommand::List { filter, limit } => {
            let which = Which {
                ids: filter.id.clone(),
                filter: filter.filter.clone(),
                all: false,
            };
            let letters = target.dead_letters(&which, Some(*limit))?;
            let views = views(&letters)?;
            output::print(json, &letters, || text(&views));
            Ok(Exit::Success)
        }
        DeadLettersCommand::Show { id } => {
            let letter = target.dead_letter(id)?;
            let view = Letter::of(&letter)?;
            output::print(json, &letter, || view.block());
            Ok(Exit::Success)
        }
        DeadLettersCommand::Redrive(args) => redrive(target, args, json),
        DeadLettersCommand::Edit(args) => edit(target, args, json),
        DeadLettersCommand::Discard(args) => discard(target, args, json),
    }
}

fn redrive(target: &dyn Target, args: &RedriveArgs, json: bool) -> Result<Exit> {
    let letters = chosen(target, &args.which)?;
    if args.dry_run {
        let views = views(&letters)?;
        output::print(json, &letters, || text(&views));
        return Ok(Exit::Success);
    }
    if letters.len() > 1 {
        confirm("Redrive", letters.len(), args.yes)?;
    }
    let mut done = Done::new(json);
    let pause = args.rate.unwrap_or(Duration::ZERO);
    target.redrive(&ids(&letters), pause, &mut |id, result| {
        done.take(id, result, redriven)
    })?;
    Ok(done.end())
}

fn edit(target: &dyn Target, args: &EditArgs, json: bool) -> Result<Exit> {
    let answer = target.edit(&args.id, &args.changes)?;
    output::print(json, &answer, || redriven(&answer));
    Ok(Exit::Success)
}

fn discard(target: &dyn Target, args: &DiscardArgs, json: bool) -> Result<Exit> {
    let letters = chosen(target, &args.which)?;
    if !letters.is_empty() {
        confirm("Discard", letters.len(), args.yes)?;
    }
    let mut done = Done::new(json);
    target.discard(&ids(&letters), &mut |id, result| {
        done.take(id, result, |letter| {
            let name = Letter::of(letter).map_or_else(|_| id.to_owned(), |letter| letter.name());
            format!("discarded {name}")
        });
    })?;
    Ok(done.end())
}

/// The letters that are meant. An id that none has is an error; a filter that none fits is not.
fn chosen(target: &dyn Target, which: &Which) -> Result<Vec<Value>> {
    let letters = target.dead_letters(which, None)?;
    for id in &which.ids {
        let names = |letter: &Value| {
            ["id", "task_id", "message_id"]
                .iter()
                .any(|name| letter.get(name).and_then(Value::as_str) == Some(id))
        };
        if !letters.iter().any(names) {
            let what = format!("no dead letter has the id {id} and fits the rest of what was said");
            return Err(Failure::new(Exit::NotFound, what));
        }
    }
    Ok(letters)
}

/// Asks at a terminal; elsewhere nobody would answer.
fn confirm(what: &str, count: usize, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    let letters = match count {
        1 => "1 dead letter".to_owned(),
        count => format!("{count} dead letters"),
    };
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let what = what.to_lowercase();
        return Err(Failure::usage(format!(
            "this would {what} {letters}: say --yes if that is meant"
        )));
    }
    output::ask(&format!("{what} {letters}? [y/N] "));
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    match (read, answer.trim().to_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Failure::usage("nothing was done")),
    }
}

fn ids(letters: &[Value]) -> Vec<String> {
    let id = |letter: &Value| Some(letter.get("id")?.as_str()?.to_owned());
    letters.iter().filter_map(id).collect()
}

/// What became of each: told at once to people, as one value to programs.
struct Done {
    json: bool,
    answers: Vec<Value>,
    exit: Exit,
}

impl Done {
    fn new(json: bool) -> Self {
        Self {
            json,
            answers: Vec::new(),
            exit: Exit::Success,
        }
    }

    fn take(&mut self, id: &str, result: Result<Value>, text: impl FnOnce(&Value) -> String) {
        let answer = match result {
            Ok(answer) => {
                if !self.json {
                    output::write(format!("{}\n", text(&answer)).as_bytes());
                }
                answer
            }
            Err(failure) => {
                if !self.json {
                    output::complain(&format!("sedano: {}", failure.message));
                }
                // The first decides.
                if self.exit == Exit::Success {
                    self.exit = failure.exit;
                }
                let mut answer = failure.to_json();
                answer["id"] = json!(id);
                answer
            }
        };
        self.answers.push(answer);
    }

    fn end(self) -> Exit {
        if self.json {
            output::print(true, &self.answers, String::new);
        } else if self.answers.is_empty() {
            output::write(b"no dead letter fits\n");
        }
        self.exit
    }
}

fn redriven(answer: &Value) -> String {
    #[derive(Deserialize)]
    struct Redriven {
        task_id: String,
        sent: bool,
        status: String,
        generation: u32,
    }
    match serde_json::from_value::<Redriven>(answer.clone()) {
        Ok(one) if !one.sent => {
            format!(
                "removed the dead letter of {}: it is {} by now",
                one.task_id, one.status
            )
        }
        Ok(one) if one.generation > 0 => {
            format!("redriven {}, generation {}", one.task_id, one.generation)
        }
        Ok(one) => format!("redriven {}", one.task_id),
        Err(_) => answer.to_string(),
    }
}

/// A dead letter as it is shown.
#[derive(Debug, Deserialize)]
struct Letter {
    id: String,
    reason: String,
    error: Option<String>,
    task: Option<String>,
    task_id: Option<String>,
    attempts: Option<u32>,
    queue: Option<String>,
    message_id: String,
    dead_at: String,
    body: Option<String>,
}

fn views(letters: &[Value]) -> Result<Vec<Letter>> {
    letters.iter().map(Letter::of).collect()
}

impl Letter {
    fn of(letter: &Value) -> Result<Self> {
        serde_json::from_value(letter.clone()).map_err(|error| {
            let what = format!("the answer isn't a dead letter: {error}");
            Failure::new(Exit::Other, what)
        })
    }

    /// What people know it by.
    fn name(&self) -> String {
        self.task_id.as_ref().unwrap_or(&self.id).clone()
    }

    fn row(&self) -> [String; 6] {
        const WIDTH: usize = 60;
        let error = self.error.as_deref().unwrap_or_default();
        let error = error.lines().next().unwrap_or_default();
        let cut = match error.chars().count() > WIDTH {
            true => format!("{}…", error.chars().take(WIDTH - 1).collect::<String>()),
            false => error.to_owned(),
        };
        [
            self.name(),
            self.task.clone().unwrap_or_else(|| "?".to_owned()),
            self.reason.clone(),
            self.attempts
                .map_or_else(|| "?".to_owned(), |runs| runs.to_string()),
            self.dead_at.clone(),
            cut,
        ]
    }

    /// All that is known, a line each, and the message.
    fn block(&self) -> String {
        let rows = [
            ("id", Some(self.id.clone())),
            ("reason", Some(self.reason.clone())),
            ("error", self.error.clone()),
            ("task", self.task.clone()),
            ("task id", self.task_id.clone()),
            ("runs", self.attempts.map(|runs| runs.to_string())),
            ("queue", self.queue.clone()),
            ("message", Some(self.message_id.clone())),
            ("dead at", Some(self.dead_at.clone())),
        ];
        let rows = rows
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name:<9} {}", value?)));
        let mut text = rows.collect::<Vec<_>>().join("\n");
        if let Some(body) = &self.body {
            let pretty = serde_json::from_str::<Value>(body)
                .and_then(|body| serde_json::to_string_pretty(&body));
            text.push_str("\n\n");
            text.push_str(&pretty.unwrap_or_else(|_| body.clone()));
        }
        text
    }
}

fn text(letters: &[Letter]) -> String {
    if letters.is_empty() {
        return "no dead letter fits".to_owned();
    }
    let head = ["ID", "TASK", "REASON", "RUNS", "DEAD AT", "ERROR"].map(str::to_owned);
    let rows = letters.iter().map(Letter::row);
    output::table(std::iter::once(head).chain(rows).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_a_row_and_a_block() {
        let letter = json!({
            "id": "m2", "reason": "Rejected", "error": "poison\nin two lines", "task": "pay",
            "task_id": "t1", "attempts": 2, "queue": "default", "message_id": "m1",
            "dead_at": "2026-03-01T12:00:00.000Z", "body": "{\"task\":\"pay\"}",
        });
        let raw = json!({
            "id": "m3", "reason": "Undelivered", "message_id": "m3",
            "dead_at": "2026-03-01T12:00:00.000Z", "body": "{oops",
        });
        let letters = views(&[letter, raw]).unwrap();
        assert_eq!(
            text(&letters),
            "ID  TASK  REASON       RUNS  DEAD AT                   ERROR\n\
             t1  pay   Rejected        2  2026-03-01T12:00:00.000Z  poison\n\
             m3  ?     Undelivered  ?     2026-03-01T12:00:00.000Z"
        );
        assert_eq!(
            letters[0].block(),
            "id        m2\nreason    Rejected\nerror     poison\nin two lines\ntask      pay\n\
             task id   t1\nruns      2\nqueue     default\nmessage   m1\n\
             dead at   2026-03-01T12:00:00.000Z\n\n{\n  \"task\": \"pay\"\n}"
        );
        assert!(letters[1].block().ends_with("\n\n{oops"));
        assert_eq!(text(&[]), "no dead letter fits");
    }

    #[test]
    fn what_became_of_each_is_said() {
        let answer = |sent, status, generation| {
            let answer = json!({
                "id": "m", "task_id": "t", "sent": sent, "status": status, "generation": generation
            });
            redriven(&answer)
        };
        assert_eq!(answer(true, "RETRY", 2), "redriven t, generation 2");
        assert_eq!(answer(true, "PENDING", 0), "redriven t");
        assert_eq!(
            answer(false, "SUCCESS", 0),
            "removed the dead letter of t: it is SUCCESS by now"
        );
    }
}
