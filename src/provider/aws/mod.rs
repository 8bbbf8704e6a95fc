//! AWS API Gateway: REST APIs and their stages, usage plans, API keys.

use crate::settings::KeyTable;

use super::Kind;

/// How the settings name it.
pub static KIND: Kind =
    Kind { name: "aws-api-gateway", title: "AWS API Gateway", keys: &KEYS, build: |_, _| todo!("aws") };

/// The settings under `configuration`.
pub static KEYS: KeyTable = KeyTable { keys: &[], groups: &[] };
