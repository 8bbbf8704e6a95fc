//! An API in its final bytes: measured once, sent and sent again without encoding it anew.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::model::Api;

/// An API as it stands in an INGEST: JSON in which no two `;` stand side by side.
#[derive(Debug, Clone)]
pub struct EncodedApi {
    id: Arc<str>,
    json: Arc<RawValue>,
}

impl EncodedApi {
    /// Encodes `api`.
    pub fn new(api: &Api) -> Self {
        let _ = api;
        todo!("exchange")
    }

    /// [`Api::id`].
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its length on the wire, in bytes.
    #[expect(clippy::len_without_is_empty, reason = "an API is never empty")]
    pub fn len(&self) -> usize {
        self.json.get().len()
    }

    /// Reads it back; the plane's side.
    pub fn decode(&self) -> Result<Api, super::DecodeError> {
        todo!("exchange")
    }
}
