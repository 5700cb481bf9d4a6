//! A function's process: started as Lambda starts it, invoked, and its CPU time and memory read.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::Result;
use crate::runtime_api::{self, Said, TIMEOUT, now};

/// A running function, which waits for an event whenever no method runs.
#[derive(Debug)]
pub struct Function {
    child: Child,
    events: Sender<Vec<u8>>,
    said: Receiver<Said>,
    /// From its start until it asked for the first event.
    pub start: Cost,
}

/// What something took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// CPU time of all threads.
    pub cpu: Duration,
    /// Time passed.
    pub wall: Duration,
}

/// The settings of every function measured; the endpoint's come besides.
const ENVIRONMENT: [(&str, &str); 16] = [
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    (
        "AWS_SECRET_ACCESS_KEY",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    ),
    (
        "AWS_SESSION_TOKEN",
        "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQW",
    ),
    ("AWS_REGION", "eu-west-1"),
    ("AWS_LAMBDA_FUNCTION_NAME", "consumer"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/consumer"),
    ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/01/[$LATEST]0"),
    ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
    ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
    ("SEDANO_QUEUES", include_str!("queues.json")),
    ("SEDANO_RESULTS_TABLE", "sedano-ResultsTable-1X2Y3Z"),
    ("SEDANO_STATE_TABLE", "sedano-StateTable-1X2Y3Z"),
    ("APP_TABLE", "sedano-AppTable-1X2Y3Z"),
    ("TZ", ":UTC"),
];

impl Function {
    /// Starts a program and waits until it asks for its first event. `wrapper` is a command that
    /// runs it, such as a profiler.
    ///
    /// # Errors
    /// Where it can't be started, ends, or says that its start failed.
    pub fn start(program: &Path, settings: &[(&str, &str)], wrapper: &[&str]) -> Result<Self> {
        let (address, events, said) = runtime_api::start()?;
        let mut command = match wrapper.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .env_clear()
            .envs(ENVIRONMENT)
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let spawned = now();
        let child = command
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let mut function = Self {
            child,
            events,
            said,
            start: Cost::default(),
        };
        let ready = function.until_idle()?;
        function.start = Cost {
            cpu: function.cpu()?,
            wall: ready - spawned,
        };
        Ok(function)
    }

    /// One invocation, from handing out the event until the function waits again. `wall` ends with
    /// the response, which must keep no message.
    ///
    /// # Errors
    /// Where the function fails, or hands messages back: what was measured would be something else.
    pub fn invoke(&mut self, event: &[u8]) -> Result<Cost> {
        let before = self.cpu()?;
        let started = now();
        self.events.send(event.to_vec())?;
        let answered = match self.hear()? {
            Said::Response(at, body) => {
                let kept: serde_json::Value = serde_json::from_slice(&body)?;
                let none = kept["batchItemFailures"]
                    .as_array()
                    .is_some_and(Vec::is_empty);
                if !none {
                    return Err(format!("messages were handed back: {kept}").into());
                }
                at
            }
            said => return Err(format!("no response but {said:?}").into()),
        };
        self.until_idle()?;
        Ok(Cost {
            cpu: self.cpu()?.saturating_sub(before),
            wall: answered - started,
        })
    }

    /// The most memory it ever had resident, in bytes.
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: u64 = line
            .and_then(|line| line.split_whitespace().next())
            .ok_or("no VmHWM")?
            .parse()?;
        Ok(kib * 1024)
    }

    /// Asks the process to end and waits for it: a profiler then writes what it knows.
    ///
    /// # Errors
    /// Where it can't be asked.
    pub fn terminate(mut self) -> Result<()> {
        Command::new("kill")
            .arg(self.child.id().to_string())
            .status()?;
        self.child.wait()?;
        Ok(())
    }

    fn until_idle(&mut self) -> Result<Instant> {
        match self.hear()? {
            Said::Next(at) => Ok(at),
            Said::Error(body) => Err(String::from_utf8_lossy(&body).into()),
            said => Err(format!("unexpected: {said:?}").into()),
        }
    }

    fn hear(&mut self) -> Result<Said> {
        const A_MOMENT: Duration = Duration::from_millis(100);
        let begun = now();
        loop {
            match self.said.recv_timeout(A_MOMENT) {
                Ok(said) => return Ok(said),
                Err(RecvTimeoutError::Disconnected) => return Err("the Runtime API ended".into()),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(status) = self.child.try_wait()? {
                        return Err(format!("the function ended: {status}").into());
                    }
                    if now() - begun > TIMEOUT {
                        return Err("the function says nothing".into());
                    }
                }
            }
        }
    }

    /// The CPU time of all threads so far, read when the main one sleeps: until then its last
    /// stretch isn't counted.
    fn cpu(&self) -> Result<Duration> {
        let process = format!("/proc/{}", self.child.id());
        loop {
            let stat = fs::read_to_string(format!("{process}/stat"))?;
            // The state follows the name, which is in brackets.
            if stat
                .rsplit(") ")
                .next()
                .is_some_and(|rest| rest.starts_with('S'))
            {
                break;
            }
            std::thread::yield_now();
        }
        let mut nanos = 0;
        for thread in fs::read_dir(format!("{process}/task"))? {
            // A thread may end meanwhile.
            let spent = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            nanos += spent
                .split(' ')
                .next()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanos))
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
