//! What the AWS client's errors mean.

use aws_sdk_sqs::{
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    types::BatchResultErrorEntry,
};

use crate::SqsError;

/// Says whether trying again may help, and what is wrong, without anything that signs requests.
pub(crate) fn explain<E, R>(doing: &'static str, error: &SdkError<E, R>) -> SqsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let Some(code) = error.as_service_error().and_then(ProvideErrorMetadata::code) else {
        // Nothing came back that says what: the network, a time-out, credentials that could not be had.
        let text = shortened(&DisplayErrorContext(error).to_string());
        return SqsError::Unavailable { doing, source: text.into() };
    };
    let message = error.as_service_error().and_then(ProvideErrorMetadata::message);
    explain_code(doing, code, message)
}

fn explain_code(doing: &'static str, code: &str, message: Option<&str>) -> SqsError {
    let short = code.rsplit(['.', '#']).next().unwrap_or(code);
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
            return unavailable(doing, short, "the credentials have expired; they are asked for again");
        }
        "KmsAccessDenied" | "KmsDisabled" | "KmsInvalidKeyUsage" | "KmsInvalidState" | "KmsNotFound"
        | "KmsOptInRequired" => "the key that encrypts the queue cannot be used",
        "InvalidAddress"
        | "UnsupportedOperation"
        | "InvalidSecurity"
        | "InvalidParameterValue"
        | "InvalidParameterCombination"
        | "MissingParameter"
        | "ValidationError"
        | "ValidationException"
        | "InvalidAttributeName"
        | "InvalidAttributeValue"
        | "InvalidMessageContents"
        | "OptInRequired" => "the request is not valid for this queue",
        // Throttling, overload, failures on their side, and what is not known: SQS is asked again, ever less often.
        _ => return unavailable(doing, short, "it is asked again, ever less often"),
    };
    let told = message.filter(|_| !is_about_signatures(short)).map(shortened);
    let why = told.map_or_else(|| format!("{hint} ({short})"), |told| format!("{hint} ({short}: {told})"));
    SqsError::Refused { doing, why }
}

fn unavailable(doing: &'static str, code: &str, hint: &str) -> SqsError {
    SqsError::Unavailable { doing, source: format!("{code}: {hint}").into() }
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
    let short = code.rsplit(['.', '#']).next().unwrap_or(code);
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

    #[test]
    fn a_message_about_a_signature_is_never_repeated() {
        let quoted = "The Canonical String was 'x-amz-security-token:SECRET'";
        for code in ["SignatureDoesNotMatch", "InvalidClientTokenId", "InvalidAccessKeyId", "ExpiredToken"] {
            let error = explain_code("receiving", code, Some(quoted));
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let text = format!("{error} {error:?} {source}");
            assert!(!text.contains("SECRET"), "{text}");
            assert!(text.contains(code), "{text}");
        }
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for code in
            ["ThrottlingException", "RequestThrottled", "ExpiredToken", "InternalError", "Never.Heard#Of"]
        {
            assert!(explain_code("receiving", code, None).is_transient(), "{code}");
        }
        for code in
            ["AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "AccessDenied", "KmsNotFound"]
        {
            assert!(!explain_code("receiving", code, None).is_transient(), "{code}");
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
