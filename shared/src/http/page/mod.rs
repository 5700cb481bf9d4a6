//! The page for people: tasks, queues and beat's entries, without a script.
//!
//! Nothing on it comes from another host and nothing runs: the Content-Security-Policy says so, and
//! every text is escaped. What it changes, it changes by forms, and takes only its own ([`form`]).

mod entry;
pub(super) mod form;
mod overview;
mod record;

use std::fmt::{self, Write as _};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::problem::{Problem, Sort};
use super::{Prefix, beat, control, segment};
use crate::app::App;
use crate::beat::Entries;
use form::Act;

const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// Other sites learn nothing of where a visitor was; to this one a form says its origin.
const REFERRER: &str = "same-origin";

/// `GET /`; with `?id=…` a task's record on it, with `?entry=…` the page of one of beat's entries.
pub(super) async fn page(
    State(app): State<App>,
    prefix: Option<Extension<Prefix>>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, Problem> {
    let frame = Frame::of(prefix);
    // A query that can't be read asks for nothing.
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let asked = |wanted: &str| {
        let found = query.iter().find(|(name, _)| name == wanted);
        found.map_or("", |(_, text)| text.as_str())
    };
    let done = Act::done_by(asked("done"));
    let name = asked("entry");
    if !name.is_empty() {
        return match Entries::of(&app).get(name).await.map_err(beat::problem) {
            Ok(standing) => {
                let said = done.filter(|act| *act != Act::Remove);
                let main = entry::page(&app, &frame, &standing, said.into()).await;
                Ok(frame.around(StatusCode::OK, name, &main))
            }
            Err(problem) if problem.sort() == Sort::UnknownEntry => {
                let main = Said::Wrong(&problem).to_string();
                Ok(frame.around(StatusCode::NOT_FOUND, name, &main))
            }
            Err(problem) => Err(problem),
        };
    }

    let id = asked("id").trim();
    let mut main = Said::from(done.filter(|act| *act == Act::Remove)).to_string();
    main += &record::lookup(&frame, id);
    if !id.is_empty() {
        control::check_id(id)?;
        main += &record::section(&app.record(id).await?);
    }
    main += &overview::queues(&app).await;
    main += &overview::entries(&app, &frame).await;
    main += &overview::tasks(&app);
    Ok(frame.around(StatusCode::OK, "", &main))
}

/// `GET /console.css`.
pub(super) async fn style() -> Response {
    asset(
        "text/css; charset=utf-8",
        "max-age=300",
        include_str!("../console.css"),
    )
}

fn asset(content_type: &'static str, cache: &'static str, body: impl IntoResponse) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, cache),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, REFERRER),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body).into_response()
}

/// What stands around each page, and the addresses on it.
struct Frame {
    prefix: String,
}

impl Frame {
    fn of(prefix: Option<Extension<Prefix>>) -> Self {
        let Extension(prefix) = prefix.unwrap_or_default();
        Self {
            prefix: prefix.to_string(),
        }
    }

    /// The first page's address, as it may stand in quotes; forms go there, too.
    fn home(&self) -> String {
        escape(&format!("{}/", self.prefix))
    }

    /// The address of the page about what has this id or name, as it may stand in quotes.
    fn about(&self, parameter: &str, text: &str) -> String {
        format!("{}?{parameter}={}", self.home(), segment(text))
    }

    /// The whole page; without a title it is the first.
    fn around(&self, status: StatusCode, title: &str, main: &str) -> Response {
        let home = self.home();
        let (title, back) = if title.is_empty() {
            (String::new(), String::new())
        } else {
            let back = format!("<p><a href=\"{home}\">Back to the overview</a></p>\n");
            (format!("{} – ", escape(title)), back)
        };
        let html = format!(
            "<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>{title}Sedano</title>\n\
             <meta name=viewport content=\"width=device-width\">\n\
             <link rel=stylesheet href=\"{home}console.css\"></head>\n\
             <body><header><h1>Sedano</h1><a href=\"{home}openapi.json\">HTTP API</a></header>\n\
             <main>\n{back}{main}</main></body></html>\n"
        );
        let mut response = asset("text/html; charset=utf-8", "no-store", html);
        *response.status_mut() = status;
        response
    }
}

/// What a page says before anything else.
enum Said<'a> {
    Nothing,
    /// What was asked for by a form was done.
    Done(Act),
    /// It wasn't.
    Wrong(&'a Problem),
}

impl From<Option<Act>> for Said<'_> {
    fn from(done: Option<Act>) -> Self {
        done.map_or(Said::Nothing, Said::Done)
    }
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Said::Nothing => Ok(()),
            Said::Done(act) => writeln!(f, "<p role=status>{}</p>", escape(act.sentence())),
            Said::Wrong(problem) => {
                let detail = escape(problem.detail());
                write!(f, "<p id=problem role=alert>{detail}")?;
                // That it is about the entry as a whole goes without saying.
                let field = problem
                    .parameter()
                    .filter(|field| *field != Entries::MISSING);
                if let Some(field) = field {
                    write!(f, "<br>Field: <code>{}</code>", escape(field))?;
                }
                f.write_str("</p>\n")
            }
        }
    }
}

/// A list of names and what is known of each.
#[derive(Default)]
struct Facts(String);

impl Facts {
    fn put(&mut self, name: &str, value: &str) {
        let value = escape(value);
        put(
            &mut self.0,
            format_args!("<dt>{name}</dt><dd>{value}</dd>\n"),
        );
    }

    fn put_some(&mut self, name: &str, value: Option<impl fmt::Display>) {
        if let Some(value) = value {
            self.put(name, &value.to_string());
        }
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<dl>\n{}</dl>\n", self.0)
    }
}

/// A table of these columns; `rows` is HTML.
fn table(columns: &[impl AsRef<str>], rows: &str) -> String {
    let head: String = columns
        .iter()
        .map(|column| format!("<th scope=col>{}", escape(column.as_ref())))
        .collect();
    format!("<table><thead><tr>{head}<tbody>\n{rows}</table>\n")
}

fn put(text: &mut String, what: fmt::Arguments<'_>) {
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
