//! The page of one of beat's entries: what it is, when it is due, and the forms that steer it.

use serde_json::Value;

use super::form::Act;
use super::{Facts, Frame, Said, escape, put, table};
use crate::app::App;
use crate::beat::{Coming, ENTRY_BYTES, Entries, Entry, Source, Standing};
use crate::http::beat::DEFAULT;
use crate::http::problem::{Problem, Sort};

/// The settings of a definition, by their fields' names, with what stands before and after a value.
const SETTINGS: [(&str, &str, &str); 7] = [
    ("catch_up", "Catch-up", ""),
    ("grace", "Grace", " s"),
    ("jitter", "Jitter", " s at most"),
    ("no_overlap", "No overlap", ""),
    ("start", "Start", ""),
    ("end", "End", ""),
    ("max_runs", "Most runs", ""),
];

/// The page of an entry as it stands, to be changed.
pub(super) async fn page(app: &App, frame: &Frame, entry: &Standing, said: Said<'_>) -> String {
    let mut main = head(frame, entry, said);
    main += &times(app, frame, &entry.name).await;
    if own(entry) {
        main += "<section><h3>Definition</h3>\n";
        main += &Editor::of(entry).html(frame);
        main += "</section>\n";
        main += &removal(frame, &entry.name);
    } else {
        let definition = escape(&definition(entry));
        put(
            &mut main,
            format_args!("<section><h3>Definition</h3>\n<pre>{definition}</pre></section>\n"),
        );
    }
    main
}

/// The same with an edit that was refused, so that nothing typed is lost.
pub(super) async fn edited(
    app: &App,
    frame: &Frame,
    entry: &Standing,
    editor: Editor<'_>,
) -> String {
    let mut main = head(frame, entry, Said::Nothing);
    main += "<section><h3>Definition</h3>\n";
    main += &editor.html(frame);
    let definition = escape(&definition(entry));
    put(
        &mut main,
        format_args!(
            "<details><summary>As it is kept now</summary>\n<pre>{definition}</pre></details></section>\n"
        ),
    );
    main += &times(app, frame, &entry.name).await;
    main
}

/// In a few words, whether it is due.
pub(super) fn state(entry: &Standing) -> String {
    if let Some(rule) = &entry.rule {
        return format!("kept as EventBridge rule {rule}");
    }
    let state = match &entry.next {
        _ if entry.problem.is_some() => "can't be read",
        _ if entry.paused => "paused",
        _ if entry.entry["enabled"] == false => "disabled in its definition",
        None => "not due any more",
        Some(_) => "on",
    };
    state.to_owned()
}

/// Whether it can be edited and removed: what stands in the code is changed there, and a rule's has to be given back.
fn own(entry: &Standing) -> bool {
    entry.source == Source::RunTime && entry.rule.is_none()
}

