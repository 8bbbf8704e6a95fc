//! The declared keys of Gravitee's families: the connector, the cloud, the system's proxy, a provider entry.

use super::{Group, Key, KeyTable, Shape, binding::variable, reader::join};

/// Below it stands how the controller is reached.
pub(super) const WS: &str = "integration.connector.ws";
/// Below it stands what Gravitee Cloud sets.
pub(super) const CLOUD: &str = "cloud";
/// Below it stand defaults for the connector's `ssl` and `proxy` keys.
pub(super) const CLOUD_CLIENT: &str = "cloud.client";
/// Below it stands the proxy that `useSystemProxy` means.
pub(super) const SYSTEM_PROXY: &str = "system.proxy";
/// Below it stands how references to secrets of Kubernetes are resolved.
pub(super) const SECRETS_KUBERNETES: &str = "secrets.kubernetes";
/// The list of provider entries.
pub(super) const PROVIDERS: &str = "integration.providers";

/// Below it stands how the health and node surface is served.
pub(super) const CORE_HTTP: &str = "services.core.http";
/// Below it stands whether its metrics are served.
pub(super) const METRICS: &str = "services.metrics";

const STORE_TYPES: Shape = Shape::Word(&["PEM", "PKCS12", "JKS"]);
const PROXY_TYPES: Shape = Shape::Word(&["HTTP", "SOCKS4", "SOCKS5"]);

const fn optional(name: &'static str, shape: Shape, help: &'static str, example: &'static str) -> Key {
    Key { name, shape, required: false, default: None, help, example }
}

const fn defaulted(
    name: &'static str,
    shape: Shape,
    default: &'static str,
    help: &'static str,
    example: &'static str,
) -> Key {
    Key { name, shape, required: false, default: Some(default), help, example }
}

const fn required(name: &'static str, shape: Shape, help: &'static str, example: &'static str) -> Key {
    Key { name, shape, required: true, default: None, help, example }
}

/// The controller: where it is and what it is told. Below [`WS`].
pub(super) static CONTROLLER: KeyTable = KeyTable {
    keys: &[
        // Not marked as required: what is missing is said with more than the table knows.
        optional(
            "endpoints",
            Shape::List,
            "Where the plane's integration controllers are; http, https, ws or wss. Several are tried in turn.",
            "https://apim.example.com/integration-controller",
        ),
        defaulted(
            "autoReconnect",
            Shape::Flag,
            "false",
            "Come back also after the controller has said goodbye for good.",
            "true",
        ),
        defaulted(
            "maxWebSocketFrameSize",
            Shape::Number(1024, 16_777_216),
            "65536",
            "The largest websocket frame that the controller takes, in bytes.",
            "65536",
        ),
        defaulted(
            "maxWebSocketMessageSize",
            Shape::Number(65_536, 268_435_456),
            "13107200",
            "The largest message that the controller takes, in bytes.",
            "13107200",
        ),
    ],
    groups: &[Group {
        name: "headers",
        help: "Headers of the websocket's upgrade. One named Authorization carries the token.",
        keys: &[
            required("name", Shape::Text, "A header's name.", "Authorization"),
            required("value", Shape::Secret, "The header's value.", "<bearer token>"),
        ],
    }],
};

