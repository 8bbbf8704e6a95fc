//! `make bench`: what the agent costs, measured on the release binary with its peers in other processes.
//!
//! The plane is in this process, the gateway's stand-in in a second, the agent in a third. The bucket that holds the
//! agent's calls back is open, so that the agent and not AWS's quota is measured. Nothing here is a test: figures
//! depend on the machine, and those that have a limit are shown beside it.

mod agent;
mod gateway;
mod http;
mod process;

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    process::{ExitCode, Stdio},
};

use federation_agent::{
    plane::{Plane, PlaneSettings},
    standin::REGION,
};
use secrecy::ExposeSecret;
use tokio::time::{Duration, Instant};

use agent::Agent;
use process::Gateway;

/// The integration's id in the plane.
const INTEGRATION: &str = "figures";
/// Its provider's type.
const PROVIDER: &str = "aws-api-gateway";
/// API stages of the large estate.
const STAGES: usize = 2_000;
/// Bytes of each document in it.
const DOCUMENT: usize = 100_000;
/// How often the start is timed.
const STARTS: usize = 15;
/// How long any one step may take.
const PATIENCE: Duration = Duration::from_mins(5);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let outcome = runtime.block_on(async {
        match words.first().map(String::as_str) {
            Some("gateway") => gateway::serve(&words[1..]).await,
            _ => figures().await,
        }
    });
    outcome.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

fn failed(error: &io::Error) -> ExitCode {
    eprintln!("figures: {error}");
    ExitCode::FAILURE
}

async fn figures() -> io::Result<()> {
    let (binary, which) = agent::binary();
    let size = std::fs::metadata(&binary)?.len();
    println!("Measured: {} ({which}), {:.1} MB\n", binary.display(), megabytes(size));
    println!("{:<58} {:>12}   {:>8}", "figure", "measured", "limit");
    start(&binary).await?;
    idle(&binary).await?;
    large(&binary).await?;
    println!("\n{:<58} {:>12}", "gateway calls of a command (demo estate: 6 stages, 3 plans)", "calls");
    calls(&binary).await
}

/// From the start of the process to its HELLO.
async fn start(binary: &Path) -> io::Result<()> {
    let plane = plane().await?;
    let mut times = Vec::new();
    for nth in 1..=STARTS {
        let began = Instant::now();
        let mut agent = start_agent(binary, &variables(&plane, "http://127.0.0.1:9"))?;
        within("HELLO", plane.until(|plane| plane.seen().hellos >= nth)).await?;
        times.push(began.elapsed());
        agent.end().await?;
        within("the end", plane.disconnected(INTEGRATION)).await?;
    }
    times.sort();
    row("process start to HELLO, median", &format!("{:.1} ms", millis(times[STARTS / 2])), "50 ms");
    row("process start to HELLO, longest", &format!("{:.1} ms", millis(times[STARTS - 1])), "");
    Ok(())
}

/// The agent lets go of what its start needed two seconds after it has connected, and of what was needed since every
/// thirty seconds; by now it has.
const START_OVER: Duration = Duration::from_secs(4);
const WORK_OVER: Duration = Duration::from_secs(32);

/// Connected, and asked for its health now and then.
async fn idle(binary: &Path) -> io::Result<()> {
    let plane = plane().await?;
    let gateway = Gateway::start(&["demo"]).await?;
    let mut agent = start_agent(binary, &variables(&plane, &gateway.url))?;
    within("the connection", plane.connected(INTEGRATION)).await?;
    tokio::time::sleep(START_OVER).await;
    let before = plane.seen().health_checks;
    within("three health checks", plane.until(|plane| plane.seen().health_checks >= before + 3)).await?;
    let fresh = agent.resident()?;
    within("DISCOVER", plane.discover(INTEGRATION)).await?.map_err(io::Error::other)?;
    tokio::time::sleep(WORK_OVER).await;
    let before = plane.seen().health_checks;
    within("three health checks", plane.until(|plane| plane.seen().health_checks >= before + 3)).await?;
    let used = agent.resident()?;
    row("resident memory, idle", &format!("{:.1} MB", megabytes(fresh.now * 1024)), "10 MB");
    row("resident memory, idle after a DISCOVER", &format!("{:.1} MB", megabytes(used.now * 1024)), "");
    agent.end().await
}

