//! What the local stack says on standard output.

use std::fmt::Write as _;

use sedano::ports::{Depth, QueueName};
use sedano::{Record, Timestamp};

use crate::sample::Outcome;

/// The longest bar of the table.
const BAR: u64 = 30;
/// How many characters of a result are shown.
const LONGEST: usize = 100;

/// The sample's results, as a page of text.
pub fn sample(outcome: &Outcome) -> String {
    let mut text = String::new();
    let mut line = |what: String| {
        // A String takes every text.
        let _ = writeln!(text, "{what}");
    };
    if let Some(sum) = outcome.sum {
        line(format!("add(2, 3)  {sum}"));
    }
    if let Some(retries) = outcome.retries {
        line(format!(
            "flaky(2)   succeeded after {}",
            many(retries.into(), "retry", "retries")
        ));
    }
    let files = many(outcome.files as u64, "file", "files");
    let left_out = match outcome.left_out {
        0 => String::new(),
        count => format!(" ({count} left out: no text)"),
    };
    line(format!("\nThe most frequent words of {files}{left_out}:\n"));
    for row in table(&outcome.top) {
        line(row);
    }
    for failure in &outcome.failures {
        line(format!("FAILED  {failure}"));
    }
    let calls = |operations: &[&str]| {
        operations
            .iter()
            .map(|name| outcome.cost.of(name))
            .sum::<u64>()
    };
    line(format!(
        "\n{} in {}, {:.1} s. On AWS: {} to send, {} to the tables for {}.",
        many(outcome.tasks as u64, "task", "tasks"),
        many(outcome.runs.into(), "run", "runs"),
        outcome.took.as_secs_f64(),
        many(calls(&["SendMessage", "SendMessageBatch"]), "call", "calls"),
        many(
            calls(&[
                "BatchExecuteStatement",
                "UpdateItem",
                "PutItem",
                "DeleteItem"
            ]),
            "call",
            "calls"
        ),
        many(outcome.cost.write_units, "write unit", "write units"),
    ));
    text
}

/// Rank, word, count and a bar.
fn table(top: &[(String, u64)]) -> Vec<String> {
    let width = top.iter().map(|(word, _)| word.chars().count()).max();
    let width = width.unwrap_or(0);
    let most = top
        .iter()
        .map(|(_, count)| *count)
        .max()
        .unwrap_or(0)
        .max(1);
    let digits = most.to_string().len();
    let row = |(place, (word, count)): (usize, &(String, u64))| {
        let bar = "█".repeat(usize::try_from((count * BAR).div_ceil(most)).unwrap_or(0));
        format!("{:>4}  {word:width$}  {count:>digits$}  {bar}", place + 1)
    };
    top.iter().enumerate().map(row).collect()
}

/// What a moved clock shows at the start.
pub fn clock(now: Timestamp, speed: u32) -> String {
    let pace = match speed {
        1 => String::new(),
        times => format!(" and runs {times} times as fast"),
    };
    format!("The clock shows {now}{pace}. Schedules follow it; each task is shown as it ends.")
}

/// A line about a task that has ended: when, which, how, and what it gave or why it failed.
pub fn ended(record: &Record) -> String {
    let at = record.finished_at.map(|at| at.to_string());
    let what = match (&record.error, &record.result) {
        (Some(failure), _) => failure.to_string(),
        (None, Some(result)) => result.to_string(),
        (None, None) => String::new(),
    };
    let short: String = what.chars().take(LONGEST).collect();
    let more = if short.len() < what.len() { "…" } else { "" };
    let line = format!(
        "{}  {}  {}  {short}{more}",
        at.unwrap_or_default(),
        record.task.as_deref().unwrap_or(&record.id),
        record.status,
    );
    line.trim_end().to_owned()
}

/// What was in the queues at the end.
pub fn left(queues: &[(QueueName, Depth)]) -> String {
    let one = |(name, depth): &(QueueName, Depth)| {
        let parts = [
            (depth.visible, "waiting"),
            (depth.in_flight, "not finished"),
            (depth.delayed, "not yet due"),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        (!parts.is_empty()).then(|| format!("{name}: {}", parts.join(", ")))
    };
    let queues: Vec<String> = queues.iter().filter_map(one).collect();
    if queues.is_empty() {
        return "Nothing was left in the queues.".to_owned();
    }
    format!(
        "Left in the queues, and gone with this process: {}.",
        queues.join("; ")
    )
}

fn many(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sedano::memory::Memory;
    use std::time::Duration;

    #[test]
    fn a_page_of_results() {
        let outcome = Outcome {
            sum: Some(5),
            retries: Some(2),
            files: 2,
            left_out: 1,
            top: vec![("the".into(), 120), ("queue".into(), 4)],
            failures: vec!["count_words(x): TaskError: can't read x".into()],
            tasks: 5,
            runs: 7,
            took: Duration::from_millis(2345),
            cost: Memory::default().counts(),
        };
        assert_eq!(
            sample(&outcome),
            "add(2, 3)  5\n\
             flaky(2)   succeeded after 2 retries\n\
             \n\
             The most frequent words of 2 files (1 left out: no text):\n\
             \n\
             \x20  1  the    120  ██████████████████████████████\n\
             \x20  2  queue    4  █\n\
             FAILED  count_words(x): TaskError: can't read x\n\
             \n\
             5 tasks in 7 runs, 2.3 s. On AWS: 0 calls to send, 0 calls to the tables for 0 write units.\n"
        );
    }

    #[test]
    fn what_is_left_is_told_by_queue() {
        let depth = |visible, in_flight, delayed| Depth {
            visible,
            in_flight,
            delayed,
        };
        let queues = [
            ("dead-letters".into(), depth(1, 0, 0)),
            ("default".into(), depth(3, 0, 2)),
            ("quarantine".into(), depth(0, 0, 0)),
        ];
        assert_eq!(
            left(&queues),
            "Left in the queues, and gone with this process: dead-letters: 1 waiting; \
             default: 3 waiting, 2 not yet due."
        );
        assert_eq!(left(&queues[2..]), "Nothing was left in the queues.");
    }
}
