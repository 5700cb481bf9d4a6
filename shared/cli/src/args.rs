//! The command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use sedano::{Revocation, Timestamp};
use serde_json::{Map, Value};

use crate::entries::EntriesCommand;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the task failed or was revoked
  2  the command line, the settings or the task's arguments are wrong
  3  there is no such task, stack, queue, dead letter or entry
  4  the task isn't done after the time to wait
  5  nothing answered, or it refused";

/// Sends Sedano's tasks and asks after them.
#[derive(Debug, Parser)]
#[command(name = "sedano", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Writes JSON: results to standard output, errors to standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Whom to speak to.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target (the local stack, if nothing is said)")]
pub(crate) struct TargetArgs {
    /// An HTTP API [env: SEDANO_URL] [default: http://127.0.0.1:5555].
    #[arg(long, global = true)]
    pub(crate) url: Option<String>,
    /// A CloudFormation stack: its queues and tables, directly [env: SEDANO_STACK].
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) stack: Option<String>,
    /// The queues and tables in SEDANO_QUEUES, SEDANO_RESULTS_TABLE and SEDANO_STATE_TABLE. Needs
    /// not be said where SEDANO_QUEUES is set and neither SEDANO_URL nor SEDANO_STACK is.
    #[arg(long, global = true)]
    pub(crate) env: bool,
    /// The profile to take AWS credentials from, instead of the usual search.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The AWS region, instead of the profile's or the environment's.
    #[arg(long, global = true)]
    pub(crate) region: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sends a task; prints its id, or with --wait its result.
    Send(SendArgs),
    /// Prints what is known of a task.
    Result(ResultArgs),
    /// Revokes a task, or all that bear a group, a root, a stamp or a task's name: what waits isn't started, what
    /// runs is asked to stop.
    Revoke(RevokeArgs),
    /// Prints what is revoked by group, root, stamp or task's name, or lifts one of these.
    Revocations {
        /// Lifts the one that is said.
        #[arg(long, requires = "Bearing")]
        lift: bool,
        #[command(flatten)]
        bearing: Bearing,
    },
    /// Moves a task that isn't due yet.
    Reschedule {
        /// The task's id.
        id: String,
        #[command(flatten)]
        due: DueArgs,
    },
    /// Prints about how many messages each queue holds; stops a queue, or empties it.
    #[command(args_conflicts_with_subcommands = true)]
    Queues {
        #[command(subcommand)]
        command: Option<QueuesCommand>,
    },
    /// Prints which tasks there are, and what they take.
    Tasks,
    /// What no worker will take again: look, send back to work, discard.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// What is sent by the clock: look, steer.
    #[command(subcommand)]
    Beat(BeatCommand),
    /// Prints a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// What to do with a queue.
#[derive(Debug, Subcommand)]
pub(crate) enum QueuesCommand {
    /// Lets nothing of it start until it is resumed: what is sent meanwhile waits.
    Pause {
        /// Its name in SEDANO_QUEUES.
        queue: String,
    },
    /// Goes on with it.
    Resume {
        /// Its name in SEDANO_QUEUES.
        queue: String,
    },
    /// Deletes all its messages, for good.
    Purge {
        /// Its name in SEDANO_QUEUES.
        queue: String,
        /// Doesn't ask.
        #[arg(short, long)]
        yes: bool,
    },
}

