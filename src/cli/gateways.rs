//! From settings to gateways that can be asked: what `run`, `discover`, `check` and `iam` share.

use std::{collections::BTreeSet, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{exit::Stop, terminal, wiring};
use crate::{
    link::{self, Dial, server_tls},
    observe::Recorder,
    provider::{self, Provider},
    settings::{
        self, Connector, Draft, Environment, Fault, Faults, Integration, KeyTable, Process, Store, StoreKind,
        StoreSource,
    },
};

/// The variable that names certificates for the link and for the gateways: both would complain of it.
const CA_FILE: &str = "FEDERATION_AGENT_CA_FILE";

/// One configured gateway.
pub(super) struct Gateway {
    /// Its settings.
    pub(super) integration: Integration,
    /// How it is asked.
    pub(super) provider: Arc<dyn Provider>,
    /// What happens with it.
    pub(super) recorder: Recorder,
}

/// The kinds of gateway that this binary speaks, as the settings want them.
pub(super) fn kinds() -> Vec<(&'static str, &'static KeyTable)> {
    provider::KINDS.iter().map(|kind| (kind.name, kind.keys)).collect()
}

/// Everything that `run` and `check` need, checked as far as that goes without asking anybody.
pub(super) struct Ready {
    /// Settings of the process.
    pub(super) process: Process,
    /// Settings of the link.
    pub(super) connector: Connector,
    /// The way to the plane.
    pub(super) network: Arc<dyn Dial>,
    /// The gateways.
    pub(super) gateways: Vec<Gateway>,
    /// The certificate of the health and node surface.
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    /// What a person should know.
    pub(super) warnings: Vec<String>,
    /// What is set and not needed, or read in part.
    pub(super) notes: Vec<String>,
}

/// Reads the settings and builds of them what can be built without touching the network.
///
/// # Errors
/// All that is wrong at once: the settings' own faults, those that only a provider knows (a region, a role), and
/// certificates that cannot be used.
pub(super) fn ready(environment: &Environment) -> Result<Ready, Faults> {
    let Draft { process, connector, integrations, warnings, notes, mut faults } =
        settings::draft(environment, &kinds());
    let gateways = build(integrations, &process, &mut faults);
    let wired = connector.and_then(|mut connector| {
        if faults.0.iter().any(|fault| fault.variable == CA_FILE) {
            // It has its fault; the link's own certificates are looked at all the same.
            connector.tls.extra_ca = None;
        }
        match wiring::network(&connector, &process) {
            Ok(network) => Some((connector, network)),
            Err(more) => {
                add(&mut faults, more);
                None
            }
        }
    });
    let tls = process.http.keystore.as_ref().map(server_tls).transpose();
    let tls = tls.map_err(|fault| add(&mut faults, Faults(vec![fault]))).unwrap_or_default();
    match wired {
        Some((connector, network)) if faults.0.is_empty() => {
            Ok(Ready { process, connector, network, gateways, tls, warnings, notes })
        }
        _ => Err(faults),
    }
}

/// Builds every gateway; what is wrong goes to `faults`. Touches no network.
fn build(integrations: Vec<Integration>, process: &Process, faults: &mut Faults) -> Vec<Gateway> {
    let mut gateways = Vec::new();
    let in_pem;
    let process = if let Some(store) = &process.trusted {
        in_pem = Process { trusted: pem(store, faults), ..process.clone() };
        &in_pem
    } else {
        process
    };
    let mut found = Faults::default();
    for integration in integrations {
        let Some(kind) = provider::kind(&integration.kind) else {
            let known = provider::KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
            found.0.push(Fault {
                variable: format!("gravitee_integration_providers_{}_type", integration.index),
                found: Some(integration.kind),
                says: format!("this agent does not know this kind of gateway; accepted: {known}"),
            });
            continue;
        };
        let recorder = Recorder::new(&integration.id, kind.name);
        match (kind.build)(&integration, process, &recorder) {
            Ok(provider) => gateways.push(Gateway { integration, provider, recorder }),
            // What all of them read (a CA, a proxy) is told once.
            Err(more) => found.0.extend(more.0),
        }
    }
    add(faults, found);
    gateways
}

/// The certificates of `store` as providers take them: PEM, whatever they were in.
fn pem(store: &Store, faults: &mut Faults) -> Option<Store> {
    match link::certificates(store) {
        Ok(certificates) => {
            let mut text = String::new();
            for one in &certificates {
                for part in
                    ["-----BEGIN CERTIFICATE-----\n", &BASE64_STANDARD.encode(one), "\n-----END CERTIFICATE-----\n"]
                {
                    text.push_str(part);
                }
            }
            Some(Store { kind: StoreKind::Pem, source: StoreSource::Inline(text.into_bytes()), ..store.clone() })
        }
        Err(fault) => {
            add(faults, Faults(vec![fault]));
            None
        }
    }
}

/// Adds `more` to `faults`: each once, and nothing of a variable whose fault is known, since the rest follows from it.
fn add(faults: &mut Faults, more: Faults) {
    let known: BTreeSet<String> = faults.0.iter().map(|fault| fault.variable.clone()).collect();
    for fault in more.0 {
        if !known.contains(&fault.variable) && !faults.0.contains(&fault) {
            faults.0.push(fault);
        }
    }
}

/// The gateways for a command that needs no plane; `only` is N or the integration's id.
pub(super) fn load(environment: &Environment, only: Option<&str>) -> Result<(Process, Vec<Gateway>), Stop> {
    let (process, gateways, ..) = load_beside(environment, only)?;
    Ok((process, gateways))
}

/// The same, and the ids of the integrations that were not asked for.
pub(super) fn load_beside(
    environment: &Environment,
    only: Option<&str>,
) -> Result<(Process, Vec<Gateway>, Vec<String>), Stop> {
    let Draft { process, integrations, warnings, mut faults, .. } = settings::draft_of_gateways(environment, &kinds());
    let gateways = build(integrations, &process, &mut faults);
    if !faults.0.is_empty() {
        return Err(faults.into());
    }
    for warning in warnings {
        terminal::complain(format_args!("warning: {warning}"));
    }
    let known: Vec<String> =
        gateways.iter().map(|Gateway { integration: one, .. }| format!("{} ({})", one.index, one.id)).collect();
    let (wanted, others): (Vec<Gateway>, Vec<Gateway>) = gateways.into_iter().partition(|gateway| {
        let one = &gateway.integration;
        only.is_none_or(|only| one.id == only || one.index.to_string() == only)
    });
    if let (Some(only), []) = (only, wanted.as_slice()) {
        return Err(Stop::usage(format_args!(
            "--integration {only}: no such provider is configured; there is: {}",
            known.join(", ")
        )));
    }
    Ok((process, wanted, others.into_iter().map(|other| other.integration.id).collect()))
}
