//! What a gateway offers.

use super::Texts;

/// One deployable, addressable thing of a gateway. In AWS: a REST API *and* a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Its identity for ever: the plane derives its own id from it.
    pub unique_id: String,
    /// What comes back in commands: enough to find the API again after a restart, unique within the integration.
    pub id: String,
    /// Its name in the console.
    pub name: String,
    /// Its version; the plane shows `0.0.0` for `None`.
    pub version: Option<String>,
    /// What it is for, in the gateway's words.
    pub description: Option<String>,
    /// Stored by the plane and handed back with every subscription; shown to nobody. All that routing needs.
    pub connection: Texts,
    /// The ways to get access to it.
    pub plans: Vec<Plan>,
    /// Its documents, when they have been read.
    pub documents: Vec<Document>,
    /// What the console shows beside it.
    pub metadata: Vec<Metadata>,
}

/// A way to get access. In AWS: a usage plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its identity within the API, for ever.
    pub id: String,
    /// Its name in the console.
    pub name: String,
    /// What it gives, and what else it opens.
    pub description: Option<String>,
    /// How a caller proves access.
    pub security: PlanSecurity,
    /// Limits, each one short text (`Rate: 10.0 requests per second`).
    pub characteristics: Vec<String>,
}

/// How a caller of a plan proves access. Only these may be written: a controller loses a message with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanSecurity {
    /// An API key in a header.
    ApiKey,
    /// An OAuth 2 access token.
    OAuth2,
    /// A JSON web token.
    Jwt,
}

/// A description of an API for machines and people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it is written in.
    pub kind: DocumentKind,
    /// Its text, whole.
    pub content: String,
    /// Its name, which is its identity across ingests.
    pub filename: String,
}

/// What a document is written in. The plane imports `Swagger` and `AsyncApi` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// OpenAPI or Swagger.
    Swagger,
    /// AsyncAPI.
    AsyncApi,
    /// Markdown.
    Markdown,
    /// Markdown with the plane's templates.
    MarkdownTemplate,
    /// AsciiDoc.
    AsciiDoc,
}

/// One thing that the console shows beside an API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Its key; never one that contains the provider's type (such come back at SUBSCRIBE, editable by anyone).
    pub name: String,
    /// Its value; never empty in meaning "not there": leave the entry out instead.
    pub value: String,
    /// How the console shows the value.
    pub format: MetadataFormat,
}

/// How the console shows a metadata value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataFormat {
    /// Any text.
    String,
    /// A number.
    Numeric,
    /// `true` or `false`.
    Boolean,
    /// A date.
    Date,
    /// A mail address.
    Mail,
    /// A URL.
    Url,
}
