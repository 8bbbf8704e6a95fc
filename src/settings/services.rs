//! The health and node surface: Gravitee's names for where it listens, who may ask, and by which certificate.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use secrecy::ExposeSecret;

use super::{
    Named, Store, Values,
    reader::{Reader, shown},
    tables::{CORE_HTTP, METRICS, SERVED_METRICS, SURFACE},
    tls,
};

/// The password of Gravitee's chart, which everybody knows.
const KNOWN_PASSWORD: &str = "adminadmin";

/// How the health and node surface is served, and to whom.
#[derive(Debug, Clone, Default)]
pub struct Http {
    /// Whether somebody said where to listen; otherwise the surface may be left out when the port is taken.
    pub asked: bool,
    /// Who may ask; empty: everybody.
    pub users: Vec<Named>,
    /// Certificate and key; `None`: it is served without TLS.
    pub keystore: Option<Store>,
    /// `/_node/metrics/prometheus` is not served.
    pub no_prometheus: bool,
}

/// What was read.
pub(super) struct Services {
    pub(super) http: Http,
    /// Where it listens by Gravitee's names.
    pub(super) address: Option<SocketAddr>,
    /// Whether one of these is set.
    pub(super) moved: bool,
}

/// Reads the keys below `services`; `ours` is our own variable for the address, when it is set.
pub(super) fn read(reader: &mut Reader<'_>, ours: Option<&str>) -> Services {
    let values = reader.values(&SURFACE, CORE_HTTP);
    let metrics = reader.values(&SERVED_METRICS, METRICS);
    let moved: Vec<String> = ["enabled", "host", "port"]
        .into_iter()
        .filter(|key| values.is_given(key))
        .map(|key| values.variable(key))
        .collect();
    let address = address(reader, &values);
    if let Some(ours) = ours {
        reader.notes.extend(moved.iter().map(|name| format!("{name} is not needed: {ours} is set")));
    }
    let http = Http {
        asked: ours.is_some() || !moved.is_empty(),
        users: users(reader, &values),
        keystore: keystore(reader, &values),
        no_prometheus: (metrics.is_given("enabled") && !metrics.flag("enabled")) || !metrics.flag("prometheus.enabled"),
    };
    Services { http, address, moved: !moved.is_empty() }
}

fn address(reader: &mut Reader<'_>, values: &Values) -> Option<SocketAddr> {
    let host = values.text("host").unwrap_or_default();
    let ip = if host.eq_ignore_ascii_case("localhost") {
        Some(Ipv4Addr::LOCALHOST.into())
    } else {
        host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok()
    };
    let Some(ip) = ip else {
        let says = "an IP address or localhost is accepted, like 0.0.0.0, :: or 127.0.0.1";
        reader.fault(&values.variable("host"), Some(shown(host)), says);
        return None;
    };
    let port = u16::try_from(values.number("port")).unwrap_or_default();
    values.flag("enabled").then_some(SocketAddr::new(ip, port))
}

fn users(reader: &mut Reader<'_>, values: &Values) -> Vec<Named> {
    let users = values.named_secrets("authentication.users");
    match values.text("authentication.type") {
        Some("none") => {
            if let Some(user) = users.first() {
                reader.warnings.push(format!(
                    "the user {} of the health and node surface is not used: {} is none, and everybody may ask",
                    user.name,
                    values.variable("authentication.type")
                ));
            }
            return Vec::new();
        }
        // Whoever asks for it and has misspelled the user must not find everything open.
        Some(_) if users.is_empty() && !reader.faults.iter().any(|fault| is_of_a_user(values, &fault.variable)) => {
            let users = values.variable("authentication.users");
            let says = format!("basic authentication needs a user; set {users}, or the type to none");
            reader.fault(&values.variable("authentication.type"), Some("basic".into()), says);
        }
        _ => {}
    }
    for user in users.iter().filter(|user| user.secret.expose_secret() == KNOWN_PASSWORD) {
        reader.warnings.push(format!(
            "the password of the user {} of the health and node surface is the one of Gravitee's chart, which everybody \
             knows; set another",
            user.name
        ));
    }
    users.to_vec()
}

fn is_of_a_user(values: &Values, variable: &str) -> bool {
    let users = values.variable("authentication.users");
    variable.to_lowercase().replace('.', "_").starts_with(users.trim_end_matches("NAME"))
}

