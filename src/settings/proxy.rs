//! Which proxy the link goes through.

use secrecy::SecretString;
use url::Host;

use super::{
    Proxy, Values,
    reader::{MASK, Reader, shown},
    tls::{family, has_family},
};

/// Reads the proxy's keys: the connector's, else those of the cloud's client, as a whole.
pub(super) fn read(reader: &mut Reader<'_>, ws: &Values, cloud: &Values, system: &Values) -> Proxy {
    // Somebody may have put user and password there, whether it is used or not.
    for (values, key) in [(ws, "proxy.host"), (cloud, "proxy.host"), (system, "host")] {
        if values.text(key).is_some_and(may_hold_a_password) {
            reader.show(&values.variable(key), MASK);
        }
    }
    let values = family(ws, cloud, "proxy.");
    let system_is_set = system.given().next().is_some();
    if !values.is_given("proxy.enabled") {
        if has_family(values, "proxy.") {
            let first = values.given().find(|name| name.starts_with("proxy.")).unwrap_or("proxy.host");
            reader.warnings.push(format!(
                "{} is not used, since {} is not true",
                values.variable(first),
                values.variable("proxy.enabled")
            ));
        }
        warn_of_system_proxy(reader, values, system, system_is_set);
        return Proxy::Environment;
    }
    if !values.flag("proxy.enabled") {
        warn_of_system_proxy(reader, values, system, system_is_set);
        return Proxy::Direct;
    }
    if values.flag("proxy.useSystemProxy") {
        return http(reader, system, "");
    }
    warn_of_system_proxy(reader, values, system, system_is_set);
    http(reader, values, "proxy.")
}

fn warn_of_system_proxy(reader: &mut Reader<'_>, values: &Values, system: &Values, is_set: bool) {
    if is_set {
        reader.warnings.push(format!(
            "{} is not used for the link, since {} and {} are not both true",
            system.variable("host"),
            values.variable("proxy.enabled"),
            values.variable("proxy.useSystemProxy"),
        ));
    }
}

fn http(reader: &mut Reader<'_>, values: &Values, prefix: &str) -> Proxy {
    let key = |name: &str| format!("{prefix}{name}");
    let kind = values.text(&key("type")).unwrap_or("HTTP");
    if kind != "HTTP" {
        reader.fault(
            &values.variable(&key("type")),
            Some(kind.to_owned()),
            "SOCKS proxies are not spoken; HTTP (a proxy that knows CONNECT) is accepted",
        );
    }
    let host = values.text(&key("host"));
    match host {
        None => reader.fault(&values.variable(&key("host")), None, "must be set when a proxy is enabled"),
        Some(host) if !is_host(host) => {
            let found = if may_hold_a_password(host) { MASK.to_owned() } else { shown(host) };
            let says = "a host name or an IP address is accepted, without scheme, user and port: those have keys of \
                        their own";
            reader.fault(&values.variable(&key("host")), Some(found), says);
        }
        Some(_) => {}
    }
    if !values.is_given(&key("port")) {
        reader.fault(&values.variable(&key("port")), None, "must be set when a proxy is enabled, like 3128");
    }
    let password = values.secret(&key("password"));
    let user = match (values.text(&key("username")), password) {
        (Some(user), password) => {
            Some((user.to_owned(), password.cloned().unwrap_or_else(|| SecretString::from(String::new()))))
        }
        (None, Some(_)) => {
            reader.fault(
                &values.variable(&key("password")),
                Some(MASK.into()),
                format!("{} must be set as well", values.variable(&key("username"))),
            );
            None
        }
        (None, None) => None,
    };
    Proxy::Http {
        host: host.unwrap_or_default().trim_matches(['[', ']']).to_owned(),
        port: u16::try_from(values.number(&key("port"))).unwrap_or_default(),
        user,
    }
}

fn may_hold_a_password(host: &str) -> bool {
    host.contains(['@', '?', '#'])
}

fn is_host(text: &str) -> bool {
    let is_ipv6 = text.parse::<std::net::Ipv6Addr>().is_ok();
    is_ipv6 || (!text.contains(['/', '@']) && Host::parse(text).is_ok())
}
