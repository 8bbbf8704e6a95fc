//! A log that cannot be written must not stop the agent.

use std::{fs::File, process::Stdio};

use federation_agent::standin::{Failure, Operation};
use tokio::process::{Child, Command};

use crate::{
    ONE,
    support::{PATIENCE, Stage, soon},
};

/// The agent, with its two outputs there.
fn start(stage: &Stage, stdout: Stdio, stderr: Stdio) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin!("federation-agent"))
        .env_clear()
        .envs(stage.environment(&[("FEDERATION_AGENT_LOG", "trace")]))
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .kill_on_drop(true)
        .spawn()
        .expect("the agent starts")
}

/// It does all that it does, failures that are logged among them, and ends well.
async fn works(stage: &Stage, mut agent: Child) {
    soon("connected", stage.plane.connected(ONE)).await;
    let api = stage.ingested(ONE).await;
    stage
        .gateway
        .fault(Failure::Error(500, "InternalServerErrorException", "no").on(Operation::CreateUsagePlanKey).times(1));
    let failed =
        soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "shop")).await.expect_err("the gateway fails");
    assert!(failed.to_string().contains("CreateUsagePlanKey"), "the gateway's failure, not one of ours: {failed}");
    let made = soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "shop")).await.expect("a key");
    soon("unsubscribe", stage.plane.unsubscribe(&made.id)).await.expect("no key");
    stage.plane.cut(ONE).await;
    soon("the second HELLO", stage.plane.until(|plane| plane.seen().hellos == 2)).await;
    soon("connected", stage.plane.connected(ONE)).await;
    assert_eq!(stage.keys(), 0);

    let id = agent.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.expect("kill").success());
    let status = tokio::time::timeout(PATIENCE, agent.wait()).await.expect("it ends").expect("its status");
    assert_eq!(status.code(), Some(0), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_it() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent = start(&stage, Stdio::piped(), Stdio::piped());
    drop((agent.stdout.take(), agent.stderr.take()));
    works(&stage, agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_reader_goes_away_while_it_runs() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent = start(&stage, Stdio::piped(), Stdio::piped());
    soon("connected", stage.plane.connected(ONE)).await;
    drop((agent.stdout.take(), agent.stderr.take()));
    works(&stage, agent).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_disk_is_full() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("a device that is always full"));
    let stage = Stage::set(&[ONE]).await;
    let agent = start(&stage, full(), full());
    works(&stage, agent).await;
}

/// With both closed from the begin, the next files that are opened must not be taken for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_has_none() {
    let stage = Stage::set(&[ONE]).await;
    let agent = Command::new("sh")
        .args([
            "-c",
            "exec \"$0\" >&- 2>&-",
            assert_cmd::cargo::cargo_bin!("federation-agent").to_str().expect("a name"),
        ])
        .env_clear()
        .envs(stage.environment(&[]))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the agent starts");
    works(&stage, agent).await;
}
