//! How the rooms are put together: to every gateway its agent and its link, and all of them on the health board.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{exit::Stop, gateways::Gateway};
use crate::{
    agent::{Agent, AgentSettings, guard::Guard},
    journal::{Journal, ingested::Ingested},
    link::{self, Dial, Link, LinkSettings, Network, State},
    observe::{Board, Part, Standing, Vitals, span},
    settings::{Connector, Faults, Integration, Process},
};

/// How long the links may take to say goodbye once nothing is left to do, and what came in meanwhile to be undone.
/// Twice this and the drain's 8 seconds stay within Docker's 10.
const GOODBYE: Duration = Duration::from_secs(1);

/// All integrations at work.
pub(super) struct Running {
    agents: Vec<Arc<Agent>>,
    states: Vec<watch::Receiver<State>>,
    links: Vec<JoinHandle<()>>,
    goodbye: CancellationToken,
}

/// The real network, as the settings say; certificates are read here, once for all links, and only for TLS.
pub(super) fn network(connector: &Connector, process: &Process) -> Result<Arc<dyn Dial>, Faults> {
    Ok(Arc::new(Network::new(connector, &process.proxy_environment, process.retry.silence)?))
}

/// What the link of `integration` needs to know.
pub(super) fn link_settings(connector: &Connector, process: &Process, integration: &Integration) -> LinkSettings {
    LinkSettings {
        connector: connector.clone(),
        retry: process.retry,
        integration_id: integration.id.clone(),
        provider: integration.kind.clone(),
    }
}

/// What keeps an ingest from destroying: it remembers in the data folder, where the journal lies in it.
pub(super) fn guard(process: &Process, journal: &Journal) -> Guard {
    if journal.folder().is_none() {
        return Guard::in_memory(process.plan_loss);
    }
    let ingested = Ingested::in_folder(process.data_dir.join("ingested"), journal);
    Guard::new(ingested, journal.clone(), process.plan_loss)
}

impl Running {
    /// Sets every gateway's agent and link to work, on the network `dial`. Needs the runtime.
    pub(super) fn start(
        connector: &Connector,
        process: &Process,
        dial: &Arc<dyn Dial>,
        gateways: Vec<Gateway>,
        journal: &Journal,
        board: &Board,
        vitals: &Vitals,
    ) -> Result<Self, Stop> {
        let (agents, states, goodbye) = (Vec::new(), Vec::new(), CancellationToken::new());
        let mut running = Self { agents, states, links: Vec::new(), goodbye };
        let mut links = Vec::new();
        let guard = guard(process, journal);
        for Gateway { integration, provider, recorder } in gateways {
            board.enlist(recorder.clone());
            let (tell, states) = link::states();
            let guard = guard.clone();
            let settings = AgentSettings {
                guard: guard.clone(),
                recorder: recorder.clone(),
                ..AgentSettings::new(&integration.id, process)
            };
            let agent = Agent::new(settings, provider, states.clone(), journal.clone());
            let (whose, integration_id) = (integration.id.clone(), integration.id.clone());
            let span = span::integration(&whose);
            tokio::spawn(async move { guard.begin(&whose).await }.instrument(span));
            let settings = link_settings(connector, process, &integration);
            let link =
                Link::new(settings, Arc::clone(dial), Arc::clone(&agent) as Arc<dyn link::Receiver>, rand::random())?
                    .telling(tell)
                    .recording(recorder)
                    .with_detail(agent.health_detail());
            board.put(&integration.id, &integration.kind, standing(&states.borrow()));
            vitals.tell_gateway(&integration.id, agent.health_detail());
            running.states.push(states.clone());
            tokio::spawn(follow(states, board.clone(), integration));
            running.agents.push(agent);
            links.push((integration_id, link));
        }
        // What an earlier life left is seen to first, and holds up nobody.
        for agent in &running.agents {
            agent.begin();
        }
        // Only now: a fault in the last one must not leave the first ones connected.
        for (id, link) in links {
            let (goodbye, span) = (running.goodbye.clone(), span::integration(&id));
            let life = vitals.watch(Part::Link(id), async move { link.run(goodbye).await });
            running.links.push(tokio::spawn(life.instrument(span)));
        }
        Ok(running)
    }

    /// Ends as soon as every link has been connected; never, when one ends before that.
    pub(super) fn all_connected(&self) -> impl Future<Output = ()> + use<> {
        let states = self.states.clone();
        async move {
            for mut states in states {
                if states.wait_for(|state| matches!(state, State::Connected { .. })).await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Whether nothing is under way that somebody waits for.
    pub(super) fn is_idle(&self) -> bool {
        self.agents.iter().all(|agent| agent.is_idle())
    }

    /// Finishes within `drain` what is under way, undoes what cannot finish, and says goodbye. `false`: something was
    /// left undone, and the log names it.
    pub(super) async fn leave(self, drain: Duration) -> bool {
        self.drain_until(Instant::now() + drain).await;
        self.goodbye.cancel();
        // A peer that does not answer the close is left behind.
        let _ = timeout(GOODBYE, join_all(self.links)).await;
        // A SUBSCRIBE that came in the last moment was cut off by the goodbye, and is undone.
        join_all(self.agents.iter().map(|agent| agent.drain(GOODBYE))).await;
        join_all(self.agents.iter().map(|agent| agent.write_rest())).await;
        // Each is asked: each names what it leaves.
        let settled: Vec<bool> = self.agents.iter().map(|agent| agent.settled()).collect();
        settled.into_iter().all(|settled| settled)
    }

    /// An agent that is done still carries out subscriptions while others drain: so all are asked again until nobody
    /// has anything left, or the time is over.
    async fn drain_until(&self, by: Instant) {
        loop {
            let left = by.saturating_duration_since(Instant::now());
            join_all(self.agents.iter().map(|agent| agent.drain(left))).await;
            if self.is_idle() || left.is_zero() {
                return;
            }
        }
    }
}

/// Puts every change of a link's state on the board, until the link is no more.
async fn follow(mut states: watch::Receiver<State>, board: Board, integration: Integration) {
    loop {
        let now = standing(&states.borrow_and_update());
        board.put(&integration.id, &integration.kind, now);
        if states.changed().await.is_err() {
            return;
        }
    }
}

fn standing(state: &State) -> Standing {
    let (connected, since, why) = match state {
        State::Connected { since, .. } => (true, *since, None),
        State::Connecting { .. } => (false, SystemTime::now(), None),
        State::Waiting { since, why } => (false, *since, Some(why.clone())),
        State::Away { since } => (false, *since, Some(state.to_string())),
        State::Closed => (false, SystemTime::now(), Some(state.to_string())),
    };
    Standing { connected, since, why }
}