/// TLS and proxy of the link. Below [`WS`], and below [`CLOUD_CLIENT`] as defaults for it.
pub(super) static REACH: KeyTable = KeyTable {
    keys: &[
        defaulted(
            "ssl.trustAll",
            Shape::Flag,
            "false",
            "Trust any certificate. Unsafe: whoever stands between can read the token.",
            "false",
        ),
        defaulted(
            "ssl.verifyHost",
            Shape::Flag,
            "true",
            "Compare the controller's host name with its certificate. `false` is unsafe.",
            "true",
        ),
        optional(
            "ssl.truststore.type",
            STORE_TYPES,
            "The trust store's format; known by the file's name when it is not set. JKS is refused with the command \
             that converts it.",
            "PEM",
        ),
        optional(
            "ssl.truststore.path",
            Shape::Text,
            "A file with the only certificates to trust for the controller, instead of the system's.",
            "/etc/federation-agent/plane-ca.pem",
        ),
        optional(
            "ssl.truststore.content",
            Shape::Secret,
            "The trust store itself, as base64, instead of a path.",
            "<base64>",
        ),
        optional("ssl.truststore.password", Shape::Secret, "What opens the trust store.", "<password>"),
        optional("ssl.truststore.alias", Shape::Text, "The one entry of the trust store to trust.", "plane-ca"),
        optional(
            "ssl.keystore.type",
            STORE_TYPES,
            "The key store's format; known by the file's name when it is not set.",
            "PKCS12",
        ),
        optional(
            "ssl.keystore.path",
            Shape::Text,
            "A file with the agent's own certificate and key, for mutual TLS.",
            "/etc/federation-agent/agent.p12",
        ),
        optional(
            "ssl.keystore.content",
            Shape::Secret,
            "The key store itself, as base64, instead of a path.",
            "<base64>",
        ),
        optional("ssl.keystore.password", Shape::Secret, "What opens the key store.", "<password>"),
        optional("ssl.keystore.alias", Shape::Text, "The entry of the key store to use.", "agent"),
        optional(
            "ssl.keystore.certPath",
            Shape::Text,
            "A PEM file with the agent's own certificate, when the key is in another file.",
            "/etc/federation-agent/tls.crt",
        ),
        optional(
            "ssl.keystore.keyPath",
            Shape::Text,
            "The PEM file with the key of `certPath`.",
            "/etc/federation-agent/tls.key",
        ),
        optional(
            "proxy.enabled",
            Shape::Flag,
            "Reach the controller through the proxy below. `false`: straight. Without it: as HTTPS_PROXY and NO_PROXY \
             say.",
            "true",
        ),
        defaulted(
            "proxy.type",
            PROXY_TYPES,
            "HTTP",
            "The proxy's kind. HTTP means CONNECT; the SOCKS kinds are refused.",
            "HTTP",
        ),
        optional("proxy.host", Shape::Text, "The proxy's host name or address.", "proxy.example.com"),
        optional("proxy.port", Shape::Number(1, 65_535), "The proxy's port.", "3128"),
        optional("proxy.username", Shape::Text, "The user of the proxy's basic authentication.", "agent"),
        optional("proxy.password", Shape::Secret, "The password of the proxy's basic authentication.", "<password>"),
        defaulted(
            "proxy.useSystemProxy",
            Shape::Flag,
            "false",
            "With `proxy.enabled`: use the proxy of the `system.proxy` keys.",
            "true",
        ),
    ],
    groups: &[Group {
        name: "ssl.keystore.certificates",
        help: "Certificate and key as two PEM files, another way to write `certPath` and `keyPath`. One entry is used.",
        keys: &[
            required("cert", Shape::Text, "The PEM file with the certificate.", "/etc/federation-agent/tls.crt"),
            required("key", Shape::Text, "The PEM file with its key.", "/etc/federation-agent/tls.key"),
        ],
    }],
};

/// The proxy of the system. Below [`SYSTEM_PROXY`].
pub(super) static SYSTEM: KeyTable = KeyTable {
    keys: &[
        optional(
            "host",
            Shape::Text,
            "The proxy that `useSystemProxy` means: its host name or address.",
            "proxy.example.com",
        ),
        optional("port", Shape::Number(1, 65_535), "Its port.", "3128"),
        defaulted("type", PROXY_TYPES, "HTTP", "Its kind. HTTP means CONNECT; the SOCKS kinds are refused.", "HTTP"),
        optional("username", Shape::Text, "The user of its basic authentication.", "agent"),
        optional("password", Shape::Secret, "The password of its basic authentication.", "<password>"),
    ],
    groups: &[],
};

