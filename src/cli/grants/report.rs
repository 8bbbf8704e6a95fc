//! How a comparison is told: for people what is amiss and what to do about it, for machines everything.

use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};

use super::{
    super::{
        arguments::TableOutput,
        exit::Exit,
        terminal::{self, Mark, Terminal, printable},
    },
    compare::{Class, Compared, Row},
    list::{cell, document, moment},
};
use crate::{model::Error, settings::Environment};

/// Everything that there is to be told.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) compared: Compared,
    /// Whether the plane's subscriptions were among what was compared.
    pub(super) with_plane: bool,
    /// Whether the export has no subscription but accepted ones.
    pub(super) accepted_only: bool,
    pub(super) failed: Vec<Failed>,
    /// Pages that cannot be read: the integration, the subscription, why.
    pub(super) unreadable: Vec<(String, Option<String>, String)>,
    /// Why the journal has nothing to say.
    pub(super) emptiness: Option<String>,
}

/// A source that could not be read.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) integration: String,
    /// `None`: the whole gateway.
    pub(super) source: Option<String>,
    pub(super) error: Error,
}

/// Tells it.
pub(super) fn tell(report: &Report, output: TableOutput, environment: &Environment) -> Exit {
    let amiss = report.compared.rows.iter().any(|row| row.class.is_amiss());
    let good = !amiss && report.failed.is_empty() && report.unreadable.is_empty();
    match output {
        TableOutput::Json => terminal::say(terminal::json(&whole(report, good))),
        TableOutput::Table => print(report, Terminal::of_stdout(environment)),
    }
    for (integration, subscription, why) in &report.unreadable {
        let of = subscription.as_ref().map(|id| format!(", subscription {id}")).unwrap_or_default();
        terminal::complain(printable(&format!("integration {integration}{of}: cannot be read: {why}")));
    }
    for Failed { integration, source, error } in &report.failed {
        let source = source.as_ref().map_or_else(|| "nothing could be read".to_owned(), Clone::clone);
        terminal::complain(printable(&format!("integration {integration}: {source}: {error}")));
    }
    if good { Exit::Good } else { Exit::Failed }
}

fn of_class(report: &Report, class: Class) -> Vec<&Row> {
    report.compared.rows.iter().filter(|row| row.class == class).collect()
}

fn print(report: &Report, terminal: Terminal) {
    if let Some(emptiness) = &report.emptiness {
        terminal::say(format_args!("{} {}", terminal.mark(Mark::Doubtful), printable(emptiness)));
    }
    for class in Class::ALL.into_iter().filter(|class| *class != Class::Fine) {
        let rows = of_class(report, class);
        if rows.is_empty() {
            continue;
        }
        let (heading, advice) = words(class, report.with_plane);
        let mark = if class.is_amiss() { Mark::Bad } else { Mark::Doubtful };
        let heading = terminal.strong(&format!("{heading} ({})", rows.len()));
        terminal::say(format_args!("{} {heading}", terminal.mark(mark)));
        terminal::say(table(&rows).trim_fmt());
        terminal::say(format_args!("  {advice}\n"));
    }
    let fine = of_class(report, Class::Fine).len();
    let amiss = report.compared.rows.iter().filter(|row| row.class.is_amiss()).count();
    let with = if report.with_plane { "Journal, gateway and plane" } else { "Journal and gateway" };
    terminal::say(format_args!(
        "{with} compared: {fine} as they should be, {amiss} amiss, {} under way, {} that cannot be told.",
        of_class(report, Class::UnderWay).len(),
        of_class(report, Class::Undetermined).len(),
    ));
    if report.accepted_only && !of_class(report, Class::KeyWithoutSubscription).is_empty() {
        terminal::say(format_args!(
            "{} The export holds accepted subscriptions only, as the plane's API does when it is not asked for others: \
             keys of paused ones would look like nobody's. docs/grants.md has the request.",
            terminal.mark(Mark::Doubtful)
        ));
    }
    let aside = report.compared.set_aside.len();
    if aside > 0 {
        terminal::say(format_args!(
            "{} {aside} accepted in the export name no key, and nothing here knows of them: taken for another \
             integration's. --output json lists them.",
            terminal.mark(Mark::Doubtful)
        ));
    }
}

