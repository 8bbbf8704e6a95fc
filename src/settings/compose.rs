//! The names of Gravitee's compose files. Compose reads them from `.env` and hands the agent's own variables over.

/// A name of the compose files.
#[derive(Debug, Clone, Copy)]
pub struct ComposeName {
    /// The name in `.env`.
    pub name: &'static str,
    /// What stands for it in `.env.example`.
    pub value: &'static str,
    /// Whether nothing works without it.
    pub needed: bool,
    /// The agent's variable that `docker-compose.yaml` makes of it; `None` when only compose itself reads it.
    pub variable: Option<&'static str>,
    /// One sentence for people.
    pub help: &'static str,
}

const fn needed(name: &'static str, value: &'static str, variable: &'static str, help: &'static str) -> ComposeName {
    ComposeName { name, value, needed: true, variable: Some(variable), help }
}

const fn optional(
    name: &'static str,
    value: &'static str,
    variable: Option<&'static str>,
    help: &'static str,
) -> ComposeName {
    ComposeName { name, value, needed: false, variable, help }
}

/// Every name that `docker-compose.yaml` maps, the ones that must be filled in first.
pub static COMPOSE: &[ComposeName] = &[
    needed(
        "WS_ENDPOINTS",
        "https://apim.example.com/integration-controller",
        "gravitee_integration_connector_ws_endpoints_0",
        "Where the plane's integration controller is.",
    ),
    needed(
        "WS_AUTH_TOKEN",
        "",
        "gravitee_integration_connector_ws_headers_0_value",
        "The token of a service account that may create, read, update and delete integrations; without `bearer`.",
    ),
    needed(
        "INTEGRATION_ID",
        "",
        "gravitee_integration_providers_0_integrationId",
        "The integration's id, as the plane's console shows it.",
    ),
    needed(
        "AWS_REGION",
        "eu-west-1",
        "gravitee_integration_providers_0_configuration_region",
        "The AWS region, or several with commas between them.",
    ),
    optional(
        "AWS_ACCESS_KEY_ID",
        "",
        Some("gravitee_integration_providers_0_configuration_accessKeyId"),
        "Static credentials. Leave both empty on a machine that has a role of its own.",
    ),
    optional(
        "AWS_SECRET_ACCESS_KEY",
        "",
        Some("gravitee_integration_providers_0_configuration_secretAccessKey"),
        "Their second half.",
    ),
    optional("AWS_ROLE_ARN", "", Some("gravitee_integration_providers_0_configuration_roleArn_0"), "A role to assume."),
    optional(
        "AWS_ROLE_ARNS",
        "",
        Some("gravitee_integration_providers_0_configuration_roleArn"),
        "Several roles to assume, one an account, with commas between them.",
    ),
    optional(
        "ACCEPT_API_WITHOUT_USAGE_PLAN",
        "",
        Some("gravitee_integration_providers_0_configuration_acceptApiWithoutUsagePlan"),
        "`true`: also federate API stages that no usage plan covers.",
    ),
    optional(
        "AWS_STAGE",
        "",
        Some("gravitee_integration_providers_0_configuration_stage"),
        "Only these stages, with commas between them.",
    ),
    optional("AWS_0_STAGE", "", Some("gravitee_integration_providers_0_configuration_0_stage"), "Only this stage,"),
    optional("AWS_1_STAGE", "", Some("gravitee_integration_providers_0_configuration_1_stage"), "and this one."),
    optional("WS_ORG_ID", "", None, "Not needed: the organization comes from the token."),
    optional("APIM_REGISTRY", "", None, "Of Gravitee's own image; not read here."),
    optional("AGENT_VERSION", "", None, "Of Gravitee's own image; not read here."),
];
