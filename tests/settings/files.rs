//! Settings from files, as Gravitee's own agent reads them.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use federation_agent::{
    cli::config::{self, Format, render},
    settings::{self, Environment, Faults, SecretName, Secrets, Settings, StoreKind},
};
use proptest::{collection::vec, prelude::*, sample::select};
use secrecy::ExposeSecret;

use super::ENOUGH;

/// What is enough, as a file.
const FILE: &str = "\
integration:
  connector:
    ws:
      endpoints:
        - https://apim.example.com/integration-controller
      headers:
        - name: Authorization
          value: bearer the-token
  providers:
    - type: aws-api-gateway
      integrationId: f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84
      configuration:
        region: eu-west-1
";

/// An environment of variables and files.
fn environment(variables: &[(&str, &str)], files: &[(&str, &str)]) -> Environment {
    let files: BTreeMap<String, String> = files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
    let environment: Environment = variables.iter().copied().collect();
    environment.with_files(move |path: &Path| match files.get(&path.display().to_string()) {
        Some(text) => Ok(text.clone().into_bytes()),
        None => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    })
}

fn load(environment: &Environment) -> Result<Settings, Faults> {
    settings::load(environment, &config::tables())
}

fn good(variables: &[(&str, &str)], files: &[(&str, &str)]) -> Settings {
    let settings = load(&environment(variables, files)).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(settings.warnings, [""; 0]);
    settings
}

/// The settings of this file, named by our own variable.
fn of(file: &str, variables: &[(&str, &str)]) -> Result<Settings, Faults> {
    load(&environment(
        &[&[("FEDERATION_AGENT_CONFIG", "/etc/gravitee.yml")], variables].concat(),
        &[("/etc/gravitee.yml", file)],
    ))
}

#[test]
fn a_file_is_as_good_as_variables() {
    let settings = good(&[("FEDERATION_AGENT_CONFIG", "/a.yml")], &[("/a.yml", FILE)]);
    let variables = [&ENOUGH[..], &[("gravitee_integration_providers_0_configuration_region", "eu-west-1")]].concat();
    let same = good(&variables, &[]);
    assert_eq!(format!("{:?}", settings.connector), format!("{:?}", same.connector));
    assert_eq!(settings.connector.headers[0].1.expose_secret(), "bearer the-token");
    assert_eq!(settings.integrations[0].id, same.integrations[0].id);
    assert_eq!(settings.integrations[0].values.list("region"), same.integrations[0].values.list("region"));
    assert_eq!(settings.process.files, [Path::new("/a.yml")]);
}

#[test]
fn files_are_found_where_gravitee_has_them() {
    for folder in ["/opt/graviteeio-federation-agent/config", "/opt/graviteeio-integration-agent/config"] {
        let (base, more) = (format!("{folder}/gravitee.yml"), format!("{folder}/gravitee-override.yml"));
        let settings = good(&[], &[(&base, FILE), (&more, "integration.connector.ws.autoReconnect: true\n")]);
        assert!(settings.connector.auto_reconnect);
        good(&[], &[(&more, FILE)]);
        good(&[], &[(&base, FILE)]);
    }
    // What is named goes before what is found, ours before Java's; a later variable of Java's before an earlier one.
    let found = ("/opt/graviteeio-federation-agent/config/gravitee.yml", "a: [");
    good(&[("FEDERATION_AGENT_CONFIG", "/a.yml")], &[found, ("/a.yml", FILE)]);
    let java = ("JDK_JAVA_OPTIONS", "-Xmx256m '-Dgravitee.conf=/my files/a.yml,/b.yml'");
    let settings = good(
        &[java],
        &[found, ("/my files/a.yml", FILE), ("/b.yml", "integration: {connector: {ws: {autoReconnect: yes}}}")],
    );
    assert!(settings.connector.auto_reconnect);
    good(&[java, ("FEDERATION_AGENT_CONFIG", "/a.yml")], &[found, ("/a.yml", FILE)]);
    good(&[java, ("JAVA_OPTS", "-Dgravitee.conf=/c.yml")], &[("/c.yml", FILE)]);
    good(&[("JAVA_TOOL_OPTIONS", "-Dgravitee.home=/home")], &[("/home/config/gravitee.yml", FILE)]);
}

