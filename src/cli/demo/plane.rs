//! `demo plane`: the management plane alone.

use std::net::SocketAddr;

use super::super::{
    exit::{Exit, Stop},
    start, terminal,
};
use crate::plane::{Plane, PlaneSettings};

pub(super) async fn serve(
    listen: SocketAddr,
    integrations: &[String],
    provider: &str,
    token: &str,
) -> Result<Exit, Stop> {
    let mut signals = start::Signals::take()?;
    let settings = PlaneSettings { token: token.into(), ..PlaneSettings::default() };
    let plane = Plane::bind(listen, settings)
        .await
        .map_err(|error| Stop::failed(format_args!("--listen {listen} cannot be listened on: {error}")))?;
    for integration in integrations {
        plane.register(integration, provider);
    }
    let url = plane.url();
    terminal::say(format_args!(
        "A management plane listens on {url}. An agent reaches it with\n\
         \n  gravitee_integration_connector_ws_endpoints_0={url}\
         \n  gravitee_integration_connector_ws_headers_0_name=Authorization\
         \n  gravitee_integration_connector_ws_headers_0_value=bearer {token}"
    ));
    for (n, integration) in integrations.iter().enumerate() {
        terminal::say(format_args!(
            "  gravitee_integration_providers_{n}_type={provider}\n  gravitee_integration_providers_{n}_integrationId={integration}"
        ));
    }
    let first = integrations.first().map_or("", String::as_str);
    terminal::say(format_args!(
        "\nIt is steered by HTTP:\n\
         \n  curl {url}/plane/state\
         \n  curl -X POST {url}/plane/{first}/discover\
         \n  curl -X POST '{url}/plane/{first}/ingest?wait=true'\
         \n  curl -X POST '{url}/plane/{first}/subscribe?api=...&plan=...&application=...'\
         \n  curl -X POST '{url}/plane/{first}/unsubscribe?id=...'\n\
         \nIt runs until SIGTERM or SIGINT."
    ));
    let signal = signals.next().await;
    let seen = plane.seen();
    plane.stop();
    terminal::say(format_args!("{signal}: the plane ends. HELLO commands seen: {}", seen.hellos));
    Ok(Exit::Good)
}
