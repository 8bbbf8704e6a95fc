//! Where credentials come from: the settings, AWS's default chain, STS.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_config::{SdkConfig, imds::client::error::ImdsError};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError},
};
use aws_types::{origin::Origin, service_config::ServiceConfigKey};
use futures_util::future::BoxFuture;
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::{
    config::Config,
    failure::{self, Asked, Cause, Failure},
    region::Partition,
    vault::Vault,
};
use crate::{
    model::{Class, Error},
    observe::{CallOutcome, Recorder},
};

/// How long STS may take to say who we are.
pub(super) const IDENTITY: Duration = Duration::from_secs(6);

/// What is told of credentials that are refused and cannot change while the process runs.
const FIXED: &str = "They are the accessKeyId and secretAccessKey of the settings, which are read at the start: change \
                     them there and restart";

/// Builds AWS's default chain from what the machine says now.
pub(super) type Chain = Arc<dyn Fn() -> BoxFuture<'static, Option<SharedCredentialsProvider>> + Send + Sync>;

/// The credentials of the settings' pair, else of the default chain. It is built anew for every fetch: the SDK reads
/// the profiles of one chain once, and what is written into them later would need a restart.
pub(super) fn base_vault(chain: Chain, config: &Config) -> Vault {
    if let Some((id, secret)) = config.pair.clone() {
        let pair = Vault::new(&config.integration, move || {
            let credentials = Credentials::new(&id, secret.expose_secret(), None, None, "settings");
            async move { Ok(credentials) }
        });
        return pair.fixed(FIXED);
    }
    let profile = profile();
    Vault::new(&config.integration, move || {
        let (chain, profile) = (chain(), profile.clone());
        async move {
            match chain.await {
                Some(chain) => chain.provide_credentials().await.map_err(|error| of_chain(&error, profile.as_deref())),
                None => Err(Error::bug("the default credentials chain is missing")),
            }
        }
    })
}

/// The profile that the SDK is asked to take.
#[expect(clippy::disallowed_methods, reason = "the SDK reads it by itself, beside the settings; here it is only told")]
fn profile() -> Option<String> {
    std::env::var("AWS_PROFILE").ok().filter(|profile| !profile.is_empty())
}

/// Why the default chain gives nothing, `AWS_PROFILE` being `profile`.
fn of_chain(error: &CredentialsError, profile: Option<&str>) -> Error {
    let advice = profile.map_or_else(
        || {
            "Look at what hands them out (a profile's role or program, AWS_WEB_IDENTITY_TOKEN_FILE, a container's or \
             an instance's metadata), or set accessKeyId and secretAccessKey"
                .to_owned()
        },
        of_profile,
    );
    if let Some(imds) = failure::chain(error).find_map(|error| error.downcast_ref::<ImdsError>()) {
        return of_instance(imds, profile.map(of_profile));
    }
    let why = failure::root_cause(error);
    match error {
        CredentialsError::CredentialsNotLoaded(_) => match profile {
            Some(_) => Error::denied(format!("no AWS credentials were found: {advice}")),
            None => Error::denied(
                "no AWS credentials were found: neither accessKeyId and secretAccessKey in the settings, nor AWS_ACCESS_KEY_ID, \
                 a profile, a web identity, a container's role or an instance's. In a container on EC2 the instance's role \
                 is invisible unless the instance's metadata hop limit is 2 or more \
                 (aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2)",
            ),
        },
        CredentialsError::InvalidConfiguration(_) => {
            Error::invalid(format!("the AWS configuration of this machine cannot be used: {why}. {advice}"))
        }
        _ => Error::unavailable(format!("AWS credentials could not be had now: {why}. {advice}")),
    }
}

/// What to do when the profile that is asked for gives nothing.
fn of_profile(profile: &str) -> String {
    format!(
        "AWS_PROFILE names the profile `{profile}`, which must be in ~/.aws/config or ~/.aws/credentials (or where \
         AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE say; in a container: mounted and readable) and have \
         credentials: mend the profile, which is read again, or restart with another AWS_PROFILE or with none"
    )
}

