//! Lambda's Runtime API for one function: hands out an event when told to, and reports what the
//! function says. <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::http;

/// What a function says, with the instant it was heard.
#[derive(Debug)]
pub enum Said {
    /// It waits for an event.
    Next(Instant),
    /// Its response.
    Response(Instant, Vec<u8>),
    /// It, or the start of it, failed.
    Error(Vec<u8>),
}

/// How long an invocation may take: the template's default.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// How much of it is gone when the function sees the event: the deadline is set before the event
/// is handed out.
pub const UNDER_WAY: Duration = Duration::from_millis(5);

/// The instant now.
pub fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
    Instant::now()
}

/// Starts a Runtime API: its address, where to put events, where to hear what is said.
///
/// # Errors
/// Where there is no port.
pub fn start() -> io::Result<(SocketAddr, Sender<Vec<u8>>, Receiver<Said>)> {
    let (events, next) = channel::<Vec<u8>>();
    let (say, said) = channel();
    let next = Mutex::new(next);
    let handed_out = AtomicU64::new(0);
    let address = http::serve(None, move |request| {
        let heard = now();
        match request.path.rsplit('/').next() {
            Some("next") => {
                say.send(Said::Next(heard)).ok()?;
                let next = next.lock().unwrap_or_else(PoisonError::into_inner);
                let event = next.recv().ok()?;
                let count = handed_out.fetch_add(1, Ordering::Relaxed);
                Some(http::response("200 OK", &about(count), &event))
            }
            Some("response") => {
                say.send(Said::Response(heard, request.body)).ok()?;
                Some(http::response("202 Accepted", "", b"{}"))
            }
            _ => {
                say.send(Said::Error(request.body)).ok()?;
                Some(http::response("202 Accepted", "", b"{}"))
            }
        }
    })?;
    Ok((address, events, said))
}

/// The headers of an event. Each has its own request id: it names the holder of a lease.
fn about(count: u64) -> String {
    #[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
    let now = SystemTime::now();
    let deadline = now.duration_since(UNIX_EPOCH).unwrap_or_default() + TIMEOUT - UNDER_WAY;
    format!(
        "lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-{count:012x}\r\n\
         lambda-runtime-deadline-ms: {}\r\n\
         lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-west-1:123456789012:function:consumer\r\n\
         lambda-runtime-trace-id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0\r\n",
        deadline.as_millis()
    )
}
