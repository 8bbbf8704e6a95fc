//! Declared keys: the one source of the parser, of `config`, of the README's table and of `.env.example`.

use std::collections::BTreeMap;

use secrecy::SecretString;

/// A declared setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name below the table's prefix, with dots: `ssl.truststore.path`, `accessKeyId`.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
    /// What stands for it when it is not there, for people and for the parser.
    pub default: Option<&'static str>,
    /// One sentence for people.
    pub help: &'static str,
    /// A value that shows its form; for a secret a word in angle brackets.
    pub example: &'static str,
}

/// What a setting holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Any text.
    Text,
    /// Any text that is never shown.
    Secret,
    /// `true` or `false`.
    Flag,
    /// A whole number from, to (inclusive).
    Number(u64, u64),
    /// A decimal number above zero.
    Decimal,
    /// A list: comma-separated, or by index in either spelling (`stage_0`, `0_stage`).
    List,
    /// A time span: `8s`, `2m`.
    Span,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// The keys that stand under one prefix.
#[derive(Debug)]
pub struct KeyTable {
    /// Single keys.
    pub keys: &'static [Key],
    /// Lists of entries, each with keys of its own: `accounts_0_roleArn`.
    pub groups: &'static [Group],
}

/// A list of entries.
#[derive(Debug)]
pub struct Group {
    /// Its name: `accounts`.
    pub name: &'static str,
    /// What an entry is.
    pub help: &'static str,
    /// An entry's keys.
    pub keys: &'static [Key],
}

/// Values by declared key, checked for their shape; empty texts are not there.
#[derive(Debug, Clone, Default)]
pub struct Values {
    texts: BTreeMap<&'static str, (String, String)>,
    secrets: BTreeMap<&'static str, SecretString>,
    lists: BTreeMap<&'static str, Vec<String>>,
    groups: BTreeMap<&'static str, Vec<Values>>,
}
