//! The settings of AWS API Gateway: the first seven are Gravitee's own, the others are ours.

use crate::settings::{Group, Key, KeyTable, Shape};

/// What stands under `gravitee_integration_providers_N_configuration_` when `type` is `aws-api-gateway`.
pub static KEYS: KeyTable = KeyTable {
    keys: &[
        Key {
            name: "region",
            shape: Shape::List,
            required: false,
            default: None,
            help: "The AWS regions whose APIs are federated. With several accounts, every account in every region, \
                   unless the account's entry has regions of its own.",
            example: "eu-west-1,us-east-1",
        },
        Key {
            name: "accessKeyId",
            shape: Shape::Text,
            required: false,
            default: None,
            help: "Static credentials, first half. Without them AWS's default chain is used: environment, profile, \
                   ECS or EKS role, instance role.",
            example: "AKIAIOSFODNN7EXAMPLE",
        },
        Key {
            name: "secretAccessKey",
            shape: Shape::Secret,
            required: false,
            default: None,
            help: "Static credentials, second half.",
            example: "<secret access key>",
        },
        Key {
            name: "roleArn",
            shape: Shape::List,
            required: false,
            default: None,
            help: "The roles to assume, one an account, from the static credentials or the default chain. Without any \
                   role, the account of the credentials themselves is read.",
            example: "arn:aws:iam::123456789012:role/GraviteeFederationDiscoveryRole",
        },
        Key {
            name: "acceptApiWithoutUsagePlan",
            shape: Shape::Flag,
            required: false,
            default: Some("false"),
            help: "Also federate API stages that no usage plan covers. They have no plan, so nobody can subscribe to \
                   them.",
            example: "true",
        },
        Key {
            name: "stage",
            shape: Shape::List,
            required: false,
            default: None,
            help: "Only stages of these names are federated. Without it, all.",
            example: "prod,dev",
        },
        Key {
            name: "externalId",
            shape: Shape::Text,
            required: false,
            default: None,
            help: "The external id that the roles' trust policies ask for.",
            example: "gravitee-federation",
        },
        Key {
            name: "apiName",
            shape: Shape::Text,
            required: false,
            default: Some("{name} ({stage})"),
            help: "How an API is named in the plane. `{name}` is the REST API's name; `{stage}`, `{region}`, \
                   `{account}` and `{id}` (the REST API's id) say where it is.",
            example: "{name} ({stage})",
        },
        Key {
            name: "callsPerSecond",
            shape: Shape::Decimal,
            required: false,
            default: Some("8"),
            help: "How many calls a second the agent makes to API Gateway in one account. AWS allows 10 for all \
                   callers together.",
            example: "8",
        },
        Key {
            name: "burst",
            shape: Shape::Number(1, 1000),
            required: false,
            default: Some("30"),
            help: "How many calls may be made at once before `callsPerSecond` holds them back. AWS allows 40.",
            example: "30",
        },
        Key {
            name: "callsPer",
            shape: Shape::Word(&["account", "region"]),
            required: false,
            default: Some("account"),
            help: "What `callsPerSecond` and `burst` count for: an account with all its regions, or each region of it.",
            example: "account",
        },
        Key {
            name: "endpointUrl",
            shape: Shape::Text,
            required: false,
            default: None,
            help: "Where AWS is asked instead of its public addresses: a VPC endpoint or an emulator. The variable \
                   AWS_ENDPOINT_URL works too.",
            example: "https://vpce-0123456789abcdef0.apigateway.eu-west-1.vpce.amazonaws.com",
        },
    ],
    groups: &[Group {
        name: "accounts",
        help: "Accounts with regions, stages or external ids of their own, beside those of `roleArn`.",
        keys: &[
            Key {
                name: "roleArn",
                shape: Shape::Text,
                required: true,
                default: None,
                help: "The role to assume in this account.",
                example: "arn:aws:iam::123456789012:role/GraviteeFederationDiscoveryRole",
            },
            Key {
                name: "externalId",
                shape: Shape::Text,
                required: false,
                default: None,
                help: "The external id that this role's trust policy asks for. Without it, `externalId` of the whole.",
                example: "gravitee-federation",
            },
            Key {
                name: "regions",
                shape: Shape::List,
                required: false,
                default: None,
                help: "This account's regions. Without it, `region` of the whole.",
                example: "eu-west-1,us-east-1",
            },
            Key {
                name: "stages",
                shape: Shape::List,
                required: false,
                default: None,
                help: "This account's stages. Without it, `stage` of the whole.",
                example: "prod",
            },
        ],
    }],
};
