//! Rules of EventBridge that keep entries in the tick's place, held against those that are there, and made so.
//!
//! An entry that EventBridge can express exactly may be kept by a rule of its own, which sends the message itself.
//! This file owns what such a rule says, which rules are ours, and in which order rules and marks change. It promises:
//!
//! - A rule is touched only if it carries our tags ([`ENTRY_TAG`] and [`STACK_TAG`] with this stack's name).
//! - No due time is missed, as long as beat ticks: at any moment the tick or the rule keeps an entry, and in between
//!   both do. A rule is there before the entry is marked, and when it is given up, the mark goes first, and the
//!   rule only once everything is due that the last tick has left out. If this breaks off in between, both keep
//!   the entry until it is run again.
//! - What both send comes twice, under two ids: what is due within the 70 seconds that a tick looks ahead. That is
//!   one or two runs of an entry that is due each minute, and one at most of others.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::{AHEAD, Entry, Marks};
use crate::app::App;
use crate::canvas::{self, Canvas};
use crate::context::DUE;
use crate::error::{Error, ErrorKind, Result};
use crate::launch::{Launch, Origin};
use crate::message::{VERSION, escape};
use crate::ports::{Bus, Clock, Input, QueueName, Retry, Rule, Target};
use crate::schedule::Schedule;
use crate::signature::Signature;
use crate::task::nearest;

/// The tag of a rule that says which entry it keeps.
pub const ENTRY_TAG: &str = "sedano:entry";
/// The tag of a rule that says whose it is.
pub const STACK_TAG: &str = "sedano:stack";

/// The most characters of a rule's name.
const NAME: usize = 64;
/// The most characters of a template.
const TEMPLATE: usize = 8192;
/// The rule's name and the time it fires for: the same for a firing that comes twice. EventBridge puts them in as they
/// are, and neither needs to be escaped.
const ID: &str = "<aws.events.rule-name>-<time>";
/// The id of a rule's only target.
const TARGET: &str = "queue";

/// An entry that a rule may keep.
#[derive(Debug, Clone, PartialEq)]
pub struct Native {
    /// The entry's name.
    pub entry: String,
    /// When it is due.
    pub schedule: Schedule,
    /// Where its message goes.
    pub queue: QueueName,
    /// Its message without an id: a JSON object. What is relative in it (`expires` in seconds) counts from when it is sent.
    pub body: String,
    /// The headers of a task's message, a JSON object: its due time is put in with them.
    headers: Option<String>,
    /// What of the entry no rule can keep: the field, and why.
    refused: Option<(&'static str, String)>,
}

/// Whose rules they are, and where they send to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The stack's name: a tag of its rules.
    pub stack: String,
    /// What the names of its rules begin with.
    pub prefix: String,
    /// The ARNs of its queues. What a rule can't deliver goes to `undelivered`, if there is one.
    pub queues: BTreeMap<QueueName, String>,
}

/// What would make the rules equal to the schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// What is to be done about each entry and each rule.
    pub steps: Vec<Step>,
    /// The rules of the steps that make or change one, by name.
    #[serde(skip)]
    wanted: BTreeMap<String, Rule>,
}

/// One entry or rule, and what is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// The entry stays on the tick.
    Tick {
        /// The entry's name.
        entry: String,
        /// What of it is to blame: a field of its schedule, `name`, `queue` or `message`.
        field: String,
        /// Why no rule can keep it.
        reason: String,
    },
    /// The rule isn't ours, though its name begins as ours do: left alone.
    Foreign {
        /// Its name.
        rule: String,
    },
    /// The rule is missing.
    Create {
        /// Its name.
        rule: String,
        /// The entry it will keep.
        entry: String,
        /// What it will say.
        schedule: String,
    },
    /// The rule is not as it should be.
    Change {
        /// Its name.
        rule: String,
        /// The entry it keeps.
        entry: String,
        /// What it says now.
        from: Option<String>,
        /// What it will say.
        to: String,
        /// In what it differs: `schedule`, `enabled`, `description`, `targets`, `tags`.
        differs: Vec<&'static str>,
    },
    /// The rule is as it should be.
    Keep {
        /// Its name.
        rule: String,
        /// The entry it keeps.
        entry: String,
    },
    /// The rule is ours, and keeps an entry that is gone, or that a rule can't keep any more.
    Remove {
        /// Its name.
        rule: String,
        /// The entry it keeps.
        entry: String,
        /// Whether the tick keeps the entry from then on.
        to_tick: bool,
    },
}

