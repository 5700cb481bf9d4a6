//! Forms that are refused: those from elsewhere, and those that hold what can't be done.

use axum::body::Body;
use axum::http::Request;
use axum::http::request::Builder;
use serde_json::{Value, json};

use super::{EVIL, evening, from, sound};
use crate::App;
use crate::http::page::form::BYTES;
use crate::http::tests::{Answer, Api};
use crate::tests::faulty::{Fault, faulty};

#[tokio::test(start_paused = true)]
async fn a_form_from_elsewhere_does_nothing() {
    let api = Api::new();
    api.added().await;
    let pause = [("do", "pause"), ("entry", "evening")];
    let here = ("host", "console.example:8080");
    let site = |value| ("sec-fetch-site", value);
    let origin = |value| ("origin", value);
    let own = "http://console.example:8080";
    for (headers, why) in [
        (vec![], "the form doesn't say where it comes from"),
        (vec![here], "the form doesn't say where it comes from"),
        (
            vec![site("cross-site")],
            "another site (`Sec-Fetch-Site: cross-site`)",
        ),
        (
            vec![here, site("same-site"), origin(own)],
            "another site (`Sec-Fetch-Site: same-site`)",
        ),
        (
            vec![site("same-origin"), site("cross-site")],
            "another site (`Sec-Fetch-Site: cross-site`)",
        ),
        (
            vec![site("same-origin, cross-site")],
            "same-origin, cross-site`)",
        ),
        (vec![site("")], "another site (`Sec-Fetch-Site: `)"),
        (vec![here, origin("null")], "another site (`Origin: null`)"),
        (
            vec![origin(own)],
            "another site (`Origin: http://console.example:8080`)",
        ),
        (
            vec![here, origin("http://console.example")],
            "`Origin: http://console.example`",
        ),
        (
            vec![here, origin("https://evil.example")],
            "`Origin: https://evil.example`",
        ),
        (
            vec![here, origin("console.example:8080")],
            "`Origin: console.example:8080`",
        ),
    ] {
        let with = |request: Builder| {
            headers.iter().fold(request, |request, (name, value)| {
                request.header(*name, *value)
            })
        };
        let answer = api.call(from(with(Request::post("/")), &pause)).await;
        let problem = answer.problem(403, "foreign", "/");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(why), "{headers:?}: {detail}");
        assert_eq!(api.entry().await["paused"], false, "{headers:?}");
    }
    for headers in [
        vec![site("same-origin")],
        vec![site("none")],
        vec![here, origin(own)],
        vec![here, origin("https://CONSOLE.example:8080")],
    ] {
        let request = headers
            .iter()
            .fold(Request::post("/"), |request, (name, value)| {
                request.header(*name, *value)
            });
        assert_eq!(api.call(from(request, &pause)).await.status, 303);
        assert_eq!(api.entry().await["paused"], true, "{headers:?}");
        api.done(&[("do", "resume"), ("entry", "evening")]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_shown_with_what_was_typed() {
    let api = Api::new();
    let wrong = |field: &str, value: Value| {
        let mut definition = evening();
        definition[field] = value;
        definition.to_string()
    };
    let unknown_task = json!({"task": "ad", "args": [EVIL]});
    for (name, definition, field, sentence) in [
        (
            "evening",
            wrong("grace", json!(-1)),
            "grace",
            "field `grace` must be",
        ),
        (
            "evening",
            wrong("schedule", json!(1)),
            "schedule",
            r#"expected an object such as {"every": 30}"#,
        ),
        (
            "evening",
            wrong("task", unknown_task),
            "task",
            "did you mean `add`?",
        ),
        (
            "evening",
            wrong("name", json!("b")),
            "name",
            "`name` must be `evening`",
        ),
        (
            EVIL,
            evening().to_string(),
            "name",
            "is no name of an entry",
        ),
        (
            "evening",
            "\r\n\r\n {\"<script>\": }".to_owned(),
            "",
            "the definition is no JSON at line 3, column 15",
        ),
        (
            "evening",
            "7".to_owned(),
            "",
            "the definition must be an entry such as",
        ),
        ("evening", String::new(), "", "the definition is no JSON"),
    ] {
        let page = api
            .fill(&[("do", "add"), ("entry", name), ("definition", &definition)])
            .await;
        sound(&page);
        assert_eq!(page.status, 422, "{}", page.text);
        assert_eq!(typed(&page), (name.to_owned(), definition.clone()));
        let alert = page.text.split("role=alert>").nth(1).unwrap();
        let alert = alert.split("</p>").next().unwrap();
        assert!(unescape(alert).contains(sentence), "{alert}");
        let blamed = format!("<br>Field: <code>{field}</code>");
        assert_eq!(alert.contains("Field:"), !field.is_empty());
        assert!(field.is_empty() || alert.contains(&blamed), "{alert}");
        let input = page.text.split("<input id=entry").nth(1).unwrap();
        let input = input.split('>').next().unwrap();
        let at_name = input.contains("aria-invalid=true autofocus");
        assert_eq!(at_name, field == "name", "{}", page.text);
        assert_eq!(page.text.matches("aria-invalid").count(), 1);
    }
    assert_eq!(api.get("/beat").await.json(), json!({"entries": []}));

    api.added().await;
    let definition = evening().to_string().replace("60", "61");
    let page = api
        .fill(&[
            ("do", "add"),
            ("entry", "evening"),
            ("definition", &definition),
        ])
        .await;
    assert_eq!(page.status, 409);
    assert!(page.text.contains("edit it, or choose another name"));
    assert_eq!(typed(&page), ("evening".to_owned(), definition));
}

/// What the page's form holds, as a browser reads it.
fn typed(page: &Answer) -> (String, String) {
    let between = |from: &str, to: &str| {
        let text = page.text.split(from).nth(1).unwrap();
        unescape(text.split(to).next().unwrap())
    };
    let after = page.text.split("<textarea").nth(1).unwrap();
    let text = after.split_once(">\n").unwrap().1;
    (
        between("name=entry required value=\"", "\""),
        unescape(text.split("</textarea>").next().unwrap()),
    )
}

fn unescape(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[tokio::test(start_paused = true)]
async fn an_edit_neither_loses_what_was_typed_nor_what_another_changed() {
    let api = Api::new();
    api.added().await;
    let read = api.entry().await["revision"].to_string();
    api.done(&[("do", "pause"), ("entry", "evening")]).await;
    let now = api.entry().await["revision"].to_string();
    assert_ne!(read, now);
    let edit = async |definition: &str, revision: &str| {
        let fields = [
            ("do", "edit"),
            ("entry", "evening"),
            ("definition", definition),
            ("revision", revision),
        ];
        api.fill(&fields).await
    };
    let text = |page: &Answer| {
        let after = page.text.split("<textarea").nth(1).unwrap();
        let text = after.split_once(">\n").unwrap().1;
        unescape(text.split("</textarea>").next().unwrap())
    };

    let other = evening().to_string().replace("60", "62");
    let page = edit(&other, &read).await;
    sound(&page);
    assert_eq!(page.status, 409);
    assert_eq!(text(&page), other);
    assert!(page.text.contains("was changed since this form was filled"));
    assert!(page.text.contains(&format!("name=revision value={now}>")));
    assert!(page.text.contains("&quot;grace&quot;: 60"), "as it is now");
    assert_eq!(api.entry().await["entry"]["grace"], 60);

    let broken = evening().to_string().replace("60", "-60");
    let page = edit(&broken, &read).await;
    assert_eq!((page.status.as_u16(), text(&page)), (422, broken));
    assert!(page.text.contains(&format!("name=revision value={read}>")));

    assert_eq!(edit(&other, &now).await.status, 303);
    assert_eq!(api.entry().await["entry"]["grace"], 62);

    // One that was removed meanwhile can be added with what was typed.
    api.done(&[("do", "remove"), ("entry", "evening")]).await;
    let page = edit(&other, &now).await;
    assert_eq!(page.status, 404);
    assert_eq!(typed(&page), ("evening".to_owned(), other));
    assert!(page.text.contains("value=add>Add<"));
    let page = api.fill(&[("do", "run"), ("entry", "evening")]).await;
    assert_eq!(page.status, 404);
    sound(&page);
}

#[tokio::test(start_paused = true)]
async fn a_form_has_its_fields_and_its_size_and_no_other() {
    let api = Api::new();
    for (fields, parameter, detail) in [
        (
            vec![("do", "pause"), ("entry", "a"), ("entyr", "b")],
            "entyr",
            "there is no field `entyr`; did you mean `entry`?",
        ),
        (
            vec![("do", "pause")],
            "entry",
            "the form has no `entry`, the name of one of beat's",
        ),
        (
            vec![("do", "stop"), ("entry", "a")],
            "do",
            "`do` must be one of `add`, `edit`, `pause`, `resume`, `run`, `remove`",
        ),
        (
            vec![("do", "edit"), ("entry", "a"), ("revision", "x")],
            "revision",
            "`revision` must be a whole number",
        ),
    ] {
        let problem = api.fill(&fields).await.problem(422, "invalid-request", "/");
        assert_eq!(
            (&problem["parameter"], &problem["detail"]),
            (&json!(parameter), &json!(detail))
        );
    }
    let large = "x".repeat(BYTES);
    let answer = api
        .fill(&[("do", "add"), ("entry", "a"), ("definition", &large)])
        .await;
    let problem = answer.problem(413, "too-large", "/");
    assert_eq!(problem["limit"], BYTES);
    // What is too large for an entry, and not for a form, isn't lost.
    let large =
        json!({"schedule": {"every": 30}, "task": {"task": "echo", "args": ["ü".repeat(35_000)]}});
    let large = large.to_string();
    let page = api
        .fill(&[("do", "add"), ("entry", "a"), ("definition", &large)])
        .await;
    assert_eq!(page.status, 422);
    assert_eq!(typed(&page).1, large);

    let json = Request::post("/")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/json");
    let answer = api.call(json.body(Body::from("{}")).unwrap()).await;
    answer.problem(400, "bad-request", "/");
}

/// A browser sends some requests to any address, whoever's page asks for it.
#[tokio::test(start_paused = true)]
async fn what_another_sites_page_asks_of_the_api_is_refused() {
    let api = Api::new();
    api.added().await;
    for path in ["/beat/evening/run", "/beat/evening/pause", "/tasks/add"] {
        for (header, value) in [("sec-fetch-site", "cross-site"), ("origin", "null")] {
            let request = Request::post(path).header(header, value);
            let request = request.header("content-type", "text/plain");
            let answer = api.call(request.body(Body::from("[1, 2]")).unwrap()).await;
            let problem = answer.problem(403, "foreign", path);
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                detail.contains("a page of another site") && detail.contains(value),
                "{detail}"
            );
        }
    }
    assert!(api.sent().is_empty());
    assert_eq!(api.entry().await["paused"], false);
    // To look harms nobody, and a link may lead here.
    let link = Request::get("/").header("sec-fetch-site", "cross-site");
    assert_eq!(
        api.call(link.body(Body::empty()).unwrap()).await.status,
        200
    );
    // A program.
    assert_eq!(api.post("/beat/evening/pause", "").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn what_was_typed_is_there_when_the_table_is_busy() {
    let mut api = Api::new();
    api.added().await;
    let ports = faulty(api.app.ports(), |_| Fault::Throttled);
    api.app = App::new(ports, api.app.config().clone()).tasks(api.app.registered().clone());
    let definition = evening().to_string().replace("60", "61");
    let fields = [
        ("do", "edit"),
        ("entry", "evening"),
        ("definition", &definition),
        ("revision", "7"),
    ];
    let page = api.fill(&fields).await;
    assert_eq!(page.status, 503, "{}", page.text);
    assert!(page.text.contains("name=revision value=7>"));
    assert!(!page.text.contains("aria-invalid"), "{}", page.text);
    let after = page.text.split("<textarea").nth(1).unwrap();
    let text = after.split_once(">\n").unwrap().1;
    assert_eq!(
        unescape(text.split("</textarea>").next().unwrap()),
        definition
    );
}

/// Spread over lines it would be too long for a form.
#[tokio::test(start_paused = true)]
async fn the_longest_entry_can_be_posted_as_it_is_shown() {
    let api = Api::new();
    let mut definition = evening();
    definition["task"] = json!({"task": "echo", "args": [vec![1; 30_000]]});
    let definition = definition.to_string();
    let fields = [
        ("do", "add"),
        ("entry", "evening"),
        ("definition", &definition),
    ];
    let page = api.done(&fields).await;
    let after = page.text.split("<textarea").nth(1).unwrap();
    let text = after.split_once(">\n").unwrap().1;
    let text = unescape(text.split("</textarea>").next().unwrap());
    let fields = [("do", "edit"), ("entry", "evening"), ("definition", &text)];
    assert_eq!(api.fill(&fields).await.status, 303);
}
