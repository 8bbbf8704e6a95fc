//! AWS API Gateway: REST APIs and their stages, usage plans, API keys.

mod keys;

pub use keys::KEYS;

use super::Kind;

/// How the settings name it.
pub static KIND: Kind =
    Kind { name: "aws-api-gateway", title: "AWS API Gateway", keys: &KEYS, build: |_, _| todo!("aws") };