impl Step {
    /// The entry that it is about.
    pub fn entry(&self) -> Option<&str> {
        match self {
            Step::Foreign { .. } => None,
            Step::Tick { entry, .. }
            | Step::Create { entry, .. }
            | Step::Change { entry, .. }
            | Step::Keep { entry, .. }
            | Step::Remove { entry, .. } => Some(entry),
        }
    }

    /// The rule that it is about.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Step::Tick { .. } => None,
            Step::Foreign { rule }
            | Step::Create { rule, .. }
            | Step::Change { rule, .. }
            | Step::Keep { rule, .. }
            | Step::Remove { rule, .. } => Some(rule),
        }
    }
}

impl Native {
    /// The entry as a rule would send it: the call with the options that its task has, as it stands in messages.
    ///
    /// # Errors
    /// As sending the call would have.
    pub fn new<Out>(
        app: &App,
        entry: impl Into<String>,
        schedule: impl Into<Schedule>,
        call: impl Into<Signature<(), Out>>,
    ) -> Result<Self> {
        let mut canvas = call.into().forget_output().into_canvas();
        let queue = app
            .plan(Launch::of(canvas.clone(), Origin::default()))?
            .queue;
        app.settle(&mut canvas)?;
        // The due time is when the rule fires.
        canvas.first_calls(&mut |call| call.eta = None);
        let is_task = matches!(canvas, Canvas::Task(_));
        let mut body = canvas::write(canvas)?;
        let mut headers = None;
        if let Some(fields) = body.as_object_mut() {
            fields.insert("v".to_owned(), VERSION.into());
            fields.remove("id");
            if is_task {
                // What is for the sender alone.
                for field in ["queue", "immutable", "message_group"] {
                    fields.remove(field);
                }
                let own = fields.remove("headers");
                headers = Some(escape(own.unwrap_or_else(|| json!({})).to_string()));
            }
        }
        Ok(Self {
            entry: entry.into(),
            schedule: schedule.into(),
            queue,
            body: escape(body.to_string()),
            headers,
            refused: None,
        })
    }

    /// The same, for the tick to keep.
    #[must_use]
    pub fn on_tick(mut self) -> Self {
        self.refused = Some(("entry", "it was given back to the tick".to_owned()));
        self
    }

    /// The stored entry, with what of it a rule can't keep.
    ///
    /// # Errors
    /// As [`new`](Native::new).
    pub(super) fn of(app: &App, entry: &Entry) -> Result<Self> {
        let call = Signature::<(), ()>::of(entry.canvas());
        let mut native = Self::new(app, &entry.name, entry.schedule.clone(), call)?;
        let kept = [
            ("jitter", !entry.jitter.is_zero()),
            ("no_overlap", entry.no_overlap),
            ("start", entry.start.is_some()),
            ("end", entry.end.is_some()),
            ("max_runs", entry.max_runs.is_some()),
        ];
        native.refused = kept.into_iter().find_map(|(field, said)| {
            let reason = format!("a rule of EventBridge has no `{field}`: the tick keeps it");
            said.then_some((field, reason))
        });
        Ok(native)
    }

