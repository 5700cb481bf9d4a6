//! The guides, as they stand in `shared/docs`: to be read in order, or where you need them.
//!
//! Every Rust block in them is compiled and run as a test.

/// A module that is a guide. Links between guides point to files, for readers of the repository; the
/// definitions put in front of the text come first and so win, and point to modules.
macro_rules! guides {
    ($($(#[$doc:meta])* $name:ident: $file:literal;)*) => {$(
        $(#[$doc])*
        pub mod $name {
            #![doc = ""]
            #![doc = "[getting-started]: crate::guide::getting_started"]
            #![doc = "[tasks]: crate::guide::tasks"]
            #![doc = "[calling]: crate::guide::calling"]
            #![doc = "[canvas]: crate::guide::canvas"]
            #![doc = "[celery-canvas]: crate::guide::celery_canvas"]
            #![doc = "[routing]: crate::guide::routing"]
            #![doc = "[unique]: crate::guide::unique"]
            #![doc = "[middleware]: crate::guide::middleware"]
            #![doc = "[schedules]: crate::guide::schedules"]
            #![doc = "[retries]: crate::guide::retries"]
            #![doc = "[results]: crate::guide::results"]
            #![doc = "[lifecycle]: crate::guide::lifecycle"]
            #![doc = "[message]: crate::guide::message"]
            #![doc = "[senders]: crate::guide::senders"]
            #![doc = "[promises]: crate::guide::promises"]
            #![doc = "[testing]: crate::guide::testing"]
            #![doc = "[deploy]: crate::guide::deploy"]
            #![doc = ""]
            #![doc = include_str!(concat!("../docs/", $file))]
        }
    )*};
}

guides! {
    /// A first task, from the function to its result.
    getting_started: "getting-started.md";
    /// Writing tasks: parameters, context, state, options.
    tasks: "tasks.md";
    /// Sending tasks: by type and by name, when, where to, many at once.
    calling: "calling.md";
    /// Which queue a call goes to: routes by name, pattern and function.
    routing: "routing.md";
    /// Unique tasks: one at a time, or one in a period, of those that are the same.
    unique: "unique.md";
    /// What goes round each send and each run, and what is told of them.
    middleware: "middleware.md";
    /// Workflows: chains, groups, chords, callbacks, and their JSON.
    canvas: "canvas.md";
    /// Celery's canvas guide, line by line.
    celery_canvas: "celery-canvas.md";
    /// When beat sends: intervals, crontabs in any time zone, the sun.
    schedules: "schedules.md";
    /// Errors and what follows from each; backoff, limits.
    retries: "retries.md";
    /// Asking after a task and waiting for it.
    results: "results.md";
    /// Revoking tasks, one by one and all that bear something, before they begin and while they run.
    revoking: "revoking.md";
    /// The states of a task and the attributes of its record.
    lifecycle: "lifecycle.md";
    /// What is promised, how it is checked, and what can't be promised.
    promises: "promises.md";
    /// The envelope: what a message says.
    message: "message.md";
    /// Sending from AWS services and other languages.
    senders: "senders.md";
    /// Testing your tasks.
    testing: "testing.md";
    /// Deploying with SAM.
    deploy: "deploy.md";
}
