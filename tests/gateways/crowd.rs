//! More than can be served at once, through the real binary.

use std::{sync::Arc, time::Duration};

use federation_agent::standin::{ACCOUNT, Estate, Failure, Operation, REGION, Request};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::support::{Stage, soon};

const ONE: &str = "one";
/// As the provider's settings call them.
const PACE: &str = "gravitee_integration_providers_0_configuration_callsPerSecond";
const BURST: &str = "gravitee_integration_providers_0_configuration_burst";

/// Each is answered: those that have a place when the gateway lets them, the others at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_answered_and_nobody_gets_a_key_too_many() {
    const SUBSCRIBES: usize = 300;
    const DISCOVERS: usize = 40;
    let stage = Stage::set(&[ONE]).await;
    let _agent = stage.agent(&[(PACE, "10000"), (BURST, "1000")]).await;
    let api = stage.ingested(ONE).await;
    let release = CancellationToken::new();
    stage.gateway.fault(Failure::Held(release.clone()).on(Operation::CreateApiKey));
    stage.gateway.fault(Failure::Held(release.clone()).on(Operation::GetRestApis));

    let answered = Arc::new(Semaphore::new(0));
    let mut crowd = Vec::new();
    for n in 0..SUBSCRIBES {
        let (plane, api, answered) = (stage.plane.clone(), api.clone(), Arc::clone(&answered));
        let subscribing = async move {
            let answer = plane.subscribe(ONE, &api, "g0ld77", &format!("app-{n}")).await.map(|_| ());
            answered.add_permits(1);
            answer
        };
        crowd.push(("SUBSCRIBE", tokio::spawn(subscribing)));
    }
    for _ in 0..DISCOVERS {
        let (plane, answered) = (stage.plane.clone(), Arc::clone(&answered));
        let discovering = async move {
            let answer = plane.discover(ONE).await.map(|_| ());
            answered.add_permits(1);
            answer
        };
        crowd.push(("DISCOVER", tokio::spawn(discovering)));
    }
    // Those that have no place are told so while all the others still wait.
    let refused = u32::try_from(SUBSCRIBES - 256 + DISCOVERS - 32).unwrap();
    let refused = timeout(Duration::from_secs(5), answered.acquire_many(refused)).await;
    drop(refused.expect("some were left without an answer"));
    release.cancel();

    let (mut served, mut turned_away) = ([0, 0], [0, 0]);
    for (kind, one) in crowd {
        let of = usize::from(kind == "DISCOVER");
        match soon("an answer", one).await.unwrap() {
            Ok(()) => served[of] += 1,
            Err(error) => {
                assert!(error.to_string().contains(&format!("too many {kind} commands are waiting")), "{error}");
                turned_away[of] += 1;
            }
        }
    }
    assert_eq!((served, turned_away), ([256, 32], [SUBSCRIBES - 256, DISCOVERS - 32]));
    assert_eq!(stage.keys(), 256);
}

/// With the pace that is the default, during an ingest that takes most of a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_does_not_wait_for_an_ingest() {
    let stage = Stage::set(&[ONE]).await;
    let _agent = stage.agent(&[(PACE, "8"), (BURST, "30")]).await;
    let api = stage.ingested(ONE).await;
    stage.gateway.with(|estate| {
        let mut large = Estate::large(400, 1_000);
        let more = std::mem::take(&mut large.region(ACCOUNT, REGION).apis);
        estate.region(ACCOUNT, REGION).apis.extend(more);
        let plan = large.region(ACCOUNT, REGION).plans.remove(0);
        estate.region(ACCOUNT, REGION).plans.push(plan);
    });
    let (plane, all) = (stage.plane.clone(), [""; 0]);
    let job = soon("START_INGEST", plane.ingest(ONE, all)).await.unwrap();
    let reads = |requests: &[Request]| requests.iter().filter(|r| r.operation == Some(Operation::GetExport)).count();
    // The burst is used up, and eight reads are in the queue.
    soon("the ingest", stage.gateway.until(|requests| reads(requests) > 40)).await;

    let began = Instant::now();
    soon("subscribe", plane.subscribe(ONE, &api, "g0ld77", "shop")).await.unwrap();
    let took = began.elapsed();
    println!("a subscription during an ingest took {took:?}");
    assert!(took < Duration::from_millis(1_500), "{took:?}: it waited behind the ingest");
    assert!(!job.state().is_over(), "the ingest goes on");
}
