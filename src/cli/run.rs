//! `run`: the agent itself. Reads the settings, puts everything together, runs until a signal, drains, ends.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    arguments::VERSION,
    check,
    exit::{Exit, Stop},
    gateways::{self, Gateway, Ready},
    memory,
    start::{self, Habit, Signals},
    surface::{self, Told},
    wiring::Running,
};
use crate::{
    journal::Journal,
    observe::{Board, Logging, Part, Recorder, Vitals, status::Identity, traces},
    provider::{self, Call, Provider},
    settings::{Connector, Environment, Proxy},
};

/// So many lines about a gateway are told at the start: its credentials and some accounts.
const DESCRIBED: usize = 6;
/// So many identities of one gateway are told at the start, each in a line.
const IDENTITIES: usize = 10;
/// So long after the last integration has connected, the start is over.
const SETTLED: Duration = Duration::from_secs(2);
/// How often code is let go that was called since: what an ingest needed is not resident for the weeks until the next.
const LET_GO: Duration = Duration::from_secs(30);
/// How long a gateway may take to say who the agent is there: an instance's metadata that does not answer, then STS.
const IDENTIFY: Duration = Duration::from_secs(30);

pub(super) fn run(environment: &Environment) -> Result<Exit, Stop> {
    let begun = Instant::now();
    let ready = gateways::ready(environment)?;
    let logging = start::log(&ready.process, environment, Habit::Agent)?;
    tell(&ready, environment, &logging);
    let (board, vitals) = (Board::new(), Vitals::default());
    board.tell_warnings(logging.warnings());
    let integrations = ready.gateways.iter().map(|gateway| gateway.integration.id.clone()).collect();
    let configuration = surface::configuration(environment, &board);
    let told = Told { board, vitals, integrations, configuration, logging: logging.clone() };
    let runtime = start::runtime()?;
    let exit = runtime.block_on(serve(ready, begun, told));
    // Whatever still runs has been told to end and has had its time.
    runtime.shutdown_background();
    logging.finish();
    exit
}

/// A start worth reading: what runs, for whom, where, and what a person should know.
fn tell(ready: &Ready, environment: &Environment, logging: &Logging) {
    let Ready { process, connector, gateways, warnings, notes, .. } = ready;
    tracing::info!("federation-agent {VERSION} starts, integrations: {}", gateways.len());
    for file in &process.files {
        tracing::info!("settings: {}, and the environment before it", file.display());
    }
    for note in notes {
        tracing::info!("{note}");
    }
    let way = way(connector);
    for endpoint in &connector.endpoints {
        // Users, passwords and queries are no part of it: the settings refuse them.
        tracing::info!("controller: {}{way}", endpoint.as_str().trim_end_matches('/'));
    }
    for Gateway { integration, provider, recorder } in gateways {
        let title = provider::kind(&integration.kind).map_or(integration.kind.as_str(), |kind| kind.title);
        let (integration, kind) = (&integration.id, &integration.kind);
        let lines = provider.describe();
        let (shown, rest) = lines.split_at(lines.len().min(DESCRIBED));
        let more = if rest.is_empty() { String::new() } else { format!("; and {} more accounts", rest.len()) };
        // One line each: with forty integrations it is still a page.
        tracing::info!(integration, provider = kind, "gateway: {title}; {}{more}", shown.join("; "));
        for line in rest {
            tracing::debug!(integration, "{line}");
        }
        recorder.describe(title, lines);
    }
    if let Some(traces) = logging.traces() {
        tracing::info!("{}", traces.describe());
    }
    for warning in warnings.iter().cloned().chain(traces::unheard(environment)) {
        tracing::warn!("{warning}");
    }
}

/// How controllers are reached, for a person: names only, no header's value.
fn way(connector: &Connector) -> String {
    let mut words = Vec::new();
    if !connector.headers.is_empty() {
        let names: Vec<String> = connector.headers.iter().map(|(name, _)| format!("{name}: ***")).collect();
        words.push(format!("with {}", names.join(", ")));
    }
    if let Proxy::Http { host, port, .. } = &connector.proxy {
        words.push(format!("through the proxy {host}:{port}"));
    }
    if words.is_empty() { String::new() } else { format!(", {}", words.join(", ")) }
}

