//! `POST /`: what the page's forms ask for.
//!
//! Only those are taken of which the browser says that they come from this page (see [`origin`]). What was done is said
//! by the page that the answer leads to, where it can be loaded again without being done again.

use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::entry::{self, Editor};
use super::{Frame, Said};
use crate::app::App;
use crate::beat::{Entries, Entry};
use crate::http::origin::{self, Origin};
use crate::http::problem::{Problem, Sort};
use crate::http::{Prefix, beat, call, segment};

/// The most that a form may have: three times the longest definition that is shown, and some, as each character may take
/// three to encode.
pub(in crate::http) const BYTES: usize = 256 * 1024;

/// The fields of a form.
pub(in crate::http) const FIELDS: [&str; 4] = ["do", "entry", "definition", "revision"];

/// What a form can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Act {
    Add,
    Edit,
    Pause,
    Resume,
    Run,
    Remove,
}

impl Act {
    pub(in crate::http) const ALL: [Act; 6] = [
        Act::Add,
        Act::Edit,
        Act::Pause,
        Act::Resume,
        Act::Run,
        Act::Remove,
    ];

    /// What a form says, what its button says, what the address says when it was done, and what the page then says.
    fn words(self) -> [&'static str; 4] {
        match self {
            Act::Add => ["add", "Add", "added", "Added: it is due from now on."],
            Act::Edit => [
                "edit",
                "Save",
                "changed",
                "Changed: what the old definition had handed out is revoked.",
            ],
            Act::Pause => [
                "pause",
                "Pause",
                "paused",
                "Paused: nothing is due until it is resumed.",
            ],
            Act::Resume => [
                "resume",
                "Resume",
                "resumed",
                "Resumed: it is due from now on.",
            ],
            Act::Run => [
                "run",
                "Run now",
                "sent",
                "Sent: its task stands under Last.",
            ],
            Act::Remove => ["remove", "Remove", "removed", "The entry was removed."],
        }
    }

    /// What a form says.
    pub(in crate::http) fn word(self) -> &'static str {
        self.words()[0]
    }

    pub(super) fn label(self) -> &'static str {
        self.words()[1]
    }

    /// What the address says when it was done.
    pub(in crate::http) fn done(self) -> &'static str {
        self.words()[2]
    }

    pub(super) fn sentence(self) -> &'static str {
        self.words()[3]
    }

    pub(super) fn done_by(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.done() == word)
    }
}

/// `POST /`: 303 to the page that says what was done; else the page again, with what was typed and what is wrong.
pub(in crate::http) async fn act(
    State(app): State<App>,
    prefix: Option<Extension<Prefix>>,
    headers: HeaderMap,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Problem> {
    from_this_page(&headers)?;
    let Form(fields) = form.map_err(unreadable)?;
    let asked = Asked::read(fields)?;
    let frame = Frame::of(prefix);
    match asked.carry_out(&app).await {
        Ok(()) => {
            let (prefix, done) = (&frame.prefix, asked.act.done());
            let location = match asked.act {
                Act::Remove => format!("{prefix}/?done={done}"),
                _ => format!("{prefix}/?entry={}&done={done}", segment(&asked.entry)),
            };
            Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
        }
        Err(problem) => asked.again(&app, &frame, problem).await,
    }
}

/// Refuses what doesn't say that it comes from this page.
fn from_this_page(headers: &HeaderMap) -> Result<(), Problem> {
    match origin::read(headers)? {
        Origin::Here => Ok(()),
        Origin::Unsaid => Err(origin::refused(
            "the form doesn't say where it comes from, by `Sec-Fetch-Site` or `Origin`",
        )),
    }
}

fn unreadable(rejection: FormRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let what = format!("the form is over {BYTES} bytes: an entry has at most 64 KB");
        return Problem::new(Sort::TooLarge, what).with("limit", BYTES);
    }
    tracing::debug!(%rejection, "unreadable form");
    let what = "the body must be a form (application/x-www-form-urlencoded), and all of it";
    Problem::new(Sort::BadRequest, what)
}

/// A form that was posted.
struct Asked {
    act: Act,
    entry: String,
    definition: String,
    revision: Option<i64>,
}

