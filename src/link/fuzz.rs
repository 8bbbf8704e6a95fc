//! A way in for the fuzzer to what no public item leads to. No part of the library's interface.

use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::{Endpoint, proxy};
use crate::{
    model::Error,
    settings::{Proxy, ProxyEnvironment},
};

/// Asks a proxy for a tunnel to `endpoint`, with a password; the proxy answers `answer` and closes.
pub async fn tunnel(endpoint: &Url, password: &str, answer: &[u8]) -> Result<(), Error> {
    let endpoint = Endpoint::new(endpoint)?;
    let settings =
        Proxy::Http { host: "proxy.example".into(), port: 3128, user: Some(("agent".into(), password.into())) };
    let route = proxy::route(&endpoint, &settings, &ProxyEnvironment::default())
        .ok()
        .flatten()
        .ok_or_else(|| Error::bug("a proxy of the settings is always taken"))?;
    let (mut ours, theirs) = tokio::io::duplex(1024);
    let (mut reading, mut writing) = tokio::io::split(theirs);
    let speaking = async {
        // Whoever asked may have heard enough.
        let _ = writing.write_all(answer).await;
        let _ = writing.shutdown().await;
    };
    let hearing = async {
        let _ = tokio::io::copy(&mut reading, &mut tokio::io::sink()).await;
    };
    let asking = async {
        let outcome = proxy::tunnel(&mut ours, &route, &endpoint).await;
        drop(ours);
        outcome
    };
    let (outcome, (), ()) = tokio::join!(asking, speaking, hearing);
    outcome
}
