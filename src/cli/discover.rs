//! `discover`: what the plane would be shown, without a plane.

use std::{collections::BTreeMap, io::IsTerminal, time::Duration};

use comfy_table::{ColumnConstraint, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    arguments::TableOutput,
    exit::{Exit, Stop},
    gateways::{self, Gateway},
    start::{self, Habit},
    terminal::{self, Mark, Terminal, printable},
    wiring,
};
use crate::{
    agent::guard::{Guard, Loss, Verdict},
    journal::Journal,
    model::{Api, Error, MetadataFormat, PlanSecurity},
    provider::{Call, Found, Listed},
    settings::Environment,
};

/// How long a discovery may take in all; a person who has waited so long has pressed Ctrl-C before.
const PATIENCE: Duration = Duration::from_mins(30);
/// APIs that may wait to be counted.
const QUEUE: usize = 64;
/// How many characters of a text a cell of the table shows.
const CELL: usize = 120;
/// How many characters are shown of why something is left out.
const LINE: usize = 600;

/// What one gateway told.
#[derive(Default)]
struct Told {
    apis: Vec<Listed>,
    /// What the plane would delete of an API, and whether an ingest hands it over all the same; by its unique id.
    losses: BTreeMap<String, (Loss, bool)>,
    left_out: Vec<(String, String)>,
    failed: Vec<(String, Error)>,
    error: Option<Error>,
}

pub(super) fn discover(
    environment: &Environment,
    output: TableOutput,
    integration: Option<&str>,
) -> Result<Exit, Stop> {
    let (process, gateways) = gateways::load(environment, integration)?;
    start::log(&process, environment, Habit::Quiet)?;
    start::runtime()?.block_on(async {
        let cancel = start::cancelled_by_signal()?;
        // Without looking whether the folder may be written: nothing is, here.
        let guard = wiring::guard(&process, &Journal::at(&process.data_dir));
        let mut documents = Vec::new();
        let mut all_well = true;
        for (n, gateway) in gateways.iter().enumerate() {
            let told = ask(gateway, &guard, &cancel).await;
            if cancel.is_cancelled() {
                return Err(Stop::failed("stopped by a signal before everything was read"));
            }
            all_well &= told.failed.is_empty() && told.error.is_none();
            match output {
                TableOutput::Json => documents.push(document(gateway, &told)),
                TableOutput::Table => {
                    if n > 0 {
                        terminal::say("");
                    }
                    print(gateway, &told, gateways.len() > 1, Terminal::of_stdout(environment));
                }
            }
        }
        if output == TableOutput::Json {
            terminal::say(terminal::json(&json!({ "integrations": documents })));
        }
        Ok(if all_well { Exit::Good } else { Exit::Failed })
    })
}

async fn ask(gateway: &Gateway, guard: &Guard, cancel: &CancellationToken) -> Told {
    let view = guard.view(&gateway.integration.id).await;
    let call = Call { id: "discover".into(), deadline: Instant::now() + PATIENCE, cancel: cancel.clone() };
    let (found, mut finds) = mpsc::channel(QUEUE);
    let bar = progress();
    let mut told = Told::default();
    let gather = async {
        while let Some(find) = finds.recv().await {
            match find {
                Found::Api(listed) => {
                    let loss = match view.verdict(&listed.api) {
                        Verdict::Send => None,
                        Verdict::HoldBack(loss) => Some((loss, false)),
                        Verdict::LetGo(loss) => Some((loss, true)),
                    };
                    told.losses.extend(loss.map(|loss| (listed.api.unique_id.clone(), loss)));
                    told.apis.push(*listed);
                }
                Found::LeftOut { what, why } => told.left_out.push((what, why)),
                Found::Failed { source, error } => told.failed.push((source, error)),
            }
            bar.set_message(format!("APIs found: {}, left out: {}", told.apis.len(), told.left_out.len()));
        }
    };
    let (listed, ()) = tokio::join!(gateway.provider.list(&call, found), gather);
    bar.finish_and_clear();
    told.error = listed.err();
    told.apis.sort_by(|a, b| (&a.source, &a.api.name, &a.api.id).cmp(&(&b.source, &b.api.name, &b.api.id)));
    told.left_out.sort();
    told
}

