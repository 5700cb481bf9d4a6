//! Where a call goes, and what it brings along: a route's answer.

use std::time::Duration;

use crate::config::Config;
use crate::launch::{NotForTasks, check_queue};
use crate::ports::QueueName;
use crate::signature::{Call, Expires};

/// What a route says of the calls that take it: the queue, and how they are sent. What it leaves out is as it would be
/// without the route.
///
/// A queue's name alone is a route, too.
///
/// ```
/// use sedano::Route;
/// use std::time::Duration;
///
/// let low: Route = "low".into();
/// assert_eq!(low, Route::to("low"));
///
/// let news = Route::to("low").priority(2).expires(Duration::from_secs(3600));
/// let own = Route::new();        // an exception: stays where its task says, whatever the routes behind it say
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a route does nothing until calls are matched with it"]
pub struct Route {
    queue: Option<QueueName>,
    priority: Option<u8>,
    message_group: Option<String>,
    expires: Option<Duration>,
}

/// SQS's limit.
const GROUP_CHARACTERS: usize = 128;

impl Route {
    /// A route that changes nothing. It is an answer all the same: no route behind it is asked.
    pub fn new() -> Self {
        Self::default()
    }

    /// To this queue, by its name in `SEDANO_QUEUES`.
    pub fn to(queue: impl AsRef<str>) -> Self {
        Self {
            queue: Some(QueueName::new(queue)),
            ..Self::default()
        }
    }

    /// From 0 to 9, in place of the task's own: carried with the message, not acted on by SQS.
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = Some(priority);
        self
    }

    /// SQS's message group, 1 to 128 characters: the order on FIFO queues, the tenant on others.
    pub fn message_group(mut self, group: impl Into<String>) -> Self {
        self.message_group = Some(group.into());
        self
    }

    /// Revoked, if it hasn't started this long after the send, in place of the task's own.
    pub fn expires(mut self, after: Duration) -> Self {
        self.expires = Some(after);
        self
    }

    /// The queue it leads to, if it says one.
    pub fn queue(&self) -> Option<&str> {
        self.queue.as_ref().map(QueueName::as_str)
    }

    /// What of it can't be, said of a route.
    pub(super) fn fault(&self, config: &Config) -> Option<String> {
        if self.priority.is_some_and(|priority| priority > 9) {
            return Some("has a priority that isn't a number from 0 to 9".to_owned());
        }
        let group = self.message_group.as_ref();
        if group.is_some_and(|group| !(1..=GROUP_CHARACTERS).contains(&group.len())) {
            let what =
                format!("has a message group that isn't of 1 to {GROUP_CHARACTERS} characters");
            return Some(what);
        }
        let queue = self.queue.as_ref()?;
        match check_queue(config, queue) {
            Ok(()) => None,
            Err(NotForTasks::WorkersOnly(what)) => Some(format!("goes nowhere: {what}")),
            Err(NotForTasks::Unknown(near)) => {
                let open = config.queues.keys().filter(|queue| queue.is_for_tasks());
                let open: Vec<String> = open.map(|queue| format!("`{queue}`")).collect();
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it has {}", open.join(", ")),
                };
                Some(format!(
                    "goes to queue `{queue}`, which SEDANO_QUEUES doesn't have; {hint}"
                ))
            }
        }
    }

    /// Fills in what the call doesn't say itself.
    pub(super) fn apply(&self, call: &mut Call) {
        call.queue = call.queue.take().or_else(|| self.queue.clone());
        call.priority = call.priority.or(self.priority);
        call.message_group = call
            .message_group
            .take()
            .or_else(|| self.message_group.clone());
        call.expires = call.expires.or_else(|| self.expires.map(Expires::After));
    }
}

impl From<&str> for Route {
    fn from(queue: &str) -> Self {
        Self::to(queue)
    }
}

impl From<String> for Route {
    fn from(queue: String) -> Self {
        Self::to(queue)
    }
}
