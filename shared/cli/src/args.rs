//! The command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use sedano::Timestamp;
use serde_json::{Map, Value};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the task failed or was revoked
  2  the command line, the settings or the task's arguments are wrong
  3  there is no such task, stack or queue
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
    /// Revokes a task that hasn't started.
    Revoke {
        /// The task's id.
        id: String,
    },
    /// Prints about how many messages each queue holds.
    Queues,
    /// Prints which tasks there are, and what they take.
    Tasks,
    /// Schedules.
    #[command(subcommand)]
    Beat(BeatCommand),
    /// Prints a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
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

/// What to do with schedules.
#[derive(Debug, Subcommand)]
pub(crate) enum BeatCommand {
    /// Holds the schedule that this program was built with against EventBridge's rules.
    Sync {
        /// Only says what would be done: it can't do more yet.
        #[arg(long, required = true)]
        dry_run: bool,
        /// What the names of the rules begin with [default: the stack's name and `-`].
        #[arg(long)]
        prefix: Option<String>,
    },
}

#[expect(clippy::unnecessary_wraps, reason = "what clap asks of a parser")]
fn argument(text: &str) -> Result<Value, String> {
    Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err("must be a JSON object such as {\"x\": 2}".to_owned()),
        Err(error) => Err(format!("is no JSON: {error}")),
    }
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
