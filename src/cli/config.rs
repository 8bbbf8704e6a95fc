//! `config`: every setting with its value, where that comes from, and its default; secrets masked. And the documents
//! that are made of the same table: the settings table (Markdown) and `.env.example`.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::gateways;
use crate::{
    provider::KINDS,
    settings::{
        COMPOSE, Environment, Explanation, Key, KeyTable, PROCESS_KEYS, PROCESS_PREFIX, Shape, Source, explain,
        sections,
    },
};

/// How `config` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Aligned columns, for people.
    #[default]
    Text,
    /// For machines.
    Json,
    /// The table of all settings, as the documents have it; no values.
    Markdown,
    /// The file `.env.example`; no values.
    Env,
}

/// What `config` has to say.
#[derive(Debug)]
pub struct Rendered {
    /// To be written to stdout.
    pub text: String,
    /// How many settings are wrong; the exit code is 2 when it is not 0.
    pub faults: usize,
}

/// The provider types with their tables, as [`settings::load`](crate::settings::load) wants them.
pub fn tables() -> Vec<(&'static str, &'static KeyTable)> {
    KINDS.iter().map(|kind| (kind.name, kind.keys)).collect()
}

/// What stands in `environment`, in the given format.
pub fn render(environment: &Environment, format: Format) -> Rendered {
    let mut explanation = explain(environment, &tables());
    // Those that only the providers and the network see are among them.
    if let Err(faults) = gateways::ready(environment) {
        explanation.faults = faults.0;
    }
    let faults = match format {
        Format::Text | Format::Json => explanation.faults.len(),
        Format::Markdown | Format::Env => 0,
    };
    let text = match format {
        Format::Text => text(&explanation),
        Format::Json => json(&explanation),
        Format::Markdown => markdown(),
        Format::Env => env(),
    };
    Rendered { text, faults }
}

