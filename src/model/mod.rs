//! Plain data that every room speaks: APIs and their plans and documents, subscriptions and the grants made for
//! them, and the classes of error. The ground floor: it uses nothing of the other rooms.

mod api;
mod clock;
mod error;
mod subscription;

pub use api::{Api, Document, DocumentKind, Metadata, MetadataFormat, Plan, PlanSecurity};
pub use clock::{Dated, Skew};
pub use error::{Class, Error, is_plain, line};
pub use subscription::{Grant, Subscription, SubscriptionKind};

/// Texts by name. Ordered, so that what is sent and logged is the same from run to run.
pub type Texts = std::collections::BTreeMap<String, String>;
