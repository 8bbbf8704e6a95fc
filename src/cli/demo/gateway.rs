//! `demo gateway`: the AWS API Gateway stand-in alone.

use std::net::SocketAddr;

use super::super::{
    exit::{Exit, Stop},
    start, terminal,
};
use crate::standin::{self, Estate, Gateway, GatewaySettings};

pub(super) async fn serve(listen: SocketAddr) -> Result<Exit, Stop> {
    let mut signals = start::Signals::take()?;
    let settings = GatewaySettings { estate: Estate::demo(), ..GatewaySettings::default() };
    let gateway = Gateway::bind(listen, settings)
        .await
        .map_err(|error| Stop::failed(format_args!("--listen {listen} cannot be listened on: {error}")))?;
    terminal::say(format_args!(
        "An AWS API Gateway stand-in listens on {url}: account {account}, region {region}.\n\
         Any access key is let in. An agent reaches it with\n\
         \n  AWS_ENDPOINT_URL={url}\n  AWS_ACCESS_KEY_ID=AKIADEMO\n  AWS_SECRET_ACCESS_KEY=any\n  \
         gravitee_integration_providers_0_type=aws-api-gateway\n  \
         gravitee_integration_providers_0_configuration_region={region}\n\
         \nand the AWS command line with the first three and AWS_DEFAULT_REGION={region}.\n\
         \nIts APIs are called at {url}/execute/{{REST API}}/{{stage}}/..., for example\n\
         \n  curl {call}/pets -H 'x-api-key: ...'\n\
         \nIt runs until SIGTERM or SIGINT.",
        url = gateway.url(),
        account = standin::ACCOUNT,
        region = standin::REGION,
        call = gateway.call_url("p3ts7ore01", "prod"),
    ));
    let signal = signals.next().await;
    gateway.stop();
    terminal::say(format_args!("{signal}: the stand-in ends. Calls: {}", counted(&gateway)));
    Ok(Exit::Good)
}

/// The calls so far: `GetRestApis 2, GetUsagePlans 1`.
pub(super) fn counted(gateway: &Gateway) -> String {
    let calls = gateway.calls();
    if calls.is_empty() {
        return "none".to_owned();
    }
    calls.iter().map(|(operation, count)| format!("{operation} {count}")).collect::<Vec<_>>().join(", ")
}