/// Aligned columns. Never fails: writing to a text cannot.
fn text(explanation: &Explanation) -> String {
    let rows: Vec<[String; 4]> = explanation
        .settings
        .iter()
        .map(|setting| {
            [
                setting.variable.clone(),
                setting.value.clone().unwrap_or_else(|| "-".into()),
                setting.source.to_string(),
                setting.default.unwrap_or("-").to_owned(),
            ]
        })
        .collect();
    let heading = ["VARIABLE", "VALUE", "SOURCE", "DEFAULT"].map(str::to_owned);
    // A long value pushes only its own line to the right.
    let widths = [0, 1, 2].map(|column| {
        rows.iter().map(|row| row[column].chars().count()).filter(|width| *width <= 96).max().unwrap_or(0).max(8)
    });
    let mut text = String::new();
    for row in std::iter::once(&heading).chain(&rows) {
        let [variable, value, source, default] = row;
        let line = format!("{variable:0$}  {value:1$}  {source:2$}  {default}", widths[0], widths[1], widths[2]);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    for (title, lines) in [
        ("Notes", explanation.notes.clone()),
        ("Warnings", explanation.warnings.clone()),
        ("Wrong", explanation.faults.iter().map(ToString::to_string).collect()),
    ] {
        if !lines.is_empty() {
            let _ = write!(text, "\n{title}:\n");
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        }
    }
    text
}

fn json(explanation: &Explanation) -> String {
    let settings: Vec<Value> = explanation
        .settings
        .iter()
        .map(|setting| {
            let (source, file) = match &setting.source {
                Source::Variable => ("variable", None),
                Source::File(path) => ("file", Some(path)),
                Source::Property(place) => ("property", Some(place)),
                Source::Default => ("default", None),
                Source::Unset => ("unset", None),
            };
            json!({
                "variable": setting.variable,
                "value": setting.value,
                "source": source,
                "file": file,
                "default": setting.default,
                "help": setting.help,
            })
        })
        .collect();
    let faults: Vec<Value> = explanation
        .faults
        .iter()
        .map(|fault| json!({"variable": fault.variable, "found": fault.found, "says": fault.says}))
        .collect();
    let whole = json!({
        "settings": settings,
        "notes": explanation.notes,
        "warnings": explanation.warnings,
        "faults": faults,
    });
    format!("{whole:#}\n")
}

/// The table of all settings.
pub fn markdown() -> String {
    let mut text = String::from(
        "### The agent itself\n\nThe agent runs without any of these. A time span has its unit: `500ms`, `8s`, `2m`.\n\n",
    );
    table(&mut text, PROCESS_KEYS.iter().map(|key| (format!("{PROCESS_PREFIX}{}", key.name), key)));
    let _ = write!(
        text,
        "\n`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are read in either case; \
         `AWS_ENDPOINT_URL` and the other variables of AWS's default credential chain are read by AWS's library.\n"
    );
    for section in sections(&tables()) {
        let _ = write!(text, "\n### {}\n\n", section.title);
        if !section.about.is_empty() {
            let _ = write!(text, "{}\n\n", section.about);
        }
        table(&mut text, section.table.keys.iter().map(|key| (section.variable(key), key)));
        for group in section.table.groups {
            let _ = write!(text, "\n{}\n\n", group.help);
            table(&mut text, group.keys.iter().map(|key| (section.group_variable(group, key), key)));
        }
    }
    text
}

fn table(text: &mut String, rows: impl Iterator<Item = (String, &'static Key)>) {
    text.push_str("| variable | what it is | accepted | default |\n| --- | --- | --- | --- |\n");
    for (variable, key) in rows {
        let accepted = match key.shape {
            Shape::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
            Shape::Text => "text".into(),
            Shape::Secret | Shape::Secrets => "secret; or a path in `…_FILE`".into(),
            Shape::Flag => "`true`, `false`".into(),
            Shape::Number(from, to) => format!("{from} to {to}"),
            Shape::Decimal => "decimal number".into(),
            Shape::List => "list".into(),
            Shape::Span => "time span".into(),
        };
        let default = match (key.default, key.required) {
            (Some(default), _) => format!("`{default}`"),
            (None, true) => "must be set".into(),
            (None, false) => String::new(),
        };
        let _ = writeln!(text, "| `{variable}` | {} | {accepted} | {default} |", key.help);
    }
}

/// The whole of `docs/settings.md`.
pub fn document() -> String {
    format!(
        "{}## Names of the compose file\n\n`docker-compose.yaml` reads these from `.env` and hands over the agent's own \
         variables.\n\n{}\n## All settings\n\n{}",
        include_str!("config/settings-head.md"),
        compose_table(),
        markdown()
    )
}

/// The table of what stands in `.env`, as the README has it too.
pub fn compose_table() -> String {
    let mut text = String::from("| in `.env` | becomes | what it is |\n| --- | --- | --- |\n");
    for name in COMPOSE {
        let variable = name.variable.map(|variable| format!("`{variable}`")).unwrap_or_default();
        let _ = writeln!(text, "| `{}` | {variable} | {} |", name.name, name.help);
    }
    text
}

/// The file `.env.example`.
pub fn env() -> String {
    let mut text = String::from(
        "# Copy this file to .env, fill in what stands first, then: docker compose up -d\n\n\
         # What must be filled in.\n",
    );
    for name in COMPOSE.iter().filter(|name| name.needed) {
        let _ = write!(text, "\n# {}\n{}={}\n", name.help, name.name, name.value);
    }
    text.push_str("\n\n# What may be filled in.\n");
    for name in COMPOSE.iter().filter(|name| !name.needed) {
        let mark = if name.variable.is_some() { "" } else { "#" };
        let _ = write!(text, "\n# {}\n{mark}{}={}\n", name.help, name.name, name.value);
    }
    text.push_str(
        "\n\n# All other settings, by the agent's own names. Compose hands over those that begin with FEDERATION_AGENT_; \
         for\n# another, add a line under `environment:` in docker-compose.yaml. (It does not hand over the whole file: a \
         list in\n# AWS_REGION must never reach the AWS library.) Any secret can come from a file: put the file's path \
         into the same\n# name with _FILE at its end.\n",
    );
    let _ = write!(text, "\n\n# ---- The agent itself ----\n");
    for key in PROCESS_KEYS {
        env_entry(&mut text, key, &format!("{PROCESS_PREFIX}{}", key.name));
    }
    for section in sections(&tables()) {
        let _ = write!(text, "\n\n# ---- {} ----\n", section.title);
        for line in wrapped(&section.about) {
            let _ = writeln!(text, "# {line}");
        }
        for key in section.table.keys {
            env_entry(&mut text, key, &first(&section.variable(key)));
        }
        for group in section.table.groups {
            let _ = writeln!(text);
            for line in wrapped(group.help) {
                let _ = writeln!(text, "# {line}");
            }
            for key in group.keys {
                env_entry(&mut text, key, &first(&section.group_variable(group, key)));
            }
        }
    }
    text
}

fn env_entry(text: &mut String, key: &Key, variable: &str) {
    text.push('\n');
    for line in wrapped(key.help) {
        let _ = writeln!(text, "# {line}");
    }
    let _ = writeln!(text, "#{variable}={}", key.default.unwrap_or(key.example));
}

/// The variable of the first entry.
fn first(variable: &str) -> String {
    variable.split('_').map(|part| if part == "N" { "0" } else { part }).collect::<Vec<_>>().join("_")
}

/// `text` in lines of at most 110 letters.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < 110 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
