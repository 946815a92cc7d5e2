//! What the AWS client's errors mean.

use aws_sdk_sqs::{
    error::{ProvideErrorMetadata, SdkError},
    types::BatchResultErrorEntry,
};

use ordered_consumer::{BoxError, error_text};

use crate::SqsError;

const NOT_VALID: &str = "the request is not valid for this queue";

/// What was tried with which queue.
#[derive(Clone, Copy)]
pub(crate) struct Doing<'q> {
    /// With a preposition, as [`SqsError`] tells it.
    pub(crate) what: &'static str,
    /// The queue's name.
    pub(crate) queue: &'q str,
}

/// Says whether trying again may help, and what is wrong, without anything that signs requests.
pub(crate) fn explain<E, R>(doing: Doing<'_>, error: &SdkError<E, R>) -> SqsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let Some(code) = code_of(error) else {
        // Nothing came back that says what: the network, a time-out, credentials that could not be had. Only what errors say
        // of themselves is told: the answer as it came, which is in their `Debug`, may quote the request.
        return doing.unavailable(error_text(error));
    };
    let message = error.as_service_error().and_then(ProvideErrorMetadata::message);
    explain_code(doing, code, message)
}

/// The error's code, if SQS has said one.
pub(crate) fn code_of<E, R>(error: &SdkError<E, R>) -> Option<&str>
where
    E: ProvideErrorMetadata,
{
    error.as_service_error().and_then(ProvideErrorMetadata::code).map(short)
}

/// Without the service's or the protocol's name.
fn short(code: &str) -> &str {
    code.rsplit(['.', '#']).next().unwrap_or(code)
}

fn explain_code(doing: Doing<'_>, code: &str, message: Option<&str>) -> SqsError {
    let short = short(code);
    let hint = match short {
        "QueueDoesNotExist" | "NonExistentQueue" => "there is no such queue, or no longer",
        "AccessDenied" | "AccessDeniedException" => "the credentials in use are not allowed to do this",
        "InvalidClientTokenId" | "UnrecognizedClientException" | "InvalidAccessKeyId" => {
            "the access key is not known to AWS"
        }
        "SignatureDoesNotMatch" | "IncompleteSignature" | "InvalidSignatureException" => {
            "the secret key does not fit the access key, or a clock is wrong"
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
            let hint =
                "the credentials have expired; it is asked again, with whatever credentials there are then";
            return doing.unavailable(format!("{short}: {hint}"));
        }
        "KmsAccessDenied" | "KmsDisabled" | "KmsInvalidKeyUsage" | "KmsInvalidState" | "KmsNotFound"
        | "KmsOptInRequired" => "the key that encrypts the queue cannot be used",
        "InvalidAddress"
        | "UnsupportedOperation"
        | "InvalidSecurity"
        | "InvalidAttributeName"
        | "OptInRequired" => NOT_VALID,
        code if is_about_a_message(code) => NOT_VALID,
        // Throttling, overload, failures on their side, and what is not known: SQS is asked again, ever less often.
        _ => return doing.unavailable(format!("{short}: it is asked again, ever less often")),
    };
    let told = message.filter(|_| !is_about_signatures(short)).map(shortened);
    let why = told.map_or_else(|| format!("{hint} ({short})"), |told| format!("{hint} ({short}: {told})"));
    SqsError::Refused { doing: doing.what, queue: doing.queue.to_owned(), why }
}

impl Doing<'_> {
    pub(crate) fn unavailable(self, source: impl Into<BoxError>) -> SqsError {
        SqsError::Unavailable { doing: self.what, queue: self.queue.to_owned(), source: source.into() }
    }
}

/// Whether the code of a refused batch is about the messages in it, and none about the queue or who asks.
pub(crate) fn is_about_a_message(code: &str) -> bool {
    matches!(
        code,
        "BatchRequestTooLong"
            | "InvalidMessageContents"
            | "InvalidParameterValue"
            | "InvalidAttributeValue"
            | "InvalidParameterCombination"
            | "MissingParameter"
            | "ValidationError"
            | "ValidationException"
    )
}

