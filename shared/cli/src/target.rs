//! Whom the command line speaks to: one trait, two ways to answer it.

use std::time::Duration;

use sedano::Revocation;
use sedano::beat::{Coming, Past, Plan, Standing};
use sedano::ports::{Depth, Rule};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::Api;
use crate::args::{ChangeArgs, DueArgs, SendArgs, SyncArgs, TargetArgs, Which};
use crate::direct::Direct;
use crate::failure::{Failure, Result};

/// The stack behind the command line.
pub(crate) trait Target {
    /// Sends the task; its id and status.
    fn send(&self, call: &SendArgs) -> Result<Sent>;
    /// The task's record as soon as it is final, or as it is after this long.
    fn record(&self, id: &str, wait: Duration) -> Result<Value>;
    /// Revokes the task; its record.
    fn revoke(&self, id: &str) -> Result<Value>;
    /// Revokes all that bear it, for so many days; what is in force then.
    fn revoke_all(&self, revocation: &Revocation, days: Option<u32>) -> Result<Value>;
    /// The revocations in force.
    fn revocations(&self) -> Result<Vec<Value>>;
    /// Lifts one.
    fn lift(&self, revocation: &Revocation) -> Result<()>;
    /// Moves the task to another time; its record.
    fn reschedule(&self, id: &str, due: &DueArgs) -> Result<Value>;
    /// Each queue and about how many messages it holds.
    fn queues(&self) -> Result<Vec<(String, Depth)>>;
    /// Whether workers read the queue, from now on.
    fn set_reading(&self, queue: &str, reading: bool) -> Result<()>;
    /// Deletes the queue's messages; about how many there were.
    fn purge(&self, queue: &str) -> Result<Depth>;
    /// The tasks that workers know.
    fn tasks(&self) -> Result<Vec<TaskInfo>>;
    /// The dead letters that are meant, without their bodies; as many as can be, if no number is said.
    fn dead_letters(&self, which: &Which, most: Option<usize>) -> Result<Vec<Value>>;
    /// One, with its body.
    fn dead_letter(&self, id: &str) -> Result<Value>;
    /// Sends the letters of these ids of their own back to work, with a pause between; tells each.
    fn redrive(&self, ids: &[String], pause: Duration, each: Each<'_>) -> Result<()>;
    /// Changes one and sends it back to work.
    fn edit(&self, id: &str, changes: &ChangeArgs) -> Result<Value>;
    /// Removes the letters of these ids of their own; tells each.
    fn discard(&self, ids: &[String], each: Each<'_>) -> Result<()>;
    /// Beat's entries, by name.
    fn entries(&self) -> Result<Vec<Standing>>;
    /// One of them.
    fn entry(&self, name: &str) -> Result<Standing>;
    /// Adds one that isn't there.
    fn add_entry(&self, name: &str, definition: Value) -> Result<Standing>;
    /// Makes one that is there what is given.
    fn edit_entry(&self, name: &str, definition: Value) -> Result<Standing>;
    /// Switches one off or on.
    fn set_paused(&self, name: &str, paused: bool) -> Result<Standing>;
    /// Sends one now; the task's id and status.
    fn run_entry(&self, name: &str) -> Result<Sent>;
    /// Removes one; what it was.
    fn remove_entry(&self, name: &str) -> Result<Standing>;
    /// Its next due times.
    fn next(&self, name: &str, count: usize) -> Result<Vec<Coming>>;
    /// Its last due times and runs by hand, the latest first.
    fn history(&self, name: &str, count: usize) -> Result<Vec<Past>>;
    /// The rules whose names begin with the prefix, held against the schedule.
    fn plan(&self, asked: &SyncArgs) -> Result<Rules>;
    /// Makes the rules as they were planned, and adds what has failed.
    fn apply(&self, rules: &mut Rules) -> Result<()>;
}

/// Told what became of each dead letter, by its id.
pub(crate) type Each<'a> = &'a mut (dyn FnMut(&str, Result<Value>) + Send);

/// A task that was sent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) status: String,
}

/// A task that may be sent.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskInfo {
    #[serde(default)]
    pub(crate) name: String,
    /// Earlier names, still answered to. A stack of an older version lists none.
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    pub(crate) parameters: Vec<Parameter>,
    #[serde(default)]
    pub(crate) queue: String,
}

