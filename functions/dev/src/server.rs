//! The HTTP API on a loopback address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use sedano::http::{Routes, router};
use sedano::{App, Error, ErrorKind, Result};
use tokio::net::TcpListener;

/// A port that is ours, before anything answers on it.
pub(crate) struct Listener {
    listener: TcpListener,
    /// Where.
    pub(crate) address: SocketAddr,
}

/// Takes a port of 127.0.0.1: nobody outside this machine gets in.
pub(crate) async fn listen(port: u16) -> Result<Listener> {
    let bind = async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        Ok(Listener { listener, address })
    };
    bind.await.map_err(|error| refused(port, error))
}

fn refused(port: u16, error: io::Error) -> Error {
    let what = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {port} is taken: another program listens on 127.0.0.1:{port}, perhaps another \
             local stack. Stop it, or choose another port with `--port {}`; `--port 0` takes any \
             free one",
            port.checked_add(1).unwrap_or(5555),
        ),
        _ => {
            format!("can't listen on 127.0.0.1:{port}: {error}. Choose another port with `--port`")
        }
    };
    Error::new(ErrorKind::Unavailable, what).caused_by(error)
}

impl Listener {
    /// Answers until the future is dropped.
    pub(crate) async fn serve(self, app: App) {
        let router = router(app, Routes::ALL).layer(middleware::from_fn(by_its_own_name));
        if let Err(error) = axum::serve(self.listener, router).await {
            tracing::error!(%error, "the HTTP API ended");
        }
    }
}

/// Refuses what was meant for another host. A name of any site may be made to lead to this machine, and its pages would
/// then read and change what is here.
async fn by_its_own_name(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    if ["127.0.0.1", "localhost", "[::1]"].contains(&name) {
        return next.run(request).await;
    }
    let what = "this local stack answers to 127.0.0.1 and to localhost, and to no other name\n";
    (StatusCode::MISDIRECTED_REQUEST, what).into_response()
}