/// The large estate, and the same documents fetched bare.
async fn large(binary: &Path) -> io::Result<()> {
    let gateway = Gateway::start(&["large", &STAGES.to_string(), &DOCUMENT.to_string()]).await?;
    let plane = plane().await?;
    let mut agent = start_agent(binary, &variables(&plane, &gateway.url))?;
    within("the connection", plane.connected(INTEGRATION)).await?;

    let began = Instant::now();
    let job = within("START_INGEST", plane.ingest(INTEGRATION, [] as [String; 0])).await?.map_err(io::Error::other)?;
    let ended = within("the ingest", job.ended()).await?;
    let took = began.elapsed();
    let resident = agent.resident()?;
    let apis = plane.apis(INTEGRATION);
    let bytes: usize = apis.iter().flat_map(|api| &api.documents).map(|document| document.content.len()).sum();
    let whole = apis.len() == STAGES && apis.iter().all(|api| api.documents.len() == 1);
    if !whole || ended.dropped > 0 {
        println!("NOT WHOLE: {} of {STAGES} APIs came, {bytes} bytes of documents; {ended:?}", apis.len());
    }
    let title = format!("resident memory, highest; {STAGES} stages of {} kB ingested", DOCUMENT / 1000);
    row(&title, &format!("{:.1} MB", megabytes(resident.highest * 1024)), "40 MB");
    row("  and after it", &format!("{:.1} MB", megabytes(resident.now * 1024)), "");
    row("  batches, mean size", &format!("{:.2} MB", megabytes(bytes as u64) / count(ended.batches)), "");
    let pause = Duration::from_secs(1);
    let working = took.saturating_sub(pause);
    row("  time, without the pause of 1 s before the first batch", &format!("{:.1} s", working.as_secs_f64()), "");
    row("  documents a second", &format!("{:.0}", count(apis.len()) / working.as_secs_f64()), "");

    let calls = total(&gateway.calls().await?);
    row("  gateway calls, the exports among them", &calls.to_string(), "");

    let bare = bare(&gateway.url).await?;
    let ratio = working.as_secs_f64() / bare.as_secs_f64();
    row("  against the same documents fetched bare, one connection", &format!("{ratio:.2} x"), "");

    let began = Instant::now();
    within("DISCOVER", plane.discover(INTEGRATION)).await?.map_err(io::Error::other)?;
    row(&format!("DISCOVER of {STAGES} stages"), &format!("{:.0} ms", millis(began.elapsed())), "");
    agent.end().await
}

/// Every document of the large estate, one after the other, with nothing done with it.
async fn bare(url: &str) -> io::Result<Duration> {
    let signed = format!("AWS4-HMAC-SHA256 Credential=AKIAFIGURES/20260101/{REGION}/apigateway/aws4_request");
    let headers = [("authorization", signed.as_str()), ("accept", "application/json")];
    let mut client = http::Client::connect(url).await?;
    let began = Instant::now();
    for nth in 0..STAGES {
        client.get(&format!("/restapis/large{nth:05}/stages/prod/exports/oas30"), &headers).await?;
    }
    Ok(began.elapsed())
}

