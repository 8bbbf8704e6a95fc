//! `run`: the agent itself. Wires settings, providers, agents, links and the health surface together, runs until a
//! signal, drains, ends.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    arguments::VERSION,
    exit::{Exit, Stop},
    gateways::{self, Gateway},
    start::{self, Habit, Signals},
    wiring,
};
use crate::{
    agent::Agent,
    link::{self, Link},
    observe::{Board, Server, Standing},
    provider,
    settings::{self, Connector, Environment, Process},
};

/// How long the links may take to say goodbye once nothing is left to do.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long work may go on undoing itself after the drain's end.
const UNDOING: Duration = Duration::from_secs(3);

/// One integration at work.
struct Running {
    agent: Arc<Agent>,
    link: JoinHandle<()>,
}

pub(super) fn run(environment: &Environment) -> Result<Exit, Stop> {
    let settings = settings::load(environment, &gateways::kinds())?;
    let _log = start::log(&settings.process, environment, Habit::Agent)?;
    let gateways = gateways::build(settings.integrations, &settings.process)?;
    tell(&settings.connector, &settings.process, &gateways, &settings.warnings);
    let explicit = environment.get("FEDERATION_AGENT_LISTEN").is_some_and(|text| !text.trim().is_empty());
    let runtime = start::runtime()?;
    let exit = runtime.block_on(serve(&settings.connector, &settings.process, gateways, explicit));
    // What still runs has been told to end and has had its time.
    runtime.shutdown_background();
    exit
}

/// A start worth reading: what runs, for whom, how it is reached, and what a person should know.
fn tell(connector: &Connector, process: &Process, gateways: &[Gateway], warnings: &[String]) {
    tracing::info!(version = VERSION, integrations = gateways.len(), "federation-agent starts");
    for endpoint in &connector.endpoints {
        tracing::info!(endpoint = %wiring::shown(endpoint), "controller");
    }
    for Gateway { integration, provider } in gateways {
        let title = provider::kind(&integration.kind).map_or("", |kind| kind.title);
        tracing::info!(integration = integration.id, provider = integration.kind, "integration with {title}");
        for line in provider.describe() {
            tracing::info!(integration = integration.id, "{line}");
        }
    }
    tracing::debug!(
        drain = ?process.drain, budget = ?process.budget, retry = ?process.retry, "how the agent is paced"
    );
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

async fn serve(
    connector: &Connector,
    process: &Process,
    gateways: Vec<Gateway>,
    explicit: bool,
) -> Result<Exit, Stop> {
    let mut signals = Signals::take()?;
    let shutdown = CancellationToken::new();
    let board = Board::new();
    if let Some(address) = process.listen {
        match Server::bind(address).await {
            Ok(server) => {
                tracing::info!(address = %server.address(), "/livez and /readyz are served");
                tokio::spawn(server.serve(board.clone(), shutdown.clone()));
            }
            Err(error) if explicit => {
                return Err(Stop::failed(format_args!(
                    "FEDERATION_AGENT_LISTEN={address} cannot be listened on: {error}; set another address, or `off`"
                )));
            }
            Err(error) => tracing::warn!(
                %address, %error,
                "/livez and /readyz are not served; set FEDERATION_AGENT_LISTEN to a free address, or to `off`"
            ),
        }
    }

    let dial = wiring::dial(connector, process)?;
    let goodbye = CancellationToken::new();
    let mut running = Vec::new();
    for Gateway { integration, provider } in gateways {
        running.push(wiring::start(connector, process, &integration, provider, Arc::clone(&dial), &board, &goodbye));
    }

    let signal = signals.next().await;
    let ended = tokio::select! {
        () = leave(&running, process.drain, &goodbye, signal) => Exit::Good,
        second = signals.next() => {
            tracing::warn!(signal = second, "a second signal: ending at once, what was under way is not undone");
            Exit::Failed
        }
    };
    shutdown.cancel();
    if ended == Exit::Good {
        tracing::info!("federation-agent ends");
    }
    Ok(ended)
}