fn head(frame: &Frame, entry: &Standing, said: Said<'_>) -> String {
    let mut facts = Facts::default();
    facts.put("State", &state(entry));
    facts.put_some("Schedule", entry.schedule.as_ref());
    facts.put_some("Problem", entry.problem.as_ref());
    let task = Entry::try_from(entry.entry.clone()).ok();
    facts.put_some("Task", task.as_ref().map(Entry::task));
    for (field, name, unit) in SETTINGS {
        let value = match &entry.entry[field] {
            Value::Null if field == "catch_up" => "once".to_owned(),
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        facts.put(name, &format!("{value}{unit}"));
    }
    facts.put_some("Runs", entry.runs);
    facts.put("From", entry.source.name());
    facts.put("Changed", &entry.since.to_string());
    let name = escape(&entry.name);
    format!(
        "<section><h2>Entry {name}</h2>\n{said}{facts}{}</section>\n",
        steering(frame, entry)
    )
}

/// What can be done at once, or why it can't.
fn steering(frame: &Frame, entry: &Standing) -> String {
    let mut html = begin(frame, &entry.name);
    if entry.rule.is_none() {
        let act = if entry.paused {
            Act::Resume
        } else {
            Act::Pause
        };
        html += &button(act);
    }
    if entry.problem.is_none() {
        html += &button(Act::Run);
    }
    html += "</form>\n";
    let name = escape(&entry.name);
    if entry.rule.is_some() {
        put(
            &mut html,
            format_args!(
                "<p>It is changed or paused after <code>sedano beat sync --back &#39;{name}&#39;</code>.</p>\n"
            ),
        );
    } else if entry.source == Source::Code {
        html += "<p>It stands in the code, and is changed and removed there.</p>\n";
    }
    html
}

/// Removing takes two steps: the button isn't seen, nor reached by the keyboard, before the first.
fn removal(frame: &Frame, name: &str) -> String {
    format!(
        "<section><h3>Remove</h3>\n<details><summary>Remove this entry…</summary>\n\
         <p>What it had handed out is revoked, and its history goes with it.</p>\n\
         {}{}</form></details></section>\n",
        begin(frame, name),
        button(Act::Remove)
    )
}

/// A form about this entry, up to its buttons.
fn begin(frame: &Frame, name: &str) -> String {
    format!(
        "<form method=post action=\"{}\"><input type=hidden name=entry value=\"{}\">\n",
        frame.home(),
        escape(name)
    )
}

fn button(act: Act) -> String {
    format!(
        "<button name=do value={}>{}</button>\n",
        act.word(),
        act.label()
    )
}

/// The next due times, and the last ones with what became of them.
async fn times(app: &App, frame: &Frame, name: &str) -> String {
    let entries = Entries::of(app);
    let mut rows = String::new();
    let mut columns = vec!["In UTC".to_owned()];
    match entries.next(name, DEFAULT).await {
        Ok(next) => {
            let zone = next.first().map(|coming| coming.tz.clone());
            columns.splice(
                0..0,
                zone.filter(|tz| tz != "UTC").map(|tz| format!("In {tz}")),
            );
            for Coming { due, local, .. } in next {
                rows.push_str("<tr>");
                if columns.len() > 1 {
                    put(&mut rows, format_args!("<td>{}", escape(&local)));
                }
                put(&mut rows, format_args!("<td>{due}\n"));
            }
            if rows.is_empty() {
                rows.push_str("<tr><td>Nothing is due.\n");
            }
        }
        // Of a definition that can't be read the page says so already.
        Err(error) => {
            tracing::warn!(?error, "the next due times can't be told");
            rows.push_str("<tr><td>They can't be told right now.\n");
        }
    }
    let next = table(&columns, &rows);

    let mut rows = String::new();
    match entries.history(name, DEFAULT).await {
        Ok(history) => {
            for past in history {
                let by_hand = if past.by_hand { " (by hand)" } else { "" };
                let finished = past.finished_at.map(|at| at.to_string());
                put(
                    &mut rows,
                    format_args!(
                        "<tr><th scope=row><a href=\"{}\">{}</a>{by_hand}<td>{}<td>{}\n",
                        frame.about("id", &past.id),
                        past.due,
                        past.status,
                        finished.unwrap_or_default()
                    ),
                );
            }
            if rows.is_empty() {
                rows.push_str("<tr><td colspan=3>Nothing was due yet.\n");
            }
        }
        Err(error) => {
            tracing::error!(?error, "the last due times can't be told");
            rows.push_str("<tr><td colspan=3>They can't be told right now.\n");
        }
    }
    let last = table(&["Due, and its task", "Status", "Finished"], &rows);
    format!("<section><h3>Next</h3>\n{next}</section>\n<section><h3>Last</h3>\n{last}</section>\n")
}

/// The definition as people read it. The name stands beside it.
fn definition(entry: &Standing) -> String {
    match &entry.entry {
        Value::Null => String::new(),
        Value::Object(map) => {
            let mut map = map.clone();
            map.remove("name");
            let map = Value::Object(map);
            let spread = format!("{map:#}");
            // Spread over lines it may be many times as long, and too long to be posted.
            match spread.len() > ENTRY_BYTES {
                true => map.to_string(),
                false => spread,
            }
        }
        other => format!("{other:#}"),
    }
}

/// The form that holds a definition: of a new entry, where it has no revision.
#[derive(Default)]
pub(super) struct Editor<'a> {
    pub(super) name: &'a str,
    pub(super) definition: String,
    /// The one it was made from: somebody else's change in between isn't written over unseen.
    pub(super) revision: Option<i64>,
    /// Why what it holds was refused.
    pub(super) wrong: Option<&'a Problem>,
}

impl<'a> Editor<'a> {
    fn of(entry: &'a Standing) -> Self {
        Self {
            name: &entry.name,
            definition: definition(entry),
            revision: Some(entry.revision),
            wrong: None,
        }
    }

    pub(super) fn html(&self, frame: &Frame) -> String {
        let said = self.wrong.map_or(Said::Nothing, Said::Wrong);
        let faulty = " aria-invalid=true autofocus aria-describedby=\"problem hint\"";
        let sound = " aria-describedby=hint";
        let fault = self.wrong.and_then(Problem::parameter).unwrap_or_default();
        // That there is one of this name already is about the entry as a whole.
        let in_name = self.revision.is_none() && ["name", Entries::MISSING].contains(&fault);
        let (at_name, at_definition) = match self.wrong {
            None => ("", sound),
            Some(_) if in_name => (faulty, sound),
            Some(problem) if [Sort::Invalid, Sort::NotJson].contains(&problem.sort()) => {
                ("", faulty)
            }
            // It may be as good as can be.
            Some(_) => ("", " aria-describedby=\"problem hint\""),
        };
        let name = escape(self.name);
        let (act, begin) = match self.revision {
            None => {
                let begin = format!(
                    "<form method=post action=\"{}\">\n<p><label for=entry>Name</label>\n\
                     <input id=entry name=entry required value=\"{name}\"{at_name}></p>\n",
                    frame.home()
                );
                (Act::Add, begin)
            }
            Some(revision) => {
                let begin = begin(frame, self.name);
                let revision =
                    format!("{begin}<input type=hidden name=revision value={revision}>\n");
                (Act::Edit, revision)
            }
        };
        // The line break after the tag isn't part of the text; one that the text begins with would be lost without it.
        let definition = escape(&self.definition);
        format!(
            "{said}{begin}<p><label for=definition>Definition, as JSON</label>\n\
             <textarea id=definition name=definition rows=14 required spellcheck=false{at_definition}>\n\
             {definition}</textarea></p>\n\
             <p id=hint>Such as <code>{{&quot;schedule&quot;: {{&quot;crontab&quot;: &quot;0 18 * * mon-fri&quot;, \
             &quot;tz&quot;: &quot;Europe/Kyiv&quot;}}, &quot;task&quot;: {{&quot;task&quot;: &quot;add&quot;, \
             &quot;args&quot;: [2, 3]}}}}</code>; the HTTP API names all fields.</p>\n{}</form>\n",
            button(act)
        )
    }
}