/// A parameter of a task.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) required: bool,
}

/// Rules of EventBridge, and what makes them equal to the schedule.
#[derive(Debug, Serialize)]
pub(crate) struct Rules {
    pub(crate) prefix: String,
    /// As they were before.
    pub(crate) rules: Vec<Rule>,
    #[serde(flatten)]
    pub(crate) plan: Plan,
    /// Whether the steps were tried.
    pub(crate) applied: bool,
    /// Why, of those that couldn't be done.
    pub(crate) failed: Vec<Failed>,
}

/// A step that couldn't be done.
#[derive(Debug, Serialize)]
pub(crate) struct Failed {
    pub(crate) rule: Option<String>,
    pub(crate) entry: Option<String>,
    pub(crate) message: String,
}

const LOCAL: &str = "http://127.0.0.1:5555";

/// What the command line and the environment ask for.
pub(crate) fn choose(args: &TargetArgs) -> Result<Box<dyn Target>> {
    // clap doesn't see a conflict between a flag before the command and one after it.
    let said = [args.url.is_some(), args.stack.is_some(), args.env];
    if said.into_iter().filter(|said| *said).count() > 1 {
        return Err(Failure::usage(
            "--url, --stack and --env exclude each other: say one",
        ));
    }
    Ok(match select(args, environment) {
        Selected::Url(url) => Box::new(Api::new(&url)?),
        Selected::Stack(name) => Box::new(Direct::of_stack(args, &name)?),
        Selected::Env => Box::new(Direct::of_env(args)?),
    })
}

#[derive(Debug, PartialEq)]
enum Selected {
    Url(String),
    Stack(String),
    Env,
}

/// The flags first; then the variables that only this program reads; then those of the functions.
fn select(args: &TargetArgs, lookup: impl Fn(&str) -> Option<String>) -> Selected {
    if let Some(url) = &args.url {
        return Selected::Url(url.clone());
    }
    if let Some(name) = &args.stack {
        return Selected::Stack(name.clone());
    }
    if args.env {
        return Selected::Env;
    }
    if let Some(url) = lookup("SEDANO_URL") {
        return Selected::Url(url);
    }
    if let Some(name) = lookup("SEDANO_STACK") {
        return Selected::Stack(name);
    }
    match lookup("SEDANO_QUEUES") {
        Some(_) => Selected::Env,
        None => Selected::Url(LOCAL.to_owned()),
    }
}

/// A variable of the environment, if it says something.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var_os(name)
        .and_then(|value| value.into_string().ok())
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_explicit_counts() {
        let mut args = TargetArgs {
            url: None,
            stack: None,
            env: false,
            profile: None,
            region: None,
        };
        let with = |names: &'static [&str]| {
            move |name: &str| names.contains(&name).then(|| format!("of {name}"))
        };
        let url = |text: &str| Selected::Url(text.to_owned());
        let stack = |text: &str| Selected::Stack(text.to_owned());
        let all = with(&["SEDANO_URL", "SEDANO_STACK", "SEDANO_QUEUES"]);
        assert_eq!(select(&args, with(&[])), url(LOCAL));
        assert_eq!(select(&args, with(&["SEDANO_QUEUES"])), Selected::Env);
        assert_eq!(
            select(&args, with(&["SEDANO_STACK", "SEDANO_QUEUES"])),
            stack("of SEDANO_STACK")
        );
        assert_eq!(select(&args, all), url("of SEDANO_URL"));
        args.env = true;
        assert_eq!(select(&args, all), Selected::Env);
        args.stack = Some("mine".to_owned());
        assert_eq!(select(&args, all), stack("mine"));
        args.url = Some("http://x".to_owned());
        assert_eq!(select(&args, all), url("http://x"));
    }
}