/// A list's heading, and what to do about what is in it.
fn words(class: Class, with_plane: bool) -> (&'static str, &'static str) {
    match class {
        Class::Fine => ("As they should be", ""),
        Class::KeyWithoutSubscription => (
            "Keys without subscription",
            "They open what nobody has a right to any more: `federation-agent grants revoke KEY`.",
        ),
        Class::SubscriptionWithoutKey => (
            "Subscriptions without key",
            "Their applications are locked out: close each in the plane, and have it subscribed to again.",
        ),
        Class::KeyOutOfForce => (
            "Keys of paused or expired subscriptions",
            "The plane tells no agent of a pause or an end: close the subscription there, and its key is removed; one \
             that is paused for a while only keeps it.",
        ),
        Class::NotInJournal => (
            "Keys that are not in the journal",
            "Perhaps nobody's, perhaps in use: `federation-agent grants --subscriptions FILE` asks the plane's export.",
        ),
        Class::NotInGateway if with_plane => (
            "Grants whose key is gone",
            "Neither gateway nor plane have them: `federation-agent grants revoke KEY --live` strikes them out.",
        ),
        Class::NotInGateway => (
            "Grants whose key is gone",
            "Somebody has deleted it in the gateway. If the plane still shows the subscription as accepted: close it \
             there, and have it subscribed to again.",
        ),
        Class::Waiting => {
            ("Waiting for a person", "Mend the reason, then `federation-agent grants revoke KEY|SUBSCRIPTION`.")
        }
        Class::UnderWay => ("Under way", "An agent settles these by itself; nothing to do."),
        Class::Undetermined => ("Cannot be told", "Export anew, or see to it that every account can be read."),
    }
}

fn table(rows: &[&Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["  KEY", "SUBSCRIPTION", "APPLICATION", "OPENS", "MADE", "WHY"]);
    for row in rows {
        let opens = match &row.held {
            None => "-".to_owned(),
            Some(held) if held.plans.is_empty() => "nothing".to_owned(),
            Some(held) if !held.enabled => "nothing (disabled)".to_owned(),
            Some(held) => held.plans.join(", "),
        };
        let made = row.held.as_ref().and_then(|held| held.created).map_or_else(|| "-".to_owned(), moment);
        let application = row.plane.as_ref().and_then(|plane| plane.application.as_deref()).unwrap_or("-");
        let key = format!("  {}", cell(row.key_id.as_deref().unwrap_or("-")));
        let subscription = cell(row.subscription.as_deref().unwrap_or("-"));
        table.add_row([key, subscription, cell(application), cell(&opens), cell(&made), printable(&row.says)]);
    }
    table
}

fn whole(report: &Report, good: bool) -> Value {
    let mut document = Map::new();
    document.insert("good".into(), json!(good));
    let with: &[&str] =
        if report.with_plane { &["journal", "gateway", "subscriptions"] } else { &["journal", "gateway"] };
    document.insert("compared".into(), json!(with));
    let mut summary = Map::new();
    for class in Class::ALL {
        summary.insert(class.word().into(), json!(of_class(report, class).len()));
    }
    document.insert("summary".into(), Value::Object(summary));
    for class in Class::ALL {
        document.insert(class.word().into(), of_class(report, class).into_iter().map(row).collect());
    }
    let aside = report.compared.set_aside.iter();
    document.insert(
        "setAside".into(),
        aside.map(|one| json!({ "subscription": one.id, "api": one.api, "apiName": one.api_name })).collect(),
    );
    let failed = report.failed.iter().map(|Failed { integration, source, error }| {
        json!({
            "integration": integration, "source": source, "class": error.class().word(), "error": error.sentence(),
        })
    });
    document.insert("failed".into(), failed.collect());
    let unreadable = report.unreadable.iter().map(|(integration, subscription, why)| {
        json!({ "integration": integration, "subscription": subscription, "error": why })
    });
    document.insert("unreadable".into(), unreadable.collect());
    document.insert("journal".into(), json!(report.emptiness.as_deref()));
    document.insert("acceptedOnly".into(), json!(report.accepted_only));
    Value::Object(document)
}

/// A row for machines.
fn row(row: &Row) -> Value {
    let held = row.held.as_ref();
    json!({
        "integration": row.integration,
        "subscription": row.subscription,
        "keyId": row.key_id,
        "why": row.says,
        "gateway": held.map(|held| json!({
            "name": held.name,
            "plans": held.plans,
            "enabled": held.enabled,
            "created": held.created.map(moment),
        })),
        "journal": row.record.as_ref().map(document),
        "plane": row.plane.as_ref().map(|plane| json!({
            "status": plane.status.word(),
            "api": plane.api,
            "apiName": plane.api_name,
            "application": plane.application,
            "startingAt": plane.starts.map(moment),
            "endingAt": plane.ends.map(moment),
        })),
    })
}
