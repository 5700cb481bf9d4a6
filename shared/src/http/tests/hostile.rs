//! Hostile bodies over HTTP: each a 4xx that says what to do, of bounded size, and nothing is sent.

use axum::body::Body;
use axum::http::Request;

use super::Api;

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

#[tokio::test]
async fn bodies_that_mean_harm_are_problems() {
    let api = Api::new();
    let option =
        |option: &str| format!(r#"{{"args": [1, 2], "options": {{{option}}}}}"#).into_bytes();
    let args = |args: &str| format!(r#"{{"args": [{args}]}}"#).into_bytes();
    let long = "x".repeat(500_000);
    let deep = "the body is nested deeper than 127 levels at line 1, column";
    let no_nan = "it has no NaN and no Infinity; send null, or a text";
    let no_object = "the body must be an object such as {\"args\": [2, 3]}";
    let one_to_512 = "`id` must be a text of 1 to 512 bytes without control characters";
    let cases: Vec<(Vec<u8>, u16, &str, String)> = vec![
        (nested(10_000).into(), 400, "not-json", format!("{deep} 128")),
        (vec![b'['; 1_000_000], 400, "not-json", format!("{deep} 128")),
        (args(&nested(10_000)), 400, "not-json", format!("{deep} 136")),
        (args("NaN"), 400, "not-json", format!("the body is no JSON at line 1, column 11: {no_nan}")),
        (args("-Infinity"), 400, "not-json", format!("the body is no JSON at line 1, column 12: {no_nan}")),
        (args("1e999"), 400, "not-json", "the body has a number beyond 1.8e308 at line 1".into()),
        (args(r#""\ud800""#), 400, "not-json", "the body has half of a surrogate pair at line 1".into()),
        (b"{\"args\": [\"\xff\xfe\"]}".into(), 400, "not-json", "the body is no JSON at line 1, column 12: it isn't UTF-8".into()),
        (b"{\"args\": [\"\xed\xa0\x80\"]}".into(), 400, "not-json", "the body is no JSON at line 1".into()),
        (b"\xef\xbb\xbf{}".into(), 400, "not-json", "the body is no JSON at line 1, column 1: expected value".into()),
        (b"\0".into(), 400, "not-json", "the body is no JSON at line 1, column 1: expected value".into()),
        (b"\"text\"".into(), 422, "invalid-request", no_object.into()),
        (b"7".into(), 422, "invalid-request", no_object.into()),
        (b"[1]".into(), 422, "invalid-request", no_object.into()),
        (b"null".into(), 422, "invalid-request", no_object.into()),
        (option(r#""id": "a\u0000""#), 422, "invalid-request", one_to_512.into()),
        (option(r#""id": "a\u001f1""#), 422, "invalid-request", one_to_512.into()),
        (option(&format!(r#""id": "{}""#, "x".repeat(513))), 422, "invalid-request", "`id` must be a text of at most 512 bytes".into()),
        (option(r#""countdown": -1"#), 422, "invalid-request", "`countdown` must be a number of seconds, 0 or more".into()),
        (option(r#""eta": "99999-01-01T00:00:00Z""#), 422, "invalid-request", "`eta` must be an ISO 8601 date-time".into()),
        (option(r#""payload": "s3://other/secret""#), 422, "invalid-request", "there is no option `payload`".into()),
        (option(r#""message_group": "a b""#), 422, "invalid-request", "a message for queue `default` has the message group `a b`".into()),
        (option(&format!(r#""{long}": 1"#)), 422, "invalid-request", "there is no option `xxx".into()),
        (format!(r#"{{"{long}": 1}}"#).into(), 422, "invalid-request", "there is no member `xxx".into()),
        (format!(r#"{{"kwargs": {{"{long}": 1}}}}"#).into(), 422, "invalid-arguments", "add() got an unexpected keyword argument 'xxx".into()),
        (args(&format!(r#"1, "{long}""#)), 422, "invalid-arguments", "add() argument 'y': invalid type: string \"xxx".into()),
        (args("18446744073709551616, 1"), 422, "invalid-arguments", "add() argument 'x': invalid type: floating point `1.8446744073709552e+19`, expected i64".into()),
        (args("9223372036854775808, 1"), 422, "invalid-arguments", "add() argument 'x': invalid value: integer `9223372036854775808`, expected i64".into()),
    ];
    for (body, status, sort, wanted) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let answer = api.post("/tasks/add", body).await;
        let problem = answer.problem(status, sort, "/tasks/add");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with(&wanted), "{shown}: {detail}");
        assert!(
            answer.text.len() < 2_500,
            "{shown}: {} bytes",
            answer.text.len()
        );
    }
    assert!(api.sent().is_empty());
}

#[tokio::test]
async fn a_compressed_body_is_refused_unread() {
    let api = Api::new();
    for coding in ["gzip", "br", "identity, gzip", "GZIP"] {
        let request = Request::post("/tasks/echo").header("content-encoding", coding);
        let answer = api.call(request.body(Body::from("{}")).unwrap()).await;
        let problem = answer.problem(415, "encoded", "/tasks/echo");
        let wanted = format!("the body's Content-Encoding is `{coding}`: send it as plain JSON");
        assert_eq!(problem["detail"], wanted);
    }
    assert!(api.sent().is_empty());
    let request = Request::post("/tasks/echo").header("content-encoding", "identity");
    assert_eq!(
        api.call(request.body(Body::from("{}")).unwrap())
            .await
            .status,
        202
    );
}

#[tokio::test]
async fn what_is_odd_and_harmless_is_sent() {
    let api = Api::new();
    for body in [
        r#"{"args": [18446744073709551616]}"#.to_owned(),
        format!(r#"{{"args": [{}]}}"#, nested(125)),
        "{\"args\": [\"\u{fffe}\u{ffff}\\ufffe\\u0000\"]}".to_owned(),
        r#"{"args": [1], "args": [2]}"#.to_owned(),
        r#"{"options": {"countdown": 1e300, "time_limit": 1e300}}"#.to_owned(),
    ] {
        let answer = api.post("/tasks/echo", body).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
    // The page and the paths take any id that there may be, and no other.
    for path in ["/tasks/%00", "/tasks/a%1fb", "/tasks/%ff/revoke"] {
        assert!(
            matches!(api.get(path).await.status.as_u16(), 400 | 405 | 422),
            "{path}"
        );
    }
    assert_eq!(api.get("/tasks/%EF%BF%BF").await.status, 200);
}
