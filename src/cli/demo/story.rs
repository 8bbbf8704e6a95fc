//! The story: a plane, a gateway and the real agent between them, step by step. A step that does not hold ends it.

use std::time::Duration;

use comfy_table::{Table, presets};
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        exit::{Exit, Stop},
        gateways::{self, Ready},
        terminal::{self, Mark, Terminal},
        wiring::Running,
    },
    caller,
    gateway::counted,
};
use crate::{
    journal::Journal,
    model::Api,
    observe::{Board, Vitals},
    plane::{Phase, Plane, PlaneSettings, PlaneSubscription},
    settings::Environment,
    standin::{self, Estate, Gateway},
};

/// The plane's id of the demo's integration.
const INTEGRATION: &str = "demo";
/// How long any one step may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The API that is subscribed to, as the gateway knows it, and the plan.
const API: (&str, &str) = ("p3ts7ore01", "prod");
const PLAN: &str = "g0ld77";
const APPLICATION: &str = "Corner shop";

/// Everybody on the stage.
struct Story {
    terminal: Terminal,
    plane: Plane,
    gateway: Gateway,
}

/// Tells it, from the first HELLO to the last refused call.
pub(super) async fn tell(terminal: Terminal, cancel: &CancellationToken) -> Result<Exit, Stop> {
    let begin = Instant::now();
    let bound = |error| Stop::failed(format_args!("no loopback port can be had: {error}"));
    let plane = Plane::bind(("127.0.0.1", 0), PlaneSettings::default()).await.map_err(bound)?;
    plane.register(INTEGRATION, "aws-api-gateway");
    let gateway = Gateway::start(Estate::demo()).await.map_err(bound)?;
    let story = Story { terminal, plane, gateway };
    let agent = tokio::select! {
        told = story.all() => told?,
        () = cancel.cancelled() => return Err(Stop::failed("stopped by a signal before the story's end")),
    };
    agent.leave(Duration::from_secs(2)).await;
    terminal::say(format_args!(
        "\nThat was all of it, in {:.1} s. For your own gateway: `federation-agent config`, `check`, `run`.",
        begin.elapsed().as_secs_f64()
    ));
    Ok(Exit::Good)
}

impl Story {
    async fn all(&self) -> Result<Running, Stop> {
        self.cast();
        let agent = self.connect().await?;
        self.discover().await?;
        let apis = self.ingest().await?;
        let (subscription, key) = self.subscribe(&apis).await?;
        self.unsubscribe(&subscription, &key).await?;
        Ok(agent)
    }

    fn cast(&self) {
        let Self { plane, gateway, terminal } = self;
        terminal::say(terminal.strong("The federation agent, whole, on this machine"));
        terminal::say(format_args!(
            "\n  plane    {}  a management plane, as Gravitee's integration controller behaves\
             \n  gateway  {}  an AWS API Gateway stand-in: account {}, {}\
             \n  agent    the real one between them: a real websocket to the left, the real AWS SDK to the right",
            plane.url(),
            gateway.url(),
            standin::ACCOUNT,
            standin::REGION
        ));
    }

    /// The agent starts and says HELLO.
    async fn connect(&self) -> Result<Running, Stop> {
        self.chapter("1. Connect", "The agent opens one outbound websocket. Nobody has to reach it.");
        let begin = Instant::now();
        let Ready { process, connector, network, gateways, .. } = gateways::ready(&self.environment())?;
        let board = Board::new();
        let running = Running::start(
            &connector,
            &process,
            &network,
            gateways,
            &Journal::in_memory(),
            &board,
            &Vitals::default(),
        )?;
        if timeout(PATIENCE, self.plane.connected(INTEGRATION)).await.is_err() {
            let why = board.standing(INTEGRATION).and_then(|standing| standing.why);
            return Err(Stop::failed(format_args!(
                "connect: the agent is not connected after {PATIENCE:?}: {}",
                why.unwrap_or_else(|| "no reason known".into())
            )));
        }
        self.good(&format!(
            "HELLO is answered: the console would show Connected ({} ms after the agent's start)",
            begin.elapsed().as_millis()
        ));
        Ok(running)
    }

