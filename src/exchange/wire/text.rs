//! Text from JSON that may hold something else.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, de::Visitor};

use super::Fault;
use crate::model::Texts;

/// Text, or what can be read as such: a number or a truth value. `None` when it is null or not there.
#[derive(Default)]
pub(super) struct Text(pub(super) Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl Visitor<'_> for Any {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Some(text.to_owned())))
            }
            fn visit_string<E>(self, text: String) -> Result<Text, E> {
                Ok(Text(Some(text)))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Text, E> {
                Ok(Text(Some(value.to_string())))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Text, E> {
                Ok(Text(Some(value.to_string())))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Text, E> {
                Ok(Text(Some(value.to_string())))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Text, E> {
                Ok(Text(Some(value.to_string())))
            }
            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(None))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl Text {
    pub(super) fn or_empty(self) -> String {
        self.0.unwrap_or_default()
    }

    pub(super) fn required(self, field: &str) -> Result<String, Fault> {
        self.0.ok_or_else(|| format!("the field {field} is missing"))
    }
}

/// Texts by name; entries that are null are left out.
#[derive(Default, Deserialize)]
#[serde(transparent)]
pub(super) struct TextMap(Option<BTreeMap<String, Text>>);

impl From<TextMap> for Texts {
    fn from(map: TextMap) -> Self {
        map.0.unwrap_or_default().into_iter().filter_map(|(name, text)| Some((name, text.0?))).collect()
    }
}
