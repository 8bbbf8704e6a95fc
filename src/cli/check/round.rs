//! The whole round: every section at the same time, told in one order.

use std::sync::{Mutex, PoisonError};

use futures_util::{FutureExt as _, future::BoxFuture, future::join_all};
use tokio::{
    sync::mpsc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        gateways::{Gateway, Ready},
        wiring,
    },
    Told, clock, gateway, machine, of_settings, plane,
};
use crate::{
    link::Endpoint,
    model::Dated,
    provider::{Finding, Verdict},
};

/// How long the tries on one gateway may take in all.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is tried, and how far.
pub(super) struct Round<'a> {
    pub(super) ready: &'a Ready,
    /// Whether HELLO is said: it makes the plane show the integration as connected for a moment.
    pub(super) greets: bool,
    pub(super) cancel: CancellationToken,
    /// Until when the gateways may take.
    pub(super) deadline: Instant,
    /// The clocks that were seen, and whose they are.
    clocks: Mutex<Vec<(String, Dated)>>,
}

/// Where a section tells what it finds.
#[derive(Clone)]
pub(super) struct Section {
    about: String,
    tell: mpsc::UnboundedSender<Told>,
}

impl Section {
    pub(super) fn heading(&self, what: String) {
        self.send(Told::Heading(what));
    }

    pub(super) fn finding(&self, finding: Finding) {
        self.send(Told::Finding { about: self.about.clone(), finding });
    }

    pub(super) fn findings(&self, all: impl IntoIterator<Item = Finding>) {
        for finding in all {
            self.finding(finding);
        }
    }

    pub(super) fn find(&self, id: &'static str, verdict: Verdict, what: &str, says: impl Into<String>) {
        self.finding(Finding::new(id, verdict, what, says));
    }

    fn send(&self, told: Told) {
        // Nobody listens: nothing to tell.
        let _ = self.tell.send(told);
    }
}

impl<'a> Round<'a> {
    pub(super) fn new(ready: &'a Ready, greets: bool, cancel: CancellationToken) -> Self {
        Self { ready, greets, cancel, deadline: Instant::now() + PATIENCE, clocks: Mutex::default() }
    }

    /// Somebody's clock was seen.
    pub(super) fn saw_clock(&self, whose: String, dated: Dated) {
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner).push((whose, dated));
    }

    /// Tries everything at the same time, and tells it in order.
    pub(super) async fn go(&self, tell: mpsc::Sender<Told>) {
        let Ready { process, connector, gateways, .. } = self.ready;
        let mut works: Vec<BoxFuture<'_, ()>> = Vec::new();
        let mut sections = Vec::new();
        let mut section = |about: &str| {
            let (tell, told) = mpsc::unbounded_channel();
            sections.push(told);
            Section { about: about.to_owned(), tell }
        };
        let settings = section("settings");
        settings.findings(of_settings(self.ready));
        settings.findings(plane::own_certificate(connector));
        drop(settings);
        for Gateway { integration, .. } in gateways {
            for url in &connector.endpoints {
                // The settings have refused what is none.
                let Ok(endpoint) = Endpoint::new(url) else { continue };
                let link = wiring::link_settings(connector, process, integration);
                works.push(plane::walk(self, section(&integration.id), endpoint, link).boxed());
            }
        }
        for gateway in gateways {
            works.push(gateway::walk(self, section(&gateway.integration.id), gateway).boxed());
        }
        let last = section("machine");
        let of_machine = last.clone();
        works.push(
            async move {
                of_machine.heading("this machine".into());
                machine::look(self.ready, &of_machine).await;
            }
            .boxed(),
        );
        let mut sections = sections.into_iter();
        let telling = async {
            for mut section in sections.by_ref() {
                while let Some(told) = section.recv().await {
                    // Nobody listens: nothing to tell.
                    let _ = tell.send(told).await;
                }
            }
        };
        let working = async move {
            join_all(works).await;
            let clocks = std::mem::take(&mut *self.clocks.lock().unwrap_or_else(PoisonError::into_inner));
            last.findings(clock::compare(&clocks));
            // Nothing more is told.
            drop(last);
        };
        tokio::join!(working, telling);
    }
}
