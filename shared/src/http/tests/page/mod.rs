//! The page and its forms: what they do, and what is shown of it.

mod refused;

use axum::body::Body;
use axum::http::Request;
use axum::http::request::Builder;
use serde_json::{Value, json};

use super::{Answer, Api};
use crate::beat::{Beat, every};
use crate::http::page::form::{Act, FIELDS};
use crate::http::{Prefix, segment};
use crate::ports::{Attribute, Item, Key, Op, When, Write};
use crate::signature::Signature;

const EVIL: &str = "<script>alert('\"&\")</script>";

fn form(fields: &[(&str, &str)]) -> String {
    let pairs = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", segment(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn posted(fields: &[(&str, &str)]) -> Request<Body> {
    from(
        Request::post("/").header("sec-fetch-site", "same-origin"),
        fields,
    )
}

fn from(builder: Builder, fields: &[(&str, &str)]) -> Request<Body> {
    builder
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form(fields)))
        .unwrap()
}

impl Api {
    async fn fill(&self, fields: &[(&str, &str)]) -> Answer {
        self.call(posted(fields)).await
    }

    /// Fills a form and goes where the answer leads.
    async fn done(&self, fields: &[(&str, &str)]) -> Answer {
        let answer = self.fill(fields).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        self.get(answer.headers["location"].to_str().unwrap()).await
    }

    async fn entry(&self) -> Value {
        self.get("/beat/evening").await.json()
    }

    async fn added(&self) -> Answer {
        let definition = evening().to_string();
        self.done(&[
            ("do", "add"),
            ("entry", " evening\t"),
            ("definition", &definition),
        ])
        .await
    }
}

fn evening() -> Value {
    json!({
        "schedule": {"crontab": "0 18 * * *", "tz": "Europe/Kyiv"},
        "task": {"task": "add", "args": [2, 3]},
        "grace": 60,
    })
}

