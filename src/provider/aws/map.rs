//! From what AWS lists to the model. What is named here is stored for ever by the plane: the tests pin it.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_apigateway::types::{ApiKeySourceType, EndpointType, QuotaSettings, RestApi, ThrottleSettings, UsagePlan};

use super::{
    address::StageAddress,
    template::{NameTemplate, Named},
};
use crate::model::{Api, Metadata, MetadataFormat, Plan, PlanSecurity, Texts};

/// Keys of [`Api::connection`] and of a grant's metadata.
pub(super) mod key {
    /// The invoke URL.
    pub(in super::super) const URL: &str = "url";
    /// The account's number.
    pub(in super::super) const ACCOUNT: &str = "aws-account-id";
    /// The region's name.
    pub(in super::super) const REGION: &str = "aws-region";
    /// The API key's id in AWS; Gravitee's own agent writes it too.
    pub(in super::super) const API_KEY: &str = "aws-api-key-id";
    /// The usage plan's id.
    pub(in super::super) const USAGE_PLAN: &str = "aws-usage-plan-id";
    /// The plan's id as the plane sends it with SUBSCRIBE.
    pub(in super::super) const PLAN: &str = "planId";

    /// What `metadata` says under `name`; blanks say nothing.
    pub(in super::super) fn told<'a>(metadata: &'a crate::model::Texts, name: &str) -> Option<&'a str> {
        metadata.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }
}

/// What is counted for what is kept beside its texts, in bytes.
const RECORD: usize = 128;
/// How many other stages a plan's description names.
const NAMED_STAGES: usize = 25;

/// What is kept of a REST API while its stages are mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RestApiFacts {
    pub(super) id: String,
    pub(super) name: String,
    description: Option<String>,
    version: Option<String>,
    endpoint_types: Vec<EndpointType>,
    endpoint_disabled: bool,
    key_source: Option<ApiKeySourceType>,
    tags: BTreeMap<String, String>,
}

/// What is kept of a usage plan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlanFacts {
    pub(super) id: String,
    pub(super) name: String,
    description: Option<String>,
    characteristics: Vec<String>,
    /// REST API id and stage of everything that its keys open.
    pub(super) stages: Vec<(String, String)>,
}

impl RestApiFacts {
    /// `None` for one without an id, which AWS never sends.
    pub(super) fn of(api: RestApi) -> Option<Self> {
        let id = filled(api.id)?;
        Some(Self {
            name: api.name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| id.clone()),
            id,
            description: filled(api.description),
            version: filled(api.version),
            endpoint_types: api
                .endpoint_configuration
                .and_then(|configuration| configuration.types)
                .unwrap_or_default(),
            endpoint_disabled: api.disable_execute_api_endpoint,
            key_source: api.api_key_source,
            tags: api.tags.unwrap_or_default().into_iter().collect(),
        })
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        let texts = [Some(&self.name), Some(&self.id), self.description.as_ref(), self.version.as_ref()];
        let tags = self.tags.iter().map(|(name, value)| RECORD + name.len() + value.len());
        RECORD + texts.into_iter().flatten().map(String::len).sum::<usize>() + tags.sum::<usize>()
    }

    fn is_private(&self) -> bool {
        self.endpoint_types.contains(&EndpointType::Private)
    }

    fn description(&self) -> Option<String> {
        let mut parts: Vec<&str> = self.description.as_deref().into_iter().collect();
        if self.is_private() {
            parts.push("Private: it is reached only through VPC endpoints.");
        }
        if self.endpoint_disabled {
            parts.push("Its execute-api endpoint is disabled: it is reached only by a custom domain name.");
        }
        if self.key_source == Some(ApiKeySourceType::Authorizer) {
            parts.push("Its authorizer names the API key: an x-api-key header alone does not open it.");
        }
        (!parts.is_empty()).then(|| parts.join("\n\n"))
    }

    fn endpoint_type(&self) -> Option<String> {
        let mut words: Vec<&str> = self.endpoint_types.iter().map(EndpointType::as_str).collect();
        if self.endpoint_disabled {
            words.push("execute-api disabled");
        }
        (!words.is_empty()).then(|| words.join(", "))
    }
}

