//! What an agent may be at, as its status.

use std::collections::BTreeMap;

use federation_agent::observe::status::{
    CommandStatus, Configured, DiscoveryStatus, Identity, IngestStatus, IntegrationStatus, Status, Warning,
};

const ONE: &str = "f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84";
const TWO: &str = "0c9d1f6e-5b7a-4d38-9f21-7a3e8c4b2d15";

/// Every scene: its name, what is shown, and the headline.
pub(crate) fn all() -> Vec<(&'static str, Status, &'static str)> {
    vec![
        ("fresh", fresh(), "✗ The integration is not connected"),
        ("well", well(), "✓ All 2 integrations are connected"),
        ("trouble", trouble(), "✗ 1 of 2 integrations is not connected"),
        ("ingesting", ingesting(), "✓ All 2 integrations are connected"),
        ("busy", more_commands(), "✓ All 2 integrations are connected"),
        ("hostile", hostile(), "✗ The integration is not connected"),
    ]
}

fn at(minutes_before: u64) -> String {
    let minute = 60 * 14 + 30 - minutes_before;
    format!("2026-11-22T{:02}:{:02}:00Z", minute / 60, minute % 60)
}

fn base(integrations: Vec<IntegrationStatus>) -> Status {
    Status {
        version: "0.1.0 (1a1689c)".into(),
        started: at(125),
        now: at(0),
        ready: integrations.iter().all(|one| one.connected),
        journal: "the journal of grants is in /var/lib/federation-agent/journal, on a volume of its own".into(),
        journal_trouble: None,
        integrations,
        warnings: Vec::new(),
        configuration: vec![
            Configured {
                name: "gravitee_integration_connector_ws_headers_0_value".into(),
                value: "********".into(),
                source: "variable".into(),
            },
            Configured {
                name: "gravitee_integration_providers_0_configuration_region".into(),
                value: "eu-west-1, us-east-1".into(),
                source: "gravitee-override.yml:12".into(),
            },
        ],
    }
}

fn one(id: &str, connected: bool) -> IntegrationStatus {
    IntegrationStatus {
        id: id.into(),
        provider: "aws-api-gateway".into(),
        title: "AWS API Gateway".into(),
        connected,
        since: at(125),
        endpoint: Some("wss://apim.example.com/integration-controller".into()),
        gateway: vec![
            "credentials: AWS's default chain".into(),
            "account 123456789012 (role arn:aws:iam::123456789012:role/GFTR-123456789012): regions eu-west-1, us-east-1; \
             stages all, with a usage plan"
                .into(),
        ],
        identities: vec![Identity {
            known: true,
            says: "in AWS the agent is arn:aws:sts::123456789012:assumed-role/federation-agent/i-0abc".into(),
        }],
        ..IntegrationStatus::default()
    }
}

fn command(n: u64, kind: &str, good: bool) -> CommandStatus {
    CommandStatus {
        at: at(n),
        id: format!("9a1b2c3d-0000-4000-8000-{n:012}"),
        kind: kind.into(),
        api: kind.ends_with("SUBSCRIBE").then(|| "eu-west-1:a1b2c3d4e5:prod".into()),
        subscription: None,
        millis: 240 + 37 * n,
        outcome: if good { "succeeded" } else { "error" }.into(),
        class: (!good).then(|| "denied".into()),
        note: match kind {
            _ if !good => {
                "CreateApiKey (account 123456789012, eu-west-1): access is denied; give the agent apigateway:POST \
                           on arn:aws:apigateway:eu-west-1::/apikeys"
            }
            "SUBSCRIBE" => "key k8s2j1h4g5 for usage plan g0ld77",
            "UNSUBSCRIBE" => "the key is deleted",
            "DISCOVER" => "12 APIs",
            _ => "12 APIs to hand over",
        }
        .into(),
    }
}

fn discovery(minutes: u64) -> DiscoveryStatus {
    DiscoveryStatus {
        at: at(minutes),
        by: "DISCOVER".into(),
        whole: true,
        apis: 12,
        plans: 3,
        left_out: 4,
        millis: 1_240,
        calls: 14,
        ..DiscoveryStatus::default()
    }
}