/// Their messages quote the request that was signed, with its session token.
fn is_about_signatures(code: &str) -> bool {
    code.contains("Signature")
        || code.contains("Token")
        || code.contains("AccessKey")
        || code.contains("Client")
}

fn shortened(text: &str) -> String {
    let mut text: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    text.shrink_to_fit();
    text
}

/// What is wrong with one entry of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryFault {
    /// The receipt is not valid any more: the message is visible again, somebody else's, or gone.
    Lost,
    /// SQS refuses this entry for good.
    Refused,
    /// Trying again may help.
    Transient,
}

pub(crate) fn entry_fault(failed: &BatchResultErrorEntry) -> EntryFault {
    let code = failed.code();
    let short = short(code);
    // AWS says `InvalidParameterValue` of an expired receipt of a FIFO queue, and which parameter it means in the text.
    let of_receipt =
        || failed.message().is_some_and(|text| text.contains("eceipt") && text.contains("andle"));
    match short {
        "ReceiptHandleIsInvalid" | "MessageNotInflight" => EntryFault::Lost,
        "InvalidParameterValue" if of_receipt() => EntryFault::Lost,
        "RequestThrottled"
        | "ThrottlingException"
        | "Throttling"
        | "OverLimit"
        | "KmsThrottled"
        | "ServiceUnavailable"
        | "InternalError"
        | "InternalFailure" => EntryFault::Transient,
        _ if failed.sender_fault() => EntryFault::Refused,
        _ => EntryFault::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVING: Doing<'static> = Doing { what: "receiving from", queue: "orders.fifo" };

    #[test]
    fn a_message_about_a_signature_is_never_repeated() {
        let quoted = "The Canonical String was 'x-amz-security-token:SECRET'";
        for code in ["SignatureDoesNotMatch", "InvalidClientTokenId", "InvalidAccessKeyId", "ExpiredToken"] {
            let error = explain_code(RECEIVING, code, Some(quoted));
            let text = format!("{} {error:?}", error_text(&error));
            assert!(!text.contains("SECRET"), "{text}");
            assert!(text.contains("orders.fifo"), "{text}");
            assert!(text.contains(code), "{text}");
        }
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for code in
            ["ThrottlingException", "RequestThrottled", "ExpiredToken", "InternalError", "Never.Heard#Of"]
        {
            assert!(explain_code(RECEIVING, code, None).is_transient(), "{code}");
        }
        for code in
            ["AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "AccessDenied", "KmsNotFound"]
        {
            assert!(!explain_code(RECEIVING, code, None).is_transient(), "{code}");
        }
    }

    #[test]
    fn a_lost_receipt_is_told_from_a_refused_entry_and_from_a_passing_fault() {
        let fault = |code: &str, text: &str, sender_fault| {
            let entry = BatchResultErrorEntry::builder().id("0").code(code).message(text);
            entry_fault(&entry.sender_fault(sender_fault).build().unwrap())
        };
        assert_eq!(fault("ReceiptHandleIsInvalid", "", true), EntryFault::Lost);
        assert_eq!(fault("AWS.SimpleQueueService.MessageNotInflight", "", true), EntryFault::Lost);
        let expired =
            "Value AQEB for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.";
        assert_eq!(fault("InvalidParameterValue", expired, true), EntryFault::Lost);
        let beyond = "Value 43201 for parameter VisibilityTimeout is invalid. Reason: Must be at most 43200.";
        assert_eq!(fault("InvalidParameterValue", beyond, true), EntryFault::Refused);
        assert_eq!(fault("InvalidMessageContents", "", true), EntryFault::Refused);
        assert_eq!(fault("RequestThrottled", "", true), EntryFault::Transient);
        assert_eq!(fault("InternalError", "", false), EntryFault::Transient);
    }
}
