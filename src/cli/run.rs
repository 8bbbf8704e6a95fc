//! `run`: the agent itself. Reads the settings, puts everything together, runs until a signal, drains, ends.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    arguments::VERSION,
    exit::{Exit, Stop},
    gateways::{self, Gateway, Ready},
    start::{self, Habit, Signals},
    wiring::Running,
};
use crate::{
    journal::Journal,
    observe::{Board, Logging, Server, traces},
    provider::{self, Call, Provider},
    settings::{Connector, Environment, Process, Proxy},
};

/// The variable that says where `/livez` and `/readyz` are served.
const LISTEN: &str = "FEDERATION_AGENT_LISTEN";
/// So many lines about a gateway are told at the start: its credentials and some accounts.
const DESCRIBED: usize = 6;
/// So many identities of one gateway are told at the start, each in a line.
const IDENTITIES: usize = 10;
/// How long a gateway may take to say who the agent is there: an instance's metadata that does not answer, then STS.
const IDENTIFY: Duration = Duration::from_secs(30);

pub(super) fn run(environment: &Environment) -> Result<Exit, Stop> {
    let begun = Instant::now();
    let ready = gateways::ready(environment)?;
    let logging = start::log(&ready.process, environment, Habit::Agent)?;
    tell(&ready, environment, &logging);
    let asked_to_listen = environment.get(LISTEN).is_some_and(|text| !text.trim().is_empty());
    let runtime = start::runtime()?;
    let exit = runtime.block_on(serve(ready, begun, asked_to_listen));
    // Whatever still runs has been told to end and has had its time.
    runtime.shutdown_background();
    logging.finish();
    exit
}

/// A start worth reading: what runs, for whom, where, and what a person should know.
fn tell(ready: &Ready, environment: &Environment, logging: &Logging) {
    let Ready { connector, gateways, warnings, .. } = ready;
    tracing::info!("federation-agent {VERSION} starts, integrations: {}", gateways.len());
    let way = way(connector);
    for endpoint in &connector.endpoints {
        // Users, passwords and queries are no part of it: the settings refuse them.
        tracing::info!("controller: {}{way}", endpoint.as_str().trim_end_matches('/'));
    }
    for Gateway { integration, provider, .. } in gateways {
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

async fn serve(ready: Ready, begun: Instant, asked_to_listen: bool) -> Result<Exit, Stop> {
    let Ready { process, connector, network, gateways, .. } = ready;
    let mut signals = Signals::take()?;
    let (board, shutdown) = (Board::new(), CancellationToken::new());
    listen(&process, asked_to_listen, &board, &shutdown).await?;
    let count = gateways.len();
    let identities: Vec<_> =
        gateways.iter().map(|gateway| (gateway.integration.id.clone(), Arc::clone(&gateway.provider))).collect();
    let journal = Journal::at(&process.data_dir);
    tokio::spawn(tell_journal(journal.clone()));
    let running = Running::start(&connector, &process, &network, gateways, &journal, &board)?;
    for (integration, provider) in identities {
        tokio::spawn(identify(integration, provider, shutdown.clone()));
    }
    let all_connected = running.all_connected();
    tokio::spawn(async move {
        all_connected.await;
        let millis = begun.elapsed().as_millis();
        tracing::info!("ready, waiting for the plane's commands; connected integrations: {count}, after {millis} ms");
    });

    let signal = signals.next().await;
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
async fn tell_journal(journal: Journal) {
    journal.look().await;
    if journal.folder().is_some() && journal.trouble().is_some() {
        // Looking has said so, and why.
        return;
    }
    let (line, lasts) = journal.place().await;
    if lasts {
        tracing::info!("{line}");
    } else {
        tracing::warn!("{line}");
    }
}

/// Says who the agent is in a gateway: wrong credentials must be seen before the first command. Beside everything else:
/// nothing waits for it.
async fn identify(integration: String, provider: Arc<dyn Provider>, shutdown: CancellationToken) {
    let call = Call { id: "start".into(), deadline: Instant::now() + IDENTIFY, cancel: shutdown.clone() };
    let lines = provider.identify(&call).await;
    if shutdown.is_cancelled() {
        return;
    }
    let mut told = 0;
    for line in lines {
        match line {
            Ok(line) if told >= IDENTITIES => tracing::debug!(integration, "{line}"),
            Ok(line) => {
                told += 1;
                tracing::info!(integration, "{line}");
            }
            Err(error) => tracing::warn!(integration, "{error}"),
        }
    }
}

/// Serves the health surface. A port that nobody asked for and somebody else has is a warning: the agent's work does
/// not need it.
async fn listen(process: &Process, asked: bool, board: &Board, shutdown: &CancellationToken) -> Result<(), Stop> {
    let Some(address) = process.listen else { return Ok(()) };
    match Server::bind(address).await {
        Ok(server) => {
            tracing::info!("health: http://{address}/livez and /readyz", address = server.address());
            tokio::spawn(server.serve(board.clone(), shutdown.clone()));
            Ok(())
        }
        Err(error) if asked => Err(Stop::failed(format_args!(
            "{LISTEN}={address} cannot be listened on: {error}; set another address, or `off`"
        ))),
        Err(error) => {
            tracing::warn!(
                "/livez and /readyz are not served, {address} cannot be listened on: {error}; set {LISTEN} to another \
                 address, or to `off`"
            );
            Ok(())
        }
    }
}
