//! What SQS refuses, checked before a call, so that both adapters refuse the same with the same
//! sentence and one bad entry doesn't cost its neighbours a call.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::ports::{BATCH_BYTES, BATCH_ENTRIES, MAX_DELAY, MAX_HIDE, Outgoing, QueueName};

/// The most bytes of a message that is sent anew: SQS's limit, less room for what a retry or a detour
/// adds to it.
pub(crate) const MESSAGE_BYTES: usize = BATCH_BYTES - 1024;
/// The most attributes of one message.
const ATTRIBUTES: usize = 10;
/// The most characters of an attribute's name.
const ATTRIBUTE_NAME: usize = 256;
/// The most characters of a message group or a deduplication id.
const GROUP: usize = 128;
/// The longest that one receive waits.
const MAX_WAIT: Duration = Duration::from_secs(20);

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// A duration in the whole seconds that SQS takes, rounded up: never early.
pub(crate) fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
}

/// The error for a task's message of too many bytes.
pub(crate) fn too_large(task: &str, bytes: usize) -> Error {
    let what = format!(
        "the message of task `{task}` has {bytes} bytes; {MESSAGE_BYTES} of SQS's {BATCH_BYTES} are \
         for it: send a reference to the data instead"
    );
    Error::new(ErrorKind::TooLarge, what)
}

/// Whether one batch call may hold this many entries.
pub(crate) fn check_entries(queue: &QueueName, entries: usize) -> Result<()> {
    if entries > BATCH_ENTRIES {
        return Err(invalid(format!(
            "a batch for queue `{queue}` has {entries} entries: SQS takes at most {BATCH_ENTRIES}"
        )));
    }
    Ok(())
}

/// Whether a batch may be sent; and if so, whether each of its entries may.
pub(crate) fn check_send(queue: &QueueName, batch: &[Outgoing]) -> Result<Vec<Result<()>>> {
    check_entries(queue, batch.len())?;
    let size: usize = batch.iter().map(Outgoing::size).sum();
    if size > BATCH_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "a batch for queue `{queue}` has {size} bytes: SQS takes at most {BATCH_BYTES}, \
                 attributes included"
            ),
        ));
    }
    Ok(batch
        .iter()
        .map(|message| check_message(queue, message))
        .collect())
}

fn check_message(queue: &QueueName, message: &Outgoing) -> Result<()> {
    if message.body.is_empty() {
        return Err(invalid(format!(
            "a message for queue `{queue}` has an empty body"
        )));
    }
    check_characters(queue, "body", &message.body)?;
    check_attributes(queue, message)?;
    if whole_seconds(message.delay) > MAX_DELAY {
        return Err(invalid(format!(
            "a message for queue `{queue}` has a delay of {} s: SQS takes at most {} s",
            whole_seconds(message.delay).as_secs(),
            MAX_DELAY.as_secs()
        )));
    }
    check_identifier(queue, "message group", message.group.as_deref())?;
    check_identifier(queue, "deduplication id", message.dedup.as_deref())?;
    if queue.is_fifo() {
        if message.group.is_none() {
            return Err(invalid(format!(
                "a message for the FIFO queue `{queue}` has no message group"
            )));
        }
        if !message.delay.is_zero() {
            return Err(invalid(format!(
                "a message for the FIFO queue `{queue}` has a delay: only the queue as a whole can \
                 have one"
            )));
        }
    } else if message.dedup.is_some() {
        return Err(invalid(format!(
            "a message for queue `{queue}` has a deduplication id: only FIFO queues deduplicate"
        )));
    }
    Ok(())
}

fn check_attributes(queue: &QueueName, message: &Outgoing) -> Result<()> {
    let attributes = &message.attributes;
    if attributes.len() > ATTRIBUTES {
        return Err(invalid(format!(
            "a message for queue `{queue}` has {} attributes: SQS takes at most {ATTRIBUTES}",
            attributes.len()
        )));
    }
    for (name, value) in attributes {
        if !is_attribute_name(name) {
            return Err(invalid(format!(
                "a message for queue `{queue}` has an attribute named `{name}`: a name is at most \
                 {ATTRIBUTE_NAME} letters, digits, `_`, `-` and single inner `.`, and doesn't begin \
                 with `AWS.` or `Amazon.`"
            )));
        }
        if value.is_empty() {
            return Err(invalid(format!(
                "the attribute `{name}` of a message for queue `{queue}` is empty"
            )));
        }
        check_characters(queue, &format!("attribute `{name}`"), value)?;
    }
    Ok(())
}