/// Why the instance's metadata gives nothing. What it answered is not told: it may be from anybody.
fn of_instance(error: &ImdsError, profile: Option<String>) -> Error {
    let status = match error {
        ImdsError::ErrorResponse(answer) => Some(answer.response().status().as_u16()),
        _ => None,
    };
    let why = status.map_or_else(|| failure::root_cause(error), |status| format!("HTTP {status}"));
    let profile = profile.map_or_else(String::new, |profile| format!(". {profile}"));
    let sentence = format!(
        "the instance's metadata gives no AWS credentials: {why}. Attach a role to the instance and let this process \
         use its metadata (aws ec2 modify-instance-metadata-options --http-endpoint enabled; no firewall or proxy \
         before 169.254.169.254), or set accessKeyId and secretAccessKey{profile}"
    );
    match status {
        Some(400..=499) => Error::denied(sentence),
        _ => Error::unavailable(sentence),
    }
}

/// How a role is assumed.
pub(super) struct Assume {
    /// STS, in `region`, as the base identity.
    pub(super) sts: aws_sdk_sts::Client,
    /// The credentials that it is asked with.
    pub(super) base: Arc<Vault>,
    /// Is told of every call.
    pub(super) recorder: Recorder,
    /// The role's ARN.
    pub(super) role: String,
    /// What its trust policy asks for.
    pub(super) external_id: Option<String>,
    /// How CloudTrail shows us.
    pub(super) session: String,
    /// Where STS is asked.
    pub(super) region: String,
}

/// Why a role was not assumed.
struct Refused {
    /// The role's trust or a right is missing.
    denied: bool,
    /// STS is not activated in the region.
    disabled: bool,
    failure: Failure,
}

impl Assume {
    /// The role's credentials, fetched when they are needed.
    pub(super) fn into_vault(self, integration: &str) -> Vault {
        let assume = Arc::new(self);
        Vault::new(integration, move || {
            let assume = assume.clone();
            async move { assume.credentials().await }
        })
    }

    async fn credentials(&self) -> Result<Credentials, Error> {
        let base = self.base.get().await?;
        let refused = match self.assumed().await {
            Ok(credentials) => return Ok(credentials),
            Err(refused) if refused.failure.cause == Cause::Credentials => refused,
            Err(refused) => return Err(self.explained(refused).await),
        };
        // The credentials that it is asked with may have been replaced.
        self.base.refused(&base).await;
        if self.base.get().await? == base {
            return Err(self.explained(refused).await);
        }
        match self.assumed().await {
            Ok(credentials) => Ok(credentials),
            Err(refused) => Err(self.explained(refused).await),
        }
    }

    /// Asks once.
    async fn assumed(&self) -> Result<Credentials, Refused> {
        let calling = self.recorder.calling("AssumeRole");
        let answer = self
            .sts
            .assume_role()
            .role_arn(&self.role)
            .set_external_id(self.external_id.clone())
            .role_session_name(&self.session)
            .send()
            .await;
        let place = format!("STS, {}", self.region);
        let right = format!("sts:AssumeRole on {}", self.role);
        let asked = Asked { operation: "AssumeRole", right: &right, place: &place, whom: "the agent's own identity" };
        let answer = answer.map_err(|error| Refused {
            denied: matches!(
                aws_sdk_sts::error::ProvideErrorMetadata::code(&error),
                Some("AccessDenied" | "AccessDeniedException")
            ),
            disabled: aws_sdk_sts::error::ProvideErrorMetadata::code(&error) == Some("RegionDisabledException"),
            failure: failure::of_sdk(&error, &asked),
        });
        calling.ended(match &answer {
            Ok(_) => CallOutcome::Good,
            Err(refused) => CallOutcome::Failed(refused.failure.class()),
        });
        let answer = answer?;
        let credentials = answer.credentials.ok_or_else(|| Refused {
            denied: false,
            disabled: false,
            failure: Failure::harmless(Error::unavailable("AssumeRole (STS) gave no credentials")),
        })?;
        let expiry = SystemTime::try_from(credentials.expiration).ok();
        Ok(Credentials::new(
            credentials.access_key_id,
            credentials.secret_access_key,
            Some(credentials.session_token),
            expiry,
            "assumed role",
        ))
    }

