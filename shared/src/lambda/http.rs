//! API Gateway's HTTP API events (payload format 2.0) as HTTP requests, and responses as its answers.
//!
//! By hand: half of an adapter crate would be for event types that never come here.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Request, Response, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_runtime::tower::ServiceExt as _;
use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::http::Prefix;

/// Whether an event is an HTTP request that came through an HTTP API (or a function URL, whose
/// events are the same).
pub(crate) fn is_request(event: &Value) -> bool {
    event["requestContext"]["http"].is_object()
}

/// Whether an event is an HTTP request in the older format, which can't be answered.
pub(crate) fn is_old_request(event: &Value) -> bool {
    event["httpMethod"].is_string() && event["requestContext"].is_object()
}

/// Answers an event by the router.
///
/// # Errors
/// `Decode`, when the event isn't what API Gateway documents.
pub(crate) async fn serve(router: &Router, event: Value) -> Result<Value> {
    let request = request(event)?;
    // A router's error is uninhabited.
    match router.clone().oneshot(request).await {
        Ok(response) => answer(response).await,
        Err(never) => match never {},
    }
}

/// The event as a request; a stage's name is taken off the path and remembered.
pub(crate) fn request(mut event: Value) -> Result<Request<Body>> {
    let context = &event["requestContext"];
    let method = text(&context["http"]["method"], "requestContext.http.method")?.to_owned();
    let raw_path = text(&event["rawPath"], "rawPath")?;
    let stage = context["stage"].as_str().unwrap_or("$default");
    let (prefix, path) = split_stage(raw_path, stage);
    let mut uri = legal(path);
    if let Some(query) = event["rawQueryString"].as_str().filter(|q| !q.is_empty()) {
        uri.push('?');
        uri.push_str(&legal(query));
    }
    let mut request = Request::builder()
        .method(method.as_str())
        .uri(uri)
        .extension(Prefix(prefix.to_owned()));
    if let Some(headers) = request.headers_mut() {
        read_headers(&event, headers);
    }
    let body = match event["body"].take() {
        Value::String(body) if event["isBase64Encoded"] == true => {
            Bytes::from(STANDARD.decode(body).map_err(|error| {
                wrong("body", "base64, as isBase64Encoded says").caused_by(error)
            })?)
        }
        Value::String(body) => Bytes::from(body),
        _ => Bytes::new(),
    };
    request
        .body(Body::from(body))
        .map_err(|error| wrong("rawPath", "a path and the method a method").caused_by(error))
}

/// Several headers of one name come as one, joined by commas; cookies come apart.
fn read_headers(event: &Value, headers: &mut axum::http::HeaderMap) {
    for (name, value) in event["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().map(HeaderValue::from_str);
        // Nothing here reads a header that couldn't have come over HTTP.
        if let (Ok(name), Some(Ok(value))) = (HeaderName::try_from(name), value) {
            headers.append(name, value);
        }
    }
    let cookies = event["cookies"].as_array().into_iter().flatten();
    let cookies: Vec<&str> = cookies.filter_map(Value::as_str).collect();
    if !cookies.is_empty()
        && let Ok(value) = HeaderValue::try_from(cookies.join("; "))
    {
        headers.insert(header::COOKIE, value);
    }
}

/// A stage other than `$default` stands before the path.
fn split_stage<'a>(path: &'a str, stage: &str) -> (&'a str, &'a str) {
    let rest = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(stage));
    match rest {
        Some("") if stage != "$default" => (path, "/"),
        Some(rest) if stage != "$default" && rest.starts_with('/') => {
            path.split_at(path.len() - rest.len())
        }
        _ => ("", path),
    }
}

/// API Gateway hands paths on decoded, so that they may hold what no request line can.
fn legal(text: &str) -> String {
    let mut legal = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let escape = || {
            let digits = text.as_bytes().get(at + 1..at + 3);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        let kept = match byte {
            b'%' => escape(),
            b'"' | b'#' | b'<' | b'>' | b'?' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
            _ => byte.is_ascii_graphic(),
        };
        if kept {
            legal.push(char::from(byte));
        } else {
            legal.push_str(&format!("%{byte:02X}"));
        }
    }
    legal
}