impl PlanFacts {
    /// `None` for one that is not whole: without an id, or with a stage that is not named. AWS never sends such.
    pub(super) fn of(plan: UsagePlan) -> Option<Self> {
        let id = filled(plan.id)?;
        let stages = plan.api_stages.unwrap_or_default().into_iter();
        let stages = stages.map(|stage| Some((stage.api_id?, stage.stage?))).collect::<Option<_>>()?;
        let mut characteristics = Vec::new();
        if let Some(throttle) = &plan.throttle {
            characteristics.extend(throttle_texts(throttle));
        }
        if let Some(quota) = &plan.quota {
            characteristics.extend(quota_text(quota));
        }
        Some(Self {
            name: filled(plan.name).unwrap_or_else(|| id.clone()),
            id,
            description: filled(plan.description),
            characteristics,
            stages,
        })
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        let stages = self.stages.iter().map(|(api, stage)| RECORD + api.len() + stage.len());
        let texts = [Some(&self.name), Some(&self.id), self.description.as_ref()];
        RECORD + texts.into_iter().flatten().map(String::len).sum::<usize>() + stages.sum::<usize>()
    }

    /// Whether its keys open this stage.
    pub(super) fn covers(&self, rest_api: &str, stage: &str) -> bool {
        self.stages.iter().any(|(api, name)| api == rest_api && name == stage)
    }

    /// The plan as the API `here` has it; `names` are the REST APIs' names by id.
    fn plan(&self, here: &StageAddress, names: &HashMap<String, String>) -> Plan {
        let mut others = self.stages.iter().filter(|(api, stage)| (api, stage) != (&here.rest_api, &here.stage));
        let told: Vec<String> = others
            .by_ref()
            .take(NAMED_STAGES)
            .map(|(api, stage)| format!("{} ({stage})", names.get(api).unwrap_or(api)))
            .collect();
        let more = others.count();
        let mut parts: Vec<String> = self.description.clone().into_iter().collect();
        match more {
            _ if told.is_empty() => {}
            0 => parts.push(format!("A key of this plan also opens: {}.", told.join(", "))),
            more => parts.push(format!("A key of this plan also opens: {}, and {more} more.", told.join(", "))),
        }
        Plan {
            id: self.id.clone(),
            name: self.name.clone(),
            description: (!parts.is_empty()).then(|| parts.join("\n\n")),
            security: PlanSecurity::ApiKey,
            characteristics: self.characteristics.clone(),
        }
    }
}

/// Where an API was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    /// Which stage.
    pub(super) address: &'a StageAddress,
    /// Its account's number, when it is known.
    pub(super) account: Option<&'a str>,
}

/// A stage of a REST API as the plane's API.
pub(super) fn api(
    found: Found<'_>,
    rest_api: &RestApiFacts,
    plans: &[&PlanFacts],
    names: &HashMap<String, String>,
    template: &NameTemplate,
) -> Api {
    let Found { address, account } = found;
    let url = address.invoke_url();
    let mut connection =
        Texts::from([(key::URL.to_owned(), url.clone()), (key::REGION.to_owned(), address.region.clone())]);
    if let Some(account) = account {
        connection.insert(key::ACCOUNT.to_owned(), account.to_owned());
    }
    let mut plans: Vec<Plan> = plans.iter().map(|plan| plan.plan(address, names)).collect();
    plans.sort_by(|one, other| one.id.cmp(&other.id));
    plans.dedup_by(|one, other| one.id == other.id);
    let name = template.fill(&Named {
        name: &rest_api.name,
        stage: &address.stage,
        region: &address.region,
        account,
        id: &rest_api.id,
    });
    Api {
        unique_id: address.to_string(),
        id: address.to_string(),
        name,
        version: Some(rest_api.version.clone().unwrap_or_else(|| "0.0.0".into())),
        description: rest_api.description(),
        connection,
        plans,
        documents: Vec::new(),
        metadata: metadata(found, rest_api, url),
    }
}

