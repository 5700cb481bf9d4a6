//! Due times held against the rule read word for word.

mod clock_changes;
