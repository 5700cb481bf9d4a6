//! Dead letters.

/// The attributes that say what happened to a dead letter.
pub(crate) mod attribute {
    pub(crate) const ATTEMPTS: &str = "sedano-attempts";
    pub(crate) const DEAD_AT: &str = "sedano-dead-at";
    pub(crate) const ERROR: &str = "sedano-error";
    pub(crate) const MESSAGE_ID: &str = "sedano-message-id";
    pub(crate) const QUEUE: &str = "sedano-queue";
    pub(crate) const REASON: &str = "sedano-reason";
    pub(crate) const TASK: &str = "sedano-task";
    pub(crate) const TASK_ID: &str = "sedano-task-id";

    /// What is left out first, where a body leaves no room for all.
    pub(crate) const LEAST_FIRST: [&str; 8] = [
        ERROR, TASK, DEAD_AT, QUEUE, ATTEMPTS, TASK_ID, MESSAGE_ID, REASON,
    ];
}
