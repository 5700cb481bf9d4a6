//! Task ids.

use uuid::Uuid;

use crate::ports::{Clock, Entropy};

/// The most bytes of an id.
pub(crate) const BYTES: usize = 512;
/// What an id is.
pub(crate) const RULE: &str = "a text of 1 to 512 bytes without control characters";

/// The same as a regular expression, but for the length.
#[cfg(any(test, feature = "http"))]
pub(crate) const PATTERN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

/// Whether a text can be an id. A control character would end a part of a [`derived`] one, and spoil a line
/// of a log.
pub(crate) fn is_valid(id: &str) -> bool {
    (1..=BYTES).contains(&id.len()) && !id.contains(char::is_control)
}

/// A fresh task id: UUID version 7, so that ids sort by the time they were made.
pub(crate) fn fresh(clock: &dyn Clock, entropy: &dyn Entropy) -> String {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(clock.now().as_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random)
        .into_uuid()
        .to_string()
}

/// Whether the id was drawn at random, by Sedano (version 7), SQS or a sender (version 4): nobody will ever
/// mean another task by it.
pub(crate) fn is_random(id: &str) -> bool {
    Uuid::try_parse(id).is_ok_and(|id| matches!(id.get_version_num(), 4 | 7))
}

/// The id of what follows from something that may happen twice: the same parts give the same id.
/// UUID version 5 over the parts, each ended by a byte that no id contains.
pub(crate) fn derived(parts: &[&str]) -> String {
    let name = parts.join("\u{1f}");
    Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
}

/// Drawn once; changing it would change every derived id.
const NAMESPACE: Uuid = Uuid::from_u128(0x8a1f_5c0e_6f1b_4a4e_9c39_0d6f_0b7a_5ed0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_random_is_told_by_the_version() {
        assert!(is_random("0197a3c4-9f1c-7d3e-8c1f-2b7a6f0e9d10"));
        assert!(is_random("6f0f5d0e-9c1c-4d3e-8c1f-2b7a6f0e9d10"));
        assert!(!is_random(&derived(&["a"])));
        assert!(!is_random("order-17"));
    }

    #[test]
    fn an_id_has_no_control_characters() {
        assert!(is_valid("order 17/\u{e9}\u{ffff}") && is_valid(&"x".repeat(512)));
        let long = "x".repeat(513);
        for id in ["", "a\nb", "a\u{0}", "a\u{1f}b", "\u{7f}", "\u{85}", &long] {
            assert!(!is_valid(id), "{id:?}");
        }
    }

    #[test]
    fn derived_ids_are_stable_and_tell_their_parts_apart() {
        assert_eq!(derived(&["a", "1"]), derived(&["a", "1"]));
        assert_ne!(derived(&["a", "1"]), derived(&["a1"]));
        assert_eq!(
            derived(&["report", "0"]),
            "d0fa19bb-8517-53ce-8c76-a318dd3c1a70"
        );
    }
}
