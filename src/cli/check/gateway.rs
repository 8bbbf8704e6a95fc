//! A gateway: the way to each place where it is asked, then what its provider tries.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::{
    super::gateways::{Gateway, Ready},
    QUEUE,
    plane::{Ids, Way},
    round::{Round, Section},
};
use crate::{
    link::{self, Endpoint, LinkSettings, Network, Step, Tried},
    provider::{Call, Door, Finding, Verdict},
};

/// How many places are tried at once.
const AT_ONCE: usize = 8;

const GATEWAY: Ids = Ids {
    name: "gateway.name",
    proxy: "gateway.proxy",
    connection: "gateway.connection",
    certificate: "gateway.certificate",
};

/// Everything about one gateway.
pub(super) async fn walk(round: &Round<'_>, section: Section, gateway: &Gateway) {
    let Gateway { integration, provider, .. } = gateway;
    section.heading(format!("gateway of integration {} ({})", integration.id, integration.kind));
    let doors = provider.doors().await;
    let open = way_there(round, &section, integration, &doors).await;
    if !doors.is_empty() && !open {
        let says = "not tried: none of the places where it is asked can be reached";
        for (id, what) in
            [("gateway.credentials", "credentials"), ("gateway.identity", "identity"), ("gateway.right", "rights")]
        {
            section.find(id, Verdict::Untried, what, says);
        }
        return;
    }
    let call = Call { id: "check".into(), deadline: round.deadline, cancel: round.cancel.clone() };
    let (tell, mut found) = mpsc::channel(QUEUE);
    let hearing = async {
        while let Some(finding) = found.recv().await {
            section.finding(finding);
        }
    };
    tokio::join!(provider.check(&call, tell), hearing);
    if let Some(dated) = provider.clock() {
        round.saw_clock(format!("the gateway of {}", integration.id), dated);
    }
}

/// Tries every place; whether one can be reached.
async fn way_there(
    round: &Round<'_>,
    section: &Section,
    integration: &crate::settings::Integration,
    doors: &[Door],
) -> bool {
    let Ready { process, connector, .. } = round.ready;
    let urls = doors.iter().map(|door| door.url.clone()).collect();
    let network =
        Network::to_gateways(urls, process.ca_file.clone(), &process.proxy_environment, process.retry.silence);
    let network = match network {
        Ok(network) => Arc::new(network),
        // The provider reads the same variables, and has refused what is wrong with them.
        Err(faults) => {
            let says = faults.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            section.find("gateway.connection", Verdict::Untried, "connection", format!("not tried: {says}"));
            return true;
        }
    };
    let link = LinkSettings {
        connector: crate::settings::Connector { headers: Vec::new(), ..connector.clone() },
        retry: process.retry,
        integration_id: integration.id.clone(),
        provider: integration.kind.clone(),
    };
    let mut tried = stream::iter(0..doors.len())
        .map(|n| {
            let (network, link, door) = (Arc::clone(&network), &link, &doors[n]);
            async move {
                let endpoint = Endpoint::of_gateway(&door.url).ok()?;
                // Plain HTTP goes through a proxy without a tunnel: then there is a name to look up, and no more.
                let forwarded = !endpoint.secure && link::Dial::through(&*network, &endpoint).is_some();
                let last = if forwarded { Step::Name } else { Step::Tls };
                let (tell, mut told) = mpsc::channel::<Tried>(QUEUE);
                link::probe_one(&endpoint, link, &*network, last, &tell).await;
                drop(tell);
                let mut all = Vec::new();
                while let Some(tried) = told.recv().await {
                    all.push(tried);
                }
                Some((endpoint, all))
            }
        })
        .buffered(AT_ONCE);
    let mut open = false;
    for door in doors {
        let Some(Some((endpoint, all))) = tried.next().await else { continue };
        let of = if doors.len() == 1 { String::new() } else { format!(" ({})", door.what) };
        let way = Way { ids: &GATEWAY, of, endpoint: &endpoint, dial: &*network, unchecked: None };
        for tried in &all {
            way.tell(section, tried);
        }
        match all.last() {
            Some(Tried { step, outcome: Err(_), .. }) => way.tell_untried(section, *step),
            Some(_) => open = true,
            // An address behind a proxy that forwards: nothing was to be tried.
            None => {
                open = true;
                let proxy = link::Dial::through(&*network, &endpoint).unwrap_or_default();
                section.finding(Finding::new("gateway.proxy", Verdict::Good, "proxy", proxy));
            }
        }
    }
    open
}
