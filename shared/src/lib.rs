//! Sedano is Celery for AWS serverless: the broker is SQS, the workers are Lambda functions, the
//! result backend is DynamoDB, beat is EventBridge.

mod config;
mod error;
pub mod ports;
mod time;

pub use config::{Config, StoreWrites};
pub use error::{Error, ErrorKind, Result};
pub use time::Timestamp;
