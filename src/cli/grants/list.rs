//! `grants` alone: what the journal knows. Asks nobody.

use std::time::{Duration, SystemTime};

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::{
    super::{
        arguments::{Grants, TableOutput},
        exit::{Exit, Stop},
        start::{self, Habit},
        terminal::{self, Mark, Terminal, printable},
    },
    shelf::Shelf,
};
use crate::{
    journal::{Record, State},
    settings::{self, Environment},
};

pub(super) fn list(environment: &Environment, asked: &Grants) -> Result<Exit, Stop> {
    // Settings that are wrong are no reason not to show what there is.
    if let Ok(process) = settings::process(environment) {
        let _ = start::log(&process, environment, Habit::Quiet);
    }
    let shelf = Shelf::find(environment);
    let integrations = shelf.integrations(asked.integration.as_deref())?;
    let read = start::runtime()?.block_on(shelf.read(&integrations));
    let mut exit = Exit::Good;
    if let Err(error) = &shelf.there {
        terminal::complain(format_args!("{}: cannot be read: {error}", shelf.folder.display()));
        exit = Exit::Failed;
    }
    let mut records = Vec::new();
    for (integration, contents) in read {
        for (name, why) in contents.unreadable {
            if name.is_none() && shelf.there.is_err() {
                // That is said already.
                continue;
            }
            let of = name.map(|name| format!(", subscription {}", name.subscription)).unwrap_or_default();
            let line = format!("integration {integration}{of}: cannot be read: {why}");
            terminal::complain(printable(&line));
            exit = Exit::Failed;
        }
        records.extend(contents.records);
    }
    let known = records.len();
    records.retain(|record| asked.state.is_empty() || asked.state.contains(&record.state));
    records.sort_by(|a, b| (&a.integration, a.since, &a.subscription).cmp(&(&b.integration, b.since, &b.subscription)));
    match asked.output {
        TableOutput::Json => {
            if records.is_empty() && known == 0 && exit == Exit::Good {
                terminal::complain(shelf.emptiness());
            }
            terminal::say(terminal::json(&Value::Array(records.iter().map(document).collect())));
        }
        TableOutput::Table if records.is_empty() && known > 0 => {
            terminal::say(format_args!("None of the {known} grants in {} is in that state.", shelf.folder.display()));
        }
        TableOutput::Table if records.is_empty() => {
            if exit == Exit::Good {
                terminal::say(shelf.emptiness());
            }
        }
        TableOutput::Table => print(&records, Terminal::of_stdout(environment)),
    }
    Ok(exit)
}

/// A grant for machines.
pub(super) fn document(record: &Record) -> Value {
    json!({
        "integration": record.integration,
        "subscription": record.subscription,
        "api": if record.api.is_empty() { Value::Null } else { json!(record.api) },
        "keyId": record.key_id,
        "state": record.state.word(),
        "since": humantime::format_rfc3339_millis(record.since).to_string(),
        "plan": record.plan,
        "command": if record.command.is_empty() { Value::Null } else { json!(record.command) },
        "tries": record.tries,
        "why": record.why,
        "grant": record.grant,
    })
}

fn print(records: &[Record], terminal: Terminal) {
    let several = records.iter().any(|record| record.integration != records[0].integration);
    let mut left = records;
    while let Some(first) = left.first() {
        let end = left.iter().position(|record| record.integration != first.integration).unwrap_or(left.len());
        let (these, rest) = left.split_at(end);
        left = rest;
        if several {
            terminal::say(terminal.strong(&printable(&format!("integration {}", first.integration))));
        }
        terminal::say(table(these).trim_fmt());
        if several {
            terminal::say("");
        }
    }
    let mut counts = Vec::new();
    for state in State::ALL {
        let count = records.iter().filter(|record| record.state == state).count();
        if count > 0 {
            counts.push(format!("{count} {}", state.word()));
        }
    }
    let noun = if records.len() == 1 { "grant" } else { "grants" };
    terminal::say(format_args!("{} {noun}: {}.", records.len(), counts.join(", ")));
    for (state, says) in [
        (State::Unconfirmed, "whether the plane has heard of it is not known: look there, by the subscription's id"),
        (
            State::Leftover,
            "may exist in the gateway, by name, and opens nothing: `grants --orphans`, then `grants revoke`",
        ),
        (State::Stuck, "could not be removed: mend the reason, then `grants revoke`"),
    ] {
        if records.iter().any(|record| record.state == state) {
            terminal::say(format_args!("{} {}: {says}", terminal.mark(Mark::Doubtful), state.word()));
        }
    }
    for record in records {
        if let Some(why) = &record.why {
            let line = format!("{} {}: {why}", record.state.word(), record.subscription);
            terminal::say(format_args!("{} {}", terminal.mark(Mark::Bad), printable(&line)));
        }
    }
}

fn table(records: &[Record]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["STATE", "SINCE", "KEY", "SUBSCRIPTION", "PLAN", "API"]);
    for record in records {
        let since = moment(record.since);
        let cells = [
            record.state.word(),
            &since,
            record.key_id.as_deref().unwrap_or("-"),
            &record.subscription,
            record.plan.as_deref().unwrap_or("-"),
            if record.api.is_empty() { "-" } else { &record.api },
        ];
        table.add_row(cells.map(cell));
    }
    table
}

/// A time for people: to the second.
pub(super) fn moment(time: SystemTime) -> String {
    let whole = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(whole)).to_string()
}

/// How many letters of what somebody else wrote fit into a table.
const LONGEST: usize = 120;

/// What somebody else wrote, fit for a table.
pub(super) fn cell(text: &str) -> String {
    let mut letters = printable(text).chars().collect::<Vec<_>>();
    if letters.len() > LONGEST {
        letters.truncate(LONGEST - 1);
        letters.push('…');
    }
    if letters.is_empty() { "-".into() } else { letters.into_iter().collect() }
}
