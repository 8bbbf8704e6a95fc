//! From settings to gateways that can be asked: what `run`, `discover`, `check` and `iam` share.

use std::sync::Arc;

use super::{exit::Stop, terminal};
use crate::{
    provider::{self, Provider},
    settings::{self, Environment, Fault, Faults, Integration, KeyTable, Process},
};

/// One configured gateway.
pub(super) struct Gateway {
    /// Its settings.
    pub(super) integration: Integration,
    /// How it is asked.
    pub(super) provider: Arc<dyn Provider>,
}

/// The kinds of gateway that this binary speaks, as the settings want them.
pub(super) fn kinds() -> Vec<(&'static str, &'static KeyTable)> {
    provider::KINDS.iter().map(|kind| (kind.name, kind.keys)).collect()
}

/// Builds every gateway; all faults of all of them at once. Touches no network.
pub(super) fn build(integrations: Vec<Integration>, process: &Process) -> Result<Vec<Gateway>, Faults> {
    let mut faults = Faults::default();
    let mut gateways = Vec::new();
    for integration in integrations {
        let Some(kind) = provider::kind(&integration.kind) else {
            let known = provider::KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
            faults.0.push(Fault {
                variable: format!("gravitee_integration_providers_{}_type", integration.index),
                found: Some(integration.kind),
                says: format!("this agent does not know this kind of gateway; accepted: {known}"),
            });
            continue;
        };
        match (kind.build)(&integration, process) {
            Ok(provider) => gateways.push(Gateway { integration, provider }),
            Err(found) => faults.0.extend(found.0),
        }
    }
    if faults.0.is_empty() { Ok(gateways) } else { Err(faults) }
}

/// The gateways for a command that needs no plane; `only` is N or the integration's id.
pub(super) fn load(environment: &Environment, only: Option<&str>) -> Result<(Process, Vec<Gateway>), Stop> {
    let settings::Gateways { process, integrations, warnings } = settings::gateways(environment, &kinds())?;
    for warning in warnings {
        terminal::complain(format_args!("warning: {warning}"));
    }
    let known: Vec<String> = integrations.iter().map(|one| format!("{} ({})", one.index, one.id)).collect();
    let wanted: Vec<Integration> = integrations
        .into_iter()
        .filter(|one| only.is_none_or(|only| one.id == only || one.index.to_string() == only))
        .collect();
    if let (Some(only), []) = (only, wanted.as_slice()) {
        return Err(Stop::usage(format_args!(
            "--integration {only}: no such provider is configured; there is: {}",
            known.join(", ")
        )));
    }
    let gateways = build(wanted, &process)?;
    Ok((process, gateways))
}