#[test]
fn a_later_file_overrides_leaf_by_leaf() {
    let override_ = "integration:\n  connector:\n    ws:\n      endpoints: [https://b.example.com]\n  providers:\n    - \
                     configuration:\n        stage: [one]\n";
    let base = FILE.replace(
        "        - https://apim.example.com/integration-controller\n",
        "        - https://a.example.com\n        - https://c.example.com\n",
    );
    let base = format!("{base}        stage: [zero, second]\n");
    let settings = good(&[("FEDERATION_AGENT_CONFIG", "/a.yml, /b.yml")], &[("/a.yml", &base), ("/b.yml", override_)]);
    let endpoints: Vec<&str> = settings.connector.endpoints.iter().map(url::Url::as_str).collect();
    assert_eq!(endpoints, ["https://b.example.com/", "https://c.example.com/"]);
    let values = &settings.integrations[0].values;
    assert_eq!(values.list("stage"), ["one", "second"]);
    assert_eq!(values.list("region"), ["eu-west-1"]);
    // A list as one text and a list by entries are two properties to Spring; what stands later is meant.
    let text = "integration.providers:\n- configuration: {stage: 'x,y'}\n";
    let settings = good(&[("FEDERATION_AGENT_CONFIG", "/a.yml,/b.yml")], &[("/a.yml", &base), ("/b.yml", text)]);
    assert_eq!(settings.integrations[0].values.list("stage"), ["x", "y"]);
    let settings = good(&[("FEDERATION_AGENT_CONFIG", "/b.yml,/a.yml")], &[("/a.yml", &base), ("/b.yml", text)]);
    assert_eq!(settings.integrations[0].values.list("stage"), ["zero", "second"]);
}

#[test]
fn variables_go_before_files_and_empty_ones_hide_them() {
    let configuration = "gravitee_integration_providers_0_configuration";
    let stages = format!("{FILE}        stage: [prod, dev]\n        acceptApiWithoutUsagePlan: true\n");
    let list =
        |variables: &[(&str, &str)]| of(&stages, variables).unwrap().integrations[0].values.list("stage").join(",");
    assert_eq!(list(&[]), "prod,dev");
    assert_eq!(list(&[(&format!("{configuration}_stage_0"), "test")]), "test,dev");
    assert_eq!(list(&[(&format!("{configuration}_stage_1"), "")]), "prod");
    assert_eq!(list(&[(&format!("{configuration}_stage"), "a,b")]), "a,b");
    assert_eq!(list(&[(&format!("{configuration}_stage"), "")]), "");
    assert_eq!(list(&[("GRAVITEE_INTEGRATION_PROVIDERS_0_CONFIGURATION_STAGE_0", "upper")]), "upper,dev");
    let flag = |variables: &[(&str, &str)]| {
        of(&stages, variables).unwrap().integrations[0].values.flag("acceptApiWithoutUsagePlan")
    };
    assert!(flag(&[]));
    assert!(!flag(&[(&format!("{configuration}_acceptApiWithoutUsagePlan"), "")]));
    assert!(!flag(&[(&format!("{configuration}_acceptApiWithoutUsagePlan"), "false")]));
    let faults = of(FILE, &[("gravitee_integration_providers_0_integrationId", "")]).unwrap_err().to_string();
    assert!(faults.starts_with("gravitee_integration_providers_0_integrationId is empty: must be set"), "{faults}");
    let notes = settings::explain(
        &environment(
            &[("FEDERATION_AGENT_CONFIG", "/a.yml"), ("gravitee_integration_connector_ws_endpoints_0", "")],
            &[("/a.yml", FILE)],
        ),
        &config::tables(),
    )
    .notes;
    assert_eq!(
        notes,
        ["a.yml:5: integration.connector.ws.endpoints[0] is not used: the variable \
          gravitee_integration_connector_ws_endpoints_0 is there, and empty"]
    );
}

