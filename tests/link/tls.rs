//! Who is trusted, who we are, and what is said when it does not fit.

use std::{path::PathBuf, process::Command as Process};

use federation_agent::settings::{Store, StoreKind, StoreSource};
use tempfile::TempDir;

use super::{
    certificates::{Ca, Identity, p12_truststore, self_signed},
    *,
};

const TRUSTSTORE: &str = "gravitee_integration_connector_ws_ssl_truststore_path";
const KEYSTORE: &str = "gravitee_integration_connector_ws_ssl_keystore_path";

async fn tls_plane(identity: &Identity, clients: Option<&Ca>) -> Plane {
    plane(PlaneSettings { tls: Some(identity.server(clients)), ..PlaneSettings::default() }).await
}

fn store(kind: StoreKind, bytes: impl Into<Vec<u8>>, password: Option<&str>, alias: Option<&str>) -> Store {
    Store {
        kind,
        source: StoreSource::Inline(bytes.into()),
        password: password.map(Into::into),
        alias: alias.map(Into::into),
        named_by: TRUSTSTORE.into(),
    }
}

fn trusting(ca: &Ca) -> Tls {
    Tls { truststore: Some(store(StoreKind::Pem, ca.certificate.pem(), None, None)), ..Tls::default() }
}

/// Where the way in ends with `tls`, and why.
async fn outcome(plane: &Plane, tls: Tls) -> (Step, Option<String>) {
    let mut settings = settings(&plane.url());
    settings.connector.tls = tls;
    let (steps, fault) = tried(&settings, &ProxyEnvironment::default()).await;
    (*steps.last().expect("a step"), fault)
}

async fn goes_through(plane: &Plane, tls: Tls) {
    assert_eq!(outcome(plane, tls).await, (Step::Hello, None));
}

async fn is_stopped(plane: &Plane, tls: Tls, words: &[&str]) {
    let (step, fault) = outcome(plane, tls).await;
    let fault = fault.expect("stopped");
    assert_eq!(step, Step::Tls, "{fault}");
    assert!(!fault.contains("Other(") && !fault.contains("DnsName"), "{fault}");
    for word in words {
        assert!(fault.contains(word), "`{word}` is not in: {fault}");
    }
}

fn file(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("written");
    path
}

#[tokio::test]
async fn a_ca_is_trusted_when_it_is_named_as_extra_or_exclusively_in_pem_or_p12() {
    let (ca, other) = (Ca::new("ours"), Ca::new("another"));
    let plane = tls_plane(&ca.issue(&["localhost"]), None).await;
    let folder = TempDir::new().expect("a folder");

    is_stopped(&plane, trusting(&other), &["not signed by an authority that is trusted here", "truststore", "CA_FILE"])
        .await;
    goes_through(&plane, trusting(&ca)).await;
    let extra_ca = Some(file(&folder, "ca.pem", other.certificate.pem() + &ca.certificate.pem()));
    goes_through(&plane, Tls { extra_ca: extra_ca.clone(), ..Tls::default() }).await;
    goes_through(&plane, Tls { extra_ca, ..trusting(&other) }).await;

    let p12 = p12_truststore(&[("ours", &ca.certificate), ("another", &other.certificate)], "changeit");
    let truststore = |alias| {
        let truststore = Some(store(StoreKind::Pkcs12, p12.clone(), Some("changeit"), alias));
        Tls { truststore, ..Tls::default() }
    };
    goes_through(&plane, truststore(None)).await;
    goes_through(&plane, truststore(Some("OURS"))).await;
    is_stopped(&plane, truststore(Some("another")), &["not signed by an authority that is trusted here"]).await;

    let mut from_files = store(StoreKind::Pkcs12, [], Some("changeit"), None);
    from_files.source = StoreSource::Files(vec![file(&folder, "trust.p12", &p12)]);
    goes_through(&plane, Tls { truststore: Some(from_files), ..Tls::default() }).await;
}

