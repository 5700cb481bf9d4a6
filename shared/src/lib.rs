//! Sedano is Celery for AWS serverless: the broker is SQS, the workers are Lambda functions, the
//! result backend is DynamoDB, beat is EventBridge.

#[cfg(feature = "aws")]
pub mod aws;
mod config;
mod entropy;
mod error;
mod limits;
pub mod memory;
mod number;
mod plan;
pub mod ports;
mod time;

#[cfg(feature = "aws")]
pub use config::{AwsCredentials, AwsSettings};
pub use config::{Config, StoreWrites};
pub use entropy::{OsEntropy, SeededEntropy};
pub use error::{Error, ErrorKind, Result};
pub use time::Timestamp;
