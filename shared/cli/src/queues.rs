//! A queue stopped, let go on, emptied.

use std::io::{BufRead, IsTerminal};

use serde_json::json;

use crate::args::QueuesCommand;
use crate::failure::{Exit, Failure, Result};
use crate::output;
use crate::target::Target;

/// Does what the command line says.
pub(crate) fn run(target: &dyn Target, command: &QueuesCommand, as_json: bool) -> Result<Exit> {
    match command {
        QueuesCommand::Pause { queue } => {
            target.set_reading(queue, false)?;
            output::print(as_json, &json!({"queue": queue, "paused": true}), || {
                format!("paused {queue}: what is at work ends, nothing more of it begins")
            });
        }
        QueuesCommand::Resume { queue } => {
            target.set_reading(queue, true)?;
            output::print(as_json, &json!({"queue": queue, "paused": false}), || {
                format!("resumed {queue}")
            });
        }
        QueuesCommand::Purge { queue, yes } => {
            confirm(queue, *yes)?;
            let held = target.purge(queue)?;
            output::print(as_json, &held, || {
                let count = held.visible + held.in_flight + held.delayed;
                format!("purged {queue}: it held about {count} messages")
            });
        }
    }
    Ok(Exit::Success)
}

/// Asks for the queue's name at a terminal; elsewhere nobody would answer.
fn confirm(queue: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage(format!(
            "this would delete what `{queue}` holds, for good: say --yes if that is meant"
        )));
    }
    output::ask(&format!(
        "Delete what `{queue}` holds, for good? Its name, to go on: "
    ));
    let mut answer = String::new();
    match stdin.lock().read_line(&mut answer) {
        Ok(_) if answer.trim() == queue => Ok(()),
        _ => Err(Failure::usage("nothing was done")),
    }
}
