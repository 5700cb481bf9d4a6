//! What each command does.

use std::time::Duration;

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::{Value, json};

use crate::args::{BeatCommand, Cli, Command, ResultArgs, RevokeArgs, SendArgs};
use crate::beat;
use crate::dead_letters;
use crate::entries;
use crate::failure::{Exit, Failure, Result};
use crate::output::{self, View};
use crate::queues;
use crate::target::{self, Target};

/// Does what the command line says.
pub(crate) fn run(cli: &Cli) -> Result<Exit> {
    if let Command::Completions { shell } = &cli.command {
        completions(*shell);
        return Ok(Exit::Success);
    }
    let target = target::choose(&cli.target)?;
    let target = &*target;
    match &cli.command {
        Command::Send(args) => send(target, args, cli.json),
        Command::Result(args) => result(target, args, cli.json),
        Command::Revoke(args) => revoke(target, args, cli.json),
        Command::Revocations { lift, bearing } => {
            if let (true, Some(revocation)) = (*lift, bearing.revocation()) {
                let revocation = revocation?;
                target.lift(&revocation)?;
                output::print(cli.json, &revocation, || format!("lifted {revocation}"));
                return Ok(Exit::Success);
            }
            let all = target.revocations()?;
            output::print(cli.json, &all, || output::revocations(&all));
            Ok(Exit::Success)
        }
        Command::Reschedule { id, due } => {
            let record = target.reschedule(id, due)?;
            output::print(cli.json, &record, || {
                let due = record.get("due_at").and_then(Value::as_str);
                format!("{id} is due at {}", due.unwrap_or_default())
            });
            Ok(Exit::Success)
        }
        Command::Queues {
            command: Some(command),
        } => queues::run(target, command, cli.json),
        Command::Queues { command: None } => {
            let queues = target.queues()?;
            let as_json = queues
                .iter()
                .map(|(name, depth)| (name.clone(), json!(depth)))
                .collect::<serde_json::Map<_, _>>();
            output::print(cli.json, &as_json, || output::queues(&queues));
            Ok(Exit::Success)
        }
        Command::Tasks => {
            let tasks = target.tasks()?;
            output::print(cli.json, &tasks, || output::tasks(&tasks));
            Ok(Exit::Success)
        }
        Command::DeadLetters(command) => dead_letters::run(target, command, cli.json),
        Command::Beat(BeatCommand::Entries(command)) => entries::run(target, command, cli.json),
        Command::Beat(BeatCommand::Sync(args)) => beat::sync(target, args, cli.json),
        Command::Completions { .. } => Ok(Exit::Success),
    }
}

fn send(target: &dyn Target, args: &SendArgs, json: bool) -> Result<Exit> {
    let sent = target.send(args)?;
    let Some(wait) = args.wait.wait else {
        output::print(json, &sent, || sent.id.clone());
        return Ok(Exit::Success);
    };
    let record = target.record(&sent.id, wait)?;
    let view = View::of(&record)?;
    if json || view.exit() == Exit::Success && view.is_final() {
        output::print(json, &record, || view.value());
    } else if view.is_final() {
        output::complain(&view.failure());
    }
    ending(&view, args.wait.wait)
}

fn revoke(target: &dyn Target, args: &RevokeArgs, json: bool) -> Result<Exit> {
    if let Some(revocation) = args.bearing.revocation() {
        let revocation = revocation?;
        let in_force = target.revoke_all(&revocation, args.days)?;
        output::print(json, &in_force, || format!("revoked {revocation}"));
        return Ok(Exit::Success);
    }
    let id = args.id.as_deref().unwrap_or_default();
    let record = target.revoke(id)?;
    output::print(json, &record, || match output::is_final(&record) {
        true => format!("revoked {id}"),
        false => format!("{id} runs, and is asked to stop"),
    });
    Ok(Exit::Success)
}

fn result(target: &dyn Target, args: &ResultArgs, json: bool) -> Result<Exit> {
    let record = target.record(&args.id, args.wait.wait.unwrap_or_default())?;
    let view = View::of(&record)?;
    output::print(json, &record, || view.block());
    ending(&view, args.wait.wait)
}

/// How it ends when a task was asked after: one that isn't done is an error only to who waited.
fn ending(view: &View, wait: Option<Duration>) -> Result<Exit> {
    match wait {
        Some(wait) if !view.is_final() => Err(Failure::new(
            Exit::Timeout,
            format!(
                "task {id} is {status} after {wait:?}: ask again with `sedano result {id} --wait`",
                id = view.id,
                status = view.status,
            ),
        )),
        _ => Ok(view.exit()),
    }
}

fn completions(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sedano", &mut script);
    output::write(&script);
}