/// A call.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The task's name.
    pub(crate) name: String,
    /// Arguments by position: JSON where it is JSON (`2`, `true`, `"x"`, `[1]`), else text.
    #[arg(value_name = "ARGS", value_parser = argument, allow_negative_numbers = true)]
    pub(crate) args: Vec<Value>,
    /// Arguments by name, as a JSON object.
    #[arg(long, value_name = "JSON", value_parser = object)]
    pub(crate) kwargs: Option<Map<String, Value>>,
    /// Not before this many seconds from now.
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(crate) countdown: Option<Duration>,
    /// Not before this instant, such as 2026-03-01T12:00:00Z.
    #[arg(long, value_name = "ISO", conflicts_with = "countdown")]
    pub(crate) eta: Option<Timestamp>,
    /// The queue, instead of the task's own.
    #[arg(long, value_name = "NAME")]
    pub(crate) queue: Option<String>,
    /// Revoked, if it hasn't started after this many seconds.
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(crate) expires: Option<Duration>,
    /// The task's id, 1 to 512 bytes without control characters: of several messages with one id, one
    /// takes effect.
    #[arg(long)]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// When a task is to be due.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct DueArgs {
    /// At this instant, such as 2026-03-01T12:00:00Z.
    #[arg(long, value_name = "ISO")]
    pub(crate) eta: Option<Timestamp>,
    /// So many seconds from now.
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(crate) countdown: Option<Duration>,
}

/// What to revoke.
#[derive(Debug, Args)]
#[group(id = "revoked", required = true, multiple = false, args = ["id", "task", "group", "root", "stamp"])]
pub(crate) struct RevokeArgs {
    /// The task's id.
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) bearing: Bearing,
    /// In force for so many days [default: 30]: as long as what bears it may be on its way.
    #[arg(long, value_name = "N", conflicts_with = "id")]
    pub(crate) days: Option<u32>,
}

/// What messages bear by which all of them are revoked.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Bearing {
    /// All that was sent of the task of this name until now.
    #[arg(long, value_name = "NAME")]
    pub(crate) task: Option<String>,
    /// The group with this id, and its members.
    #[arg(long, value_name = "ID")]
    pub(crate) group: Option<String>,
    /// The task with this id, and whatever comes of it.
    #[arg(long, value_name = "ID")]
    pub(crate) root: Option<String>,
    /// What bears this stamp or header.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) stamp: Option<String>,
}

impl Bearing {
    /// The revocation that is said, if one is.
    pub(crate) fn revocation(&self) -> Option<sedano::Result<Revocation>> {
        let said = [
            ("task", &self.task),
            ("group", &self.group),
            ("root", &self.root),
            ("stamp", &self.stamp),
        ];
        let mut said = said.into_iter();
        said.find_map(|(kind, value)| Some(Revocation::new(kind, value.as_deref()?)))
    }
}

/// A question.
#[derive(Debug, Args)]
pub(crate) struct ResultArgs {
    /// The task's id.
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// How long to wait for a task.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Waits until the task is done: 60 seconds at most, or as said by --wait=SECS.
    #[arg(
        long,
        value_name = "SECS",
        value_parser = seconds,
        num_args = 0..=1,
        // Otherwise `send --wait add` would take the task for a number.
        require_equals = true,
        default_missing_value = "60"
    )]
    pub(crate) wait: Option<Duration>,
}

/// What to do with dead letters. An ID is the letter's own, its task's, or that of the message it was.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// Prints what there is and why, about the oldest first.
    List {
        #[command(flatten)]
        filter: ListArgs,
        /// How many at most.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit)]
        limit: usize,
    },
    /// Prints one, with its message.
    Show {
        /// Its id.
        id: String,
    },
    /// Sends them back to work: a task that has failed begins a new generation.
    Redrive(RedriveArgs),
    /// Changes one and sends it back to work.
    Edit(EditArgs),
    /// Removes them for good; the records of their tasks stay.
    Discard(DiscardArgs),
}

/// Those that fit everything that is said.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FilterArgs {
    /// Those of the task of this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) task: Option<String>,
    /// Those with this reason, such as Rejected.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Those that have been dead for more than so many seconds.
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(crate) older_than: Option<Duration>,
}

/// Which to list.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Those of this id; may be repeated.
    #[arg(long)]
    pub(crate) id: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

