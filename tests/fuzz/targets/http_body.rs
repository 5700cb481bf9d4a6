//! Any request to the HTTP API: a line `METHOD PATH [CONTENT-ENCODING]`, then the body. Never a 5xx, and
//! every refusal is a whole problem document of bounded size, or the page for people.

#![no_main]

use axum::body::Body;
use axum::http::{Request, header};
use libfuzzer_sys::fuzz_target;
use sedano::http::{Routes, router};
use sedano_fuzz::{in_virtual_time, system};
use serde_json::Value;
use tower::ServiceExt as _;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (Some(head), body) = (parts.next(), parts.next().unwrap_or_default()) else {
        return;
    };
    let mut words = head.split(|byte| *byte == b' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return;
    };
    // As the page posts its forms; nothing else asks for these headers.
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("sec-fetch-site", "same-origin")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(coding) = words.next() {
        request = request.header(header::CONTENT_ENCODING, coding);
    }
    // Not a request that HTTP could bring.
    let Ok(request) = request.body(Body::from(body.to_vec())) else {
        return;
    };
    let head_only = request.method() == "HEAD";
    in_virtual_time(async {
        let (memory, app) = system();
        let Ok(response) = router(app, Routes::ALL).oneshot(request).await;
        let (parts, body) = response.into_parts();
        let body = match axum::body::to_bytes(body, usize::MAX).await {
            Ok(body) => body,
            Err(error) => panic!("{error}"),
        };
        assert!(!parts.status.is_server_error(), "{parts:?} {body:?}");
        assert!(parts.status.is_success() || memory.queue().messages(&"default".into()).is_empty());
        if head_only || parts.status.is_success() || parts.status.is_redirection() {
            return;
        }
        if parts.headers[header::CONTENT_TYPE] == "text/html; charset=utf-8" {
            assert!(body.starts_with(b"<!doctype html>"), "{body:?}");
            return;
        }
        assert_eq!(
            parts.headers[header::CONTENT_TYPE],
            "application/problem+json"
        );
        assert!(body.len() < 20_000 + path.len(), "{} bytes", body.len());
        let problem: Value = match serde_json::from_slice(&body) {
            Ok(problem) => problem,
            Err(error) => panic!("{error}: {body:?}"),
        };
        assert_eq!(problem["status"], parts.status.as_u16());
        // The instance of a CONNECT is empty: it has no path.
        for member in ["type", "title", "detail"] {
            assert!(
                problem[member]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{problem}"
            );
        }
    });
});
