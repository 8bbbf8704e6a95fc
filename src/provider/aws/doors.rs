//! Where AWS is asked: the URLs of API Gateway and of STS, as the SDK finds them.

use aws_config::SdkConfig;
use aws_sdk_apigateway::config::endpoint::ResolveEndpoint as _;
use aws_sdk_sts::config::endpoint::ResolveEndpoint as _;
use url::Url;

use super::{
    client::{Access, at},
    credentials::of_sts,
};
use crate::provider::Door;

/// Every place that is asked, each once, API Gateway's first.
pub(super) async fn doors(access: &Access) -> Vec<Door> {
    let config = access.sdk().await;
    let mut doors: Vec<Door> = Vec::new();
    let mut add = |service: &str, region: &str, url: Option<Url>| {
        let Some(url) = url else { return };
        let what = format!("{service}, {region}");
        match doors.iter_mut().find(|door| door.url == url) {
            // An emulator is all of it.
            Some(door) if !door.what.contains(&what) => door.what = format!("{}; {what}", door.what),
            Some(_) => {}
            None => doors.push(Door { url, what }),
        }
    };
    for region in access.config.regions() {
        add("API Gateway", region, gateway(config, region).await);
    }
    for account in access.accounts.iter().chain([&access.base]) {
        if let Some(region) = account.config.regions.first() {
            add("STS", region, sts(config, region).await);
        }
    }
    doors
}

async fn gateway(config: &SdkConfig, region: &str) -> Option<Url> {
    let params = aws_sdk_apigateway::config::endpoint::Params::builder()
        .region(region)
        .use_fips(config.use_fips().unwrap_or_default())
        .use_dual_stack(config.use_dual_stack().unwrap_or_default())
        .set_endpoint(config.endpoint_url().map(str::to_owned))
        .build()
        .ok()?;
    let found = aws_sdk_apigateway::config::endpoint::DefaultResolver::new().resolve_endpoint(&params).await;
    Url::parse(found.ok()?.url()).ok()
}

async fn sts(config: &SdkConfig, region: &str) -> Option<Url> {
    let config = of_sts(&at(config, region));
    let params = aws_sdk_sts::config::endpoint::Params::builder()
        .region(region)
        .use_fips(config.use_fips().unwrap_or_default())
        .use_dual_stack(config.use_dual_stack().unwrap_or_default())
        .set_endpoint(config.endpoint_url().map(str::to_owned))
        .build()
        .ok()?;
    let found = aws_sdk_sts::config::endpoint::DefaultResolver::new().resolve_endpoint(&params).await;
    Url::parse(found.ok()?.url()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::aws::config::tests::read;

    async fn told(config: SdkConfig) -> Vec<String> {
        let access =
            Access::new(read(&[("region", "eu-west-1,us-east-1")]).unwrap(), crate::observe::Recorder::default());
        let doors = doors(&access.with_loaded(config)).await;
        doors.into_iter().map(|door| format!("{}: {}", door.what, door.url)).collect()
    }

    #[tokio::test]
    async fn they_are_those_that_the_sdk_asks() {
        assert_eq!(
            told(SdkConfig::builder().build()).await,
            [
                "API Gateway, eu-west-1: https://apigateway.eu-west-1.amazonaws.com/",
                "API Gateway, us-east-1: https://apigateway.us-east-1.amazonaws.com/",
                "STS, eu-west-1: https://sts.eu-west-1.amazonaws.com/",
            ]
        );
        assert_eq!(
            told(SdkConfig::builder().endpoint_url("http://localhost:4566").build()).await,
            ["API Gateway, eu-west-1; API Gateway, us-east-1; STS, eu-west-1: http://localhost:4566/"]
        );
    }
}