/// Which to act on.
#[derive(Debug, Clone, Default, Args)]
#[group(id = "which", required = true, multiple = true, args = ["ids", "task", "reason", "older_than", "all"])]
pub(crate) struct Which {
    /// Those of these ids.
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// All of them.
    #[arg(long, conflicts_with_all = ["ids", "task", "reason", "older_than"])]
    pub(crate) all: bool,
}

/// What to send back to work, and how.
#[derive(Debug, Args)]
pub(crate) struct RedriveArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// At most so many in a second, minute or hour: 10/s, 100/m, 500/h.
    #[arg(long, value_name = "N/UNIT", value_parser = rate)]
    pub(crate) rate: Option<Duration>,
    /// Only prints which it would be.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Doesn't ask before it acts on more than one.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// What to send back changed.
#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// Its id.
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) changes: ChangeArgs,
}

/// What to change.
#[derive(Debug, Clone, Default, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct ChangeArgs {
    /// Arguments by position, as a JSON list, in place of those it has.
    #[arg(long, value_name = "JSON", value_parser = list)]
    pub(crate) args: Option<std::vec::Vec<Value>>,
    /// Arguments by name, as a JSON object, in place of those it has.
    #[arg(long, value_name = "JSON", value_parser = object)]
    pub(crate) kwargs: Option<Map<String, Value>>,
    /// The queue, instead of the one it came from.
    #[arg(long, value_name = "NAME")]
    pub(crate) queue: Option<String>,
    /// The whole message, for one that can't be read.
    #[arg(long, value_name = "JSON")]
    pub(crate) body: Option<String>,
}

/// What to remove.
#[derive(Debug, Args)]
pub(crate) struct DiscardArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Doesn't ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// What to do with schedules.
#[derive(Debug, Subcommand)]
pub(crate) enum BeatCommand {
    #[command(flatten)]
    Entries(EntriesCommand),
    /// Keeps beat's entries as rules of EventBridge, where those can express them exactly; the tick leaves them out
    /// then.
    Sync(SyncArgs),
}

/// Which entries to keep as rules, and which rules.
#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// Only prints what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// What the names of the rules begin with [default: the stack's name and `-`].
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// Gives this entry back to the tick, and removes its rule; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) back: Vec<String>,
    /// This entry only; may be repeated. Else all that can be kept as rules.
    #[arg(long, value_name = "NAME")]
    pub(crate) entry: Vec<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "what clap asks of a parser")]
pub(crate) fn argument(text: &str) -> Result<Value, String> {
    Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
}

pub(crate) fn object(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err("must be a JSON object such as {\"x\": 2}".to_owned()),
        Err(error) => Err(format!("is no JSON: {error}")),
    }
}

// Named in full where it is used: clap would take a plain `Vec` for an option that may be repeated.
fn list(text: &str) -> Result<std::vec::Vec<Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Array(list)) => Ok(list),
        Ok(_) => Err("must be a JSON list such as [2, 3]".to_owned()),
        Err(error) => Err(format!("is no JSON: {error}")),
    }
}

fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok();
    limit
        .filter(|limit| (1..=1000).contains(limit))
        .ok_or_else(|| "must be a whole number from 1 to 1000".to_owned())
}

