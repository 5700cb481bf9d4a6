//! DynamoDB and SQS, as far as they say yes: every call is counted and succeeds after a given time.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use crate::{Result, http};

/// Calls by operation.
pub type Calls = BTreeMap<String, u64>;

/// A running endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// For `AWS_ENDPOINT_URL`.
    pub url: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    calls: Mutex<Calls>,
    latency: AtomicU64,
}

impl Endpoint {
    /// Starts over plain HTTP.
    ///
    /// # Errors
    /// Where there is no port.
    pub fn plain() -> io::Result<Self> {
        Self::start("http", None)
    }

    /// Starts over TLS, with a certificate authority of its own: the endpoint and that authority as
    /// PEM, for `AWS_CA_BUNDLE`.
    ///
    /// # Errors
    /// Where there is no port, or no certificate can be made.
    pub fn tls() -> Result<(Self, String)> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate()?;
        let authority = params.self_signed(&authority_key)?;
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate()?;
        let own = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key)?;
        Ok((
            Self::start("https", Some(Arc::new(config)))?,
            authority.pem(),
        ))
    }

    fn start(scheme: &str, tls: Option<Arc<rustls::ServerConfig>>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_server = shared.clone();
        let address = http::serve(tls, move |request| {
            let latency = of_server.latency.load(Ordering::Relaxed);
            if latency > 0 {
                thread::sleep(Duration::from_micros(latency));
            }
            let answer = match answer(&request.operation, &request.body) {
                Some(answer) => http::response("200 OK", "", answer.to_string().as_bytes()),
                None => {
                    http::response("400 Bad Request", "", b"{\"__type\": \"UnknownOperation\"}")
                }
            };
            let mut calls = of_server
                .calls
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *calls.entry(request.operation).or_default() += 1;
            Some(answer)
        })?;
        let url = format!("{scheme}://{address}");
        Ok(Self { url, shared })
    }

    /// How long each call takes from now on, besides its own work.
    pub fn set_latency(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.shared.latency.store(micros, Ordering::Relaxed);
    }

    /// The calls since this was last asked.
    pub fn take_calls(&self) -> Calls {
        std::mem::take(
            &mut self
                .shared
                .calls
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// Success; none for an operation that no measurement should lead to.
fn answer(operation: &str, body: &[u8]) -> Option<Value> {
    let entries = |list: &str, each: fn(&Value) -> Value| {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let entries = body[list].as_array();
        entries.map(|entries| entries.iter().map(each).collect::<Vec<_>>())
    };
    Some(match operation {
        "GetItem" | "PutItem" | "UpdateItem" => json!({}),
        "BatchExecuteStatement" => {
            json!({"Responses": entries("Statements", |_| json!({"TableName": "results"}))?})
        }
        "ChangeMessageVisibilityBatch" => {
            json!({"Successful": entries("Entries", |entry| json!({"Id": entry["Id"]}))?, "Failed": []})
        }
        "GetQueueAttributes" => json!({"Attributes": {
            "ApproximateNumberOfMessages": "0",
            "ApproximateNumberOfMessagesNotVisible": "0",
            "ApproximateNumberOfMessagesDelayed": "0",
        }}),
        _ => return None,
    })
}