/// Gravitee Cloud. Below [`CLOUD`].
pub(super) static CLOUD_TOKEN: KeyTable = KeyTable {
    keys: &[optional(
        "token",
        Shape::Secret,
        "Gravitee Cloud's token. Where its controller is, is not public: the endpoints must be set too, and it is sent \
         as `Authorization: bearer` unless that header is configured.",
        "<token>",
    )],
    groups: &[],
};

/// The health and node surface. Below [`CORE_HTTP`].
pub(super) static SURFACE: KeyTable = KeyTable {
    keys: &[
        defaulted("enabled", Shape::Flag, "true", "Whether the surface is served.", "true"),
        defaulted("host", Shape::Text, "localhost", "Where it listens: an IP address, or `localhost`.", "0.0.0.0"),
        defaulted("port", Shape::Number(0, 65_535), "18084", "Its port; 0 takes any that is free.", "18084"),
        optional(
            "authentication.type",
            Shape::Word(&["basic", "none"]),
            "`basic`: whoever asks needs one of the users below. `none`: nobody does. Without it: `basic` when there is a \
             user.",
            "basic",
        ),
        optional(
            "authentication.users",
            Shape::Secrets,
            "The password of the user NAME; one variable a user. There is none by default, and then nobody is asked.",
            "<password>",
        ),
        defaulted("secured", Shape::Flag, "false", "Serve it by TLS, with the certificate of the key store.", "true"),
        optional(
            "ssl.keystore.type",
            STORE_TYPES,
            "The key store's format; known by the file's name when it is not set. JKS is refused with the command that \
             converts it.",
            "PKCS12",
        ),
        optional(
            "ssl.keystore.path",
            Shape::Text,
            "A file with the surface's certificate and key. It is read at the start.",
            "/etc/federation-agent/surface.p12",
        ),
        optional(
            "ssl.keystore.content",
            Shape::Secret,
            "The key store itself, as base64, instead of a path.",
            "<base64>",
        ),
        optional("ssl.keystore.password", Shape::Secret, "What opens the key store.", "<password>"),
        optional("ssl.keystore.alias", Shape::Text, "The entry of the key store to use.", "surface"),
        optional(
            "ssl.keystore.certPath",
            Shape::Text,
            "A PEM file with the certificate, when the key is in another file.",
            "/etc/federation-agent/surface.crt",
        ),
        optional(
            "ssl.keystore.keyPath",
            Shape::Text,
            "The PEM file with the key of `certPath`.",
            "/etc/federation-agent/surface.key",
        ),
        optional(
            "ssl.clientAuth",
            Shape::Text,
            "Only `false` is accepted: client certificates are not asked for.",
            "false",
        ),
        optional(
            "idleTimeout",
            Shape::Number(0, 86_400_000),
            "Accepted, and of no effect: a connection carries one request and ends after 10 seconds at the latest.",
            "0",
        ),
    ],
    groups: &[Group {
        name: "ssl.keystore.certificates",
        help: "Certificate and key as two PEM files, another way to write `certPath` and `keyPath`. One entry is used.",
        keys: &[
            required("cert", Shape::Text, "The PEM file with the certificate.", "/etc/federation-agent/surface.crt"),
            required("key", Shape::Text, "The PEM file with its key.", "/etc/federation-agent/surface.key"),
        ],
    }],
};

/// The surface's metrics. Below [`METRICS`].
pub(super) static SERVED_METRICS: KeyTable = KeyTable {
    keys: &[
        optional(
            "enabled",
            Shape::Flag,
            "`false`: `/_node/metrics/prometheus` is not served. `/metrics` always is.",
            "true",
        ),
        defaulted("prometheus.enabled", Shape::Flag, "true", "The same.", "true"),
    ],
    groups: &[],
};

