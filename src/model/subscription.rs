//! Who asks for access, and what was made for them.

use secrecy::SecretString;

use super::Texts;

/// An application's subscription to a plan, as the plane tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The plane's id of the subscription.
    pub id: String,
    /// The plane's id of the application; absent when the subscription ends.
    pub application_id: Option<String>,
    /// The application's name; absent when the subscription ends.
    pub application_name: Option<String>,
    /// What kind of access; absent when the subscription ends.
    pub kind: Option<SubscriptionKind>,
    /// [`Api::connection`](super::Api::connection), over it what [`Grant::metadata`] held, and `planId`.
    pub metadata: Texts,
}

/// What kind of access a subscription asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriptionKind {
    /// An API key.
    ApiKey,
    /// An OAuth 2 client.
    OAuth,
    /// A JSON web token's client.
    Jwt,
    /// One that this release does not know, by its name on the wire.
    Other(String),
}

/// What a subscription made in the gateway. In AWS: an API key and its binding to a usage plan.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The key's value: goes to the plane and nowhere else.
    pub api_key: Option<SecretString>,
    /// The plan that it opens ([`Plan::id`](super::Plan::id)), whatever the plane called it.
    pub plan: Option<String>,
    /// Stored by the plane with the subscription and handed back when it ends: all that undoing needs.
    pub metadata: Texts,
}
