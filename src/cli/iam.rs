//! `iam`: the least policy for this configuration.

use super::{
    exit::{Exit, Stop},
    gateways, terminal,
};
use crate::settings::Environment;

pub(super) fn iam(environment: &Environment, integration: Option<&str>) -> Result<Exit, Stop> {
    let (_, gateways) = gateways::load(environment, integration)?;
    if let [gateway, another, ..] = gateways.as_slice() {
        return Err(Stop::usage(format_args!(
            "several providers are configured; say whose policy: --integration {} or --integration {}",
            gateway.integration.index, another.integration.index
        )));
    }
    for gateway in &gateways {
        terminal::say(gateway.provider.least_policy().trim_end());
    }
    Ok(Exit::Good)
}
