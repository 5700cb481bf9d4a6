//! The page: what a person wants to see first, without a script.
//!
//! Nothing on it comes from another host and nothing runs: the Content-Security-Policy says so, and
//! every text is escaped.

use std::fmt::Write as _;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::{Prefix, control};
use crate::app::App;
use crate::beat::Entries;
use crate::record::Record;

const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// `GET /`, and with `?id=…` a task's record on it.
pub(super) async fn page(
    State(app): State<App>,
    prefix: Option<Extension<Prefix>>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, Problem> {
    let Extension(prefix) = prefix.unwrap_or_default();
    // A query that can't be read asks for nothing.
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let asked = query.into_iter().find(|(name, _)| name == "id");
    let id = asked
        .map(|(_, id)| id.trim().to_owned())
        .unwrap_or_default();
    let record = if id.is_empty() {
        None
    } else {
        control::check_id(&id)?;
        Some(app.record(&id).await?)
    };

    let prefix = escape(&prefix.to_string());
    let mut main = format!(
        "<form action=\"{prefix}/\"><label for=id>Task id</label> \
         <input id=id name=id required maxlength=512 value=\"{}\"> <button>Look up</button></form>\n",
        escape(&id)
    );
    if let Some(record) = record {
        main += &record_section(&record);
    }
    main += &queues_section(&app).await;
    main += &entries_section(&app).await;
    main += &tasks_section(&app);
    let html = format!(
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>Sedano</title>\n\
         <meta name=viewport content=\"width=device-width\">\n\
         <link rel=stylesheet href=\"{prefix}/console.css\"></head>\n\
         <body><header><h1>Sedano</h1><a href=\"{prefix}/openapi.json\">HTTP API</a></header>\n\
         <main>\n{main}</main></body></html>\n"
    );
    Ok(asset("text/html; charset=utf-8", "no-store", html))
}

/// `GET /console.css`.
pub(super) async fn style() -> Response {
    asset(
        "text/css; charset=utf-8",
        "max-age=300",
        include_str!("console.css"),
    )
}

fn asset(content_type: &'static str, cache: &'static str, body: impl IntoResponse) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, cache),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body).into_response()
}

/// A record as a list of what is known.
fn record_section(record: &Record) -> String {
    let mut list = String::new();
    let mut item = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            put(
                &mut list,
                format_args!("<dt>{name}</dt><dd>{}</dd>\n", escape(&value)),
            );
        }
    };
    item("Status", Some(record.status.to_string()));
    item("Task", record.task.clone());
    item(
        "Result",
        record.result.as_ref().map(|result| format!("{result:#}")),
    );
    item(
        "Error",
        record
            .error
            .as_ref()
            .map(|error| format!("{}: {}", error.kind, error.message)),
    );
    item("Retries", Some(record.retries.to_string()));
    item("Queue", record.queue.clone());
    item("Started", record.started_at.map(|at| at.to_string()));
    item("Finished", record.finished_at.map(|at| at.to_string()));
    item("Due", record.due_at.map(|at| at.to_string()));
    item("Sent by", record.parent_id.clone());
    let id = escape(&record.id);
    format!("<section><h2>Task {id}</h2>\n<dl>\n{list}</dl></section>\n")
}

async fn queues_section(app: &App) -> String {
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
    format!(
        "<section><h2>Queues</h2>\n<table><thead><tr><th scope=col>Queue<th scope=col>Waiting\
         <th scope=col>Running<th scope=col>Delayed<tbody>\n{rows}</table></section>\n"
    )
}

async fn entries_section(app: &App) -> String {
    let mut rows = String::new();
    match Entries::of(app).list().await {
        Ok(entries) => {
            for entry in entries {
                let next = match &entry.next {
                    Some(next) => format!("{} {}", next.local, next.tz),
                    None if entry.paused => "paused".to_owned(),
                    None => entry
                        .rule
                        .map_or_else(String::new, |rule| format!("by rule {rule}")),
                };
                let schedule = entry.schedule.or(entry.problem).unwrap_or_default();
                put(
                    &mut rows,
                    format_args!(
                        "<tr><th scope=row>{}<td>{}<td>{}<td>{}\n",
                        escape(&entry.name),
                        escape(&schedule),
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
    format!(
        "<section><h2>Schedule</h2>\n<table><thead><tr><th scope=col>Entry<th scope=col>Schedule\
         <th scope=col>From<th scope=col>Next<tbody>\n{rows}</table></section>\n"
    )
}

fn tasks_section(app: &App) -> String {
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
                escape(task.options.queue)
            ),
        );
    }
    format!(
        "<section><h2>Tasks</h2>\n<table><thead><tr><th scope=col>Task<th scope=col>Parameters\
         <th scope=col>Queue<tbody>\n{rows}</table></section>\n"
    )
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    // A String takes every text.
    let _ = text.write_fmt(what);
}

/// Text as it may stand in HTML, inside quotes too.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
