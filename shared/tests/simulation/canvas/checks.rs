//! Whether what was sent came to what it should.

use std::collections::{BTreeMap, BTreeSet};

use sedano::sim::World;
use sedano::{BoxError, State};
use serde_json::{Value, json};

use super::expected::{Expected, Known, Outcome, Run, fits, timeless};
use super::shapes::Shape;
use super::steps::{Log, Ran};

/// What was sent in a world.
#[derive(Default)]
pub(crate) struct Sent {
    /// By the ids of the wholes.
    shapes: Vec<(String, Shape)>,
    known: Known,
    /// Whether a group, or a part of one, was given up: then nobody knows which of its members were sent.
    gave_up: bool,
    /// The ids of wholes whose results were forgotten.
    forgotten: BTreeSet<String>,
    /// Whether dead letters were sent back to work.
    redriven: bool,
}

impl Sent {
    pub(crate) fn add(&mut self, id: String, shape: Shape) {
        self.shapes.push((id, shape));
        self.known.faults = true;
    }

    pub(crate) fn without_faults(mut self) -> Self {
        self.known.faults = false;
        self
    }

    pub(crate) fn purged(mut self) -> Self {
        self.known.purged = true;
        self
    }

    /// Forgets some of what has succeeded, before dead letters are redriven.
    pub(crate) async fn forget_some(&mut self, world: &World) -> Result<(), BoxError> {
        self.look_at_letters(world)?;
        for (id, _) in &self.shapes {
            let handle = world.observer().result_of::<Value>(id);
            let is_done = handle.state().await? == State::Success;
            if is_done && world.random().chance(0.5) {
                handle.forget().await?;
                self.forgotten.insert(id.clone());
            }
        }
        self.redriven = true;
        Ok(())
    }

    /// Whose process died too often, or whose message SQS gave up: those failed by no fault of their own.
    fn look_at_letters(&mut self, world: &World) -> Result<(), BoxError> {
        for letter in world.dead_letters() {
            let reason = letter.attributes.get("sedano-reason").map(String::as_str);
            if reason == Some("Rejected") {
                continue;
            }
            let message: Value = serde_json::from_str(&letter.body)?;
            match message.pointer("/kwargs/mark").and_then(Value::as_u64) {
                Some(mark) => drop(self.known.lost.insert(mark)),
                None => self.gave_up = true,
            }
        }
        Ok(())
    }

    pub(crate) async fn came_to_what_it_should(&mut self, world: &World) -> Result<(), BoxError> {
        self.look_at_letters(world)?;
        let log = world.state::<Log>().ok_or("no state")?.all();
        ran_with_one_input(&log)?;
        let mut expected = Expected::new(&self.known);
        for (id, shape) in &self.shapes {
            let outcome = expected.of(shape, &Value::Null, &[]);
            let ended = self.ended(world, id, &outcome).await?;
            ended.map_err(|what| format!("{id} {what}: {}", shape.json()))?;
        }
        if self.gave_up {
            return Ok(());
        }
        for (mark, run) in &expected.runs {
            let ran = log.get(mark);
            let ran = self.ran(world, run, ran).await?;
            ran.map_err(|what| format!("mark {mark} {what}: {}", self.json()))?;
        }
        let unasked = log.keys().find(|mark| !expected.runs.contains_key(mark));
        match unasked {
            Some(mark) => Err(format!("mark {mark} ran: {}", self.json()).into()),
            None => Ok(()),
        }
    }

    fn json(&self) -> Value {
        self.shapes.iter().map(|(_, shape)| shape.json()).collect()
    }

    /// How a whole ended, if not as it should.
    async fn ended(
        &self,
        world: &World,
        id: &str,
        outcome: &Outcome,
    ) -> Result<Result<(), String>, BoxError> {
        let record = world.observer().record(id).await?;
        let status = record.status;
        if self.forgotten.contains(id) {
            // Deleted, or all but that it has run; and so it stays.
            return Ok(match status {
                State::Pending | State::Success => Ok(()),
                other => Err(format!("was forgotten and is {other}")),
            });
        }
        let found = match status {
            State::Success => {
                let handle = world.observer().result_of::<Value>(id);
                Ok(handle.try_get().await?.ok_or("it has no result")?)
            }
            State::Failure => Err(json!(record.error)),
            other => return Ok(Err(format!("is {other}"))),
        };
        let later = outcome.later.as_ref().filter(|_| self.redriven);
        let is_right = match (&found, &outcome.now) {
            _ if self.gave_up => true,
            (Ok(found), Ok(expected)) => fits(found, expected),
            (Ok(found), Err(_)) => later.is_some_and(|later| fits(found, later)),
            (Err(found), Err(expected)) => fits(found, &json!({ "failures": expected })),
            (Err(_), Ok(_)) => false,
        };
        Ok(match is_right {
            true => Ok(()),
            false => {
                let expected = &outcome.now;
                Err(format!("yields {found:?} instead of {expected:?}"))
            }
        })
    }

    /// How a task ran, if not as it should.
    async fn ran(
        &self,
        world: &World,
        run: &Run,
        ran: Option<&Vec<Ran>>,
    ) -> Result<Result<(), String>, BoxError> {
        let (input, must) = match run {
            Run::Must(input) => (input, true),
            Run::May(input) => (input, false),
            Run::Later(input) => (input, false),
        };
        let Some(ran) = ran.and_then(|ran| ran.first()) else {
            return Ok(match must {
                true => Err("never ran".to_owned()),
                false => Ok(()),
            });
        };
        if matches!(run, Run::Later(_)) && !self.redriven {
            return Ok(Err("ran".to_owned()));
        }
        if !fits(&ran.input, input) {
            let found = &ran.input;
            return Ok(Err(format!("was given {found} instead of {input}")));
        }
        let record = world.observer().record(&ran.id).await?;
        let is_callback = record.task.as_deref() == Some("called");
        Ok(match record.status {
            State::Success => Ok(()),
            other if must && is_callback => Err(format!("is {other}")),
            _ => Ok(()),
        })
    }
}

/// However often a task ran, it was one task, and given the same.
fn ran_with_one_input(log: &BTreeMap<u64, Vec<Ran>>) -> Result<(), BoxError> {
    for (mark, runs) in log {
        let same = |ran: &Ran| (ran.id.clone(), timeless(&ran.input));
        let different: Vec<_> = runs.iter().map(same).collect();
        if different.iter().any(|one| *one != different[0]) {
            return Err(format!("mark {mark} ran as different tasks: {runs:?}").into());
        }
    }
    Ok(())
}
