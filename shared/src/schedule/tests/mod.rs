//! Due times held against Celery's own, and the rule read word for word.

mod celery;
mod clock_changes;
mod fields;
