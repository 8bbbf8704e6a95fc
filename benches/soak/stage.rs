//! The agent between a plane and a gateway, and how it is ended.

use std::{io, net::SocketAddr, path::Path, process::Stdio, sync::Arc};

use federation_agent::{
    plane::{Plane, PlaneSettings},
    standin::{Estate, Gateway, REGION},
};
use secrecy::ExposeSecret;
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Duration, Instant, timeout},
};

use crate::{DOCUMENT, INTEGRATION, STAGES, agent::Agent, log::Log, within};

/// Its provider's type.
const PROVIDER: &str = "aws-api-gateway";
/// How long the agent may take to end; its own limit is 8 s.
const LEAVING: Duration = Duration::from_secs(10);

/// What a run needs.
pub(crate) struct Stage {
    pub(crate) plane: Plane,
    pub(crate) gateway: Gateway,
    pub(crate) door: Door,
    pub(crate) agent: Agent,
    pub(crate) log: Arc<Log>,
    /// `http://…` of its health surface.
    pub(crate) health: String,
    /// Its data folder.
    pub(crate) folder: tempfile::TempDir,
    /// Its environment.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// How the agent ended.
pub(crate) struct Left {
    code: Option<i32>,
    took: Duration,
}

impl Left {
    pub(crate) fn print(&self) -> bool {
        let good = self.code == Some(0);
        println!(
            "SIGTERM at the end: exit code {:?} after {:.1} s{}",
            self.code,
            self.took.as_secs_f64(),
            if good { "" } else { "   <-- must be 0" }
        );
        good
    }
}

impl Stage {
    pub(crate) async fn set(binary: &Path) -> io::Result<Self> {
        let plane = Plane::new(PlaneSettings::default());
        plane.register(INTEGRATION, PROVIDER);
        let door = Door::before(plane.clone()).await?;
        let gateway = Gateway::start(Estate::large(STAGES, DOCUMENT)).await?;
        let folder = tempfile::tempdir()?;
        let mut variables = variables(&plane, door.address, &gateway.url());
        variables.push(("FEDERATION_AGENT_DATA_DIR", folder.path().display().to_string()));
        let mut agent = Agent::start(binary, &variables, Stdio::piped())?;
        let stderr = agent.child.stderr.take().ok_or_else(|| io::Error::other("its log is piped"))?;
        let log = Log::follow(stderr)?;
        let health = within("the address of the health surface", log.health()).await??;
        within("the connection", plane.connected(INTEGRATION)).await?;
        Ok(Self { plane, gateway, door, agent, log, health, folder, variables })
    }

    /// Ends the agent as a container's engine does.
    pub(crate) async fn leave(&mut self) -> io::Result<Left> {
        let began = Instant::now();
        let id = self.agent.child.id().ok_or_else(|| io::Error::other("the agent has ended before it was told to"))?;
        tokio::process::Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
        let code = if let Ok(status) = timeout(LEAVING, self.agent.child.wait()).await {
            status?.code()
        } else {
            self.agent.end().await?;
            None
        };
        Ok(Left { code, took: began.elapsed() })
    }
}

/// The agent's environment: a log of warnings, an open bucket, connecting again without long waits.
fn variables(plane: &Plane, address: SocketAddr, gateway: &str) -> Vec<(&'static str, String)> {
    let token = format!("bearer {}", plane.token().expose_secret());
    vec![
        // Where the health surface listens is told by this one room.
        ("FEDERATION_AGENT_LOG", "warn,federation_agent::cli::run=info".into()),
        ("FEDERATION_AGENT_LISTEN", "127.0.0.1:0".into()),
        ("FEDERATION_AGENT_RETRY_INITIAL", "200ms".into()),
        ("FEDERATION_AGENT_RETRY_MAX", "2s".into()),
        ("FEDERATION_AGENT_PING", "1s".into()),
        ("FEDERATION_AGENT_SILENCE", "3s".into()),
        ("gravitee_integration_connector_ws_endpoints_0", format!("http://{address}")),
        ("gravitee_integration_connector_ws_headers_0_name", "Authorization".into()),
        ("gravitee_integration_connector_ws_headers_0_value", token),
        ("gravitee_integration_providers_0_type", PROVIDER.into()),
        ("gravitee_integration_providers_0_integrationId", INTEGRATION.into()),
        ("gravitee_integration_providers_0_configuration_region", REGION.into()),
        ("gravitee_integration_providers_0_configuration_accessKeyId", "AKIASOAK".into()),
        ("gravitee_integration_providers_0_configuration_secretAccessKey", "any".into()),
        ("gravitee_integration_providers_0_configuration_callsPerSecond", "1000000".into()),
        ("gravitee_integration_providers_0_configuration_burst", "1000".into()),
        ("gravitee_integration_providers_0_configuration_endpointUrl", gateway.into()),
    ]
}

/// The plane's port, which can be closed for a while: a plane that restarts, with its database.
#[derive(Clone)]
pub(crate) struct Door {
    address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Door {
    async fn before(plane: Plane) -> io::Result<Self> {
        let first = TcpListener::bind("127.0.0.1:0").await?;
        let address = first.local_addr()?;
        let (open, mut is_open) = watch::channel(true);
        tokio::spawn(async move {
            let mut listener = Some(first);
            loop {
                let Some(bound) = &listener else {
                    if is_open.wait_for(|open| *open).await.is_err() {
                        return;
                    }
                    // Its port is its own; one that the system still holds is asked for again.
                    listener = TcpListener::bind(address).await.ok();
                    tokio::task::yield_now().await;
                    continue;
                };
                tokio::select! {
                    accepted = bound.accept() => {
                        if let Ok((stream, _)) = accepted {
                            _ = stream.set_nodelay(true);
                            plane.serve_stream(stream);
                        }
                    }
                    closed = is_open.wait_for(|open| !open) => {
                        if closed.is_err() {
                            return;
                        }
                        listener = None;
                    }
                }
            }
        });
        Ok(Self { address, open })
    }

    /// Connections are taken again.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Connections are refused.
    pub(crate) fn close(&self) {
        self.open.send_replace(false);
    }
}