fn metadata(found: Found<'_>, rest_api: &RestApiFacts, url: String) -> Vec<Metadata> {
    let Found { address, account } = found;
    let tags: Vec<String> = rest_api.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let text = MetadataFormat::String;
    [
        (key::ACCOUNT, account.map(str::to_owned), text),
        (key::REGION, Some(address.region.clone()), text),
        ("aws-rest-api-id", Some(rest_api.id.clone()), text),
        ("aws-stage", Some(address.stage.clone()), text),
        ("aws-endpoint-type", rest_api.endpoint_type(), text),
        ("aws-api-key-source", rest_api.key_source.as_ref().map(|source| source.as_str().to_owned()), text),
        ("aws-tags", (!tags.is_empty()).then(|| tags.join(", ")), text),
        ("aws-invoke-url", Some(url), MetadataFormat::Url),
    ]
    .into_iter()
    .filter_map(|(name, value, format)| Some(Metadata { name: name.to_owned(), value: value?, format }))
    .collect()
}

/// Rate and burst, worded as Gravitee's own agent does.
fn throttle_texts(throttle: &ThrottleSettings) -> Vec<String> {
    let (rate, burst) = (throttle.rate_limit, throttle.burst_limit);
    // The SDK says 0 for what was not told.
    let mut texts = Vec::new();
    if rate > 0.0 {
        texts.push(format!("Rate: {rate:?} requests per second"));
    }
    if burst > 0 {
        texts.push(format!("Burst: {burst} requests"));
    }
    texts
}

