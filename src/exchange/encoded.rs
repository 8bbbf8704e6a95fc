//! An API in its final bytes: measured once, sent and sent again without encoding it anew.

use std::{fmt, sync::Arc};

use serde_json::value::RawValue;

use super::{
    DecodeError,
    codec::{self, SEPARATOR},
    wire,
};
use crate::model::Api;

/// An API as it stands in an INGEST: JSON in which no two `;` stand side by side. Cheap to clone.
#[derive(Clone)]
pub struct EncodedApi {
    id: Arc<str>,
    json: Arc<RawValue>,
}

impl EncodedApi {
    /// Encodes `api`.
    pub fn new(api: &Api) -> Self {
        let mut json =
            Vec::with_capacity(api.documents.iter().map(|document| document.content.len()).sum::<usize>() + 512);
        codec::write_json(&mut json, &wire::write::Api::from(api));
        Self { id: api.id.as_str().into(), json: raw(json).into() }
    }

    /// An API as it came in.
    pub(super) fn from_raw(json: Box<RawValue>) -> Self {
        let id = wire::read::api_id(json.get()).into();
        if memchr::memmem::find(json.get().as_bytes(), SEPARATOR).is_none() {
            return Self { id, json: json.into() };
        }
        let mut escaped = Vec::with_capacity(json.get().len() + 64);
        codec::write_json(&mut escaped, &json);
        Self { id, json: raw(escaped).into() }
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

    /// Reads it back; the plane's side. Refused for one enum value that is not listed, as Gravitee does it.
    pub fn decode(&self) -> Result<Api, DecodeError> {
        let api: wire::api::Api =
            serde_json::from_str(self.json.get()).map_err(|error| DecodeError::Json(error.to_string()))?;
        api.read().map_err(DecodeError::Json)
    }

    pub(super) fn json(&self) -> &RawValue {
        &self.json
    }
}

/// The id and the length: a document may be megabytes long.
impl fmt::Debug for EncodedApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedApi({}, {} bytes)", self.id, self.len())
    }
}

fn raw(json: Vec<u8>) -> Box<RawValue> {
    let json = String::from_utf8(json).expect("serde_json writes UTF-8, and what is escaped is ASCII");
    RawValue::from_string(json).expect("serde_json writes JSON, and `;` stands in its strings only")
}