/// On a terminal something that moves, on stderr; elsewhere nothing.
fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {msg}") {
        bar.set_style(style);
    }
    bar.set_message("asking the gateway");
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn print(gateway: &Gateway, told: &Told, several: bool, terminal: Terminal) {
    if several {
        let Gateway { integration, .. } = gateway;
        terminal::say(terminal.strong(&format!("integration {} ({})", integration.id, integration.kind)));
    }
    // A column that says the same in every line says it better once.
    let source = told.apis.first().map(|first| &first.source);
    let source = source.filter(|source| told.apis.iter().all(|listed| listed.source == **source));
    if !told.apis.is_empty() {
        terminal::say(table(&told.apis, source.is_none()).trim_fmt());
    }
    if told.error.is_none() {
        let noun = if told.apis.len() == 1 { "API" } else { "APIs" };
        let of = source.map(|source| printable(&format!(" in {source}"))).unwrap_or_default();
        terminal::say(format_args!("{} {noun} found{of}, {} left out.", told.apis.len(), told.left_out.len()));
    }
    for (loss, let_go) in told.losses.values() {
        let what = if *let_go {
            "an ingest hands it over, and the plane deletes the plan with its subscriptions and keys"
        } else {
            "an ingest holds it back, since the plane would delete the plan with its subscriptions and keys"
        };
        terminal::say(format_args!("{} {}", terminal.mark(Mark::Bad), printable(&format!("{loss}: {what}"))));
    }
    for (what, why) in &told.left_out {
        let (mark, what, why) = (terminal.mark(Mark::Doubtful), short(what, CELL), short(why, LINE));
        terminal::say(format_args!("{mark} {what}: {why}"));
    }
    for (source, error) in &told.failed {
        let (mark, source) = (terminal.mark(Mark::Bad), short(source, CELL));
        terminal::say(format_args!("{mark} {source}: {error}"));
    }
    if let Some(error) = &told.error {
        terminal::say(format_args!("{} nothing could be read: {error}", terminal.mark(Mark::Bad)));
    }
}

/// The APIs, one a line, with or without where each comes from.
fn table(apis: &[Listed], with_source: bool) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["NAME", "VERSION", "PLANS", "SOURCE", "ID"]);
    for listed in apis {
        let Api { name, version, plans, id, .. } = &listed.api;
        let plans = if plans.is_empty() {
            "none".to_owned()
        } else {
            plans.iter().map(|plan| plan.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let cells = [name, version.as_deref().unwrap_or("0.0.0"), &plans, &listed.source, id];
        table.add_row(cells.map(|text| short(text, CELL)));
    }
    if let Some(column) = table.column_mut(3).filter(|_| !with_source) {
        column.set_constraint(ColumnConstraint::Hidden);
    }
    table
}

/// What somebody else wrote, cut where it is long enough to hide the rest. The JSON has it whole.
fn short(text: &str, most: usize) -> String {
    let cut = text.chars().nth(most).is_some();
    let kept: String = printable(text).chars().take(if cut { most - 1 } else { most }).collect();
    if cut { kept + "…" } else { kept }
}

fn document(gateway: &Gateway, told: &Told) -> Value {
    json!({
        "integration": gateway.integration.id,
        "provider": gateway.integration.kind,
        "apis": told.apis.iter().map(|listed| api(listed, told.losses.get(&listed.api.unique_id))).collect::<Vec<_>>(),
        "leftOut": told.left_out.iter().map(|(what, why)| json!({ "what": what, "why": why })).collect::<Vec<_>>(),
        "failed": told.failed.iter()
            .map(|(source, error)| json!({ "source": source, "class": error.class().word(), "error": error.sentence() }))
            .collect::<Vec<_>>(),
        "error": told.error.as_ref().map(Error::sentence),
        "calls": gateway.provider.calls().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
    })
}

fn api(listed: &Listed, loss: Option<&(Loss, bool)>) -> Value {
    let api = &listed.api;
    json!({
        "uniqueId": api.unique_id,
        "id": api.id,
        "name": api.name,
        "version": api.version,
        "description": api.description,
        "source": &*listed.source,
        "connectionDetails": api.connection,
        "plans": api.plans.iter().map(|plan| json!({
            "id": plan.id,
            "name": plan.name,
            "description": plan.description,
            "security": security(plan.security),
            "characteristics": plan.characteristics,
        })).collect::<Vec<_>>(),
        "heldBack": loss.is_some_and(|(_, let_go)| !let_go),
        "lostPlans": loss.map(|(loss, _)| &loss.plans).into_iter().flatten().map(|plan| json!({
            "id": plan.id,
            "name": plan.name,
            "liveGrants": plan.grants,
        })).collect::<Vec<_>>(),
        "metadata": api.metadata.iter().map(|entry| json!({
            "name": entry.name,
            "value": entry.value,
            "format": format(entry.format),
        })).collect::<Vec<_>>(),
    })
}

fn security(security: PlanSecurity) -> &'static str {
    match security {
        PlanSecurity::ApiKey => "API_KEY",
        PlanSecurity::OAuth2 => "OAUTH2",
        PlanSecurity::Jwt => "JWT",
    }
}

fn format(format: MetadataFormat) -> &'static str {
    match format {
        MetadataFormat::String => "STRING",
        MetadataFormat::Numeric => "NUMERIC",
        MetadataFormat::Boolean => "BOOLEAN",
        MetadataFormat::Date => "DATE",
        MetadataFormat::Mail => "MAIL",
        MetadataFormat::Url => "URL",
    }
}