/// What each command costs the gateway.
async fn calls(binary: &Path) -> io::Result<()> {
    let gateway = Gateway::start(&["demo"]).await?;
    let plane = plane().await?;
    let mut agent = start_agent(binary, &variables(&plane, &gateway.url))?;
    within("the connection", plane.connected(INTEGRATION)).await?;
    let mut meter = Meter { gateway: &gateway, before: BTreeMap::new() };

    meter.row("connected, nothing asked for").await?;
    within("DISCOVER", plane.discover(INTEGRATION)).await?.map_err(io::Error::other)?;
    meter.row("DISCOVER").await?;
    let job = within("START_INGEST", plane.ingest(INTEGRATION, [] as [String; 0])).await?.map_err(io::Error::other)?;
    within("the ingest", job.ended()).await?;
    meter.row("START_INGEST and all its INGESTs, all APIs").await?;
    let apis = plane.apis(INTEGRATION);
    let api = apis.iter().find(|api| !api.plans.is_empty()).ok_or_else(|| io::Error::other("no API has a plan"))?;
    let subscribed = plane.subscribe(INTEGRATION, &api.id, &api.plans[0].id, "figures");
    let subscription = within("SUBSCRIBE", subscribed).await?.map_err(io::Error::other)?;
    meter.row("SUBSCRIBE").await?;
    within("UNSUBSCRIBE", plane.unsubscribe(&subscription.id)).await?.map_err(io::Error::other)?;
    meter.row("UNSUBSCRIBE").await?;
    agent.end().await
}

/// Tells what the gateway was asked since the last time.
struct Meter<'a> {
    gateway: &'a Gateway,
    before: BTreeMap<String, u64>,
}

impl Meter<'_> {
    async fn row(&mut self, title: &str) -> io::Result<()> {
        let now: BTreeMap<String, u64> = self.gateway.calls().await?.into_iter().collect();
        let new = now.iter().filter_map(|(name, count)| {
            let more = count - self.before.get(name).unwrap_or(&0);
            (more > 0).then(|| (name.clone(), more))
        });
        let new: Vec<_> = new.collect();
        let names: Vec<String> = new.iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("{title:<58} {:>12}   {}", total(&new), names.join(", "));
        self.before = now;
        Ok(())
    }
}

async fn plane() -> io::Result<Plane> {
    let settings = PlaneSettings { health_check: Duration::from_millis(200), ..PlaneSettings::default() };
    let plane = Plane::bind("127.0.0.1:0", settings).await?;
    plane.register(INTEGRATION, PROVIDER);
    Ok(plane)
}

/// The agent's environment: the plane, the gateway, and an open bucket.
fn variables(plane: &Plane, gateway: &str) -> Vec<(&'static str, String)> {
    let token = format!("bearer {}", plane.token().expose_secret());
    vec![
        ("FEDERATION_AGENT_LISTEN", "off".into()),
        ("gravitee_integration_connector_ws_endpoints_0", plane.url()),
        ("gravitee_integration_connector_ws_headers_0_name", "Authorization".into()),
        ("gravitee_integration_connector_ws_headers_0_value", token),
        ("gravitee_integration_providers_0_type", PROVIDER.into()),
        ("gravitee_integration_providers_0_integrationId", INTEGRATION.into()),
        ("gravitee_integration_providers_0_configuration_region", REGION.into()),
        ("gravitee_integration_providers_0_configuration_accessKeyId", "AKIAFIGURES".into()),
        ("gravitee_integration_providers_0_configuration_secretAccessKey", "any".into()),
        ("gravitee_integration_providers_0_configuration_callsPerSecond", "1000000".into()),
        ("gravitee_integration_providers_0_configuration_burst", "1000".into()),
        ("gravitee_integration_providers_0_configuration_endpointUrl", gateway.into()),
    ]
}

/// What it logs is thrown away, unless somebody wants to see it.
fn start_agent(binary: &Path, variables: &[(&str, String)]) -> io::Result<Agent> {
    let show = std::env::args().any(|word| word == "--show");
    Agent::start(binary, variables, if show { Stdio::inherit() } else { Stdio::null() })
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> io::Result<T> {
    let late = |_| io::Error::other(format!("{what} did not come in {PATIENCE:?}"));
    tokio::time::timeout(PATIENCE, work).await.map_err(late)
}

fn row(title: &str, measured: &str, limit: &str) {
    println!("{title:<58} {measured:>12}   {limit:>8}");
}

fn total(calls: &[(String, u64)]) -> u64 {
    calls.iter().map(|(_, count)| count).sum()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn count(things: usize) -> f64 {
    things.max(1) as f64
}
