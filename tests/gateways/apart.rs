//! One process for several gateways, of which only one is well: it is served as if it were alone, the others say what
//! is wrong with each.

use std::time::Duration;

use federation_agent::standin::{ACCOUNT, Failure};
use tokio::{
    net::TcpListener,
    time::{Instant, timeout},
};

use crate::support::{Process, Stage, soon};

/// How long a command of the gateway that is well may take while the others are not.
const QUICK: Duration = Duration::from_secs(3);

const GOOD: &str = "good";
/// Nobody listens there.
const DEAD: &str = "dead";
/// It takes connections and never says a word.
const MUTE: &str = "mute";
/// AWS does not know its credentials.
const DENIED: &str = "denied";

/// Where nobody listens.
#[expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]
async fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_well_is_served_as_if_it_were_alone() {
    let stage = Stage::set(&[GOOD, DEAD, MUTE, DENIED]).await;
    let wrong = "AKIAWRONGWRONGWRONG0";
    stage.gateway.with(|estate| estate.user(ACCOUNT, "wrong", wrong));
    let refused = Failure::Error(403, "InvalidClientTokenId", "The security token included in the request is invalid.");
    stage.gateway.fault(refused.always().by(&format!("arn:aws:iam::{ACCOUNT}:user/wrong")));
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let of = |n: usize, key: &str| format!("gravitee_integration_providers_{n}_configuration_{key}");
    let mut variables = stage.environment(&[("FEDERATION_AGENT_BUDGET", "10s")]);
    variables.extend([
        (of(1, "endpointUrl"), closed().await),
        (of(2, "endpointUrl"), format!("http://{}", mute.local_addr().unwrap())),
        (of(3, "accessKeyId"), wrong.to_owned()),
    ]);
    let agent = Process::start(&[], variables);
    for integration in [GOOD, DEAD, MUTE, DENIED] {
        soon("connected", stage.plane.connected(integration)).await;
    }

    // As much of everything as the others take, for as long as their budget lasts.
    let mut others = Vec::new();
    for integration in [DEAD, MUTE, DENIED] {
        for _ in 0..8 {
            let plane = stage.plane.clone();
            others.push(tokio::spawn(async move { (integration, plane.discover(integration).await.map(|_| ())) }));
        }
        // A job of the mute one begins, and ends without APIs when its list is given up.
        let (plane, all) = (stage.plane.clone(), [""; 0]);
        tokio::spawn(async move { plane.ingest(integration, all).await.map(|_| ()) });
    }

    let began = Instant::now();
    let found = timeout(QUICK, stage.plane.discover(GOOD)).await.expect("it is not quick").unwrap();
    assert_eq!(found.apis.len(), 5);
    let api = timeout(QUICK, stage.ingested(GOOD)).await.expect("it is not quick");
    for n in 0..3 {
        let subscribing = stage.plane.subscribe(GOOD, &api, "g0ld77", "shop");
        let subscription = timeout(QUICK, subscribing).await.expect("it is not quick").unwrap();
        assert_eq!(stage.keys(), 1, "{n}");
        timeout(QUICK, stage.plane.unsubscribe(&subscription.id)).await.expect("it is not quick").unwrap();
    }
    println!("the good one: {:?} for discover, ingest and three subscriptions", began.elapsed());

    for other in others {
        let (integration, outcome) = soon("an answer", other).await.unwrap();
        let error = outcome.expect_err(integration).to_string();
        let says = match integration {
            DEAD => "could not be sent: Connection refused",
            MUTE => "the gateway is slow or does not answer",
            _ => "AWS does not know the credentials",
        };
        assert!(error.contains(says), "{integration}: {error}");
    }
    for integration in [GOOD, DEAD, MUTE, DENIED] {
        assert!(stage.plane.is_connected(integration), "{integration}");
    }
    agent.signal("TERM");
    let (status, said) = agent.end().await;
    assert_eq!(status.code(), Some(0), "{}", said.join("\n"));
    for (integration, says) in [(DEAD, "Connection refused"), (DENIED, "does not know the credentials")] {
        let named = format!("\"integration\":\"{integration}\"");
        let told = said.iter().filter(|line| line.contains(says)).collect::<Vec<_>>();
        assert!(!told.is_empty() && told.iter().all(|line| line.contains(&named)), "{integration}: {told:#?}");
    }
}
