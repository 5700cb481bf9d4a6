//! The HTTP API on a loopback address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

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
        if let Err(error) = axum::serve(self.listener, router(app, Routes::ALL)).await {
            tracing::error!(%error, "the HTTP API ended");
        }
    }
}
