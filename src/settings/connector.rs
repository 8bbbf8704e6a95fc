//! From the connector's keys to the link's settings.

use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::{
    Connector, Values,
    binding::variable,
    proxy,
    reader::{MASK, Reader, is_quoted, shown},
    tables::{self, WS},
    tls,
};
use crate::exchange::Limits;

/// The protocol's own path, which the link appends.
const OWN_PATH: &str = "/exchange/controller";

/// Headers that the upgrade itself sets.
const OWN_HEADERS: [&str; 8] = [
    "host",
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
    "x-gravitee-exchange-protocol",
];

/// Reads the connector's settings. What is wrong goes to the reader.
pub(super) fn read(reader: &mut Reader<'_>) -> Connector {
    let controller = reader.values(&tables::CONTROLLER, WS);
    let reach = reader.values(&tables::REACH, WS);
    let system = reader.values(&tables::SYSTEM, tables::SYSTEM_PROXY);
    let cloud = reader.values(&tables::CLOUD_TOKEN, tables::CLOUD);
    let cloud_reach = reader.values(&tables::REACH, tables::CLOUD_CLIENT);

    let endpoints = endpoints(reader, &controller, &cloud);
    let headers = headers(reader, &controller, &cloud);
    let connector = Connector {
        endpoints,
        headers,
        auto_reconnect: controller.flag("autoReconnect"),
        limits: Limits {
            frame: size(&controller, "maxWebSocketFrameSize"),
            message: size(&controller, "maxWebSocketMessageSize"),
        },
        tls: tls::read(reader, &reach, &cloud_reach),
        proxy: proxy::read(reader, &reach, &cloud_reach, &system),
    };
    if connector.limits.frame > connector.limits.message {
        reader.fault(
            &controller.variable("maxWebSocketFrameSize"),
            Some(connector.limits.frame.to_string()),
            format!(
                "must not be larger than a message, {} ({})",
                controller.variable("maxWebSocketMessageSize"),
                connector.limits.message
            ),
        );
    }
    warn_of_plain_text(reader, &connector);
    connector
}

fn size(values: &Values, name: &str) -> usize {
    usize::try_from(values.number(name)).unwrap_or(usize::MAX)
}

fn endpoints(reader: &mut Reader<'_>, values: &Values, cloud: &Values) -> Vec<Url> {
    let name = values.variable("endpoints");
    let texts = values.list("endpoints");
    if texts.is_empty() {
        missing(reader, cloud);
        return Vec::new();
    }
    let mut urls: Vec<Url> = Vec::new();
    let mut for_people = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        let (url, text) = endpoint(reader, &values.entry_variable("endpoints", n), text);
        for_people.push(text);
        urls.extend(url.filter(|url| !urls.contains(url)));
    }
    // What was wrong about one may be that it holds a password.
    reader.show(&name, &for_people.join(","));
    urls
}

/// The fault of having no endpoint, with what else was found.
fn missing(reader: &mut Reader<'_>, cloud: &Values) {
    let name = variable(&format!("{WS}.endpoints[0]"));
    let example = "for example https://apim.example.com/integration-controller";
    if cloud.secret("token").is_some() {
        let header = format!("{WS}.headers[0]");
        reader.fault(
            &cloud.variable("token"),
            Some(MASK.into()),
            format!(
                "where the controller of Gravitee Cloud is, and how this token opens it, is not public; set {name} ({example}), and \
                 {}=Authorization with {}=<bearer and a token>; then this token is used only when no Authorization \
                 header is set",
                variable(&format!("{header}.name")),
                variable(&format!("{header}.value")),
            ),
        );
        return;
    }
    let found = reader.environment.get(&name).map(shown);
    let mut says = format!("must be set: where the plane's integration controller is, {example}");
    if reader.environment.get("WS_ENDPOINTS").is_some_and(|value| !value.is_empty()) {
        says.push_str(". WS_ENDPOINTS is set, but that is a name of the compose file, which maps it to this variable");
    }
    reader.fault(&name, found, says);
}

/// One endpoint, checked, and as it can be shown.
fn endpoint(reader: &mut Reader<'_>, name: &str, text: &str) -> (Option<Url>, String) {
    const ACCEPTED: &str = "an address like https://apim.example.com/integration-controller is accepted";
    if text.matches("://").count() > 1 {
        let found = if text.contains(['@', '?']) { MASK.to_owned() } else { shown(text) };
        let says = format!(
            "these are several addresses; set {} with commas, or a variable for each: {}, {}",
            variable(&format!("{WS}.endpoints")),
            variable(&format!("{WS}.endpoints[0]")),
            variable(&format!("{WS}.endpoints[1]"))
        );
        reader.fault(name, Some(found.clone()), says);
        return (None, found);
    }
    let mut url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            let found = if text.contains(['@', '?']) { MASK.to_owned() } else { shown(text) };
            let says = if text.contains("://[your") || text.contains("://<") {
                format!("this is the placeholder of an example; {ACCEPTED}")
            } else if error == url::ParseError::RelativeUrlWithoutBase {
                format!("the scheme is missing (https://); {ACCEPTED}")
            } else {
                format!("this is no address ({error}); {ACCEPTED}")
            };
            reader.fault(name, Some(found.clone()), says);
            return (None, found);
        }
    };
    let has_user = !url.username().is_empty() || url.password().is_some();
    let has_query = url.query().is_some() || url.fragment().is_some();
    let found = for_people(&url);
    if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
        // Of a scheme that is not known, it is not known either where a password stands.
        let found = format!("{}:…", url.scheme());
        reader.fault(name, Some(found.clone()), "the scheme must be https, wss, http or ws");
        return (None, found);
    }
    if has_user {
        reader.fault(
            name,
            Some(found.clone()),
            "a user or password in the address is not accepted; set a header instead",
        );
    }
    if has_query {
        reader.fault(name, Some(found.clone()), "a query or fragment is not accepted: the protocol has none");
    }
    if has_user || has_query {
        return (None, found);
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if let Some(before) = path.strip_suffix(OWN_PATH) {
        let before = if before.is_empty() { "/" } else { before }.to_owned();
        url.set_path(&before);
        reader.warnings.push(format!(
            "{name}: {OWN_PATH} at the end of an endpoint is not needed, since the agent appends it; {} is used",
            for_people(&url)
        ));
    }
    (Some(url), found)
}

