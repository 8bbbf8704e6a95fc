//! `run`: the agent itself. Reads the settings, puts everything together, runs until a signal, drains, ends.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    arguments::VERSION,
    check,
    exit::{Exit, Stop},
    gateways::{self, Gateway, Ready},
    start::{self, Habit, Signals},
    surface::{self, Told},
    wiring::Running,
};
use crate::{
    journal::Journal,
    observe::{Board, Part, Recorder, Vitals, status::Identity},
    provider::{self, Call, Provider},
    settings::Environment,
};

/// How long a gateway may take to say who the agent is there: an instance's metadata that does not answer, then STS.
const IDENTIFY: Duration = Duration::from_secs(30);

pub(super) fn run(environment: &Environment) -> Result<Exit, Stop> {
    let begun = Instant::now();
    let ready = gateways::ready(environment)?;
    let logging = start::log(&ready.process, environment, Habit::Agent)?;
    tell(&ready);
    let (board, vitals) = (Board::new(), Vitals::default());
    board.tell_warnings(logging.warnings());
    let integrations = ready.gateways.iter().map(|gateway| gateway.integration.id.clone()).collect();
    let configuration = surface::configuration(environment, &board);
    let told = Told { board, vitals, integrations, configuration, logging: logging.clone() };
    let runtime = start::runtime()?;
    let exit = runtime.block_on(serve(ready, begun, told));
    // Whatever still runs has been told to end and has had its time.
    runtime.shutdown_background();
    exit
}

/// A start worth reading: what runs, for whom, where, and what a person should know.
fn tell(Ready { process, connector, gateways, warnings, notes, .. }: &Ready) {
    tracing::info!("federation-agent {VERSION} starts, integrations: {}", gateways.len());
    for file in &process.files {
        tracing::info!("settings: {}, and the environment before it", file.display());
    }
    for note in notes {
        tracing::info!("{note}");
    }
    for endpoint in &connector.endpoints {
        // Users, passwords and queries are no part of it: the settings refuse them.
        tracing::info!("controller: {}", endpoint.as_str().trim_end_matches('/'));
    }
    for Gateway { integration, provider, recorder } in gateways {
        let title = provider::kind(&integration.kind).map_or(integration.kind.as_str(), |kind| kind.title);
        tracing::info!(integration = integration.id, provider = integration.kind, "gateway: {title}");
        let lines = provider.describe();
        for line in &lines {
            tracing::info!(integration = integration.id, "{line}");
        }
        recorder.describe(title, lines);
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
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
    let line = journal.describe().await;
    tracing::info!("{line}");
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
    for line in lines {
        identities.push(Identity {
            known: line.is_ok(),
            says: line.as_ref().map_or_else(|error| error.sentence().to_owned(), Clone::clone),
        });
        match line {
            Ok(line) => tracing::info!(integration, "{line}"),
            Err(error) => tracing::warn!(integration, "{error}"),
        }
    }
    recorder.identified(identities);
}
