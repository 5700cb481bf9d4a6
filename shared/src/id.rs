//! Task ids.

use uuid::Uuid;

use crate::ports::{Clock, Entropy};

/// A fresh task id: UUID version 7, so that ids sort by the time they were made.
pub(crate) fn fresh(clock: &dyn Clock, entropy: &dyn Entropy) -> String {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(clock.now().as_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random)
        .into_uuid()
        .to_string()
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
    fn derived_ids_are_stable_and_tell_their_parts_apart() {
        assert_eq!(derived(&["a", "1"]), derived(&["a", "1"]));
        assert_ne!(derived(&["a", "1"]), derived(&["a1"]));
        assert_eq!(
            derived(&["report", "0"]),
            "d0fa19bb-8517-53ce-8c76-a318dd3c1a70"
        );
    }
}
