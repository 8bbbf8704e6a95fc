//! How messages look in JSON: private mirrors of the public types, with Gravitee's names. Here are the words for the
//! enums; [`write`] holds what is written (nothing that is null, listed values only), [`read`] what is read (far more).

pub(super) mod api;
pub(super) mod read;
mod text;
pub(super) mod write;

use crate::model::{DocumentKind, MetadataFormat, PlanSecurity, SubscriptionKind};

use super::Status;

/// Why a payload is not understood, for a person.
type Fault = String;

/// A value of an enum and its word on the wire, both ways, so that the two cannot differ.
macro_rules! words {
    ($($kind:ident, $word:ident, $of:ident: { $($value:path = $text:literal),+ $(,)? })+) => {$(
        pub(super) fn $word(value: $kind) -> &'static str {
            match value { $($value => $text),+ }
        }
        pub(super) fn $of(word: &str) -> Option<$kind> {
            match word { $($text => Some($value),)+ _ => None }
        }
    )+};
}

words! {
    DocumentKind, document_word, document_kind: {
        DocumentKind::Swagger = "SWAGGER",
        DocumentKind::AsyncApi = "ASYNCAPI",
        DocumentKind::Markdown = "MARKDOWN",
        DocumentKind::MarkdownTemplate = "MARKDOWN_TEMPLATE",
        DocumentKind::AsciiDoc = "ASCIIDOC",
    }
    PlanSecurity, security_word, plan_security: {
        PlanSecurity::ApiKey = "API_KEY",
        PlanSecurity::OAuth2 = "OAUTH2",
        PlanSecurity::Jwt = "JWT",
    }
    MetadataFormat, format_word, metadata_format: {
        MetadataFormat::String = "STRING",
        MetadataFormat::Numeric = "NUMERIC",
        MetadataFormat::Boolean = "BOOLEAN",
        MetadataFormat::Date = "DATE",
        MetadataFormat::Mail = "MAIL",
        MetadataFormat::Url = "URL",
    }
}

/// `None` for a kind that is not listed: it is left out, for with it the whole message would be lost.
fn subscription_word(kind: &SubscriptionKind) -> Option<&'static str> {
    match kind {
        SubscriptionKind::ApiKey => Some("API_KEY"),
        SubscriptionKind::OAuth => Some("OAUTH"),
        SubscriptionKind::Jwt => Some("JWT"),
        SubscriptionKind::Other(_) => None,
    }
}

fn subscription_kind(word: String) -> SubscriptionKind {
    match word.as_str() {
        "API_KEY" => SubscriptionKind::ApiKey,
        "OAUTH" => SubscriptionKind::OAuth,
        "JWT" => SubscriptionKind::Jwt,
        _ => SubscriptionKind::Other(word),
    }
}

/// A status that is not listed is written as ERROR: never a success that nobody reported.
fn status_word(status: &Status) -> &'static str {
    match status {
        Status::Pending => "PENDING",
        Status::InProgress => "IN_PROGRESS",
        Status::Succeeded => "SUCCEEDED",
        Status::Error | Status::Other(_) => "ERROR",
    }
}

fn status(word: String) -> Status {
    match word.as_str() {
        "PENDING" => Status::Pending,
        "IN_PROGRESS" => Status::InProgress,
        "SUCCEEDED" => Status::Succeeded,
        "ERROR" => Status::Error,
        _ => Status::Other(word),
    }
}
