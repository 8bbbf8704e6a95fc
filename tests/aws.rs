//! The AWS suite, against the stand-in and against MiniStack with `AUTH=true`.
//!
//! First the peers themselves, so that the stand-in cannot drift from one that we did not write; then the agent's
//! provider on both; then, on the stand-in alone, what no peer does on demand: throttle, fail, cut, lie.

#[path = "aws/mod.rs"]
mod suite;

#[path = "aws/faults.rs"]
mod faults;
#[path = "aws/hostile.rs"]
mod hostile;
#[path = "aws/likeness.rs"]
mod likeness;
#[path = "aws/once.rs"]
mod once;
#[path = "aws/shop.rs"]
mod shop;
#[path = "aws/ways.rs"]
mod ways;
#[path = "aws/wire.rs"]
mod wire;
#[path = "aws/witness.rs"]
mod witness;

use suite::{cases::run_all, peer::Peer, provider_cases};

#[tokio::test]
async fn likeness_on_the_standin() {
    run_all(&Peer::standin().await, likeness::CASES).await;
}

#[tokio::test]
async fn likeness_on_ministack() {
    if let Some(peer) = Peer::ministack().await {
        run_all(&peer, likeness::CASES).await;
    }
}

#[tokio::test]
async fn provider_on_the_standin() {
    run_all(&Peer::standin().await, &provider_cases()).await;
}

#[tokio::test]
async fn provider_on_ministack() {
    if let Some(peer) = Peer::ministack().await {
        run_all(&peer, &provider_cases()).await;
    }
}
