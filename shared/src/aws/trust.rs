//! Whom to trust: the one HTTP client's TLS settings.
//!
//! Reading the system's trust store was most of the work of starting a function, so the five roots
//! that AWS's endpoints are signed by are compiled in
//! (<https://www.amazontrust.com/repository/>). Where other roots may be needed, they are read:
//! `AWS_CA_BUNDLE`, `SSL_CERT_FILE`, an own endpoint, or a partition of AWS with its own authorities.

use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::config::AwsSettings;
use crate::error::{Error, ErrorKind, Result};

/// Amazon Root CA 1 to 4 and Starfield Services Root CA G2.
const AMAZON_ROOTS: &str = include_str!("roots.pem");

/// The regions of other partitions begin like this: China, the European Sovereign Cloud, isolated
/// ones, GovCloud.
const OTHER_PARTITIONS: [&str; 6] = ["cn-", "eusc-", "eu-isoe-", "us-gov-", "us-iso", "us-isob-"];

/// The HTTP client that all services share.
///
/// # Errors
/// `Config` when `AWS_CA_BUNDLE` can't be read or holds no certificate.
pub(super) fn http_client(settings: &AwsSettings) -> Result<SharedHttpClient> {
    let context = TlsContext::builder()
        .with_trust_store(trust_store(settings)?)
        .build()
        .map_err(|error| Error::new(ErrorKind::Config, "TLS can't be set up").caused_by(error))?;
    Ok(Builder::new()
        .tls_provider(Provider::rustls(CryptoMode::Ring))
        .tls_context(context)
        .build_https())
}

#[derive(Debug, PartialEq, Eq)]
enum Roots {
    Bundle,
    System,
    Amazon,
}

fn roots(settings: &AwsSettings) -> Roots {
    let own_endpoint = [
        &settings.sqs_endpoint,
        &settings.dynamodb_endpoint,
        &settings.eventbridge_endpoint,
    ]
    .into_iter()
    .flatten()
    .any(|url| url.starts_with("https:"));
    let other_partition = OTHER_PARTITIONS
        .iter()
        .any(|prefix| settings.region.starts_with(prefix));
    if settings.ca_bundle.is_some() {
        Roots::Bundle
    } else if settings.system_roots || own_endpoint || other_partition {
        Roots::System
    } else {
        Roots::Amazon
    }
}

fn trust_store(settings: &AwsSettings) -> Result<TrustStore> {
    match (roots(settings), &settings.ca_bundle) {
        (Roots::System, _) => Ok(TrustStore::default()),
        (Roots::Bundle, Some(path)) => {
            let unusable = |what: &str| {
                let message = format!("AWS_CA_BUNDLE names `{}`, which {what}", path.display());
                Error::new(ErrorKind::Config, message)
            };
            let bundle = std::fs::read_to_string(path)
                .map_err(|error| unusable("can't be read as text").caused_by(error))?;
            with_certificates(&bundle).ok_or_else(|| unusable("holds no usable PEM certificate"))
        }
        (Roots::Bundle | Roots::Amazon, _) => with_certificates(AMAZON_ROOTS).ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                "the roots of AWS that are compiled in are broken",
            )
        }),
    }
}

/// A store of the certificates in a PEM text; those that can't be a root are left out, because the
/// client would panic over them. None where there is none at all.
fn with_certificates(pem: &str) -> Option<TrustStore> {
    const END: &str = "-----END CERTIFICATE-----";
    let mut store = TrustStore::empty();
    let mut usable = 0;
    for text in pem.split_inclusive(END).filter(|text| text.ends_with(END)) {
        let certificate = CertificateDer::from_pem_slice(text.as_bytes());
        let is_root = certificate
            .is_ok_and(|certificate| webpki::anchor_from_trusted_cert(&certificate).is_ok());
        if is_root {
            store.add_pem_certificate(text);
            usable += 1;
        } else {
            tracing::warn!("a certificate in the trust store can't be used and is left out");
        }
    }
    (usable > 0).then_some(store)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AwsCredentials;

    fn settings(region: &str) -> AwsSettings {
        let credentials = AwsCredentials {
            access_key_id: "id".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: None,
        };
        AwsSettings::new(region, credentials)
    }

    #[test]
    fn the_five_roots_of_amazon_can_be_used() {
        let count = CertificateDer::pem_slice_iter(AMAZON_ROOTS.as_bytes())
            .filter(|certificate| {
                let certificate = certificate.as_ref().unwrap();
                webpki::anchor_from_trusted_cert(certificate).is_ok()
            })
            .count();
        assert_eq!(count, 5);
        assert!(http_client(&settings("eu-central-1")).is_ok());
    }

    #[test]
    fn other_roots_are_read_where_they_may_be_needed() {
        assert_eq!(roots(&settings("us-east-1")), Roots::Amazon);
        let plain = settings("us-east-1").with_endpoint("http://127.0.0.1:4566");
        assert_eq!(roots(&plain), Roots::Amazon);
        assert_eq!(
            roots(&settings("us-east-1").with_endpoint("https://localhost")),
            Roots::System
        );
        assert_eq!(roots(&settings("cn-north-1")), Roots::System);
        let bundle = AwsSettings {
            ca_bundle: Some("x".into()),
            ..settings("cn-north-1")
        };
        assert_eq!(roots(&bundle), Roots::Bundle);
    }

    #[test]
    fn a_bundle_that_is_none_is_named() {
        let bundle = |path: &str| AwsSettings {
            ca_bundle: Some(path.into()),
            ..settings("us-east-1")
        };
        let error = http_client(&bundle("/nowhere/ca.pem"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "AWS_CA_BUNDLE names `/nowhere/ca.pem`, which can't be read as text"
        );
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let error = http_client(&bundle(here)).unwrap_err().to_string();
        assert!(
            error.ends_with("which holds no usable PEM certificate"),
            "{error}"
        );
        let roots = concat!(env!("CARGO_MANIFEST_DIR"), "/src/aws/roots.pem");
        assert!(http_client(&bundle(roots)).is_ok());
    }
}