/// The page says it has nothing that could run, and where its forms go.
fn sound(page: &Answer) {
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self'; form-action 'self'"));
    // With `no-referrer` a browser says `Origin: null`, and its form would be refused.
    assert_eq!(page.headers["referrer-policy"], "same-origin");
    for never in ["<script", "javascript:", " on", "style="] {
        let tags = page.text.split('<').filter_map(|tag| tag.split_once('>'));
        for (tag, _) in tags {
            assert!(!format!("<{tag}").contains(never), "{never}: <{tag}>");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_form_does_what_it_says_and_the_page_says_that_it_is_done() {
    let api = Api::new();
    assert!(api.get("/").await.text.contains("Add an entry"));
    let page = api.added().await;
    sound(&page);
    assert!(page.text.contains("<p role=status>Added"), "{}", page.text);
    let mut definition = evening();
    definition["name"] = "evening".into();
    assert_eq!(api.entry().await["entry"], definition);
    for shown in [
        "0 18 * * * (Europe/Kyiv)",
        "In Europe/Kyiv",
        "T18:00:00+0",
        "<dt>Grace</dt><dd>60 s</dd>",
        "<dt>Catch-up</dt><dd>once</dd>",
        "<dt>From</dt><dd>run time</dd>",
        "<dt>State</dt><dd>on</dd>",
        "value=pause>Pause<",
        "value=run>Run now<",
        "value=remove>Remove<",
        "&quot;crontab&quot;: &quot;0 18 * * *&quot;",
    ] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    assert_eq!(page.text.matches("T18:00:00+0").count(), 10);

    let page = api.done(&[("do", "pause"), ("entry", "evening")]).await;
    assert_eq!(api.entry().await["paused"], true);
    assert!(page.text.contains("<p role=status>Paused"), "{}", page.text);
    assert!(page.text.contains("<dd>paused</dd>") && page.text.contains("Nothing is due."));
    assert!(!page.text.contains("value=pause>") && page.text.contains("value=resume>"));

    let page = api.done(&[("do", "run"), ("entry", "evening")]).await;
    assert!(page.text.contains("<p role=status>Sent") && page.text.contains("(by hand)"));
    assert_eq!(api.work().await, 1);
    let page = api.get("/?entry=evening").await;
    let link = page.text.split("href=\"/?id=").nth(1).unwrap();
    let id = link.split('"').next().unwrap();
    assert_eq!(api.sent_task(id).await["result"], 5);
    assert!(page.text.contains("<td>SUCCESS<td>"), "{}", page.text);
    assert!(!page.text.contains("role="), "nothing was done now");

    api.done(&[("do", "resume"), ("entry", "evening")]).await;
    assert_eq!(api.entry().await["paused"], false);

    let revision = api.entry().await["revision"].to_string();
    let changed = evening().to_string().replace("60", "61");
    let fields = [
        ("do", "edit"),
        ("entry", "evening"),
        ("definition", changed.as_str()),
        ("revision", revision.as_str()),
    ];
    let page = api.done(&fields).await;
    assert!(page.text.contains("<dt>Grace</dt><dd>61 s</dd>"));
    assert_eq!(api.entry().await["entry"]["grace"], 61);

    let page = api.done(&[("do", "remove"), ("entry", "evening")]).await;
    assert!(page.text.contains("<p role=status>The entry was removed"));
    assert_eq!(api.get("/beat/evening").await.status, 404);
}

impl Api {
    async fn sent_task(&self, id: &str) -> Value {
        self.get(&format!("/tasks/{id}")).await.json()
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_done_is_one_of_few_words_and_said_where_it_belongs() {
    let api = Api::new();
    api.added().await;
    for (uri, said) in [
        ("/?entry=evening&done=paused", true),
        ("/?entry=evening&done=removed", false),
        ("/?entry=evening&done=%3Cb%3Ehacked", false),
        ("/?done=removed", true),
        ("/?done=paused", false),
    ] {
        let page = api.get(uri).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.text.contains("role=status"), said, "{uri}");
        assert!(!page.text.contains("hacked"));
    }
    let page = api.get("/?entry=evenin").await;
    sound(&page);
    assert_eq!(page.status, 404);
    assert!(
        page.text
            .contains("role=alert>there is no beat entry `evenin`")
    );
}

#[tokio::test(start_paused = true)]
async fn an_entry_of_the_code_is_paused_and_run_and_not_changed() {
    let api = Api::new();
    let call = Signature::<(), ()>::named("add").arg(2).arg(3);
    let hour = std::time::Duration::from_secs(3600);
    let beat = Beat::new().entry("evening", every(hour), call);
    beat.tick(&api.app).await.unwrap();
    let page = api.get("/?entry=evening").await;
    assert!(page.text.contains("It stands in the code"));
    assert!(page.text.contains("<pre>") && page.text.contains("<tr><th scope=col>In UTC<tbody>"));
    assert!(page.text.contains("value=pause>") && page.text.contains("value=run>"));
    assert!(!page.text.contains("<textarea") && !page.text.contains("value=remove>"));
    let definition = evening().to_string();
    for act in ["remove", "edit"] {
        let fields = [
            ("do", act),
            ("entry", "evening"),
            ("definition", definition.as_str()),
        ];
        let page = api.fill(&fields).await;
        assert_eq!(page.status, 409);
        assert!(page.text.contains("stands in the code: change it there"));
    }
    api.done(&[("do", "pause"), ("entry", "evening")]).await;
    assert_eq!(api.entry().await["paused"], true);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_wrote_by_hand_stays_text_and_can_be_removed() {
    let api = Api::new();
    let text = json!({"name": EVIL, "schedule": EVIL, "grace": EVIL, "task": {"task": "add", "args": [EVIL]}});
    let item = Item::from([("entry".into(), Attribute::Text(text.to_string()))]);
    let write = Write {
        key: Key::State("beat".into(), format!("entry#{EVIL}")),
        op: Op::Put(item),
        when: When::Always,
    };
    api.app.ports().store.write(write).await.unwrap();
    let uri = format!("/?entry={}", segment(EVIL));
    assert!(api.get("/").await.text.contains(&format!("href=\"{uri}\"")));
    for uri in ["/", &uri] {
        let page = api.get(uri).await;
        sound(&page);
        assert_eq!(page.status, 200);
        assert!(page.text.contains("&lt;script&gt;"), "{}", page.text);
        assert!(!page.text.contains("<script"), "{}", page.text);
    }
    let page = api.get(&uri).await.text;
    assert!(page.contains("can&#39;t be read") && !page.contains("value=run>"));
    api.done(&[("do", "remove"), ("entry", EVIL)]).await;
    assert_eq!(api.get(&uri).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn what_a_running_task_reports_is_shown() {
    let api = Api::new();
    let at = "2026-03-01T12:00:00.000Z";
    let map = |pairs: &[(&'static str, Attribute)]| {
        let pairs = pairs.iter().cloned();
        Attribute::Map(pairs.map(|(name, value)| (name.into(), value)).collect())
    };
    let progress = map(&[
        ("done", 30_u32.into()),
        ("total", 120_u32.into()),
        ("note", EVIL.into()),
        ("at", at.into()),
    ]);
    let meta = json!({"page": EVIL}).to_string();
    let custom = map(&[
        ("state", "PROGRESS".into()),
        ("meta", meta.into()),
        ("at", at.into()),
    ]);
    let said = [("progress", progress), ("custom", custom)];
    for (status, shown) in [("STARTED", true), ("SUCCESS", false)] {
        let mut item = Item::from([("status".into(), status.into())]);
        item.extend(
            said.iter()
                .cloned()
                .map(|(name, value)| (name.into(), value)),
        );
        let write = Write {
            key: Key::Result(status.into()),
            op: Op::Put(item),
            when: When::Always,
        };
        api.app.ports().store.write(write).await.unwrap();

        let page = api.get(&format!("/?id={status}")).await;
        sound(&page);
        let facts = [
            "<dt>State</dt><dd>PROGRESS</dd>",
            "<dd>30 of 120 (25 %): &lt;script",
        ];
        for fact in facts {
            assert_eq!(page.text.contains(fact), shown, "{}", page.text);
        }
        assert_eq!(page.text.contains("<dt>Meta</dt>"), shown);

        let record = api.get(&format!("/tasks/{status}")).await.json();
        assert_eq!(record["status"], status);
        let wanted = match shown {
            true => [
                json!({"done": 30, "total": 120, "note": EVIL, "at": at}),
                json!({"state": "PROGRESS", "meta": {"page": EVIL}, "at": at}),
            ],
            // An earlier worker's, which left it there.
            false => [Value::Null, Value::Null],
        };
        let said = ["progress", "custom"].map(|name| record[name].clone());
        assert_eq!(said, wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn behind_a_stage_forms_and_answers_keep_its_name() {
    let api = Api::new();
    api.added().await;
    let staged = |mut request: Request<Body>| {
        request.extensions_mut().insert(Prefix("/prod".to_owned()));
        request
    };
    let page = |uri: &str| staged(Request::get(uri).body(Body::empty()).unwrap());
    let home = api.call(page("/")).await.text;
    assert!(home.contains("href=\"/prod/?entry=evening\""), "{home}");
    let entry = api.call(page("/?entry=evening")).await.text;
    for own in entry.split(['"', '>']).filter(|text| text.starts_with('/')) {
        assert!(own.starts_with("/prod/"), "{own}");
    }
    assert_eq!(
        entry
            .matches("<form method=post action=\"/prod/\">")
            .count(),
        3
    );
    for (act, location) in [
        ("pause", "/prod/?entry=evening&done=paused"),
        ("remove", "/prod/?done=removed"),
    ] {
        let request = staged(posted(&[("do", act), ("entry", "evening")]));
        let answer = api.call(request).await;
        assert_eq!(answer.status, 303);
        assert_eq!(answer.headers["location"], location);
    }
}

#[tokio::test]
async fn the_document_says_what_a_form_holds() {
    let document = Api::new().get("/openapi.json").await.json();
    let form = &document["paths"]["/"]["post"];
    let schema = &form["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"];
    let fields: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    let mut taken = FIELDS.to_vec();
    taken.sort_unstable();
    assert_eq!(fields, taken);
    assert_eq!(
        schema["properties"]["do"]["enum"],
        json!(Act::ALL.map(Act::word))
    );
    assert!(form["responses"]["403"]["$ref"].is_string());
}
