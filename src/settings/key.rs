//! Declared keys: the one source of the parser, of `config`, of the README's table and of `.env.example`.

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
    /// Any text that is never shown. It can come from the file that `<variable>_FILE` names.
    Secret,
    /// `true` or `false`.
    Flag,
    /// A whole number from, to (inclusive).
    Number(u64, u64),
    /// A decimal number from a thousandth to a million: whatever is counted with it, its reciprocal is sane too.
    Decimal,
    /// A list: comma-separated, or by index in either spelling (`stage_0`, `0_stage`).
    List,
    /// A time span: `8s`, `2m`.
    Span,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Secrets by names that nobody declares, one variable a name: `users_admin`. Each can come from the file that
    /// `<variable>_FILE` names.
    Secrets,
}

pub(super) const LEAST_DECIMAL: f64 = 0.001;
pub(super) const GREATEST_DECIMAL: f64 = 1_000_000.0;

impl Shape {
    /// What is accepted, for people: `a whole number from 1 to 1000`.
    pub fn accepts(self) -> String {
        match self {
            Self::Text => "a text".into(),
            Self::Secret => "a text that is kept secret".into(),
            Self::Flag => "true or false".into(),
            Self::Number(from, to) if to == u64::MAX => format!("a whole number of {from} or more"),
            Self::Number(from, to) => format!("a whole number from {from} to {to}"),
            Self::Decimal => format!("a decimal number from {LEAST_DECIMAL} to {GREATEST_DECIMAL}"),
            Self::List => "a comma-separated list, or one variable an entry".into(),
            Self::Secrets => "one variable a name, each a text that is kept secret".into(),
            Self::Span => "a time span with its unit, like 500ms, 8s or 2m".into(),
            Self::Word(words) => match words {
                [] => "nothing".into(),
                [only] => (*only).into(),
                [most @ .., last] => format!("{} or {last}", most.join(", ")),
            },
        }
    }
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