async fn serve(mut ready: Ready, begun: Instant, told: Told) -> Result<Exit, Stop> {
    let mut signals = Signals::take()?;
    let (board, vitals, shutdown) = (told.board.clone(), told.vitals.clone(), CancellationToken::new());
    surface::serve(&ready.process, ready.tls.take(), told, &shutdown).await?;
    tokio::spawn(vitals.watch(Part::Process, shutdown.clone().cancelled_owned()));
    tokio::select! {
        biased;
        signal = signals.next() => {
            tracing::info!("{signal}: nothing is under way, leaving");
            return Ok(Exit::Good);
        }
        checked = check::at_start(&ready, &shutdown) => checked?,
    }
    let Ready { process, connector, network, gateways, .. } = ready;
    let count = gateways.len();
    let identities: Vec<_> =
        gateways.iter().map(|gateway| (gateway.recorder.clone(), Arc::clone(&gateway.provider))).collect();
    let journal = Journal::at(&process.data_dir);
    board.watch_journal(Arc::new(journal.clone()));
    tokio::spawn(tell_journal(journal.clone(), board.clone()));
    let whose = journal.clone();
    vitals.tell_journal(move || whose.trouble());
    let running = Running::start(&connector, &process, &network, gateways, &journal, &board, &vitals)?;
    for (recorder, provider) in identities {
        tokio::spawn(identify(recorder, provider, shutdown.clone()));
    }
    let all_connected = running.all_connected();
    tokio::spawn(async move {
        all_connected.await;
        let millis = begun.elapsed().as_millis();
        tracing::info!("ready, waiting for the plane's commands; connected integrations: {count}, after {millis} ms");
        tokio::time::sleep(SETTLED).await;
        loop {
            memory::let_go_of_code();
            tokio::time::sleep(LET_GO).await;
        }
    });

    let signal = signals.next().await;
    vitals.leave();
    if running.is_idle() {
        tracing::info!("{signal}: nothing is under way, leaving");
    } else {
        let drain = humantime::format_duration(process.drain);
        tracing::info!("{signal}: finishing what is under way, within {drain}; a second signal ends at once");
    }
    let clean = tokio::select! {
        clean = running.leave(process.drain) => clean,
        second = signals.next() => {
            tracing::warn!("{second}, the second signal: ending at once; what was under way is neither finished nor undone");
            return Ok(Exit::Failed);
        }
    };
    shutdown.cancel();
    tracing::info!("federation-agent ends");
    Ok(if clean { Exit::Good } else { Exit::Failed })
}

/// Says where the journal is, and whether it outlives this process. Beside everything else: no disk holds up the start.
async fn tell_journal(journal: Journal, board: Board) {
    journal.look().await;
    if journal.folder().is_some() && journal.trouble().is_some() {
        // Looking has said so, and why.
        board.tell_journal(journal.describe().await);
        return;
    }
    let (line, lasts) = journal.place().await;
    if lasts {
        tracing::info!("{line}");
    } else {
        tracing::warn!("{line}");
    }
    board.tell_journal(line);
}

/// Says who the agent is in a gateway: wrong credentials must be seen before the first command. Beside everything else:
/// nothing waits for it.
async fn identify(recorder: Recorder, provider: Arc<dyn Provider>, shutdown: CancellationToken) {
    let call = Call { id: "start".into(), deadline: Instant::now() + IDENTIFY, cancel: shutdown.clone() };
    let lines = provider.identify(&call).await;
    if shutdown.is_cancelled() {
        return;
    }
    let integration = recorder.integration();
    let mut identities = Vec::new();
    let mut told = 0;
    for line in lines {
        identities.push(Identity {
            known: line.is_ok(),
            says: line.as_ref().map_or_else(|error| error.sentence().to_owned(), Clone::clone),
        });
        match line {
            Ok(line) if told >= IDENTITIES => tracing::debug!(integration, "{line}"),
            Ok(line) => {
                told += 1;
                tracing::info!(integration, "{line}");
            }
            Err(error) => tracing::warn!(integration, "{error}"),
        }
    }
    recorder.identified(identities);
}