#[test]
fn a_secret_in_a_file_of_its_own_is_a_source_like_any() {
    let token = ("/run/token", "bearer of-its-own\n");
    let file = |text: &str, variables: &[(&str, &str)]| {
        let variables = [&[("FEDERATION_AGENT_CONFIG", "/a.yml")], variables].concat();
        load(&environment(&variables, &[("/a.yml", text), token]))
    };
    let value = |settings: &Settings| settings.connector.headers[0].1.expose_secret().to_owned();
    let named = FILE.replace("value: bearer the-token", "value_FILE: /run/token");
    assert_eq!(value(&file(&named, &[]).unwrap()), "bearer of-its-own");
    let variable = "gravitee_integration_connector_ws_headers_0_value";
    assert_eq!(value(&file(&named, &[(variable, "bearer x")]).unwrap()), "bearer x");
    assert_eq!(value(&file(FILE, &[(&format!("{variable}_FILE"), "/run/token")]).unwrap()), "bearer of-its-own");
    let both = FILE.replace("value: bearer the-token", "value: bearer hunter2\n          value_FILE: /run/token");
    let faults = file(&both, &[]).unwrap_err().to_string();
    assert_eq!(
        faults,
        "a.yml:8: integration.connector.ws.headers[0].value=********: a.yml:9: integration.connector.ws.headers[0].value_FILE is \
         set as well; keep one of the two"
    );
}

