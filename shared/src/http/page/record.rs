//! A task looked up: the form that asks for its id, and its record.

use super::{Facts, Frame, escape};
use crate::record::Record;

/// Where an id is typed; it holds the one that was.
pub(super) fn lookup(frame: &Frame, id: &str) -> String {
    format!(
        "<form action=\"{}\"><label for=id>Task id</label> \
         <input id=id name=id required maxlength=512 value=\"{}\"> <button>Look up</button></form>\n",
        frame.home(),
        escape(id)
    )
}

/// A record as a list of what is known.
pub(super) fn section(record: &Record) -> String {
    let mut facts = Facts::default();
    facts.put("Status", record.status.as_str());
    if let Some(custom) = &record.custom {
        facts.put("State", &custom.state);
        let meta = Some(&custom.meta).filter(|meta| !meta.is_null());
        facts.put_some("Meta", meta.map(|meta| format!("{meta:#}")));
    }
    facts.put_some("Progress", record.progress.as_ref());
    facts.put_some("Task", record.task.as_ref());
    let result = record.result.as_ref().map(|result| format!("{result:#}"));
    facts.put_some("Result", result);
    let error = record.error.as_ref();
    let error = error.map(|error| format!("{}: {}", error.kind, error.message));
    facts.put_some("Error", error);
    facts.put("Retries", &record.retries.to_string());
    facts.put_some("Queue", record.queue.as_ref());
    facts.put_some("Started", record.started_at);
    facts.put_some("Finished", record.finished_at);
    facts.put_some("Due", record.due_at);
    facts.put_some("Sent by", record.parent_id.as_ref());
    let id = escape(&record.id);
    format!("<section><h2>Task {id}</h2>\n{facts}</section>\n")
}