fn is_attribute_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !name.is_empty()
        && name.len() <= ATTRIBUTE_NAME
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && !(name.starts_with('.') || name.ends_with('.') || name.contains(".."))
        && !(lower.starts_with("aws.") || lower.starts_with("amazon."))
}

fn check_characters(queue: &QueueName, place: &str, text: &str) -> Result<()> {
    match text.chars().find(|&character| !is_allowed(character)) {
        None => Ok(()),
        Some(character) => Err(invalid(format!(
            "the {place} of a message for queue `{queue}` has the character U+{:04X}, which SQS \
             refuses: escape it",
            u32::from(character)
        ))),
    }
}

fn is_allowed(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        other => other >= ' ',
    }
}

fn check_identifier(queue: &QueueName, what: &str, text: Option<&str>) -> Result<()> {
    match text {
        Some(text)
            if text.is_empty()
                || text.len() > GROUP
                || !text.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Err(invalid(format!(
                "a message for queue `{queue}` has the {what} `{text}`: it is 1 to {GROUP} ASCII \
                 letters, digits and punctuation marks"
            )))
        }
        _ => Ok(()),
    }
}

/// Whether a receive may ask for this.
pub(crate) fn check_receive(queue: &QueueName, max: usize, wait: Duration) -> Result<()> {
    if !(1..=BATCH_ENTRIES).contains(&max) {
        return Err(invalid(format!(
            "a receive from queue `{queue}` asks for {max} messages: SQS gives 1 to {BATCH_ENTRIES}"
        )));
    }
    if wait > MAX_WAIT {
        return Err(invalid(format!(
            "a receive from queue `{queue}` waits {} s: SQS waits at most {} s",
            wait.as_secs(),
            MAX_WAIT.as_secs()
        )));
    }
    Ok(())
}

/// Whether a message may be hidden for this long.
pub(crate) fn check_hide(queue: &QueueName, duration: Duration) -> Result<()> {
    if whole_seconds(duration) > MAX_HIDE {
        return Err(invalid(format!(
            "a message of queue `{queue}` can't be hidden for {} s: SQS takes at most {} s",
            whole_seconds(duration).as_secs(),
            MAX_HIDE.as_secs()
        )));
    }
    Ok(())
}

/// The error for a queue whose name no setting knows.
pub(crate) fn no_queue<'a>(queue: &QueueName, known: impl Iterator<Item = &'a QueueName>) -> Error {
    let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    Error::new(
        ErrorKind::NotFound,
        format!("there is no queue named `{queue}`: SEDANO_QUEUES names {known}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(queue: &str, message: Outgoing) -> String {
        let mut entries = check_send(&queue.into(), &[message]).unwrap();
        entries.remove(0).unwrap_err().to_string()
    }

    #[test]
    fn seconds_are_rounded_up() {
        for (millis, seconds) in [(0, 0), (1, 1), (2000, 2), (2001, 3)] {
            let rounded = whole_seconds(Duration::from_millis(millis));
            assert_eq!(rounded, Duration::from_secs(seconds));
        }
    }

    #[test]
    fn refusals_say_what_and_where() {
        let said = refusal("q", Outgoing::new("a\u{ffff}"));
        assert!(said.starts_with("the body of a message for queue `q` has the character U+FFFF"));
        let said = refusal(
            "q",
            Outgoing {
                delay: Duration::from_millis(900_001),
                ..Outgoing::new("a")
            },
        );
        assert_eq!(
            said,
            "a message for queue `q` has a delay of 901 s: SQS takes at most 900 s"
        );
        let said = refusal("q.fifo", Outgoing::new("a"));
        assert_eq!(
            said,
            "a message for the FIFO queue `q.fifo` has no message group"
        );
    }

    #[test]
    fn attribute_names_follow_the_rules() {
        for name in ["task", "a.b", "A-1_x"] {
            assert!(is_attribute_name(name), "{name}");
        }
        for name in ["", ".a", "a.", "a..b", "aws.x", "Amazon.x", "é", "a b"] {
            assert!(!is_attribute_name(name), "{name}");
        }
    }

    #[test]
    fn one_bad_entry_does_not_refuse_its_neighbours() {
        let batch = [
            Outgoing::new("a"),
            Outgoing::new("\u{1}"),
            Outgoing::new("b"),
        ];
        let entries = check_send(&"q".into(), &batch).unwrap();
        assert_eq!(
            entries.iter().map(Result::is_ok).collect::<Vec<_>>(),
            [true, false, true]
        );
    }
}
