//! Whatever stands in the environment: reading it never panics, and no secret shows.

use std::{io, path::Path};

use federation_agent::{
    cli::config::{Format, render, tables},
    settings::{self, Environment, PROCESS_KEYS, PROCESS_PREFIX, Shape, sections},
};
use proptest::{collection::vec, prelude::*, sample::select};

/// Stands in every secret that is made here, and nowhere else.
const MARK: &str = "hunter2";

/// Every declared variable, and whether what it holds is secret.
fn declared() -> Vec<(String, bool)> {
    let mut names: Vec<(String, bool)> =
        PROCESS_KEYS.iter().map(|key| (format!("{PROCESS_PREFIX}{}", key.name), false)).collect();
    for section in sections(&tables()) {
        let keys = section.table.keys.iter().map(|key| (section.variable(key), key.shape));
        let groups = section.table.groups.iter();
        let keys = keys.chain(groups.flat_map(|group| {
            group.keys.iter().map(|key| (section.group_variable(group, key), key.shape)).collect::<Vec<_>>()
        }));
        for (name, shape) in keys {
            if shape == Shape::List {
                names.push((format!("{name}_N"), false));
            }
            names.push((name, shape == Shape::Secret));
        }
    }
    names
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,12}",
        select(vec![
            "",
            " ",
            ",",
            "true",
            "false",
            "0",
            "1",
            "8s",
            "65536",
            "3128",
            "HTTP",
            "SOCKS5",
            "PEM",
            "PKCS12",
            "JKS",
            "aws-api-gateway",
            "solace",
            "Authorization",
            "eu-west-1, eu-west-3",
            "/ca.pem",
            "/store.jks",
            "off",
            "https://apim.example.com",
            "ws://a/exchange/controller",
            "localhost",
            "info",
        ])
        .prop_map(str::to_owned),
        select(vec![
            "https://u:hunter2@a",
            "http://hunter2@a,https://b/?token=hunter2",
            "https://a#hunter2",
            "x:hunter2@b",
            "https://a?hunter2",
            "ftp://u:hunter2@x",
            "user:hunter2@a?hunter2",
        ])
        .prop_map(str::to_owned),
    ]
}

fn any_secret() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| format!("{MARK}{text}{MARK}")),
        select(vec!["bearer hunter2", "hunter2\n", "secret://hunter2", "", "bearer <hunter2>", "-----BEGIN hunter2"])
            .prop_map(str::to_owned),
    ]
}

fn any_variable() -> impl Strategy<Value = (String, String)> {
    let named = (select(declared()), 0..4_usize, any::<bool>(), any_value(), any_secret(), any::<bool>());
    prop_oneof![
        9 => named.prop_map(|((name, secret), index, upper, value, hidden, file)| {
            let indexed: Vec<String> =
                name.split('_').map(|part| if part == "N" { index.to_string() } else { part.to_owned() }).collect();
            let mut name = indexed.join("_");
            // Addresses with a password in them are made for these alone: elsewhere nothing is known of them.
            let is_address = name.contains("ws_endpoints")
                || name.ends_with("proxy_host")
                || (name.ends_with("endpointUrl") && value.contains('@') && !value.contains('?'));
            if upper {
                name = name.to_uppercase();
            }
            match (secret, file) {
                (true, true) => (format!("{name}_FILE"), "/run/secrets/one".to_owned()),
                (true, false) => (name, hidden),
                (false, _) if is_address || !value.contains(MARK) => (name, value),
                (false, _) => (name, "x".to_owned()),
            }
        }),
        1 => ("(gravitee|GRAVITEE|FEDERATION_AGENT)[_.][ -~]{0,20}", any_secret()),
        1 => (any::<String>(), any_secret()),
        1 => (select(vec!["HTTPS_PROXY", "https_proxy", "ALL_PROXY"]), Just("http://u:hunter2@proxy".to_owned()))
            .prop_map(|(name, value)| (name.to_owned(), value)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_never_panics_and_no_secret_shows(variables in vec(any_variable(), 0..24)) {
        let environment: Environment = variables.into_iter().collect();
        let environment = environment.with_files(|path: &Path| match path.to_str() {
            Some("/run/secrets/one") => Ok(format!("bearer {MARK}\n").into_bytes()),
            Some("/ca.pem") => Ok(b"-----BEGIN CERTIFICATE-----".to_vec()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        });
        let mut shown = vec![
            format!("{environment:?}"),
            render(&environment, Format::Text).text,
            render(&environment, Format::Json).text,
            format!("{:?}", settings::process(&environment)),
            format!("{:?}", settings::gateways(&environment, &tables())),
        ];
        match settings::load(&environment, &tables()) {
            Ok(settings) => shown.push(format!("{settings:?}")),
            Err(faults) => shown.extend([faults.to_string(), format!("{faults:?}")]),
        }
        for text in shown {
            prop_assert!(!text.contains(MARK), "{}", text);
        }
    }
}