    /// The rule that keeps it, or the field that is to blame and why there can't be one.
    fn rule(&self, owner: &Owner) -> Result<Rule, (String, String)> {
        let no = |field: &str, reason: String| Err((field.to_owned(), reason));
        if let Some((field, reason)) = &self.refused {
            return no(field, reason.clone());
        }
        let name = format!("{}{}", owner.prefix, self.entry);
        let fits = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
        if !name.chars().all(fits) || name.len() > NAME || self.entry.is_empty() {
            let reason = format!(
                "a rule can't be named `{name}`: {NAME} letters of a-z, A-Z, 0-9, `.`, `-` and `_` at most"
            );
            return no("name", reason);
        }
        let schedule = self.schedule.to_eventbridge().map_err(|error| {
            let field = error.parameter().unwrap_or("schedule").to_owned();
            (field, error.to_string())
        })?;
        let queue = &self.queue;
        if queue.is_fifo() {
            let reason = format!(
                "`{queue}` is a FIFO queue: its messages need a group and a deduplication id of their own, which a \
                 rule can't give them"
            );
            return no("queue", reason);
        }
        let Some(arn) = owner.queues.get(queue) else {
            return no(
                "queue",
                format!("the ARN of the queue `{queue}` isn't known"),
            );
        };
        let text = self.template()?;
        let input = Input::Template {
            text,
            paths: BTreeMap::from([("time".to_owned(), "$.time".to_owned())]),
        };
        let undelivered = QueueName::new(QueueName::UNDELIVERED);
        Ok(Rule {
            name,
            schedule: Some(schedule),
            enabled: true,
            description: Some(format!(
                "Entry {} of Sedano's schedule, kept by `sedano beat sync`.",
                self.entry
            )),
            targets: vec![Target {
                id: TARGET.to_owned(),
                arn: arn.clone(),
                input: Some(input),
                dead_letters: owner.queues.get(&undelivered).cloned(),
                // As the rule of the template that writes messages itself.
                retry: Some(Retry {
                    seconds: 3600,
                    times: 20,
                }),
            }],
            tags: BTreeMap::from([
                (ENTRY_TAG.to_owned(), self.entry.clone()),
                (STACK_TAG.to_owned(), owner.stack.clone()),
            ]),
        })
    }