#[tokio::test]
async fn a_host_name_is_checked_and_the_certificates_names_are_told() {
    let ca = Ca::new("ours");
    let plane = tls_plane(&ca.issue(&["plane.example", "*.plane.example"]), None).await;
    let words = ["not for the host name localhost; it is for plane.example, *.plane.example. Use", "verifyHost=false"];
    is_stopped(&plane, trusting(&ca), &words).await;
    goes_through(&plane, Tls { skip_host_check: true, ..trusting(&ca) }).await;
    // Without the name, the rest is checked all the same.
    let other = Ca::new("another");
    is_stopped(
        &plane,
        Tls { skip_host_check: true, ..trusting(&other) },
        &["not signed by an authority that is trusted here"],
    )
    .await;
    goes_through(&plane, Tls { trust_all: true, ..Tls::default() }).await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused_but_by_trust_all() {
    let ca = Ca::new("ours");
    let plane = tls_plane(&ca.issue_expired(&["localhost"]), None).await;
    is_stopped(&plane, trusting(&ca), &["expired", "days ago", "renew"]).await;
    goes_through(&plane, Tls { trust_all: true, ..Tls::default() }).await;
}

#[tokio::test]
async fn a_self_signed_server_is_refused_until_it_is_named_itself() {
    for is_ca in [false, true] {
        let identity = self_signed(&["localhost"], is_ca);
        let plane = tls_plane(&identity, None).await;
        let named =
            Tls { truststore: Some(store(StoreKind::Pem, identity.certificate.pem(), None, None)), ..Tls::default() };
        is_stopped(&plane, trusting(&Ca::new("another")), &["it is self-signed", "truststore", "CA_FILE"]).await;
        goes_through(&plane, named).await;
    }
    // Being named does not give it another's host name.
    let identity = self_signed(&["plane.example"], true);
    let plane = tls_plane(&identity, None).await;
    let named =
        Tls { truststore: Some(store(StoreKind::Pem, identity.certificate.pem(), None, None)), ..Tls::default() };
    is_stopped(&plane, named, &["not for the host name localhost"]).await;
}

#[tokio::test]
async fn a_client_certificate_is_shown_from_pem_and_p12() {
    let (ca, clients) = (Ca::new("ours"), Ca::new("clients"));
    let plane = tls_plane(&ca.issue(&["localhost"]), Some(&clients)).await;
    let me = clients.issue(&["agent"]);
    let folder = TempDir::new().expect("a folder");

    // In TLS 1.3 a client learns of it only after its own handshake.
    let (_, fault) = outcome(&plane, trusting(&ca)).await;
    let fault = fault.expect("refused");
    assert!(fault.contains("wants a client certificate") && fault.contains("ssl_keystore"), "{fault}");
    let stranger = ca.issue(&["agent"]);
    let keystore = Some(store(StoreKind::Pem, stranger.pem(), None, None));
    let (_, fault) = outcome(&plane, Tls { keystore, ..trusting(&ca) }).await;
    let fault = fault.expect("refused");
    assert!(fault.contains("certificate") && fault.contains("ssl_keystore"), "{fault}");

    let with = |mut keystore: Store| {
        keystore.named_by = KEYSTORE.into();
        Tls { keystore: Some(keystore), ..trusting(&ca) }
    };
    goes_through(&plane, with(store(StoreKind::Pem, me.pem(), None, None))).await;
    let mut apart = store(StoreKind::Pem, [], None, None);
    apart.source = StoreSource::Files(vec![
        file(&folder, "cert.pem", me.certificate.pem().trim_end()),
        file(&folder, "key.pem", me.key.serialize_pem()),
    ]);
    goes_through(&plane, with(apart)).await;
    let p12 = me.p12("agent", &clients, "s3cret");
    goes_through(&plane, with(store(StoreKind::Pkcs12, p12.clone(), Some("s3cret"), None))).await;
    goes_through(&plane, with(store(StoreKind::Pkcs12, p12, Some("s3cret"), Some("Agent")))).await;
}

#[tokio::test]
async fn a_p12_store_that_openssl_made_is_read() {
    let folder = TempDir::new().expect("a folder");
    let (ca, clients) = (Ca::new("ours"), Ca::new("clients"));
    let me = clients.issue(&["agent"]);
    let both = file(&folder, "me.pem", me.pem());
    let above = file(&folder, "ca.pem", clients.certificate.pem());
    let p12 = folder.path().join("me.p12");
    let made = Process::new("openssl")
        .args(["pkcs12", "-export", "-name", "agent", "-passout", "pass:s3cret", "-in"])
        .arg(&both)
        .arg("-certfile")
        .arg(&above)
        .arg("-out")
        .arg(&p12)
        .output();
    match made {
        Ok(made) if made.status.success() => {}
        other => return println!("not run: openssl cannot make a store here ({other:?})"),
    }
    let plane = tls_plane(&ca.issue(&["localhost"]), Some(&clients)).await;
    let mut keystore = store(StoreKind::Pkcs12, [], Some("s3cret"), None);
    keystore.source = StoreSource::Files(vec![p12]);
    goes_through(&plane, Tls { keystore: Some(keystore), ..trusting(&ca) }).await;
}

#[test]
fn what_is_wrong_with_a_store_is_said_with_setting_and_file_and_all_at_once() {
    let ca = Ca::new("ours");
    let me = ca.issue(&["agent"]);
    let folder = TempDir::new().expect("a folder");
    let p12 = me.p12("agent", &ca, "s3cret");
    let faults = |tls: Tls| {
        let mut settings = settings("https://plane.example");
        settings.connector.tls = tls;
        let faults = network(&settings, &ProxyEnvironment::default()).err().expect("faults");
        faults.0.into_iter().map(|fault| fault.to_string()).collect::<Vec<_>>()
    };
    let keystore = |store: Store| faults(Tls { keystore: Some(store), ..trusting(&ca) }).remove(0);
    let truststore = |store: Store| faults(Tls { truststore: Some(store), ..Tls::default() }).remove(0);

    let missing = folder.path().join("nowhere.pem");
    let mut absent = store(StoreKind::Pem, [], None, None);
    absent.source = StoreSource::Files(vec![missing.clone()]);
    let all = faults(Tls {
        truststore: Some(absent.clone()),
        keystore: Some(Store { named_by: KEYSTORE.into(), ..absent }),
        ..Tls::default()
    });
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(
        all[0].contains(TRUSTSTORE) && all[0].contains("nowhere.pem: the file cannot be read: no such file"),
        "{all:?}"
    );
    assert!(all[1].contains(KEYSTORE), "{all:?}");

    for (said, word) in [
        (keystore(store(StoreKind::Pkcs12, p12.clone(), Some("wrong"), None)), "its password is wrong"),
        (keystore(store(StoreKind::Pkcs12, p12.clone(), None, None)), "needs a password"),
        (keystore(store(StoreKind::Pkcs12, p12, Some("s3cret"), Some("bob"))), "no private key under the alias `bob`"),
        (keystore(store(StoreKind::Pkcs12, me.pem(), Some("s3cret"), None)), "it is PEM, not PKCS12"),
        (keystore(store(StoreKind::Pkcs12, [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2], None, None)), "keytool"),
        (keystore(store(StoreKind::Pem, me.certificate.pem(), None, None)), "no private key"),
        (keystore(store(StoreKind::Pem, me.key.serialize_pem(), None, None)), "no certificate"),
        (
            keystore(store(
                StoreKind::Pem,
                me.certificate.pem() + &me.key.serialize_pem().replace("PRIVATE", "ENCRYPTED PRIVATE"),
                None,
                None,
            )),
            "encrypted",
        ),
        (
            keystore(store(StoreKind::Pem, ca.certificate.pem() + &me.key.serialize_pem(), None, None)),
            "does not belong to the certificate",
        ),
        (truststore(store(StoreKind::Pem, "nothing here", None, None)), "_path: it holds no certificate"),
    ] {
        assert!(said.contains(word) && said.contains(TRUSTSTORE), "`{word}` is not in: {said}");
        assert!(!said.contains("s3cret"));
        assert_eq!(said.matches(TRUSTSTORE).count(), 1, "{said}");
    }

    let empty = file(&folder, "empty.pem", "");
    let said = faults(Tls { extra_ca: Some(empty), ..Tls::default() }).remove(0);
    assert!(said.starts_with("FEDERATION_AGENT_CA_FILE=") && said.contains("empty.pem: it holds no"), "{said}");
}

#[tokio::test]
async fn plain_http_where_tls_is_expected_is_said_and_the_other_way_round() {
    let plain = plane(PlaneSettings::default()).await;
    let url = plain.url().replace("http://", "https://");
    let mut to_plain = settings(&url);
    to_plain.connector.tls = trusting(&Ca::new("ours"));
    let (steps, fault) = tried(&to_plain, &ProxyEnvironment::default()).await;
    assert_eq!(steps, [Step::Connect, Step::Tls]);
    let fault = fault.expect("stopped");
    assert!(fault.contains("does not speak TLS") && fault.contains("scheme must be http"), "{fault}");

    let secure = tls_plane(&Ca::new("ours").issue(&["localhost"]), None).await;
    let (steps, fault) =
        tried(&settings(&secure.url().replace("https://", "http://")), &ProxyEnvironment::default()).await;
    assert_eq!(steps, [Step::Name, Step::Connect, Step::Upgrade]);
    let fault = fault.expect("stopped");
    assert!(fault.contains("scheme must be https"), "{fault}");
}

#[tokio::test]
async fn the_whole_link_runs_through_tls() {
    let ca = Ca::new("ours");
    let plane = tls_plane(&ca.issue(&["localhost"]), None).await;
    let mut settings = settings(&plane.url());
    settings.connector.tls = trusting(&ca);
    let network = network(&settings, &ProxyEnvironment::default()).expect("a network");
    let link = Link::new(settings, Arc::new(network), Arc::new(Nothing), 1).expect("settings");
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let running = tokio::spawn(async move { link.run(stop).await });
    plane.connected(ID).await;
    assert!(plane.discover(ID).await.is_ok());
    plane.cut(ID).await;
    plane.disconnected(ID).await;
    plane.connected(ID).await;
    shutdown.cancel();
    running.await.expect("no panic");
}