/// The pause between two.
fn rate(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let unit: f64 = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("must be such as 10/s, 100/m or 500/h".to_owned()),
    };
    number
        .parse()
        .ok()
        .filter(|number| *number > 0.0)
        .and_then(|number: f64| Duration::try_from_secs_f64(unit / number).ok())
        .ok_or_else(|| "must be such as 10/s, 100/m or 500/h".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "must be a number of seconds, 0 or more".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use serde_json::json;

    #[test]
    fn the_command_line_contradicts_nothing() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_rate_is_a_pause() {
        assert_eq!(rate("10/s"), Ok(Duration::from_millis(100)));
        assert_eq!(rate("4"), Ok(Duration::from_millis(250)));
        assert_eq!(rate("30/m"), Ok(Duration::from_secs(2)));
        for wrong in ["0/s", "-1", "x", "1/d", "1/"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn which_dead_letters_are_meant_has_to_be_said() {
        let parsed = |words: &[&str]| {
            let words = ["sedano", "dead-letters"].iter().chain(words);
            Cli::try_parse_from(words)
        };
        for words in [
            &["redrive"][..],
            &["discard", "--yes"],
            &["redrive", "--all", "--task", "add"],
            &["redrive", "--all", "x"],
            &["edit", "x"],
            &["edit", "x", "--args", "{}"],
            &["list", "--limit", "0"],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
        let edit = parsed(&["edit", "x", "--args", "[1, [2]]"]).unwrap();
        let Command::DeadLetters(DeadLettersCommand::Edit(edit)) = edit.command else {
            panic!("{edit:?}")
        };
        assert_eq!(edit.changes.args, Some(vec![json!(1), json!([2])]));
        for words in [
            &["redrive", "a", "b", "--rate", "1/s"][..],
            &["redrive", "--task", "t", "--reason", "r"],
            &["redrive", "--older-than", "60", "--dry-run"],
            &["discard", "--all", "-y"],
            &["list"],
        ] {
            assert!(parsed(words).is_ok(), "{words:?}");
        }
    }

    #[test]
    fn one_thing_is_revoked() {
        let parsed = |words: &[&str]| Cli::try_parse_from(["sedano"].iter().chain(words));
        for words in [
            &["revoke"][..],
            &["revoke", "x", "--task", "add"],
            &["revoke", "--group", "g", "--root", "r"],
            &["revoke", "x", "--days", "3"],
            &["revocations", "--lift"],
            &["revocations", "--lift", "--group", "g", "--root", "r"],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
        for words in [
            &["revoke", "x"][..],
            &["revoke", "--stamp", "tenant=acme", "--days", "3"],
            &["revocations"],
            &["revocations", "--lift", "--task", "add"],
        ] {
            assert!(parsed(words).is_ok(), "{words:?}");
        }
    }

    #[test]
    fn a_task_is_moved_to_one_time() {
        let parsed = |words: &[&str]| {
            let words = ["sedano", "reschedule"].iter().chain(words);
            Cli::try_parse_from(words)
        };
        let eta = ["--eta", "2026-03-01T12:00:00Z"];
        for words in [
            &["x"][..],
            &eta,
            &["x", "--countdown", "-1"],
            &["x", "--eta", "soon"],
            &["x", "--countdown", "5", eta[0], eta[1]],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
        let command = parsed(&["x", eta[0], eta[1]]).unwrap().command;
        let Command::Reschedule { id, due } = command else {
            panic!("{command:?}")
        };
        assert_eq!((id.as_str(), due.countdown), ("x", None));
        assert_eq!(due.eta, Some(eta[1].parse().unwrap()));
        assert!(parsed(&["x", "--countdown", "0.5"]).is_ok());
    }

    fn send(words: &[&str]) -> SendArgs {
        let words = ["sedano", "send"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Send(send) => send,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arguments_are_json_where_they_can_be() {
        let words = [
            "t",
            "2",
            "-3.5",
            "true",
            "null",
            "\"x\"",
            "[1]",
            "{\"a\":1}",
            "two words",
            "1x",
        ];
        let values = [
            json!(2),
            json!(-3.5),
            json!(true),
            json!(null),
            json!("x"),
            json!([1]),
            json!({"a": 1}),
            json!("two words"),
            json!("1x"),
        ];
        assert_eq!(send(&words).args, values);
    }

    #[test]
    fn waiting_takes_no_argument_away() {
        let call = send(&["--wait", "add", "2", "3"]);
        assert_eq!((call.name.as_str(), call.args.len()), ("add", 2));
        assert_eq!(call.wait.wait, Some(Duration::from_secs(60)));
        let call = send(&["add", "2", "--wait=0.5"]);
        assert_eq!(call.wait.wait, Some(Duration::from_millis(500)));
        assert_eq!(send(&["add"]).wait.wait, None);
    }
}