    /// The plane asks what there is.
    async fn discover(&self) -> Result<(), Stop> {
        self.chapter("2. Discover", "The plane asks: what is there? One line is one REST API on one stage.");
        let found = within("discover", self.plane.discover(INTEGRATION)).await?;
        if found.apis.is_empty() {
            return Err(Stop::failed("discover: the agent found no APIs"));
        }
        let mut table = table(["NAME", "VERSION", "ID"]);
        for api in &found.apis {
            table.add_row([&api.name, api.version.as_deref().unwrap_or("0.0.0"), &api.id]);
        }
        indent(&table.to_string());
        self.good(&format!("{} APIs are in the preview; AWS was called: {}", found.apis.len(), counted(&self.gateway)));
        if !found.apis.iter().any(|api| api.name.starts_with("Weather")) {
            self.note("Weather is not among them: no usage plan covers it, so nobody could subscribe to it");
        }
        Ok(())
    }

    /// The plane takes all of them over.
    async fn ingest(&self) -> Result<Vec<Api>, Stop> {
        self.chapter("3. Ingest", "The plane takes them all: OpenAPI documents and plans travel in batches.");
        let all: [&str; 0] = [];
        let job = within("ingest", self.plane.ingest(INTEGRATION, all)).await?;
        let ended = timeout(PATIENCE, job.ended())
            .await
            .map_err(|_| Stop::failed(format_args!("ingest: the job is not done after {PATIENCE:?}")))?;
        let apis = self.plane.apis(INTEGRATION);
        if ended.phase != Phase::Done || ended.dropped > 0 || apis.is_empty() {
            return Err(Stop::failed(format_args!(
                "ingest: the job ended wrong: {ended:?}, {} APIs stored",
                apis.len()
            )));
        }
        let mut table = table(["NAME", "PLANS", "DOCUMENT"]);
        for api in &apis {
            let plans = api.plans.iter().map(|plan| plan.name.as_str()).collect::<Vec<_>>().join(", ");
            let documents = api
                .documents
                .iter()
                .map(|document| format!("{} ({} bytes)", document.filename, document.content.len()))
                .collect::<Vec<_>>()
                .join(", ");
            if documents.is_empty() {
                return Err(Stop::failed(format_args!("ingest: {} came without a document", api.name)));
            }
            table.add_row([api.name.clone(), plans, documents]);
        }
        indent(&table.to_string());
        self.good(&format!("{} APIs are stored, from {} message(s)", apis.len(), ended.batches));
        Ok(apis)
    }

    /// A subscription is accepted: a key is made, and works.
    async fn subscribe(&self, apis: &[Api]) -> Result<(PlaneSubscription, SecretString), Stop> {
        let api = apis
            .iter()
            .find(|api| api.id.contains(API.0) && api.id.contains(API.1))
            .ok_or_else(|| Stop::failed(format_args!("subscribe: {} on {} was not ingested", API.0, API.1)))?;
        self.chapter(
            "4. Subscribe",
            &format!("`{APPLICATION}` wants {}; its subscription to Gold is accepted.", api.name),
        );
        let asked = self.plane.subscribe(INTEGRATION, &api.id, PLAN, APPLICATION);
        let subscription = within("subscribe", asked).await?;
        let key =
            subscription.api_key.clone().ok_or_else(|| Stop::failed("subscribe: the agent's answer carries no key"))?;
        let in_gateway = self.gateway.with(|estate| {
            estate
                .keys()
                .find(|made| made.value == key.expose_secret())
                .and_then(|made| Some((made.name.clone()?, made.id.clone())))
        });
        let Some((name, id)) = in_gateway else {
            return Err(Stop::failed("subscribe: the key that the plane got is not in the gateway"));
        };
        self.good(&format!("AWS made the API key {id}, value {}, bound to the usage plan {PLAN}", masked(&key)));
        self.note(&format!("its name there: {name}"));
        self.call("with the new key", Some(&key), StatusCode::OK).await?;
        self.call("without a key", None, StatusCode::FORBIDDEN).await?;
        Ok((subscription, key))
    }