/// The quota, worded as Gravitee's own agent does.
fn quota_text(quota: &QuotaSettings) -> Option<String> {
    let period = quota.period.as_ref()?.as_str().to_lowercase();
    (quota.limit > 0).then(|| format!("Quota: {} requests per {period}", quota.limit))
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use aws_sdk_apigateway::types::{ApiStage, EndpointConfiguration, QuotaPeriodType};

    use super::*;

    fn stage(api: &str, stage: &str) -> ApiStage {
        ApiStage::builder().api_id(api).stage(stage).build()
    }

    fn gold() -> PlanFacts {
        let plan = UsagePlan::builder()
            .id("u1p2q3")
            .name("Gold")
            .description("For partners")
            .api_stages(stage("a1b2c3d4e5", "prod"))
            .api_stages(stage("a1b2c3d4e5", "dev"))
            .api_stages(stage("z9", "prod"))
            .throttle(ThrottleSettings::builder().rate_limit(10.0).burst_limit(10).build())
            .quota(QuotaSettings::builder().limit(1000).period(QuotaPeriodType::Day).build());
        PlanFacts::of(plan.build()).unwrap()
    }

    fn orders() -> RestApi {
        RestApi::builder()
            .id("a1b2c3d4e5")
            .name("Orders")
            .description("Orders of customers")
            .version("1.4")
            .endpoint_configuration(EndpointConfiguration::builder().types(EndpointType::Regional).build())
            .api_key_source(ApiKeySourceType::Header)
            .tags("team", "shop")
            .tags("cost", "12")
            .build()
    }

    fn mapped(rest_api: RestApi, account: Option<&str>) -> Api {
        let address = StageAddress::new("eu-west-1", "a1b2c3d4e5", "prod");
        let names = HashMap::from([("a1b2c3d4e5".to_owned(), "Orders".to_owned())]);
        let template = NameTemplate::parse("{name} ({stage})").unwrap();
        let found = Found { address: &address, account };
        api(found, &RestApiFacts::of(rest_api).unwrap(), &[&gold()], &names, &template)
    }

    fn metadata_of<'a>(api: &'a Api, name: &str) -> Option<&'a str> {
        api.metadata.iter().find(|entry| entry.name == name).map(|entry| entry.value.as_str())
    }

    #[test]
    fn stored_names_are_pinned() {
        let api = mapped(orders(), Some("123456789012"));
        assert_eq!(api.unique_id, "eu-west-1:a1b2c3d4e5:prod");
        assert_eq!(api.id, "eu-west-1:a1b2c3d4e5:prod");
        assert_eq!(api.name, "Orders (prod)");
        assert_eq!(api.version.as_deref(), Some("1.4"));
        assert_eq!(api.description.as_deref(), Some("Orders of customers"));
        let connection: Vec<(&str, &str)> = api.connection.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            connection,
            [
                ("aws-account-id", "123456789012"),
                ("aws-region", "eu-west-1"),
                ("url", "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/prod"),
            ]
        );
        let metadata: Vec<(&str, &str, MetadataFormat)> =
            api.metadata.iter().map(|entry| (entry.name.as_str(), entry.value.as_str(), entry.format)).collect();
        let text = MetadataFormat::String;
        assert_eq!(
            metadata,
            [
                ("aws-account-id", "123456789012", text),
                ("aws-region", "eu-west-1", text),
                ("aws-rest-api-id", "a1b2c3d4e5", text),
                ("aws-stage", "prod", text),
                ("aws-endpoint-type", "REGIONAL", text),
                ("aws-api-key-source", "HEADER", text),
                ("aws-tags", "cost=12, team=shop", text),
                ("aws-invoke-url", "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/prod", MetadataFormat::Url),
            ]
        );
        // A key with the provider's type in its name would come back at SUBSCRIBE over the connection, editable.
        assert!(api.metadata.iter().all(|entry| !entry.name.contains("aws-api-gateway")));
    }

    #[test]
    fn plans_are_pinned() {
        let api = mapped(orders(), None);
        let [plan] = api.plans.as_slice() else { panic!("one plan") };
        assert_eq!((plan.id.as_str(), plan.name.as_str(), plan.security), ("u1p2q3", "Gold", PlanSecurity::ApiKey));
        assert_eq!(
            plan.characteristics,
            ["Rate: 10.0 requests per second", "Burst: 10 requests", "Quota: 1000 requests per day"]
        );
        assert_eq!(
            plan.description.as_deref(),
            Some("For partners\n\nA key of this plan also opens: Orders (dev), z9 (prod).")
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let api = mapped(RestApi::builder().id("a1b2c3d4e5").build(), None);
        assert_eq!(api.version.as_deref(), Some("0.0.0"));
        assert_eq!(api.name, "a1b2c3d4e5 (prod)");
        assert_eq!(api.description, None);
        assert!(!api.connection.contains_key("aws-account-id"));
        for name in ["aws-account-id", "aws-endpoint-type", "aws-tags", "aws-api-key-source"] {
            assert_eq!(metadata_of(&api, name), None);
        }
        assert!(api.metadata.iter().all(|entry| !entry.value.is_empty()));
    }

    #[test]
    fn private_and_disabled_endpoints_are_marked() {
        let private = EndpointConfiguration::builder().types(EndpointType::Private).build();
        let rest_api = RestApi::builder()
            .id("a1b2c3d4e5")
            .endpoint_configuration(private)
            .disable_execute_api_endpoint(true)
            .api_key_source(ApiKeySourceType::Authorizer)
            .build();
        let api = mapped(rest_api, None);
        assert_eq!(metadata_of(&api, "aws-endpoint-type"), Some("PRIVATE, execute-api disabled"));
        let description = api.description.unwrap();
        for part in ["VPC endpoints", "custom domain", "authorizer"] {
            assert!(description.contains(part), "{part} in {description}");
        }
    }

    #[test]
    fn many_other_stages_are_counted() {
        let stages = (0..40).map(|n| stage(&format!("api{n}"), "prod")).collect();
        let plan = UsagePlan::builder().id("u").set_api_stages(Some(stages)).build();
        let address = StageAddress::new("eu-west-1", "api0", "prod");
        let description = PlanFacts::of(plan).unwrap().plan(&address, &HashMap::new()).description.unwrap();
        assert!(description.ends_with("api25 (prod), and 14 more."), "{description}");
    }

    #[test]
    fn limits_that_were_not_told_are_not_told() {
        let throttle =
            |rate, burst| throttle_texts(&ThrottleSettings::builder().rate_limit(rate).burst_limit(burst).build());
        assert_eq!(throttle(0.5, 0), ["Rate: 0.5 requests per second"]);
        assert_eq!(throttle(0.0, 7), ["Burst: 7 requests"]);
        assert!(throttle(0.0, 0).is_empty());
        assert_eq!(quota_text(&QuotaSettings::builder().limit(5).build()), None);
    }
}