#[test]
fn everything_wrong_is_told_with_its_line() {
    let text = "\
integration:
  connector:
    ws:
      endpoints: ['https://user:hunter2@a.example.com']
      autoReconect: true
      maxWebSocketFrameSize: lots
      headers:
        - name: Authorization
          value: bearer
      ssl:
        truststore: {path: /etc/trust.jks, password: hunter2}
      proxy: {enabled: true, type: SOCKS5, host: '${NOBODY}', port: 99999}
  providers:
    - type: aws-api-gatewy
      integrationId: <integration id>
    - type: aws-api-gateway
      integrationId: '${ID:}'
      configuration:
        regoin: eu-west-1
        secretAccessKey: hunter2
        secretAccessKey_FILE: /nowhere
ratelimit:
  type: none
services:
  core:
    http: {enabled: true}
";
    let environment = environment(&[("FEDERATION_AGENT_CONFIG", "/etc/gravitee.yml")], &[("/etc/gravitee.yml", text)]);
    let faults = load(&environment).unwrap_err().to_string();
    assert!(!faults.contains("hunter2"));
    let explained = settings::explain(&environment, &config::tables());
    insta::assert_snapshot!(format!("{faults}\n---\n{}", explained.warnings.join("\n")));
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_its_place() {
    for (text, expected) in [
        ("a:\n\tb: 1\n", "gravitee.yml:2:"),
        ("a: 1\nb: 2\na: 3\n", "gravitee.yml:3: `a` stands here a second time, the first is in line 1; keep one"),
        ("\0", "gravitee.yml:1:"),
    ] {
        let faults = of(text, &ENOUGH).unwrap_err().to_string();
        assert!(faults.starts_with(expected), "{faults}");
    }
    let faults =
        load(&environment(&[&ENOUGH[..], &[("FEDERATION_AGENT_CONFIG", "/no.yml")]].concat(), &[])).unwrap_err();
    assert!(
        faults.to_string().starts_with("FEDERATION_AGENT_CONFIG=/no.yml: the file cannot be read: no such file"),
        "{faults}"
    );
    let java = ("JDK_JAVA_OPTIONS", "-Dgravitee.conf=/no.yml");
    let faults = load(&environment(&[&ENOUGH[..], &[java]].concat(), &[])).unwrap_err();
    assert!(faults.to_string().starts_with("JDK_JAVA_OPTIONS: -Dgravitee.conf=/no.yml: the file cannot"), "{faults}");
    let faults = load(&environment(&[&ENOUGH[..], &[("JAVA_OPTS", "-Dx='")]].concat(), &[])).unwrap_err();
    assert!(faults.to_string().starts_with("JAVA_OPTS: a quotation mark is never closed"), "{faults}");
}

#[test]
fn placeholders_stand_for_variables_and_other_properties() {
    let text = FILE
        .replace("bearer the-token", "bearer ${TOKEN}")
        .replace("https://apim.example.com/", "https://${plane.host}:${PORT:8443}/")
        + "plane:\n  host: ${HOST_OF_PLANE:plane.example}\n";
    let settings = of(&text, &[("TOKEN", "t0k")]).unwrap();
    assert_eq!(settings.connector.headers[0].1.expose_secret(), "bearer t0k");
    assert_eq!(settings.connector.endpoints[0].as_str(), "https://plane.example:8443/integration-controller");
    let settings = of(&text, &[("TOKEN", "t"), ("gravitee_plane_host", "of.variable"), ("PORT", "1")]).unwrap();
    assert_eq!(settings.connector.endpoints[0].as_str(), "https://of.variable:1/integration-controller");
    let faults = of(&text, &[]).unwrap_err().to_string();
    assert!(faults.starts_with("gravitee.yml:8: integration.connector.ws.headers[0].value=********: "), "{faults}");
}

#[test]
fn options_for_java_are_honoured() {
    let options = "-Xmx256m -XX:+UseG1GC -Dfile.encoding=UTF-8 -Dhttps.proxyHost=proxy.example -Dhttps.proxyPort=3128 \
                   -Dhttp.nonProxyHosts=localhost|*.corp|10.* -Dintegration.connector.ws.autoReconnect=true \
                   -Djavax.net.ssl.trustStore=/trust.p12 -Djavax.net.ssl.trustStorePassword=hunter2";
    let stores = [("/trust.p12", "not looked into here")];
    let variables = [&ENOUGH[..], &[("JDK_JAVA_OPTIONS", options)]].concat();
    let settings = good(&variables, &stores);
    assert!(settings.connector.auto_reconnect);
    let proxy = &settings.process.proxy_environment;
    assert_eq!(proxy.https.as_ref().unwrap().expose_secret(), "http://proxy.example:3128");
    assert_eq!(proxy.no.as_deref(), Some("localhost,.corp,10.0.0.0/8"));
    let store = settings.connector.tls.truststore.unwrap();
    assert_eq!((store.kind, store.password.unwrap().expose_secret()), (StoreKind::Pkcs12, "hunter2"));
    assert_eq!(store.named_by, "JDK_JAVA_OPTIONS: -Djavax.net.ssl.trustStore");
    assert!(settings.process.trusted.is_some_and(|trusted| trusted.named_by == store.named_by), "for the gateways too");

    let own = [("HTTPS_PROXY", "http://own:1"), ("gravitee_integration_connector_ws_ssl_truststore_path", "/ca.pem")];
    let settings = good(&[&variables[..], &own].concat(), &[("/ca.pem", "-----BEGIN CERTIFICATE-----")]);
    assert_eq!(settings.process.proxy_environment.https.as_ref().unwrap().expose_secret(), "http://own:1");
    assert_eq!(settings.connector.tls.truststore.unwrap().kind, StoreKind::Pem);
    assert!(settings.process.trusted.is_none());

    let shown = render(&environment(&variables, &stores), Format::Text).text;
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains(
            "JDK_JAVA_OPTIONS: not needed, since there is no Java here: -Xmx256m -XX:+UseG1GC -Dfile.encoding\n"
        ),
        "{shown}"
    );

    for (options, expected) in [
        ("-DsocksProxyHost=x", "JDK_JAVA_OPTIONS: -DsocksProxyHost: SOCKS proxies are not spoken"),
        (
            "-Djavax.net.ssl.trustStore=/x.jks",
            "JDK_JAVA_OPTIONS: -Djavax.net.ssl.trustStore=/x.jks: JKS stores are not read; convert it with `keytool",
        ),
        ("-Dhttps.proxyHost=u:hunter2@x", "JDK_JAVA_OPTIONS: -Dhttps.proxyHost: this and -Dhttps.proxyPort are not"),
    ] {
        let faults =
            load(&environment(&[&ENOUGH[..], &[("JDK_JAVA_OPTIONS", options)]].concat(), &[])).unwrap_err().to_string();
        assert!(faults.starts_with(expected) && !faults.contains("hunter2"), "{faults}");
    }
}

#[test]
fn levels_of_a_logback_file_are_taken_over() {
    let logback = "<configuration><logger name=\"io.gravitee\" level=\"DEBUG\"/><root level=\"WARN\"/></configuration>";
    let folder = "/opt/graviteeio-federation-agent/config";
    let files = [(&*format!("{folder}/gravitee.yml"), FILE), (&*format!("{folder}/logback.xml"), logback)];
    assert_eq!(good(&[], &files).process.log, "warn,federation_agent=debug");
    assert_eq!(good(&[("FEDERATION_AGENT_LOG", "error")], &files).process.log, "error");
    let broken = [files[0], (files[1].0, "<configuration")];
    assert_eq!(good(&[], &broken).process.log, "info");
}