impl Asked {
    fn read(fields: Vec<(String, String)>) -> Result<Self, Problem> {
        call::only_known(fields.iter().map(|(name, _)| name), &FIELDS, "field")?;
        let take = |wanted: &str| {
            let found = fields.iter().find(|(name, _)| name == wanted);
            found.map(|(_, text)| text.as_str())
        };
        let word = take("do").unwrap_or_default();
        let act = Act::ALL.into_iter().find(|act| act.word() == word);
        let act = act.ok_or_else(|| {
            let words = Act::ALL.map(Act::word).join("`, `");
            Problem::invalid("do", format!("`do` must be one of `{words}`"))
        })?;
        let entry = take("entry").ok_or_else(|| {
            Problem::invalid(
                "entry",
                "the form has no `entry`, the name of one of beat's",
            )
        })?;
        let revision = take("revision").map(|text| {
            text.parse()
                .map_err(|_| Problem::invalid("revision", "`revision` must be a whole number"))
        });
        Ok(Self {
            act,
            // Blanks that slipped in while typing are nobody's name.
            entry: if act == Act::Add { entry.trim() } else { entry }.to_owned(),
            definition: take("definition").unwrap_or_default().to_owned(),
            revision: revision.transpose()?,
        })
    }

    async fn carry_out(&self, app: &App) -> Result<(), Problem> {
        let entries = Entries::of(app);
        let name = self.entry.as_str();
        let done = match self.act {
            Act::Add => entries.add(self.read_entry()?).await.map(drop),
            Act::Edit => {
                let entry = self.read_entry()?;
                entries.edit_of(entry, self.revision).await.map(drop)
            }
            Act::Pause => entries.pause(name).await.map(drop),
            Act::Resume => entries.resume(name).await.map(drop),
            Act::Run => entries.run_now(name).await.map(drop),
            Act::Remove => entries.remove(name).await,
        };
        done.map_err(beat::problem)
    }

    fn read_entry(&self) -> Result<Entry, Problem> {
        beat::entry(
            self.entry.clone(),
            self.definition.as_bytes(),
            "the definition",
        )
    }

    /// The page with what was typed and what is wrong with it.
    async fn again(self, app: &App, frame: &Frame, problem: Problem) -> Result<Response, Problem> {
        let status = match problem.sort() {
            // The form could be read; it is what it holds that can't.
            Sort::NotJson => Sort::Invalid.status(),
            sort => sort.status(),
        };
        let editor = Editor {
            name: &self.entry,
            definition: self.definition,
            revision: None,
            wrong: Some(&problem),
        };
        let there = match self.act {
            Act::Add => None,
            _ => match Entries::of(app).get(&self.entry).await {
                Ok(there) => Some(there),
                Err(error) => {
                    let missing = beat::problem(error).sort() == Sort::UnknownEntry;
                    match (missing, self.act) {
                        (true, _) => None,
                        // The table doesn't answer; what was typed is there.
                        (false, Act::Edit) => {
                            let revision = self.revision;
                            let form = Editor { revision, ..editor }.html(frame);
                            return Ok(frame.around(status, &self.entry, &form));
                        }
                        (false, _) => return Err(problem),
                    }
                }
            },
        };
        let main = match (&there, self.act) {
            (Some(there), Act::Edit) => {
                // Who was told of somebody else's change may write over it.
                let told = problem.sort() == Sort::Conflict;
                let revision = self.revision.filter(|_| !told).unwrap_or(there.revision);
                let editor = Editor {
                    revision: Some(revision),
                    ..editor
                };
                entry::edited(app, frame, there, editor).await
            }
            (Some(there), _) => entry::page(app, frame, there, Said::Wrong(&problem)).await,
            // One that was removed meanwhile can be added again.
            (None, Act::Add | Act::Edit) => {
                let form = editor.html(frame);
                format!("<section><h2>Add an entry</h2>\n{form}</section>\n")
            }
            (None, _) => Said::Wrong(&problem).to_string(),
        };
        let title = if self.entry.is_empty() {
            "Add an entry"
        } else {
            &self.entry
        };
        Ok(frame.around(status, title, &main))
    }
}
