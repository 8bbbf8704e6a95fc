//! The link's settings: endpoints, headers, TLS, proxy.

use federation_agent::settings::{Proxy, StoreKind, StoreSource};
use secrecy::ExposeSecret;

use super::{ENOUGH, faults, load, with, ws};

#[test]
fn endpoints_are_checked_and_the_protocols_own_path_is_cut_off() {
    let settings = with(&[
        ("gravitee_integration_connector_ws_endpoints_1", "wss://b.example.com:8443/p/exchange/controller/"),
        ("gravitee_integration_connector_ws_endpoints_2", "ws://[::1]:8072/"),
        ("gravitee_integration_connector_ws_endpoints_3", "http://10.0.0.1:8072/exchange/controller"),
        ("gravitee_integration_connector_ws_endpoints_4", "http://localhost:8072"),
    ]);
    let urls: Vec<&str> = settings.connector.endpoints.iter().map(url::Url::as_str).collect();
    assert_eq!(
        urls,
        [
            "https://apim.example.com/integration-controller",
            "wss://b.example.com:8443/p",
            "ws://[::1]:8072/",
            "http://10.0.0.1:8072/",
            "http://localhost:8072/",
        ]
    );
    insta::assert_snapshot!(settings.warnings.join("\n"), @r"
    gravitee_integration_connector_ws_endpoints_1: /exchange/controller at the end of an endpoint is not needed, since the agent appends it; wss://b.example.com:8443/p is used
    gravitee_integration_connector_ws_endpoints_3: /exchange/controller at the end of an endpoint is not needed, since the agent appends it; http://10.0.0.1:8072 is used
    http://10.0.0.1:8072 is not encrypted: whoever is on the way can read the token; use https or wss
    ");
}

#[test]
fn unsafe_choices_and_odd_headers_are_warned_of() {
    let settings = load(&[
        ENOUGH[0],
        ENOUGH[3],
        ENOUGH[4],
        ("gravitee_integration_connector_ws_headers_0_name", "Host"),
        ("gravitee_integration_connector_ws_headers_0_value", "x"),
        ("gravitee_integration_connector_ws_headers_1_name", "X-Team"),
        ("gravitee_integration_connector_ws_headers_1_value", "a"),
        ("gravitee_integration_connector_ws_headers_2_name", "x-team"),
        ("gravitee_integration_connector_ws_headers_2_value", "b"),
        ("gravitee_integration_connector_ws_ssl_trustAll", "true"),
        ("gravitee_integration_connector_ws_ssl_verifyHost", "false"),
        ("gravitee_integration_connector_ws_autoReconnect", "true"),
        ("gravitee_system_proxy_host", "proxy"),
        ("GRAVITEE_INTEGRATION_CONNECTOR_WS_AUTORECONNECT", "false"),
    ])
    .unwrap();
    assert!(settings.connector.tls.trust_all && settings.connector.tls.skip_host_check);
    assert!(settings.connector.auto_reconnect);
    assert_eq!(settings.connector.headers.len(), 1);
    assert_eq!(settings.connector.headers[0].1.expose_secret(), "b");
    insta::assert_snapshot!(settings.warnings.join("\n"));
}

#[test]
fn stores_are_found_by_type_name_or_content() {
    let settings = with(&[
        ("gravitee_integration_connector_ws_ssl_truststore_content", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="),
        ("gravitee_integration_connector_ws_ssl_keystore_path", "/agent.p12"),
        ("gravitee_integration_connector_ws_ssl_keystore_password", "p"),
        ("gravitee_integration_connector_ws_ssl_keystore_alias", "agent"),
        ("FEDERATION_AGENT_CA_FILE", "/ca.pem"),
    ]);
    let tls = settings.connector.tls;
    let truststore = tls.truststore.unwrap();
    assert_eq!(truststore.kind, StoreKind::Pem);
    assert!(matches!(&truststore.source, StoreSource::Inline(bytes) if bytes.starts_with(b"-----BEGIN ")));
    let keystore = tls.keystore.unwrap();
    assert_eq!(keystore.kind, StoreKind::Pkcs12);
    assert_eq!(keystore.alias.as_deref(), Some("agent"));
    assert_eq!(keystore.named_by, "gravitee_integration_connector_ws_ssl_keystore_path");
    assert_eq!(tls.extra_ca.unwrap().to_str(), Some("/ca.pem"));

    for pair in [["certPath", "keyPath"], ["certificates_0_cert", "certificates_0_key"]] {
        let [cert, key] = pair.map(|name| ws(&format!("ssl_keystore_{name}")));
        let keystore = with(&[(&cert, "/tls.crt"), (&key, "/tls.key")]).connector.tls.keystore.unwrap();
        assert!(matches!(keystore.source, StoreSource::Files(files) if files.len() == 2));
    }
}

#[test]
fn stores_that_cannot_be_read_are_faults() {
    let store = |name: &str| ws(&format!("ssl_truststore_{name}"));
    let (path, kind) = (store("path"), store("type"));
    let keytool = "convert it with `keytool -importkeystore -srckeystore /etc/trust.jks -destkeystore /etc/trust.p12 \
                   -deststoretype PKCS12`, then set the path to the new file and the type to PKCS12";
    assert_eq!(
        faults(&[(&path, "/etc/trust.jks"), (&kind, "JKS")]),
        format!("{kind}=JKS: JKS stores are not read; {keytool}")
    );
    assert_eq!(
        faults(&[(&path, "/etc/trust.jks")]),
        format!("{path}=/etc/trust.jks: JKS stores are not read; {keytool}")
    );
    assert!(faults(&[(&path, "/mislabelled.p12")]).contains("JKS stores are not read"));
    assert_eq!(
        faults(&[(&path, "/nowhere")]),
        format!(
            "{path}=/nowhere: the file cannot be read: no such file; the path of a store is accepted\n{kind}: must be \
             set, since the name of the store does not tell its format; PEM or PKCS12 is accepted"
        )
    );
    assert_eq!(
        faults(&[(&path, "/ca.pem"), (&kind, "BCFKS")]),
        format!("{kind}=BCFKS: PEM, PKCS12 or JKS is accepted")
    );
    assert_eq!(
        faults(&[(&store("content"), "*"), (&kind, "PKCS12")]),
        format!("{}=********: this is not base64; a store as base64 is accepted", store("content"))
    );
    assert!(with(&[(&path, "/store")]).connector.tls.truststore.is_some(), "PEM is known by what it begins with");
}

#[test]
fn the_proxy_is_gravitees_or_the_environments() {
    let proxy = |name: &str| ws(&format!("proxy_{name}"));
    assert!(matches!(with(&[(&proxy("enabled"), "false")]).connector.proxy, Proxy::Direct));
    let settings = with(&[
        (&proxy("enabled"), "true"),
        (&proxy("host"), "proxy.example.com"),
        (&proxy("port"), "3128"),
        (&proxy("username"), "u"),
        (&proxy("password"), "p"),
    ]);
    let Proxy::Http { host, port, user: Some((user, password)) } = settings.connector.proxy else { panic!("a proxy") };
    assert_eq!((host.as_str(), port, user.as_str(), password.expose_secret()), ("proxy.example.com", 3128, "u", "p"));

    let settings = with(&[
        (&proxy("enabled"), "true"),
        (&proxy("useSystemProxy"), "true"),
        ("gravitee_system_proxy_host", "10.1.1.1"),
        ("gravitee_system_proxy_port", "8080"),
    ]);
    assert!(matches!(settings.connector.proxy, Proxy::Http { port: 8080, user: None, .. }));

    let unused = with(&[(&proxy("host"), "proxy.example.com")]);
    assert!(matches!(unused.connector.proxy, Proxy::Environment));
    assert_eq!(unused.warnings, [format!("{} is not used, since {} is not true", proxy("host"), proxy("enabled"))]);

    assert_eq!(
        faults(&[
            (&proxy("enabled"), "true"),
            (&proxy("type"), "socks5"),
            (&proxy("host"), "h"),
            (&proxy("port"), "1")
        ]),
        format!(
            "{}=SOCKS5: SOCKS proxies are not spoken; HTTP (a proxy that knows CONNECT) is accepted",
            proxy("type")
        )
    );
}

#[test]
fn the_clouds_client_gives_defaults() {
    let settings = with(&[
        ("gravitee_cloud_client_ssl_trustAll", "true"),
        ("gravitee_cloud_client_ssl_truststore_path", "/ca.pem"),
        ("gravitee_cloud_client_proxy_enabled", "true"),
        ("gravitee_cloud_client_proxy_host", "cloud-proxy"),
        ("gravitee_cloud_client_proxy_port", "1"),
    ]);
    assert!(settings.connector.tls.trust_all && settings.connector.tls.truststore.is_some());
    assert!(matches!(settings.connector.proxy, Proxy::Http { port: 1, .. }));

    let settings = with(&[
        ("gravitee_cloud_client_ssl_trustAll", "true"),
        ("gravitee_integration_connector_ws_ssl_trustAll", "false"),
        ("gravitee_cloud_client_proxy_enabled", "true"),
        ("gravitee_cloud_client_proxy_host", "cloud-proxy"),
        ("gravitee_integration_connector_ws_proxy_enabled", "false"),
    ]);
    assert!(!settings.connector.tls.trust_all);
    assert!(matches!(settings.connector.proxy, Proxy::Direct));
}

#[test]
fn the_clouds_token_needs_endpoints() {
    let cloud = ("gravitee_cloud_token", "the-cloud-token");
    insta::assert_snapshot!(load(&[cloud, ENOUGH[3], ENOUGH[4]]).unwrap_err(), @"gravitee_cloud_token=********: where the controller of Gravitee Cloud is, and how this token opens it, is not public; set gravitee_integration_connector_ws_endpoints_0 (for example https://apim.example.com/integration-controller), and gravitee_integration_connector_ws_headers_0_name=Authorization with gravitee_integration_connector_ws_headers_0_value=<bearer and a token>; then this token is used only when no Authorization header is set");
    let settings = load(&[cloud, ENOUGH[0], ENOUGH[3], ENOUGH[4]]).unwrap();
    assert_eq!(settings.warnings, [""; 0]);
    assert_eq!(settings.connector.headers[0].0, "Authorization");
    assert_eq!(settings.connector.headers[0].1.expose_secret(), "bearer the-cloud-token");
    let settings = with(&[cloud]);
    assert_eq!(settings.connector.headers[0].1.expose_secret(), "bearer the-token");
    // Gravitee's documentation of some releases has both.
    assert_eq!(settings.warnings, [""; 0]);
}