/// Where references to secrets are resolved. Below [`SECRETS_KUBERNETES`].
pub(super) static SECRETS: KeyTable = KeyTable {
    keys: &[
        defaulted(
            "enabled",
            Shape::Flag,
            "true",
            "`false`: secrets of Kubernetes are looked for in the folder of mounted secrets alone.",
            "true",
        ),
        optional(
            "namespace",
            Shape::Text,
            "The namespace of secrets whose reference names none, instead of the one that the agent runs in.",
            "apim",
        ),
    ],
    groups: &[],
};

/// A provider entry, its configuration apart. Below [`PROVIDERS`] and an index.
pub(super) static PROVIDER: KeyTable = KeyTable {
    keys: &[
        required("type", Shape::Text, "Which kind of gateway this is.", "aws-api-gateway"),
        required(
            "integrationId",
            Shape::Text,
            "The integration's id, as the plane's console shows it.",
            "f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84",
        ),
    ],
    groups: &[],
};

/// One section of the settings, for documents.
#[derive(Debug)]
pub struct Section {
    /// Its title for people.
    pub title: String,
    /// What stands before the keys' names, as a property: `integration.connector.ws`. `N` stands for an index.
    pub base: String,
    /// A sentence or two about it.
    pub about: String,
    /// Its keys.
    pub table: &'static KeyTable,
}

impl Section {
    /// The documented variable of `key`, `N` standing for an index: `gravitee_integration_providers_N_type`.
    pub fn variable(&self, key: &Key) -> String {
        let name = variable(&join(&self.base, key.name));
        if key.shape == Shape::Secrets { format!("{name}_NAME") } else { name }
    }

    /// The documented variable of `key` in an entry of `group`.
    pub fn group_variable(&self, group: &Group, key: &Key) -> String {
        variable(&join(&self.base, &format!("{}[N].{}", group.name, key.name)))
    }
}

/// Every section of Gravitee's names, with the configuration of the given provider types.
pub fn sections(kinds: &[(&'static str, &'static KeyTable)]) -> Vec<Section> {
    let section = |title: &str, base: &str, about: &str, table| Section {
        title: title.to_owned(),
        base: base.to_owned(),
        about: about.to_owned(),
        table,
    };
    let mut sections = vec![
        section("The plane", WS, "Where the integration controller is and what it is told.", &CONTROLLER),
        section(
            "A provider entry",
            &format!("{PROVIDERS}[N]"),
            "One entry an integration, N from 0 to 99; several run in one process, each on its own link.",
            &PROVIDER,
        ),
    ];
    for (kind, table) in kinds {
        sections.push(Section {
            title: format!("Configuration of {kind}"),
            base: format!("{PROVIDERS}[N].configuration"),
            about: format!("Read when the entry's type is `{kind}`."),
            table,
        });
    }
    sections.extend([
        section("TLS and proxy of the link", WS, "How the controller is trusted and reached.", &REACH),
        section(
            "The health and node surface",
            CORE_HTTP,
            "Gravitee's names for where the surface listens and who may ask. `FEDERATION_AGENT_LISTEN` is used instead of \
             `enabled`, `host` and `port` when it is set.",
            &SURFACE,
        ),
        section("The surface's metrics", METRICS, "", &SERVED_METRICS),
        section(
            "Secrets of Kubernetes",
            SECRETS_KUBERNETES,
            "How `secret://kubernetes/<name>:<key>` is resolved, which may stand in place of any value.",
            &SECRETS,
        ),
        section("The system's proxy", SYSTEM_PROXY, "Used when `useSystemProxy` says so.", &SYSTEM),
        section("Gravitee Cloud", CLOUD, "", &CLOUD_TOKEN),
        section(
            "Gravitee Cloud's client",
            CLOUD_CLIENT,
            "Defaults for the keys of the same names under TLS and proxy of the link. A trust store, a key store or a \
             proxy is taken from here as a whole, and only when none is set there.",
            &REACH,
        ),
    ]);
    sections
}
