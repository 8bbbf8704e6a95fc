//! The health and node surface of the running agent: what it is told, and where it listens.

use std::{collections::BTreeMap, sync::Arc};

use rustls::ServerConfig;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{arguments::VERSION, exit::Stop, gateways};
use crate::{
    observe::{Board, Levels, Logging, Server, Surface, Vitals, status::Configured},
    settings::{Environment, Process, Setting, Source, explain},
};

/// What the surface tells of this start.
pub(super) struct Told {
    /// Where the integrations stand.
    pub(super) board: Board,
    /// Whether the process goes on.
    pub(super) vitals: Vitals,
    /// The plane's ids of the integrations.
    pub(super) integrations: Vec<String>,
    /// The settings as they stand, masked.
    pub(super) configuration: BTreeMap<String, String>,
    /// The log, whose levels can be changed.
    pub(super) logging: Logging,
}

/// The settings as they stand, masked; Gravitee's by their names without the prefix, as its agents show them. Those that
/// are set go to `board`, for the status page.
pub(super) fn configuration(environment: &Environment, board: &Board) -> BTreeMap<String, String> {
    let settings = explain(environment, &gateways::kinds()).settings;
    board.tell_configuration(settings.iter().filter_map(configured).collect());
    let shown = settings.into_iter().filter_map(|setting| {
        let name = setting.variable;
        let is_theirs =
            ["gravitee_", "gravitee.", "GRAVITEE_", "GRAVITEE."].iter().find_map(|start| name.strip_prefix(start));
        Some((is_theirs.unwrap_or(&name).to_owned(), setting.value?))
    });
    shown.collect()
}

/// A setting as the status page shows it; `None`: nobody has set it.
fn configured(setting: &Setting) -> Option<Configured> {
    if matches!(setting.source, Source::Default | Source::Unset) {
        return None;
    }
    let value = setting.value.clone().unwrap_or_default();
    Some(Configured { name: setting.variable.clone(), value, source: setting.source.to_string() })
}

/// Serves the surface until `shutdown`. A port that nobody asked for and somebody else has is a warning: the agent's work
/// does not need it.
pub(super) async fn serve(
    process: &Process,
    tls: Option<Arc<ServerConfig>>,
    told: Told,
    shutdown: &CancellationToken,
) -> Result<(), Stop> {
    let Some(address) = process.listen else { return Ok(()) };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mend = "set FEDERATION_AGENT_LISTEN (or gravitee_services_core_http_port) to another address, or to `off`";
    match Server::bind(address).await {
        Ok(server) => {
            let guests = match process.http.users.as_slice() {
                [] if server.address().ip().is_loopback() => String::new(),
                [] => ", for everybody who reaches it".to_owned(),
                users => {
                    format!(", for the users {}", users.iter().map(|user| &*user.name).collect::<Vec<_>>().join(", "))
                }
            };
            let address = server.address();
            tracing::info!("health: {scheme}://{address}/livez and /readyz; status page, metrics and /_node{guests}");
            tokio::spawn(server.with_tls(tls).serve(surface(process, told), shutdown.clone()));
            Ok(())
        }
        Err(error) if process.http.asked => {
            Err(Stop::failed(format_args!("{address} cannot be listened on: {error}; {mend}")))
        }
        Err(error) => {
            tracing::warn!("/livez and /readyz are not served, {address} cannot be listened on: {error}; {mend}");
            Ok(())
        }
    }
}

fn surface(process: &Process, told: Told) -> Surface {
    let Told { board, vitals, integrations, configuration, logging } = told;
    Surface {
        board,
        vitals,
        version: VERSION.to_owned(),
        integrations,
        id: uuid::Uuid::new_v4().to_string(),
        started: Instant::now(),
        configuration,
        prometheus: !process.http.no_prometheus,
        levels: Levels::new(&process.log, move |filter| logging.set(filter)),
        users: process.http.users.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_by_gravitees_names_and_masked() {
        let environment: Environment = [
            ("gravitee_integration_connector_ws_endpoints_0", "https://apim.example.com"),
            ("gravitee_services_core_http_authentication_users_admin", "hunter2"),
            ("GRAVITEE_INTEGRATION_PROVIDERS_0_INTEGRATIONID", "one"),
            ("FEDERATION_AGENT_PING", "2s"),
            ("https_proxy", "http://u:hunter2@proxy:1"),
        ]
        .into_iter()
        .collect();
        let board = Board::new();
        let shown = configuration(&environment, &board);
        assert_eq!(shown["integration_connector_ws_endpoints_0"], "https://apim.example.com");
        assert_eq!(shown["services_core_http_authentication_users_admin"], "********");
        assert_eq!(shown["INTEGRATION_PROVIDERS_0_INTEGRATIONID"], "one");
        assert_eq!(shown["FEDERATION_AGENT_PING"], "2s");
        assert_eq!(shown["services_core_http_port"], "18084");
        assert!(!format!("{shown:?}").contains("hunter2"), "{shown:?}");
        let page: Vec<_> = board.status().configuration.into_iter().map(|one| (one.name, one.value)).collect();
        assert!(page.contains(&("FEDERATION_AGENT_PING".into(), "2s".into())) && page.len() == 5, "{page:?}");
    }
}
