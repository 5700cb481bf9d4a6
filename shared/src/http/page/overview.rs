//! What the first page lists: queues, beat's entries, tasks.

use super::entry::{self, Editor};
use super::{Frame, escape, put, table};
use crate::app::App;
use crate::beat::Entries;

/// About how many messages each queue holds.
pub(super) async fn queues(app: &App) -> String {
    let mut rows = String::new();
    match app.queues().await {
        Ok(depths) => {
            for (name, depth) in depths {
                put(
                    &mut rows,
                    format_args!(
                        "<tr><th scope=row>{}<td>{}<td>{}<td>{}\n",
                        escape(name.as_str()),
                        depth.visible,
                        depth.in_flight,
                        depth.delayed
                    ),
                );
            }
        }
        Err(error) => {
            // The rest of the page is worth having without it.
            tracing::error!(?error, "the queues can't be counted");
            rows.push_str("<tr><td colspan=4>The queues can't be counted right now.\n");
        }
    }
    let table = table(&["Queue", "Waiting", "Running", "Delayed"], &rows);
    format!("<section><h2>Queues</h2>\n{table}</section>\n")
}

/// Beat's entries, each with a link to its page, and a form for another.
pub(super) async fn entries(app: &App, frame: &Frame) -> String {
    let mut rows = String::new();
    match Entries::of(app).list().await {
        Ok(entries) => {
            for entry in entries {
                let next = match &entry.next {
                    Some(next) => format!("{} {}", next.local, next.tz),
                    None => entry::state(&entry),
                };
                let schedule = entry.schedule.as_ref().or(entry.problem.as_ref());
                put(
                    &mut rows,
                    format_args!(
                        "<tr><th scope=row><a href=\"{}\">{}</a><td>{}<td>{}<td>{}\n",
                        frame.about("entry", &entry.name),
                        escape(&entry.name),
                        escape(schedule.map_or("", String::as_str)),
                        escape(entry.source.name()),
                        escape(&next)
                    ),
                );
            }
        }
        Err(error) => {
            tracing::error!(?error, "the entries can't be listed");
            rows.push_str("<tr><td colspan=4>The entries can't be listed right now.\n");
        }
    }
    let table = table(&["Entry", "Schedule", "From", "Next"], &rows);
    let editor = Editor::default().html(frame);
    format!(
        "<section><h2>Schedule</h2>\n{table}\
         <details><summary>Add an entry</summary>\n{editor}</details></section>\n"
    )
}

/// The tasks that are registered.
pub(super) fn tasks(app: &App) -> String {
    let mut rows = String::new();
    for task in app.registered().iter() {
        let parameters: Vec<String> = task
            .params
            .iter()
            .map(|param| {
                if param.required {
                    param.name.to_owned()
                } else {
                    format!("[{}]", param.name)
                }
            })
            .collect();
        put(
            &mut rows,
            format_args!(
                "<tr><th scope=row>{}<td>{}<td>{}\n",
                escape(task.name),
                escape(&parameters.join(", ")),
                escape(app.home_of(task))
            ),
        );
    }
    let table = table(&["Task", "Parameters", "Queue"], &rows);
    format!("<section><h2>Tasks</h2>\n{table}</section>\n")
}