/// The response as API Gateway takes it: what isn't UTF-8 goes as base64.
pub(crate) async fn answer(response: Response<Body>) -> Result<Value> {
    let (parts, body) = response.into_parts();
    let mut headers: Map<String, Value> = Map::new();
    let mut cookies = Vec::new();
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        if name == header::SET_COOKIE {
            cookies.push(Value::from(value));
            continue;
        }
        let joined = match headers.get(name.as_str()).and_then(Value::as_str) {
            Some(before) => format!("{before}, {value}"),
            None => value.into_owned(),
        };
        headers.insert(name.as_str().to_owned(), joined.into());
    }
    let bytes = axum::body::to_bytes(body, usize::MAX)
        .await
        .map_err(|error| {
            Error::new(ErrorKind::Encode, "the response has no body to read").caused_by(error)
        })?;
    let (body, encoded) = match std::str::from_utf8(&bytes) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (STANDARD.encode(&bytes), true),
    };
    Ok(json!({
        "statusCode": parts.status.as_u16(),
        "headers": headers,
        "cookies": cookies,
        "body": body,
        "isBase64Encoded": encoded,
    }))
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value.as_str().ok_or_else(|| wrong(name, "a text"))
}

fn wrong(name: &str, wanted: &str) -> Error {
    Error::new(
        ErrorKind::Decode,
        format!("the HTTP event's field `{name}` must be {wanted}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &str = include_str!("../../../tests/fixtures/events/http_post.json");
    const GET_STAGE: &str = include_str!("../../../tests/fixtures/events/http_get_stage.json");

    fn event(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[tokio::test]
    async fn a_post_with_a_base64_body() {
        let event = event(POST);
        assert!(is_request(&event));
        let request = request(event).unwrap();
        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri(), "/tasks/add");
        assert_eq!(request.headers()["content-type"], "application/json");
        assert_eq!(request.headers()["cookie"], "cookie1=a; cookie2=b");
        let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
        assert_eq!(body.unwrap(), r#"{"args": [2, 3]}"#);
    }

    #[test]
    fn a_stage_is_taken_off_and_remembered() {
        let request = request(event(GET_STAGE)).unwrap();
        assert_eq!(request.uri(), "/tasks/caf%C3%A9%20noir?wait=1.5");
        assert_eq!(request.extensions().get::<Prefix>().unwrap().0, "/prod");
        assert_eq!(split_stage("/prod", "prod"), ("/prod", "/"));
        assert_eq!(split_stage("/production/x", "prod"), ("", "/production/x"));
        assert_eq!(split_stage("/tasks/x", "$default"), ("", "/tasks/x"));
        assert_eq!(split_stage("/$default/x", "$default"), ("", "/$default/x"));
    }

    #[test]
    fn what_no_request_line_can_hold_is_escaped() {
        assert_eq!(legal("/a b/é?#%zz%41%"), "/a%20b/%C3%A9%3F%23%25zz%41%25");
    }

    #[tokio::test]
    async fn answers_are_text_where_they_can_be() {
        let response = Response::builder()
            .status(404)
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .header("vary", "a")
            .header("vary", "b")
            .body(Body::from("é"))
            .unwrap();
        assert_eq!(
            answer(response).await.unwrap(),
            json!({
                "statusCode": 404, "headers": {"vary": "a, b"}, "cookies": ["a=1", "b=2"],
                "body": "é", "isBase64Encoded": false
            })
        );
        let binary = Response::new(Body::from(vec![0xff, 0x00]));
        let answer = answer(binary).await.unwrap();
        assert_eq!(answer["body"], "/wA=");
        assert_eq!(answer["isBase64Encoded"], true);
    }

    #[test]
    fn what_is_no_such_event_is_refused_by_field() {
        let mut no_method = event(POST);
        no_method["requestContext"]["http"]["method"] = Value::Null;
        let mut no_base64 = event(POST);
        no_base64["body"] = "?".into();
        for (event, field) in [
            (no_method, "`requestContext.http.method`"),
            (no_base64, "`body`"),
        ] {
            let error = request(event).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Decode);
            assert!(error.to_string().contains(field), "{error}");
        }
    }
}