fn keystore(reader: &mut Reader<'_>, values: &Values) -> Option<Store> {
    if let Some(asked) = values.text("ssl.clientAuth").filter(|text| !text.eq_ignore_ascii_case("false")) {
        let says =
            "client certificates are not asked for; false is accepted, and authentication.users protect the surface";
        reader.fault(&values.variable("ssl.clientAuth"), Some(shown(asked)), says);
    }
    let given = values.given().find(|name| name.starts_with("ssl.keystore.")).map(|name| values.variable(name));
    if !values.flag("secured") {
        if let Some(given) = given {
            let secured = values.variable("secured");
            reader
                .warnings
                .push(format!("{given} is not used: the surface is served without TLS until {secured} is true"));
        }
        return None;
    }
    let faults = reader.faults.len();
    let store = tls::keystore(reader, values);
    if store.is_none() && reader.faults.len() == faults {
        let says = format!("needs a certificate and its key: set {}", values.variable("ssl.keystore.path"));
        reader.fault(&values.variable("secured"), Some("true".into()), says);
    }
    store
}

#[cfg(test)]
mod tests {
    use crate::settings::{Environment, Process, process};

    const HTTP: &str = "gravitee_services_core_http_";

    fn of(variables: &[(&str, &str)]) -> Result<Process, String> {
        let environment: Environment = variables
            .iter()
            .map(|(name, value)| {
                let name = if name.starts_with(char::is_uppercase) || name.starts_with("gravitee") {
                    (*name).to_owned()
                } else {
                    format!("{HTTP}{name}")
                };
                (name, *value)
            })
            .collect();
        process(&environment).map_err(|faults| faults.to_string())
    }

    fn address(variables: &[(&str, &str)]) -> String {
        of(variables).unwrap().listen.map_or("off".into(), |address| address.to_string())
    }

    #[test]
    fn ours_says_where_to_listen_else_gravitees_names_do() {
        assert_eq!(address(&[]), "127.0.0.1:18084");
        assert!(!of(&[]).unwrap().http.asked);
        assert_eq!(address(&[("host", "0.0.0.0")]), "0.0.0.0:18084");
        assert_eq!(address(&[("port", "18082")]), "127.0.0.1:18082");
        assert_eq!(address(&[("host", "::"), ("port", "1")]), "[::]:1");
        assert_eq!(address(&[("GRAVITEE_SERVICES_CORE_HTTP_PORT", "2")]), "127.0.0.1:2");
        assert_eq!(address(&[("enabled", "false")]), "off");
        assert_eq!(address(&[("enabled", "false"), ("FEDERATION_AGENT_LISTEN", "10.0.0.1:9")]), "10.0.0.1:9");
        assert_eq!(address(&[("port", "18082"), ("FEDERATION_AGENT_LISTEN", "off")]), "off");
        assert!(of(&[("port", "18084")]).unwrap().http.asked);
        assert_eq!(
            of(&[("host", "node.example.com")]).unwrap_err(),
            "gravitee_services_core_http_host=node.example.com: an IP address or localhost is accepted, like 0.0.0.0, :: or \
             127.0.0.1"
        );
    }

    #[test]
    fn who_may_ask() {
        assert!(of(&[]).unwrap().http.users.is_empty());
        let users = of(&[("authentication_users_admin", "hunter2")]).unwrap().http.users;
        assert!(users.len() == 1 && users[0].is_named("admin"));
        assert!(
            of(&[("authentication_users_admin", "x"), ("authentication_type", "none")]).unwrap().http.users.is_empty()
        );
        assert_eq!(
            of(&[("authentication_type", "basic"), ("authentication_user_admin", "hunter2")]).unwrap_err(),
            "gravitee_services_core_http_authentication_type=basic: basic authentication needs a user; set \
             gravitee_services_core_http_authentication_users_NAME, or the type to none"
        );
        let fault = of(&[("authentication_type", "digest")]).unwrap_err();
        assert!(fault.contains("basic or none is accepted"), "{fault}");
    }

    #[test]
    fn tls_that_is_asked_for_and_cannot_be_had_is_a_fault() {
        let fault = of(&[("secured", "true")]).unwrap_err();
        assert!(fault.contains("secured=true: needs a certificate and its key"), "{fault}");
        let fault = of(&[("secured", "true"), ("ssl_keystore_path", "/k.jks")]).unwrap_err();
        assert!(fault.contains("JKS stores are not read"), "{fault}");
        let fault = of(&[("ssl_clientAuth", "REQUIRED")]).unwrap_err();
        assert!(fault.contains("client certificates are not asked for"), "{fault}");
        assert!(of(&[("secured", "false"), ("ssl_keystore_path", "/k.p12")]).unwrap().http.keystore.is_none());
    }

    #[test]
    fn prometheus_is_served_unless_it_is_switched_off() {
        let metrics = |name: &str, value: &str| of(&[(&format!("gravitee_services_metrics_{name}"), value)]).unwrap();
        assert!(!of(&[]).unwrap().http.no_prometheus);
        assert!(!metrics("enabled", "true").http.no_prometheus);
        assert!(metrics("enabled", "false").http.no_prometheus);
        assert!(metrics("prometheus_enabled", "false").http.no_prometheus);
    }
}