/// The address without what could be secret: user, password, query, fragment.
fn for_people(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = if url.path() == "/" { "" } else { url.path() };
    let user = if url.username().is_empty() && url.password().is_none() { "" } else { "********@" };
    let query = if url.query().is_none() { "" } else { "?********" };
    let fragment = if url.fragment().is_none() { "" } else { "#********" };
    shown(&format!("{}://{user}{host}{port}{path}{query}{fragment}", url.scheme()))
}

fn headers(reader: &mut Reader<'_>, values: &Values, cloud: &Values) -> Vec<(String, SecretString)> {
    let mut headers: Vec<(String, SecretString)> = Vec::new();
    // A header of which a half is missing or wrong has its fault already, and needs no second sentence.
    let mut named = false;
    for entry in values.group("headers") {
        let Some(name) = entry.text("name") else { continue };
        named |= name.eq_ignore_ascii_case("authorization");
        let Some(value) = entry.secret("value") else { continue };
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            // Who writes the whole header here has its value shown nowhere.
            let found = match name.split_once(':') {
                Some((name, _)) => format!("{}:{MASK}", shown(name)),
                None => shown(name),
            };
            let variable = entry.variable("name");
            reader.show(&variable, &found);
            reader.fault(&variable, Some(found), "this is no name of an HTTP header");
            continue;
        }
        if HeaderValue::from_str(value.expose_secret()).is_err() {
            let says = "an HTTP header cannot hold line breaks and control characters; one line is accepted";
            reader.fault(&entry.variable("value"), Some(MASK.into()), says);
            continue;
        }
        if OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            reader.warnings.push(format!(
                "{}: {name} is set by the agent itself and is not taken from here",
                entry.variable("name")
            ));
            continue;
        }
        if name.eq_ignore_ascii_case("authorization") {
            check_authorization(reader, &entry.variable("value"), value.expose_secret());
        }
        if let Some(n) = headers.iter().position(|(known, _)| known.eq_ignore_ascii_case(name)) {
            reader.warnings.push(format!("{}: {name} is set before; the last one is sent", entry.variable("name")));
            headers.remove(n);
        }
        headers.push((name.to_owned(), value.clone()));
    }
    match cloud.secret("token") {
        Some(_) if named => {
            // Gravitee's documentation of some releases has both: nothing to warn of.
            reader.notes.push(format!("{} is not used: an Authorization header is set", cloud.variable("token")));
        }
        Some(token) => {
            let value = format!("bearer {}", token.expose_secret().trim());
            if HeaderValue::from_str(&value).is_ok() {
                headers.push(("Authorization".into(), SecretString::from(value)));
            } else {
                reader.fault(&cloud.variable("token"), Some(MASK.into()), "a token of one line is accepted");
            }
        }
        None if !named => reader.warnings.push(format!(
            "no Authorization header is set: the controller will refuse the agent; set {}=Authorization and {} to \
             bearer and a token",
            variable(&format!("{WS}.headers[0].name")),
            variable(&format!("{WS}.headers[0].value")),
        )),
        None => {}
    }
    headers
}

/// The controller cuts six characters off, whatever they are, and takes the rest for the token.
fn check_authorization(reader: &mut Reader<'_>, name: &str, value: &str) {
    if is_placeholder(value.trim()) {
        reader.fault(name, Some(MASK.into()), "this is the placeholder of an example; bearer and a token are accepted");
        return;
    }
    let mut words = value.split_whitespace();
    let scheme = words.next().unwrap_or_default();
    let token = words.next();
    if scheme.eq_ignore_ascii_case("bearer") {
        let Some(token) = token else {
            reader.fault(name, Some("bearer".into()), "the token is missing; bearer and a token are accepted");
            return;
        };
        if is_quoted(token) {
            reader.warnings.push(format!("{name} has the token in quotation marks, and they are sent as part of it"));
        }
        if is_placeholder(token) {
            reader.fault(name, Some(MASK.into()), "this is the placeholder of an example; put the token there");
        }
    } else {
        reader.warnings.push(format!(
            "{name} does not begin with bearer: the controller takes what follows the first six characters for the \
             token"
        ));
    }
}

/// Whether `text` is what an example has in place of a value.
pub(super) fn is_placeholder(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let bracketed = [('<', '>'), ('[', ']'), ('{', '}')]
        .iter()
        .any(|(open, close)| text.starts_with(*open) && text.ends_with(*close));
    bracketed
        || text.starts_with("${")
        || ["your-", "your_", "my-integration-id", "changeme", "change-me", "change_me", "replace-", "replace_"]
            .iter()
            .any(|start| lower.starts_with(start))
        || ["integration-id", "integration_id", "integrationid", "token", "todo", "xxx"].contains(&lower.as_str())
}

fn warn_of_plain_text(reader: &mut Reader<'_>, connector: &Connector) {
    if !connector.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
        return;
    }
    for url in connector.endpoints.iter().filter(|url| matches!(url.scheme(), "http" | "ws") && !is_loopback(url)) {
        reader.warnings.push(format!(
            "{} is not encrypted: whoever is on the way can read the token; use https or wss",
            for_people(url)
        ));
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
