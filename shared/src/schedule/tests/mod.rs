//! Due times held against Celery's own, the almanac's, and the rule read word for word.

mod celery;
mod clock_changes;
mod fields;
mod sun;
