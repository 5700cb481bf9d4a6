//! Revoking: a task by its id, and all that bear a group, a root, a stamp or a task's name.
//!
//! The first is a write of the task's record ([`by_id`]). The second is an item in one partition of the state table
//! (`pk` is `revocations`, `sk` is `<kind>#<value>`), which every worker's process reads at most once in five seconds
//! ([`known`]). What bears it is revoked when its message comes; `docs/revoking.md` says what that means for what is
//! delayed, composed, or at work.

mod asked;
mod by_id;
mod known;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::error::{Error, ErrorKind, Result};
use crate::id;
use crate::message::TEXT;
use crate::ports::{Attribute, Item, Key, Op, When, Write};
use crate::record::{field, instant, is_expired};
use crate::time::Timestamp;

pub(crate) use asked::Asked;
pub use by_id::RevokeOutcome;
pub(crate) use known::{Listed, Revocations};

/// The partition that holds them.
const PARTITION: &str = "revocations";
const KIND: &str = "kind";
const VALUE: &str = "value";
const REVOKED_AT: &str = "revoked_at";

/// How long a revocation is in force, unless it is told otherwise: SQS keeps a message for at most 14 days, and
/// what was sent with an ETA comes later.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
/// It is in force for so long at least, and at most.
const LEAST: Duration = Duration::from_secs(60);
const MOST: Duration = Duration::from_secs(3650 * 86_400);
/// So many are read in one call.
const PAGE: u32 = 1000;

/// What a revocation is about: see [`App::revoke_all`].
///
/// ```
/// use sedano::Revocation;
///
/// let tenant = Revocation::stamp("tenant", "acme");
/// assert_eq!(tenant.to_string(), "stamp tenant=acme");
/// assert_eq!(Revocation::new("stamp", "tenant=acme")?, tenant);
/// # Ok::<(), sedano::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Revocation {
    kind: &'static str,
    value: String,
}

const TASK: &str = "task";
const GROUP: &str = "group";
const ROOT: &str = "root";
const STAMP: &str = "stamp";
/// What revocations can be about.
pub(crate) const KINDS: [&str; 4] = [TASK, GROUP, ROOT, STAMP];

impl Revocation {
    /// Every message of this task, by its name or an alias, that was sent before the revocation. What is sent later
    /// runs.
    pub fn task(name: impl Into<String>) -> Self {
        Self::of(TASK, name.into())
    }

    /// The group with this id, and each of its members.
    pub fn group(id: impl Into<String>) -> Self {
        Self::of(GROUP, id.into())
    }

    /// The task with this id, and whatever was or will be sent by it, by what it sent, and so on.
    pub fn root(id: impl Into<String>) -> Self {
        Self::of(ROOT, id.into())
    }

    /// What bears this stamp or header. A value that is no text is compared as its JSON: `7` is the stamp
    /// 7 and the stamp `"7"`. Of a stamp that is a list each element counts.
    pub fn stamp(name: impl AsRef<str>, value: impl Into<Value>) -> Self {
        let (name, value) = (name.as_ref(), text_of(&value.into()));
        Self::of(STAMP, format!("{name}={value}"))
    }

    /// The same from text: `task`, `group`, `root` or `stamp`, and the name, the id, or `name=value`.
    ///
    /// # Errors
    /// `Invalid`, for what can't be revoked.
    pub fn new(kind: &str, value: impl Into<String>) -> Result<Self> {
        let Some(kind) = KINDS.into_iter().find(|known| *known == kind) else {
            let what = "a revocation is about a `task`, a `group`, a `root` or a `stamp`";
            return Err(invalid(what).about("kind"));
        };
        let revocation = Self::of(kind, value.into());
        revocation.check()?;
        Ok(revocation)
    }

    fn of(kind: &'static str, value: String) -> Self {
        Self { kind, value }
    }

    /// What it is about: `task`, `group`, `root` or `stamp`.
    pub fn kind(&self) -> &str {
        self.kind
    }

    /// The task's name, the id, or `name=value` of the stamp.
    pub fn value(&self) -> &str {
        &self.value
    }

    fn check(&self) -> Result<()> {
        let refused = |what: String| Err(invalid(what).about("value"));
        let value = &self.value;
        match self.kind {
            TASK if value.starts_with("sedano.") => refused(format!(
                "`{value}` is a task of the library itself: others wait for what it does"
            )),
            TASK if value.is_empty() || value.len() > TEXT => {
                refused(format!("a task's name has 1 to {TEXT} bytes"))
            }
            GROUP | ROOT if !id::is_valid(value) => refused(format!("a task id is {}", id::RULE)),
            STAMP if !matches!(value.split_once('='), Some((name, _)) if !name.is_empty()) => {
                refused("a stamp is written as `name=value`".to_owned())
            }
            STAMP if value.len() > TEXT => {
                refused(format!("a stamp that is revoked has {TEXT} bytes at most"))
            }
            _ => Ok(()),
        }
    }

