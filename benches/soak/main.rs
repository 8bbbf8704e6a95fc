//! `make soak`: an hour of mixed work at speed among faults, and whether the agent stays as it was.
//!
//! The agent is the release binary in a process of its own; the plane and the gateway's stand-in are in this one.
//! SUBSCRIBE, UNSUBSCRIBE, DISCOVER and START_INGEST go on all the time, while the link is cut, the plane restarts and the
//! gateway throttles, fails and loses answers by a seeded schedule. What the agent holds (memory, files, threads, tasks,
//! its data folder) is sampled, and judged at the end: the last quarter against the first. Then the gateway's keys are
//! compared with the plane's subscriptions.
//!
//! `SOAK_MINUTES` (60), `SOAK_SEED` (a new one), `SOAK_RATE` (subscription commands a second, 40). Exit code 1: not flat,
//! or something lost or left behind. The samples are in `target/soak.csv`, the agent's warnings in `target/soak.log`.

#[path = "../figures/agent.rs"]
mod agent;
mod compare;
mod folder;
#[path = "../figures/http.rs"]
mod http;
mod log;
mod sample;
mod stage;
mod trouble;
mod verdict;
mod work;

use std::{io, process::ExitCode, sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use compare::Compared;
use sample::Samples;
use stage::Stage;
use work::Work;

/// The integration's id in the plane.
const INTEGRATION: &str = "soak";
/// API stages of the estate.
const STAGES: usize = 300;
/// Bytes of each document in it.
const DOCUMENT: usize = 10_000;
/// How often a sample is taken; oftener in short runs.
const SAMPLING: Duration = Duration::from_secs(10);
/// What a run needs to be judged by: less than this is no more than a smoke test.
const SHORTEST: Duration = Duration::from_mins(10);
/// How long the end of anything is waited for: what is under way, undoing with all its tries.
const SETTLING: Duration = Duration::from_mins(2);

/// What a run is made of.
#[derive(Debug, Clone, Copy)]
struct Plan {
    lasts: Duration,
    seed: u64,
    /// SUBSCRIBE and UNSUBSCRIBE commands a second.
    rate: f64,
}

impl Plan {
    fn read() -> io::Result<Self> {
        let number = |name: &str, default: f64| match std::env::vars().find(|(known, _)| known == name) {
            None => Ok(default),
            Some((_, text)) => text
                .parse::<f64>()
                .ok()
                .filter(|number| *number > 0.0)
                .ok_or_else(|| io::Error::other(format!("{name} is `{text}`: a number above 0 is meant"))),
        };
        let seed = match std::env::vars().find(|(known, _)| known == "SOAK_SEED") {
            None => u64::from(rand::random::<u32>()),
            Some((_, text)) => {
                text.parse().map_err(|_| io::Error::other(format!("SOAK_SEED is `{text}`: a number is meant")))?
            }
        };
        let lasts = Duration::from_secs_f64(number("SOAK_MINUTES", 60.0)? * 60.0);
        Ok(Self { lasts, seed, rate: number("SOAK_RATE", 40.0)? })
    }

    fn sampling(&self) -> Duration {
        SAMPLING.min(self.lasts / 30)
    }
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(soak()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

fn failed(error: &io::Error) -> ExitCode {
    eprintln!("soak: {error}");
    ExitCode::FAILURE
}

/// The whole run; whether all is well.
async fn soak() -> io::Result<bool> {
    let plan = Plan::read()?;
    let (binary, which) = agent::binary();
    println!("soak of {} ({which})", binary.display());
    println!(
        "{:.1} minutes, seed {}, {} subscription commands a second",
        plan.lasts.as_secs_f64() / 60.0,
        plan.seed,
        plan.rate
    );

    let mut stage = Stage::set(&binary).await?;
    let work = Work::new(stage.plane.clone(), plan.seed);
    work.learn().await?;
    let (samples, ended) = run(&plan, &stage, &work).await?;

    println!("\nThe time is over; faults are healed, what is under way ends.");
    stage.gateway.heal();
    stage.door.open();
    within("the connection", stage.plane.connected(INTEGRATION)).await?;
    let open = within("UNSUBSCRIBE of what was not confirmed", work.settle()).await?;
    println!("UNSUBSCRIBE asked again until it was confirmed: {open}");
    let began = Instant::now();
    while began.elapsed() < SETTLING && !Compared::of(&stage.gateway, &work).is_clean() {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let leaving = stage.leave().await?;
    let compared = Compared::of(&stage.gateway, &work).told(&binary, &stage).await;

    println!();
    work.print();
    trouble::print(&ended);
    let mut good = verdict::print(&plan, &samples, compared.journalled());
    good &= compared.print();
    good &= work.all_answered();
    good &= stage.log.print();
    good &= leaving.print();
    println!("\n{}", if good { "soak: all is well" } else { "soak: NOT well" });
    Ok(good)
}

/// Everything at once, for the time of the plan.
async fn run(plan: &Plan, stage: &Stage, work: &Arc<Work>) -> io::Result<(Samples, trouble::Ended)> {
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(Arc::clone(work).subscriptions(plan.rate, stop.clone()));
    tasks.spawn(Arc::clone(work).lists(stop.clone()));
    let chance = StdRng::seed_from_u64(plan.seed);
    let trouble = tokio::spawn(trouble::make(
        stage.plane.clone(),
        stage.gateway.clone(),
        stage.door.clone(),
        chance,
        stop.clone(),
    ));
    let mut samples = Samples::begin(plan.lasts)?;
    let until = Instant::now() + plan.lasts;
    let mut ticks = tokio::time::interval(plan.sampling());
    ticks.tick().await;
    while Instant::now() < until {
        ticks.tick().await;
        samples.take(stage, work).await?;
    }
    stop.cancel();
    tasks.close();
    within("the last replies", tasks.wait()).await?;
    Ok((samples, trouble.await.map_err(io::Error::other)?))
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> io::Result<T> {
    let late = |_| io::Error::other(format!("{what} did not come in {SETTLING:?}"));
    tokio::time::timeout(SETTLING, work).await.map_err(late)
}
