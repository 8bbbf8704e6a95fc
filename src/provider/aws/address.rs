//! How an API of the plane is found again in AWS: its identity, and the URL that callers use.

use std::fmt;

use url::Url;

use super::region::{Partition, is_region, is_stage};

/// A stage of a REST API, which is what the plane calls an API. Written `{region}:{rest api id}:{stage}`, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct StageAddress {
    /// The region's name.
    pub(super) region: String,
    /// The REST API's id, unique in its region over all accounts.
    pub(super) rest_api: String,
    /// The stage's name.
    pub(super) stage: String,
}

impl StageAddress {
    /// The address of a stage.
    pub(super) fn new(region: &str, rest_api: &str, stage: &str) -> Self {
        Self { region: region.into(), rest_api: rest_api.into(), stage: stage.into() }
    }

    /// Whether its parts have the forms that they have in AWS, so that it can be read again from what is written.
    pub(super) fn is_sound(&self) -> bool {
        is_region(&self.region) && is_rest_api(&self.rest_api) && is_stage(&self.stage)
    }

    /// Reads an id of ours; `None` for any other form.
    pub(super) fn parse(id: &str) -> Option<Self> {
        let mut parts = id.split(':');
        let (region, rest_api, stage) = (parts.next()?, parts.next()?, parts.next()?);
        (parts.next().is_none() && is_region(region) && is_rest_api(rest_api) && is_stage(stage))
            .then(|| Self::new(region, rest_api, stage))
    }

    /// Reads an invoke URL: `https://{id}.execute-api.{region}.{suffix}/{stage}`, also in the forms that private APIs
    /// have (`{id}-{vpc endpoint}.execute-api…`).
    pub(super) fn of_url(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let mut labels = url.host_str()?.split('.');
        let (name, service, region) = (labels.next()?, labels.next()?, labels.next()?);
        let rest_api = name.split_once("-vpce-").map_or(name, |(rest_api, _)| rest_api);
        let stage = url.path_segments()?.next()?;
        (service == "execute-api" && is_region(region) && is_rest_api(rest_api) && is_stage(stage))
            .then(|| Self::new(region, rest_api, stage))
    }

    /// Where callers reach it, unless its execute-api endpoint is switched off.
    pub(super) fn invoke_url(&self) -> String {
        let suffix = Partition::of_region(&self.region).suffix;
        format!("https://{}.execute-api.{}.{suffix}/{}", self.rest_api, self.region, self.stage)
    }
}

impl fmt::Display for StageAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.region, self.rest_api, self.stage)
    }
}

/// Whether `text` has the form of a REST API's id.
fn is_rest_api(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_')
}

/// The region that an invoke URL names, whatever else is in it.
pub(super) fn region_of_url(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    url.host_str()?.split('.').find(|label| is_region(label)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_pinned() {
        let address = StageAddress::new("eu-west-1", "a1b2c3d4e5", "prod");
        assert_eq!(address.to_string(), "eu-west-1:a1b2c3d4e5:prod");
        assert_eq!(StageAddress::parse("eu-west-1:a1b2c3d4e5:prod"), Some(address));
    }

    #[test]
    fn other_forms_are_foreign() {
        for id in
            ["", "a1b2c3d4e5", "a1b2c3d4e5:prod", "eu-west-1:a1b2c3d4e5:prod:x", "prod:a1:eu-west-1", "eu-west-1::p"]
        {
            assert_eq!(StageAddress::parse(id), None, "{id}");
        }
    }

    #[test]
    fn invoke_urls_are_pinned_in_every_partition() {
        for (region, url) in [
            ("eu-west-1", "https://a1.execute-api.eu-west-1.amazonaws.com/prod"),
            ("cn-north-1", "https://a1.execute-api.cn-north-1.amazonaws.com.cn/prod"),
            ("us-gov-west-1", "https://a1.execute-api.us-gov-west-1.amazonaws.com/prod"),
            ("eusc-de-east-1", "https://a1.execute-api.eusc-de-east-1.amazonaws.eu/prod"),
        ] {
            let address = StageAddress::new(region, "a1", "prod");
            assert_eq!(address.invoke_url(), url);
            assert_eq!(StageAddress::of_url(url), Some(address));
        }
    }

    #[test]
    fn urls_are_read_in_all_their_forms() {
        let address = StageAddress::new("eu-west-1", "a1", "dev");
        for url in [
            "https://a1.execute-api.eu-west-1.amazonaws.com/dev/",
            "https://a1.execute-api.eu-west-1.amazonaws.com/dev/orders?x=1",
            "https://a1-vpce-0abc.execute-api.eu-west-1.amazonaws.com/dev",
        ] {
            assert_eq!(StageAddress::of_url(url), Some(address.clone()), "{url}");
        }
        for url in ["", "a1", "https://api.acme.example/dev", "https://a1.execute-api.eu-west-1.amazonaws.com"] {
            assert_eq!(StageAddress::of_url(url), None, "{url}");
        }
        assert_eq!(region_of_url("https://a1.execute-api.eu-west-1.amazonaws.com").as_deref(), Some("eu-west-1"));
    }
}
