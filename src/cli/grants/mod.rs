//! `grants`: what the journal knows of grants, beside what the gateways have and what the plane has accepted.

mod compare;
mod export;
mod gather;
mod list;
mod report;
mod revoke;
mod shelf;
#[cfg(test)]
mod tests;

use super::{
    arguments::{Grants, GrantsAction},
    exit::{Exit, Stop},
};
use crate::settings::Environment;

pub(super) fn grants(environment: &Environment, asked: &Grants) -> Result<Exit, Stop> {
    match &asked.action {
        Some(GrantsAction::Revoke { which, integration, live, dry_run }) => revoke::revoke(
            environment,
            &revoke::Wish { which, integration: integration.as_deref(), live: *live, dry_run: *dry_run },
        ),
        None if asked.orphans || !asked.subscriptions.is_empty() => gather::compared(environment, asked),
        None => list::list(environment, asked),
    }
}
