//! The three probes of Gravitee's chart, against the real binary.

use std::time::Duration;

use federation_agent::plane::{Plane, PlaneSettings};
use tokio::sync::oneshot;

use crate::{
    ONE, kubelet,
    support::{PATIENCE, Process, Stage, TOKEN, soon},
    surface::{USERS, address, ask, basic},
};

/// A second of Kubernetes here: a five-minute outage takes three seconds.
const SECOND: Duration = Duration::from_millis(10);

async fn well(address: &str) -> bool {
    ask(address, "GET /_node/health", &basic("admin:hunter2"), "").await.is_ok_and(|(status, ..)| status == 200)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_minutes_without_the_plane_restart_nobody_and_are_told_in_a_healthy_probe() {
    let mut stage = Stage::set(&[ONE]).await;
    let mut agent = stage.agent(&[(USERS, "hunter2"), ("FEDERATION_AGENT_RETRY_MAX", "200ms")]).await;
    let address = address(&mut agent).await;
    agent.says("ready, waiting").await;

    let (end, over) = oneshot::channel();
    let over = async { drop(over.await) };
    let probed = kubelet::watch(SECOND, PATIENCE, async || well(&address).await, over);
    let outage = async {
        let at = stage.plane.address().unwrap();
        stage.plane.stop();
        agent.says("not connected").await;
        // What this is about: the outage is to take its time.
        tokio::time::sleep(SECOND * 300).await;
        let (status, _, body) = ask(&address, "GET /_node/health", &basic("admin:hunter2"), "").await.unwrap();
        let health: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &health["plane-one"]["healthy"]), (200, &true.into()), "{body}");
        let says = health["plane-one"]["message"].as_str().unwrap();
        assert!(says.contains("not connected to the plane since"), "{says}");

        let settings = PlaneSettings { token: TOKEN.into(), ..PlaneSettings::default() };
        stage.plane = soon("the port", Plane::bind(at, settings)).await.unwrap();
        stage.plane.register(ONE, "aws-api-gateway");
        soon("connected again", stage.plane.connected(ONE)).await;
        let _ = end.send(());
    };
    let (seen, ()) = soon("the probes", async { tokio::join!(probed, outage) }).await;
    assert!(seen.restart.is_none() && seen.unready == 0 && seen.well >= 50, "{seen:?}");
    agent.signal("TERM");
    assert_eq!(agent.end().await.0.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stands_still_is_restarted_by_the_same_probes() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent: Process = stage.agent(&[(USERS, "hunter2")]).await;
    let address = address(&mut agent).await;
    let asked = std::sync::atomic::AtomicU32::new(0);
    let ask = async || {
        // It has started and been ready; then it stands still.
        if asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 4 {
            agent.signal("STOP");
        }
        well(&address).await
    };
    let seen = soon("the probes", kubelet::watch(SECOND, SECOND * 30, ask, std::future::pending())).await;
    assert_eq!(seen.restart, Some("liveness"), "{seen:?}");
    agent.signal("KILL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_and_a_token_that_only_a_person_can_mend_are_messages_of_healthy_probes() {
    let stage = Stage::set(&[ONE]).await;
    let wrong =
        [("gravitee_integration_connector_ws_headers_0_value", "bearer wrong"), ("FEDERATION_AGENT_DATA_DIR", "/proc")];
    let mut agent = Process::start(&[], stage.environment(&wrong));
    let address = address(&mut agent).await;
    agent.says("not connected").await;
    agent.says("cannot be written").await;
    let (status, _, body) = ask(&address, "GET /_node/health", "", "").await.unwrap();
    let health: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200, "{body}");
    for (probe, says) in [("plane-one", "401"), ("journal", "the journal cannot be written")] {
        assert_eq!(health[probe]["healthy"], true, "{body}");
        assert!(health[probe]["message"].as_str().unwrap_or_default().contains(says), "{body}");
    }
    agent.signal("KILL");
}