    /// The message with an id for each due time. What looks like a place to be filled in is written with escapes, which
    /// mean the same in JSON.
    fn template(&self) -> Result<String, (String, String)> {
        let no = |reason: String| Err(("message".to_owned(), reason));
        let escaped = |text: &str| text.replace('<', "\\u003c").replace('>', "\\u003e");
        let body = escaped(&self.body);
        // The id goes first: the rest of the object stays as it is.
        let Some(rest) = body.strip_prefix('{').filter(|rest| rest.len() > 1) else {
            return no("its message is no JSON object".to_owned());
        };
        let headers = self.headers.as_deref().map(escaped).unwrap_or_default();
        let headers = match headers.strip_prefix('{') {
            Some("}") => format!(r#""headers":{{"{DUE}":"<time>"}},"#),
            Some(own) => format!(r#""headers":{{"{DUE}":"<time>",{own},"#),
            None => String::new(),
        };
        let text = format!(r#"{{"id":"{ID}",{headers}{rest}"#);
        let size = text.chars().count();
        if size > TEMPLATE {
            return no(format!(
                "its message has {size} characters as a rule writes it; EventBridge takes {TEMPLATE}"
            ));
        }
        Ok(text)
    }
}

impl Plan {
    /// Holds the entries against the rules whose names begin with the owner's prefix; changes nothing.
    pub fn new(natives: &[Native], owner: &Owner, rules: &[Rule]) -> Self {
        let keeps = |rule: &Rule| {
            let is_ours = rule.tags.get(STACK_TAG) == Some(&owner.stack);
            rule.tags.get(ENTRY_TAG).filter(|_| is_ours).cloned()
        };
        let mut ticks = Vec::new();
        let mut wanted = BTreeMap::new();
        let mut tick = |entry: &str, field: String, reason: String| {
            ticks.push(Step::Tick {
                entry: entry.to_owned(),
                field,
                reason,
            });
        };
        for native in natives {
            match native.rule(owner) {
                Err((field, reason)) => tick(&native.entry, field, reason),
                Ok(rule) => {
                    let there = rules.iter().find(|there| there.name == rule.name);
                    if there.is_some_and(|there| keeps(there).is_none()) {
                        let name = &rule.name;
                        let reason =
                            format!("there is a rule named `{name}` which sedano did not make");
                        tick(&native.entry, "name".to_owned(), reason);
                    } else {
                        wanted.insert(rule.name.clone(), rule);
                    }
                }
            }
        }
        let mut steps: BTreeMap<&str, Step> = BTreeMap::new();
        for there in rules {
            let name = there.name.clone();
            let step = match (keeps(there), wanted.get(&there.name)) {
                (None, _) => Step::Foreign { rule: name },
                (Some(entry), None) => Step::Remove {
                    rule: name,
                    to_tick: natives.iter().any(|native| native.entry == entry),
                    entry,
                },
                (Some(_), Some(rule)) => {
                    let entry = rule.tags.get(ENTRY_TAG).cloned().unwrap_or_default();
                    let differs = differences(there, rule);
                    match differs.is_empty() {
                        true => Step::Keep { rule: name, entry },
                        false => Step::Change {
                            rule: name,
                            entry,
                            from: there.schedule.clone(),
                            to: rule.schedule.clone().unwrap_or_default(),
                            differs,
                        },
                    }
                }
            };
            steps.insert(&there.name, step);
        }
        for (name, rule) in &wanted {
            steps.entry(name).or_insert_with(|| Step::Create {
                rule: name.clone(),
                entry: rule.tags.get(ENTRY_TAG).cloned().unwrap_or_default(),
                schedule: rule.schedule.clone().unwrap_or_default(),
            });
        }
        let steps = ticks.into_iter().chain(steps.into_values()).collect();
        Self { steps, wanted }
    }

    /// What of it is about these entries.
    ///
    /// # Errors
    /// `NotFound` for an entry that neither the schedule has nor a rule keeps.
    pub fn only(mut self, entries: &[String]) -> Result<Self> {
        for entry in entries {
            let known = || self.steps.iter().filter_map(Step::entry);
            if !known().any(|known| known == entry) {
                let hint = nearest(entry, known())
                    .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                let what = format!("the schedule has no entry named `{entry}`{hint}");
                return Err(Error::new(ErrorKind::NotFound, what));
            }
        }
        let asked = |entry: &str| entries.iter().any(|asked| asked == entry);
        self.steps.retain(|step| step.entry().is_some_and(asked));
        Ok(self)
    }

    /// Makes it so, and tells of each step that is done or has failed; the others go on. One that gives an entry back to
    /// the tick takes 70 seconds, all such together.
    ///
    /// Done again, it does what is left to be done.
    pub async fn apply(
        &self,
        bus: &dyn Bus,
        clock: &dyn Clock,
        marks: &dyn Marks,
        each: &mut (dyn FnMut(&Step, Result<()>) + Send),
    ) {
        let mut given_up = Vec::new();
        let mut wait = Duration::ZERO;
        for step in &self.steps {
            let done = match step {
                Step::Foreign { .. } => continue,
                Step::Tick { entry, .. } => marks.mark(entry, None).await,
                Step::Keep { rule, entry } => marks.mark(entry, Some(rule)).await,
                Step::Create { rule, entry, .. } | Step::Change { rule, entry, .. } => {
                    match self.wanted.get(rule) {
                        // The rule first: a due time that nobody keeps would be missed.
                        Some(wanted) => match bus.put(wanted).await {
                            Ok(()) => marks.mark(entry, Some(rule)).await,
                            failed => failed,
                        },
                        None => Ok(()),
                    }
                }
                Step::Remove { entry, to_tick, .. } => match marks.mark(entry, None).await {
                    Ok(()) => {
                        given_up.push(step);
                        if *to_tick {
                            wait = AHEAD;
                        }
                        continue;
                    }
                    failed => failed,
                },
            };
            each(step, done.map_err(|error| about(step, &error)));
        }
        if !wait.is_zero() {
            // Up to here the last tick has looked ahead, and left these entries out.
            clock.sleep(wait).await;
        }
        for step in given_up {
            let done = match step.rule() {
                Some(rule) => bus.remove(rule).await,
                None => Ok(()),
            };
            each(step, done.map_err(|error| about(step, &error)));
        }
    }
}

/// In what a rule isn't as it should be.
fn differences(there: &Rule, wanted: &Rule) -> Vec<&'static str> {
    [
        ("schedule", there.schedule != wanted.schedule),
        ("enabled", there.enabled != wanted.enabled),
        ("description", there.description != wanted.description),
        ("targets", there.targets != wanted.targets),
        // Others may have added their own.
        (
            "tags",
            wanted
                .tags
                .iter()
                .any(|(key, value)| there.tags.get(key) != Some(value)),
        ),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

/// The same error with the rule or the entry that it is about.
fn about(step: &Step, error: &Error) -> Error {
    let whose = match (step.rule(), step.entry()) {
        (Some(rule), _) => format!("rule `{rule}`"),
        (None, entry) => format!("entry `{}`", entry.unwrap_or_default()),
    };
    Error::new(error.kind(), format!("{whose}: {error}"))
}

#[cfg(test)]
#[path = "sync_tests.rs"]
mod tests;