fn counts(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
    of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// Just started, not connected yet.
pub(crate) fn fresh() -> Status {
    let one = IntegrationStatus { since: at(0), identities: Vec::new(), ..one(ONE, false) };
    Status { started: at(0), ..base(vec![one]) }
}

/// Nothing to worry about.
pub(crate) fn well() -> Status {
    let first = IntegrationStatus {
        commands: vec![command(3, "SUBSCRIBE", true), command(9, "START_INGEST", true), command(11, "DISCOVER", true)],
        discovery: Some(discovery(11)),
        ingest: Some(IngestStatus {
            job: "job-1".into(),
            began: at(9),
            ended: Some(at(8)),
            total: 12,
            taken: 12,
            failed: BTreeMap::new(),
            outcome: Some("done".into()),
        }),
        grants: counts(&[("live", 41)]),
        grants_as_of: Some(at(0)),
        calls: counts(&[("GetRestApis", 2), ("GetUsagePlans", 2), ("GetExport", 12), ("CreateApiKey", 41)]),
        ..one(ONE, true)
    };
    base(vec![first, IntegrationStatus { sessions_lost: 1, ..one(TWO, true) }])
}

/// What wakes people.
pub(crate) fn trouble() -> Status {
    let first = IntegrationStatus {
        why: Some(
            "wss://apim.example.com/integration-controller: the token was refused (401): make a new one for the service \
             account in Gravitee and set gravitee_integration_connector_ws_headers_0_value"
                .into(),
        ),
        since: at(17),
        sessions_lost: 4,
        identities: vec![Identity {
            known: false,
            says: "AccessDenied: the agent may not assume arn:aws:iam::210987654321:role/GFTR-210987654321".into(),
        }],
        ..one(ONE, false)
    };
    let second = IntegrationStatus {
        commands: vec![command(2, "SUBSCRIBE", false), command(5, "UNSUBSCRIBE", true)],
        commands_under_way: 2,
        discovery: Some(DiscoveryStatus {
            whole: false,
            held_back: 3,
            failed: vec![
                "account 210987654321, us-east-1: access is denied; give the role apigateway:GET on /restapis".into(),
            ],
            ..discovery(40)
        }),
        grants: counts(&[("live", 38), ("stuck", 2), ("unconfirmed", 1)]),
        grants_as_of: Some(at(0)),
        ..one(TWO, true)
    };
    let warning = |minutes, level: &str, integration: Option<&str>, says: &str, times| Warning {
        at: at(minutes),
        level: level.into(),
        integration: integration.map(str::to_owned),
        says: says.into(),
        times,
    };
    Status {
        journal_trouble: Some("No space left on device (os error 28)".into()),
        warnings: vec![
            warning(1, "WARN", Some(ONE), "not connected: the token was refused (401)", 12),
            warning(
                4,
                "ERROR",
                None,
                "the journal in /var/lib/federation-agent cannot be written (No space left on device)",
                1,
            ),
        ],
        ..base(vec![first, second])
    }
}

/// An ingest that is under way.
pub(crate) fn ingesting() -> Status {
    let mut status = well();
    status.integrations[0].ingest = Some(IngestStatus {
        job: "job-2".into(),
        began: at(4),
        ended: None,
        total: 2_000,
        taken: 1_200,
        failed: counts(&[("unavailable", 3)]),
        outcome: None,
    });
    status
}

/// As many commands as are kept, some of which failed.
pub(crate) fn more_commands() -> Status {
    let mut status = well();
    let kinds = ["SUBSCRIBE", "UNSUBSCRIBE", "DISCOVER", "START_INGEST"];
    status.integrations[0].commands =
        (0..20).map(|n| command(n, kinds[usize::try_from(n).expect("a small number") % 4], n % 5 != 3)).collect();
    status
}

/// Names and sentences as somebody might choose them who wants to be more than text.
pub(crate) fn hostile() -> Status {
    let evil = "</script><img src=x onerror=\"window.taken = 1\"><script>window.taken = 1</script>";
    let long = "x".repeat(700);
    let first = IntegrationStatus {
        title: evil.into(),
        why: Some(format!("{evil} {long}")),
        endpoint: Some(format!("javascript:window.taken=1//{long}")),
        gateway: vec![evil.into(), long.clone()],
        commands: vec![CommandStatus {
            note: evil.into(),
            api: Some(long.clone()),
            kind: evil.into(),
            outcome: evil.into(),
            ..command(1, "x", false)
        }],
        grants: counts(&[(evil, 1)]),
        grants_as_of: Some(at(0)),
        calls: counts(&[(evil, 1)]),
        ..one(evil, false)
    };
    let warning = Warning { at: at(1), level: "WARN".into(), integration: Some(evil.into()), says: long, times: 1 };
    Status { version: evil.into(), warnings: vec![warning], ..base(vec![first]) }
}