    /// What a refusal to assume the role means for a person: the role, its external id, and who asked.
    async fn explained(&self, refused: Refused) -> Error {
        match refused {
            Refused { denied: true, .. } => {
                let calling = self.recorder.calling("GetCallerIdentity");
                let told = timeout(IDENTITY, self.sts.get_caller_identity().send()).await;
                calling.ended(match told {
                    Ok(Ok(_)) => CallOutcome::Good,
                    _ => CallOutcome::Failed(Class::Unavailable),
                });
                let who = match told {
                    Ok(Ok(answer)) => answer.arn.unwrap_or_else(|| "the agent's own identity".into()),
                    _ => "the agent's own identity".into(),
                };
                let external_id = match &self.external_id {
                    Some(id) => format!("with the external id `{id}`"),
                    None => "without an external id".into(),
                };
                Error::denied(format!(
                    "the role {} may not be assumed by {who} {external_id}: its trust policy must name {who} and the \
                     same external id, and {who} needs sts:AssumeRole on it",
                    self.role
                ))
            }
            Refused { disabled: true, .. } => Error::denied(format!(
                "the role {} cannot be assumed in {}: STS is not activated in that region; activate it or name \
                 another region first",
                self.role, self.region
            )),
            Refused { failure, .. } => {
                self.base.advise(failure).error.during(format!("assuming the role {}", self.role))
            }
        }
    }
}

/// How CloudTrail shows us: at most 64 of the characters that STS takes.
pub(super) fn session_name(integration: &str) -> String {
    let name = format!("federation-agent-{integration}");
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "+=,.@-_".contains(c) { c } else { '-' };
    name.chars().map(allowed).take(64).collect()
}

/// `config` as STS needs it. An endpoint that is set for everything serves STS too when it is an emulator's; a VPC
/// endpoint of API Gateway serves nothing else, so that STS is then asked where it always is, or where a setting of
/// its own (`AWS_ENDPOINT_URL_STS`) says.
pub(super) fn of_sts(config: &SdkConfig) -> SdkConfig {
    let everything = config.endpoint_url();
    if !everything.is_some_and(is_of_another_service) {
        return config.clone();
    }
    let key = ServiceConfigKey::builder().service_id("STS").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let own = config.service_config().zip(key.ok()).and_then(|(settings, key)| settings.load_config(key));
    let own = own.filter(|own| Some(own.as_str()) != everything);
    let mut builder = config.to_builder();
    builder.set_endpoint_url(own);
    // As if set by hand: else the SDK would take the one for everything again.
    builder.insert_origin("endpoint_url", Origin::shared_config());
    builder.build()
}

/// Whether a URL names a service of AWS that is not STS.
fn is_of_another_service(url: &str) -> bool {
    let url = url::Url::parse(url).ok();
    let host = url.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    Partition::owns_host(host) && !host.split('.').any(|label| label == "sts" || label == "sts-fips")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names_fit_sts() {
        assert_eq!(
            session_name("fbf844a0-27b2-4f12-b844-a027b2cf1206"),
            "federation-agent-fbf844a0-27b2-4f12-b844-a027b2cf1206"
        );
        assert_eq!(session_name("a b/ü"), "federation-agent-a-b--");
        assert_eq!(session_name(&"x".repeat(99)).len(), 64);
    }

    #[derive(Debug)]
    struct OwnEndpoint(&'static str);

    impl aws_types::service_config::LoadServiceConfig for OwnEndpoint {
        fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
            (key.service_id() == "STS").then(|| self.0.to_owned())
        }
    }

    #[test]
    fn sts_is_not_asked_at_the_vpc_endpoint_of_api_gateway() {
        let vpc = "https://vpce-1.apigateway.eu-west-1.vpce.amazonaws.com";
        let of = |url: &str| of_sts(&SdkConfig::builder().endpoint_url(url).build()).endpoint_url().map(str::to_owned);
        assert_eq!(of(vpc), None);
        for both in ["http://localhost:4566", "https://sts.eu-west-1.amazonaws.com"] {
            assert_eq!(of(both).as_deref(), Some(both));
        }
        for (own, expected) in [(vpc, None), ("https://sts.example", Some("https://sts.example"))] {
            let config = SdkConfig::builder().endpoint_url(vpc).service_config(OwnEndpoint(own)).build();
            let config = of_sts(&config);
            assert_eq!(config.endpoint_url(), expected);
            assert!(config.get_origin("endpoint_url").is_client_config());
        }
    }

    #[test]
    fn an_invisible_instance_role_names_the_hop_limit() {
        let error = of_chain(&CredentialsError::not_loaded_no_source(), None);
        assert!(error.sentence().contains("hop limit"), "{error}");
    }
}
