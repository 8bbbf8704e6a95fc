//! How cases are run: each by itself on the stand-in, all together on one MiniStack.

use std::{future::Future, pin::Pin};

use tokio::task::JoinSet;

use super::peer::Peer;

/// A case by its name.
pub(crate) type Case = (&'static str, fn(Peer) -> Pin<Box<dyn Future<Output = ()> + Send>>);

/// Runs every case on this peer, each in accounts of its own; tells all that failed, not only the first.
pub(crate) async fn run_all(peer: &Peer, cases: &[Case]) {
    let mut running = JoinSet::new();
    for &(name, case) in cases {
        let case = tokio::spawn(case(peer.clone()));
        running.spawn(async move { (name, case.await.is_ok()) });
    }
    let outcomes = running.join_all().await;
    let mut failed: Vec<&str> = outcomes.iter().filter(|(_, well)| !well).map(|(name, _)| *name).collect();
    failed.sort_unstable();
    assert!(failed.is_empty(), "{} of {} failed (see above): {failed:?}", failed.len(), cases.len());
}

/// Makes the table of cases out of their names.
macro_rules! table {
    ($($name:ident),* $(,)?) => {
        pub(crate) const CASES: &[$crate::suite::cases::Case] = &[$((stringify!($name), |peer| Box::pin($name(peer)))),*];
    };
}
pub(crate) use table;
