//! Where a request comes from, as far as a browser says so.
//!
//! A page of any site can have its reader's browser send a form, or a text, to any address, with whatever rights
//! being there gives: those of this machine, for the local stack. A browser tells on such requests, and they are refused.
//! Programs say nothing of the kind.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Problem, Sort};
use crate::failure::shortened;
use crate::task::QUOTED;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A page of this API, or what its reader typed or chose.
    Here,
    /// Nobody says: no browser of today's, or none at all.
    Unsaid,
}

/// Refuses what changes anything and comes from another site's page.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    match read(request.headers()) {
        Err(problem) if !reads => problem.into_response(),
        _ => next.run(request).await,
    }
}

/// Who it comes from.
///
/// # Errors
/// `foreign`, for another site.
pub(super) fn read(headers: &HeaderMap) -> Result<Origin, Problem> {
    let mut sites = headers.get_all(FETCH_SITE).iter().peekable();
    if sites.peek().is_some() {
        let foreign = sites.find(|site| *site != "same-origin" && *site != "none");
        return match foreign {
            None => Ok(Origin::Here),
            Some(site) => Err(foreign_site("Sec-Fetch-Site", site.as_bytes())),
        };
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(Origin::Unsaid);
    };
    let host = headers.get(header::HOST).map(|host| host.as_bytes());
    let from = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    match (from, host) {
        (Some((_, from)), Some(host)) if from.as_bytes().eq_ignore_ascii_case(host) => {
            Ok(Origin::Here)
        }
        _ => Err(foreign_site("Origin", origin.as_bytes())),
    }
}

fn foreign_site(header: &str, value: &[u8]) -> Problem {
    let value = String::from_utf8_lossy(value);
    let value = shortened(&value, QUOTED);
    refused(&format!(
        "the request comes from a page of another site (`{header}: {value}`)"
    ))
}

pub(super) fn refused(why: &str) -> Problem {
    let open = "open this API's own page; programs send neither `Sec-Fetch-Site` nor `Origin`";
    Problem::new(Sort::Foreign, format!("{why}: {open}"))
}
