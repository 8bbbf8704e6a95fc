//! The real binary as a child process, with what it says; and a plane and a gateway for it to stand between.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use federation_agent::{
    plane::{Phase, Plane, PlaneSettings},
    standin::{self, Estate, Gateway},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};

/// How long anything here may take before the test gives up; nothing waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running `federation-agent`. Killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    /// Everything that it has said so far, on stdout and stderr.
    pub(crate) said: Vec<String>,
    _data: TempDir,
}

impl Process {
    /// Starts it with exactly these variables, and a data folder of its own where they name none.
    pub(crate) fn start(arguments: &[&str], environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let data = TempDir::new().unwrap();
        let own = ("FEDERATION_AGENT_DATA_DIR".to_owned(), data.path().to_str().unwrap().to_owned());
        let environment = std::iter::once(own).chain(environment);
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("federation-agent"))
            .args(arguments)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (told, lines) = mpsc::unbounded_channel();
        hear(child.stdout.take().unwrap(), told.clone());
        hear(child.stderr.take().unwrap(), told);
        Self { child, lines, said: Vec::new(), _data: data }
    }

    /// Waits for a line that contains `what`, or finds it among those said before.
    pub(crate) async fn says(&mut self, what: &str) -> String {
        if let Some(line) = self.said.iter().find(|line| line.contains(what)) {
            return line.clone();
        }
        loop {
            let Ok(Some(line)) = timeout(PATIENCE, self.lines.recv()).await else {
                panic!("it does not say `{what}`, or ended before:\n{}", self.said.join("\n"));
            };
            self.said.push(line.clone());
            if line.contains(what) {
                return line;
            }
        }
    }

    /// Sends `TERM` or `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().expect("it has ended");
        let sent = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, and returns everything that it said.
    pub(crate) async fn end(mut self) -> (ExitStatus, Vec<String>) {
        let Ok(status) = timeout(PATIENCE, self.child.wait()).await else {
            panic!("it does not end:\n{}", self.said.join("\n"))
        };
        while let Ok(Some(line)) = timeout(PATIENCE, self.lines.recv()).await {
            self.said.push(line);
        }
        (status.unwrap(), std::mem::take(&mut self.said))
    }
}

fn hear(stream: impl AsyncRead + Unpin + Send + 'static, told: mpsc::UnboundedSender<String>) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if told.send(line).is_err() {
                return;
            }
        }
    });
}

/// `what`, or a panic that names it when it takes too long.
pub(crate) async fn soon<T>(name: &str, what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.unwrap_or_else(|_| panic!("{name}: not within {PATIENCE:?}"))
}

/// A plane and a gateway in this process, and what an agent needs to stand between them.
pub(crate) struct Stage {
    pub(crate) plane: Plane,
    pub(crate) gateway: Gateway,
    integrations: Vec<String>,
    /// The agent's data folder: one a stage, as with one volume.
    pub(crate) data: TempDir,
}

/// The plane's token: no line of output may hold it.
pub(crate) const TOKEN: &str = "token-never-to-be-seen";
/// The secret access key: no line of output may hold it.
pub(crate) const AWS_SECRET: &str = "aws-secret-never-to-be-seen";

impl Stage {
    /// A plane that knows `integrations`, and the demo's gateway.
    pub(crate) async fn set(integrations: &[&str]) -> Self {
        // A busy machine must not let an INGEST overtake its job: the agent waits ten times as long.
        let job_delay = Duration::from_millis(20);
        let settings = PlaneSettings { token: TOKEN.into(), job_delay, ..PlaneSettings::default() };
        let plane = Plane::bind("127.0.0.1:0", settings).await.unwrap();
        for integration in integrations {
            plane.register(integration, "aws-api-gateway");
        }
        let gateway = Gateway::start(Estate::demo()).await.unwrap();
        Self {
            plane,
            gateway,
            integrations: integrations.iter().map(ToString::to_string).collect(),
            data: TempDir::new().unwrap(),
        }
    }

    /// What a person would put into `.env`, with short times and `more`.
    pub(crate) fn environment(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let ws = "gravitee_integration_connector_ws";
        let mut variables = vec![
            (format!("{ws}_endpoints_0"), self.plane.url()),
            (format!("{ws}_headers_0_name"), "Authorization".into()),
            (format!("{ws}_headers_0_value"), format!("bearer {TOKEN}")),
            ("FEDERATION_AGENT_LISTEN".into(), "127.0.0.1:0".into()),
            ("FEDERATION_AGENT_DATA_DIR".into(), self.data.path().to_str().unwrap().to_owned()),
            ("FEDERATION_AGENT_INGEST_PAUSE".into(), "200ms".into()),
            ("FEDERATION_AGENT_RETRY_INITIAL".into(), "50ms".into()),
            ("FEDERATION_AGENT_RETRY_SLOW".into(), "200ms".into()),
        ];
        for (n, integration) in self.integrations.iter().enumerate() {
            let provider = format!("gravitee_integration_providers_{n}");
            variables.extend([
                (format!("{provider}_type"), "aws-api-gateway".into()),
                (format!("{provider}_integrationId"), integration.clone()),
                (format!("{provider}_configuration_accessKeyId"), "AKIATESTTESTTESTTEST".into()),
                (format!("{provider}_configuration_secretAccessKey"), AWS_SECRET.into()),
                (format!("{provider}_configuration_region"), standin::REGION.into()),
                (format!("{provider}_configuration_endpointUrl"), self.gateway.url()),
            ]);
        }
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        variables
    }

    /// The agent, connected for every integration.
    pub(crate) async fn agent(&self, more: &[(&str, &str)]) -> Process {
        let agent = Process::start(&[], self.environment(more));
        for integration in &self.integrations {
            soon("connected", self.plane.connected(integration)).await;
        }
        agent
    }

    /// Ingests everything; the id of the Petstore's `prod` stage.
    pub(crate) async fn ingested(&self, integration: &str) -> String {
        let all: [&str; 0] = [];
        let job = soon("START_INGEST", self.plane.ingest(integration, all)).await.unwrap();
        let ended = soon("ingest", job.ended()).await;
        assert_eq!((ended.phase, ended.dropped), (Phase::Done, 0), "{ended:?}");
        let apis = self.plane.apis(integration);
        apis.into_iter().find(|api| api.id.contains("p3ts7ore01") && api.id.contains("prod")).unwrap().id
    }

    /// How many API keys are in the gateway.
    pub(crate) fn keys(&self) -> usize {
        self.gateway.with(|estate| estate.keys().count())
    }
}