/// A store with one secret, which counts how often it is asked.
#[derive(Default)]
struct Store(AtomicUsize);

impl Secrets for Store {
    fn read(&self, _: &Environment, asked: &SecretName) -> Result<BTreeMap<String, Vec<u8>>, String> {
        self.0.fetch_add(1, Ordering::Relaxed);
        if (asked.name.as_str(), asked.namespace.as_deref()) != ("apim", Some("ns")) {
            return Err(format!("nobody knows {asked:?}"));
        }
        let pairs = [("token", "bearer hunter2\n"), ("id", "hunter2-id"), ("port", "hunter2"), ("empty", "")];
        Ok(pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect())
    }
}

#[test]
fn references_to_secrets_are_resolved_once_and_never_shown() {
    let text = FILE
        .replace("bearer the-token", "secret://kubernetes/apim:token?namespace=ns")
        .replace("f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84", "'secret://kubernetes/apim:id?namespace=${NAMESPACE}'");
    let variables = [
        ("FEDERATION_AGENT_CONFIG", "/a.yml"),
        ("NAMESPACE", "ns"),
        ("gravitee_secrets_kubernetes_namespace", "ns"),
        ("gravitee_integration_providers_0_configuration_stage_0", "secret://kubernetes/mounted:key"),
    ];
    let store = Arc::new(Store::default());
    let files = [("/a.yml", text.as_str()), ("/run/secrets/mounted/key", "hunter2-stage\n")];
    let environment = environment(&variables, &files).with_secrets(store.clone());
    let settings = load(&environment).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(settings.connector.headers[0].1.expose_secret(), "bearer hunter2");
    assert_eq!(settings.integrations[0].id, "hunter2-id");
    assert_eq!(settings.integrations[0].values.list("stage"), ["hunter2-stage"]);
    for format in [Format::Text, Format::Json] {
        let shown = render(&environment, format).text;
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert_eq!(store.0.load(Ordering::Relaxed), 1);

    let faulty = |name: &str, value: &str, more: &[(&str, &str)]| {
        let variables = [&ENOUGH[..], &[(name, value)], more].concat();
        let environment: Environment = variables.iter().copied().collect();
        load(&environment.with_secrets(Arc::new(Store::default()))).unwrap_err().to_string()
    };
    let ws = "gravitee_integration_connector_ws_proxy";
    let (host, port) = (format!("{ws}_password"), format!("{ws}_port"));
    assert_eq!(
        faulty(&host, "secret://kubernetes/apim:nothing?namespace=ns", &[]),
        format!("{host}=secret://…: the secret apim has no key nothing; it has empty, id, port, token")
    );
    assert_eq!(
        faulty(&host, "secret://kubernetes/apim:empty?namespace=ns", &[]),
        format!("{host}=secret://…: the key empty of the secret apim is empty")
    );
    assert!(faulty(&host, "secret://vault/a:b", &[]).contains("only secrets of Kubernetes are resolved"));
    assert!(faulty(&host, "secret://kubernetes/other:x", &[]).contains("nobody knows"));
    let off = [("gravitee_secrets_kubernetes_enabled", "false")];
    assert!(
        faulty(&host, "secret://kubernetes/apim:token?namespace=ns", &off)
            .contains("secrets.kubernetes.enabled is false")
    );
    assert_eq!(
        faulty(&port, "secret://kubernetes/apim:port?namespace=ns", &[]),
        format!("{port}=********: a whole number from 1 to 65535 is accepted")
    );
}

#[test]
fn config_shows_where_each_value_stands() {
    let environment = environment(
        &[
            ("FEDERATION_AGENT_CONFIG", "/etc/gravitee.yml"),
            ("GRAVITEE_INTEGRATION_PROVIDERS_0_INTEGRATIONID", "of-a-variable"),
        ],
        &[("/etc/gravitee.yml", FILE)],
    );
    let shown = render(&environment, Format::Text).text;
    let set: Vec<String> = shown
        .lines()
        .filter(|line| line.contains("gravitee.yml") || line.contains("of-a-variable"))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    insta::assert_snapshot!(set.join("\n"), @r"
    integration.connector.ws.endpoints[0] https://apim.example.com/integration-controller gravitee.yml:5 -
    integration.connector.ws.headers[0].name Authorization gravitee.yml:7 -
    integration.connector.ws.headers[0].value ******** gravitee.yml:8 -
    integration.providers[0].type aws-api-gateway gravitee.yml:10 -
    GRAVITEE_INTEGRATION_PROVIDERS_0_INTEGRATIONID of-a-variable variable -
    integration.providers[0].configuration.region eu-west-1 gravitee.yml:13 -
    FEDERATION_AGENT_CONFIG /etc/gravitee.yml variable -
    ");
}

/// A value as YAML has it in double quotation marks.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_and_variables_that_say_the_same_are_read_the_same(
        chosen in vec((select(vec![
            "integration.connector.ws.autoReconnect",
            "integration.connector.ws.endpoints[1]",
            "integration.connector.ws.headers[1].name",
            "integration.connector.ws.headers[1].value",
            "integration.connector.ws.maxWebSocketFrameSize",
            "integration.connector.ws.proxy.enabled",
            "integration.connector.ws.proxy.host",
            "integration.connector.ws.proxy.port",
            "integration.connector.ws.ssl.trustAll",
            "integration.providers[0].configuration.region",
            "integration.providers[0].configuration.stage[0]",
            "integration.providers[0].configuration.stage[1]",
            "integration.providers[0].configuration.burst",
            "integration.providers[0].configuration.accounts[0].roleArn",
            "integration.providers[1].type",
            "integration.providers[1].integrationId",
            "system.proxy.host",
            "cloud.token",
        ]), prop_oneof![
            select(vec!["true", "no", "3128", "65536", "a,b", "HTTP", "aws-api-gateway", "https://b.example", "X-Y", ""]).prop_map(str::to_owned),
            "[ -#%-~]{1,12}",
        ]), 0..12),
    ) {
        let pairs: BTreeMap<&str, String> = chosen.into_iter().collect();
        let mut text = FILE.to_owned();
        let mut variables: Vec<(String, String)> = Vec::new();
        for (property, value) in &pairs {
            // The file has an entry 0 of each list in a block above; keys with dots say the rest.
            text.extend([&quoted(property), ": ", &quoted(value), "\n"]);
            let plain = property.replace(['[', '.'], "_").replace(']', "");
            variables.push((format!("gravitee_{plain}"), value.clone()));
        }
        let region = ("gravitee_integration_providers_0_configuration_region".to_owned(), "eu-west-1".to_owned());
        let mut env: BTreeMap<String, String> = ENOUGH.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        env.insert(region.0, region.1);
        env.extend(variables);
        let of_variables = load(&env.into_iter().collect());
        let of_file = of(&text, &[]);
        match (of_file, of_variables) {
            (Ok(mut one), Ok(mut other)) => {
                one.process.files.clear();
                other.process.files.clear();
                prop_assert_eq!(format!("{:?}{:?}", one.process, one.connector), format!("{:?}{:?}", other.process, other.connector));
                let ids = |settings: &Settings| settings.integrations.iter().map(|one| {
                    (one.index, one.id.clone(), one.values.list("region").to_vec(), one.values.list("stage").to_vec())
                }).collect::<Vec<_>>();
                prop_assert_eq!(ids(&one), ids(&other));
                prop_assert_eq!(one.warnings.len(), other.warnings.len());
            }
            (Err(one), Err(other)) => {
                let says = |faults: &Faults| faults.0.iter().map(|fault| fault.found.clone()).collect::<Vec<_>>();
                prop_assert_eq!(says(&one), says(&other), "{}\n{}", one, other);
            }
            (one, other) => prop_assert!(false, "{one:?}\n{other:?}"),
        }
    }
}

#[test]
fn a_header_written_where_its_name_belongs_is_not_shown() {
    let file = FILE.replace("name: Authorization", "name: \"Authorization: bearer hunter2\"");
    let faults = of(&file, &[]).unwrap_err().to_string();
    assert!(faults.contains("Authorization:********: this is no name") && !faults.contains("hunter2"), "{faults}");
    let environment = environment(&[("FEDERATION_AGENT_CONFIG", "/a.yml")], &[("/a.yml", &file)]);
    for format in [Format::Text, Format::Json] {
        let shown = render(&environment, format).text;
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