    fn key(&self) -> Key {
        let sk = format!("{}#{}", self.kind, self.value);
        Key::State(PARTITION.to_owned(), sk)
    }
}

/// As a line for people: `task billing.charge`.
impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.value)
    }
}

/// A revocation that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InForce {
    /// What it is about.
    #[serde(flatten)]
    pub revocation: Revocation,
    /// Since when. Of a task's name: what was sent by then is revoked.
    pub revoked_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

impl InForce {
    /// What an item says; none, if it says nothing that this version knows.
    fn read(item: &Item) -> Option<Self> {
        let text = |name: &str| item.get(name).and_then(Attribute::as_text);
        let ttl = item.get(field::TTL).and_then(Attribute::as_number)?;
        let revocation = Revocation::new(text(KIND)?, text(VALUE)?).ok()?;
        Some(Self {
            revocation,
            revoked_at: instant(item, REVOKED_AT)?,
            expires_at: Timestamp::from_millis(ttl.saturating_mul(1000)),
        })
    }
}

impl App {
    /// Revokes all that bear a group, a root, a stamp or a task's name: what waits isn't started any more, what
    /// runs is asked to stop. Workers know of it within five seconds, and for 30 days.
    ///
    /// ```
    /// # use sedano::{task, tasks, App, Revocation, State, TaskError, memory::Memory, Worker};
    /// # #[task] async fn remind(whom: String) {}
    /// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
    /// # let app = Memory::default().app().tasks(tasks![remind]);
    /// # let worker = Worker::new(app.clone());
    /// let sent = app.send(remind::s("Ada".to_owned()).stamp("tenant", "acme")).await?;
    /// let acme = Revocation::stamp("tenant", "acme");
    /// app.revoke_all(&acme).await?;
    /// worker.run_once().await?;
    /// assert_eq!(sent.state().await?, State::Revoked);
    /// app.unrevoke(&acme).await?;
    /// # Ok::<(), sedano::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Invalid`, for what can't be revoked; `Conflict`, where `SEDANO_REVOCATIONS` is `off`; else as the store says.
    pub async fn revoke_all(&self, revocation: &Revocation) -> Result<InForce> {
        self.revoke_all_for(revocation, KEPT).await
    }

    /// The same for this long, a minute to ten years: as long as what bears it may still be on its way, 14 days and the
    /// longest ETA.
    ///
    /// # Errors
    /// As [`revoke_all`](App::revoke_all); `Invalid` for any other time.
    pub async fn revoke_all_for(&self, revocation: &Revocation, time: Duration) -> Result<InForce> {
        revocation.check()?;
        if !(LEAST..=MOST).contains(&time) {
            let what = "a revocation is in force for a minute at least, and for 3650 days at most";
            return Err(invalid(what).about("days"));
        }
        if !self.config().revocations {
            let what = "SEDANO_REVOCATIONS is `off`: no worker would look at it; revoke tasks by their ids";
            return Err(Error::new(ErrorKind::Conflict, what));
        }
        let now = self.now();
        // A second begun counts as a whole one.
        let ttl = (now + time).as_secs() + 1;
        let item = Item::from([
            (KIND.into(), revocation.kind.into()),
            (VALUE.into(), revocation.value.as_str().into()),
            (REVOKED_AT.into(), now.into()),
            (field::TTL.into(), ttl.into()),
        ]);
        let write = Write {
            key: revocation.key(),
            op: Op::Put(item),
            when: When::Always,
        };
        self.ports().store.write(write).await?;
        Ok(InForce {
            revocation: revocation.clone(),
            revoked_at: now,
            expires_at: Timestamp::from_millis(ttl.saturating_mul(1000)),
        })
    }

    /// Lifts a revocation: within five seconds what bears it runs again. What was revoked by it stays revoked. Lifting
    /// one that isn't in force changes nothing.
    ///
    /// # Errors
    /// As the store says.
    pub async fn unrevoke(&self, revocation: &Revocation) -> Result<()> {
        let write = Write {
            key: revocation.key(),
            op: Op::Delete,
            when: When::Always,
        };
        self.ports().store.write(write).await.map(drop)
    }

    /// The revocations in force, but those of single tasks: by kind, and then by what they are about.
    ///
    /// # Errors
    /// As the store says.
    pub async fn revocations(&self) -> Result<Vec<InForce>> {
        let store = &self.ports().store;
        let now = self.now();
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = store.query(PARTITION, after.as_deref(), PAGE).await?;
            let there = page.items.iter().filter(|item| !is_expired(item, now));
            all.extend(there.filter_map(InForce::read));
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, what)
}

/// A stamp's value as it is compared.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