    /// The subscription is closed: the key is gone, and so is the access.
    async fn unsubscribe(&self, subscription: &PlaneSubscription, key: &SecretString) -> Result<(), Stop> {
        self.chapter("5. Unsubscribe", "The subscription is closed.");
        within("unsubscribe", self.plane.unsubscribe(&subscription.id)).await?;
        let left = self.gateway.with(|estate| estate.keys().count());
        if left > 0 {
            return Err(Stop::failed(format_args!("unsubscribe: {left} key(s) are left in the gateway")));
        }
        self.good("the key is deleted: no key is left in AWS");
        self.call("with the same key", Some(key), StatusCode::FORBIDDEN).await
    }

    /// Calls the API as its consumer would; anything but `expected` ends the story.
    async fn call(&self, how: &str, key: Option<&SecretString>, expected: StatusCode) -> Result<(), Stop> {
        let url = format!("{}/pets", self.gateway.call_url(API.0, API.1));
        let status = caller::get(&url, key).await?;
        if status != expected {
            return Err(Stop::failed(format_args!("GET /pets {how}: answered {status}, expected {expected}")));
        }
        let verdict = if status == StatusCode::OK { "let through" } else { "refused" };
        self.good(&format!("GET /pets {how}: {} {verdict}", status.as_u16()));
        Ok(())
    }

    /// What a person would put into `.env`, for these two peers.
    fn environment(&self) -> Environment {
        let provider = "gravitee_integration_providers_0";
        let ws = "gravitee_integration_connector_ws";
        [
            (format!("{ws}_endpoints_0"), self.plane.url()),
            (format!("{ws}_headers_0_name"), "Authorization".to_owned()),
            (format!("{ws}_headers_0_value"), format!("bearer {}", self.plane.token().expose_secret())),
            (format!("{provider}_type"), "aws-api-gateway".to_owned()),
            (format!("{provider}_integrationId"), INTEGRATION.to_owned()),
            (format!("{provider}_configuration_accessKeyId"), "AKIADEMODEMODEMODEMO".to_owned()),
            (format!("{provider}_configuration_secretAccessKey"), "known-to-nobody".to_owned()),
            (format!("{provider}_configuration_region"), standin::REGION.to_owned()),
            (format!("{provider}_configuration_endpointUrl"), self.gateway.url()),
            // The plane of this story needs a moment only to know a job.
            ("FEDERATION_AGENT_INGEST_PAUSE".to_owned(), "300ms".to_owned()),
        ]
        .into_iter()
        .collect()
    }

    fn chapter(&self, title: &str, what: &str) {
        terminal::say(format_args!("\n{}  {}", self.terminal.strong(title), self.terminal.pale(what)));
    }

    fn good(&self, what: &str) {
        terminal::say(format_args!("{} {what}", self.terminal.mark(Mark::Good)));
    }

    fn note(&self, what: &str) {
        terminal::say(format_args!("  {}", self.terminal.pale(what)));
    }
}

/// What the plane got, or why it did not.
async fn within<T, E: std::fmt::Display>(step: &str, asked: impl Future<Output = Result<T, E>>) -> Result<T, Stop> {
    match timeout(PATIENCE, asked).await {
        Ok(Ok(got)) => Ok(got),
        Ok(Err(error)) => Err(Stop::failed(format_args!("{step}: {error}"))),
        Err(_) => Err(Stop::failed(format_args!("{step}: no answer in {PATIENCE:?}"))),
    }
}

/// Enough of a key to be recognised by its owner.
fn masked(key: &SecretString) -> String {
    let key = key.expose_secret();
    let head: String = key.chars().take(4).collect();
    format!("{head}... ({} characters)", key.chars().count())
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table
}

fn indent(text: &str) {
    for line in text.lines() {
        terminal::say(format_args!(" {}", line.trim_end()));
    }
}
