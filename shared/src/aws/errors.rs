//! What the services' errors mean to us.

use std::error::Error as StdError;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::error::{Error, ErrorKind};

/// The error of a call: `what` names the operation and what it was about, as in
/// "`UpdateItem` on table `results`".
pub(super) fn call_failed<E>(what: &str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    match &error {
        SdkError::ServiceError(service) => {
            let said = service.err().message().unwrap_or("no message");
            match service.err().code() {
                Some(code) => said_no(what, code, said, status).caused_by(error),
                None => unreadable(what, status).caused_by(error),
            }
        }
        SdkError::ConstructionFailure(_) => Error::new(
            ErrorKind::Invalid,
            format!("{what} can't be sent as written"),
        )
        .caused_by(error),
        SdkError::TimeoutError(_) => Error::new(
            ErrorKind::Unavailable,
            format!("{what} was not answered in time"),
        )
        .caused_by(error),
        SdkError::DispatchFailure(_) => Error::new(
            ErrorKind::Unavailable,
            format!("{what} could not be sent: is the endpoint reachable from here?"),
        )
        .caused_by(error),
        _ => unreadable(what, status).caused_by(error),
    }
}

/// The error of an answer without a code: cut off on its way, or no word of AWS's at all. It passes, unless
/// its status says otherwise.
fn unreadable(what: &str, status: Option<u16>) -> Error {
    let kind = match status {
        Some(401 | 403) => ErrorKind::Denied,
        Some(413) => ErrorKind::TooLarge,
        _ => ErrorKind::Unavailable,
    };
    let status = status
        .map(|status| format!(" (HTTP {status})"))
        .unwrap_or_default();
    Error::new(
        kind,
        format!("{what} got an answer that can't be read{status}"),
    )
}

/// The error of a call, or of an entry of a batch, that the service refused with this code.
pub(super) fn said_no(what: &str, code: &str, said: &str, status: Option<u16>) -> Error {
    let kind = kind(code, said, status);
    let advice = match kind {
        ErrorKind::Denied => "; check the credentials and the policy of this function",
        ErrorKind::NotFound => "; check the name and the region",
        _ => "",
    };
    Error::new(kind, format!("{what} failed: {code}: {said}{advice}"))
}

/// The kind of an error by its code, which some services put into a namespace, and end or don't
/// end with `Exception`.
fn kind(code: &str, said: &str, status: Option<u16>) -> ErrorKind {
    let short = code.rsplit(['.', '#']).next().unwrap_or(code);
    match short
        .strip_suffix("Exception")
        .or(short.strip_suffix("Error"))
        .unwrap_or(short)
    {
        "Throttling"
        | "Throttled"
        | "RequestThrottled"
        | "KmsThrottled"
        | "TooManyRequests"
        | "ProvisionedThroughputExceeded"
        | "RequestLimitExceeded"
        | "LimitExceeded"
        | "OverLimit"
        | "SlowDown"
        | "TransactionConflict"
        | "ReplicatedWriteConflict" => ErrorKind::Throttled,
        "AccessDenied"
        | "UnrecognizedClient"
        | "InvalidClientTokenId"
        | "ExpiredToken"
        | "InvalidSignature"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationToken"
        | "IncompleteSignature"
        | "InvalidAccessKeyId"
        | "KmsAccessDenied"
        | "OptInRequired"
        | "NotAuthorized" => ErrorKind::Denied,
        "ResourceNotFound"
        | "QueueDoesNotExist"
        | "NonExistentQueue"
        | "MessageNotInflight"
        | "ReceiptHandleIsInvalid" => ErrorKind::NotFound,
        "PurgeQueueInProgress" => ErrorKind::Conflict,
        "InvalidParameterValue" if said.contains("ReceiptHandle") => ErrorKind::NotFound,
        "BatchRequestTooLong" | "ItemCollectionSizeLimitExceeded" => ErrorKind::TooLarge,
        "Validation" if is_size(said) => ErrorKind::TooLarge,
        "InternalServer" | "InternalFailure" | "Internal" | "ServiceUnavailable"
        | "RequestTimeout" => ErrorKind::Unavailable,
        _ if status.is_some_and(|status| status >= 500) => ErrorKind::Unavailable,
        _ => ErrorKind::Invalid,
    }
}

/// DynamoDB has no code of its own for an item that is too large.
fn is_size(said: &str) -> bool {
    said.contains("Item size") && said.contains("exceeded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_with_and_without_their_endings() {
        for (code, wanted) in [
            ("ThrottlingException", ErrorKind::Throttled),
            ("ThrottlingError", ErrorKind::Throttled),
            (
                "ProvisionedThroughputExceededException",
                ErrorKind::Throttled,
            ),
            ("com.amazonaws.sqs#RequestThrottled", ErrorKind::Throttled),
            ("AccessDeniedException", ErrorKind::Denied),
            (
                "AWS.SimpleQueueService.NonExistentQueue",
                ErrorKind::NotFound,
            ),
            ("ResourceNotFoundException", ErrorKind::NotFound),
            ("InternalServerError", ErrorKind::Unavailable),
            ("ValidationException", ErrorKind::Invalid),
        ] {
            assert_eq!(kind(code, "", Some(400)), wanted, "{code}");
        }
        assert_eq!(kind("New", "", Some(503)), ErrorKind::Unavailable);
        let too_large = "Item size has exceeded the maximum allowed size";
        assert_eq!(
            kind("ValidationException", too_large, Some(400)),
            ErrorKind::TooLarge
        );
    }

    #[test]
    fn an_answer_that_was_cut_off_is_a_passing_fault() {
        let error = unreadable("SendMessageBatch on queue `default`", Some(200));
        assert!(error.is_retryable());
        assert_eq!(
            error.to_string(),
            "SendMessageBatch on queue `default` got an answer that can't be read (HTTP 200)"
        );
        assert_eq!(unreadable("", Some(403)).kind(), ErrorKind::Denied);
    }

    #[test]
    fn the_sentence_says_what_failed_why_and_what_to_check() {
        let error = said_no(
            "GetItem on table `r`",
            "AccessDeniedException",
            "no",
            Some(400),
        );
        assert_eq!(
            error.to_string(),
            "GetItem on table `r` failed: AccessDeniedException: no; check the credentials and the \
             policy of this function"
        );
    }
}
