//! Configuration by file: the real binary with the files of Gravitee's chart, and secrets of a Kubernetes API.

mod kubernetes;
#[expect(dead_code, reason = "not all of the stage is played on here")]
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use federation_agent::standin;
use support::{AWS_SECRET, Process, Stage, TOKEN, soon};
use tempfile::TempDir;

const ONE: &str = "one";

/// As Gravitee's chart writes it, with the chart's own values.
const GRAVITEE: &str = "\
secrets:
  kubernetes:
    enabled: true

services:
  core:
    http:
      enabled: true
      port: 18084
      host: 0.0.0.0
      authentication:
        type: basic
        users:
          admin: adminadmin
";

/// As Gravitee's chart writes it with `config.logging.json`.
const LOGBACK: &str = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<configuration>
    <appender name=\"STDOUT\" class=\"ch.qos.logback.core.ConsoleAppender\">
        <encoder class=\"ch.qos.logback.core.encoder.LayoutWrappingEncoder\">
            <layout class=\"ch.qos.logback.contrib.json.classic.JsonLayout\">
                <jsonFormatter class=\"ch.qos.logback.contrib.jackson.JacksonJsonFormatter\"/>
                <appendLineSeparator>true</appendLineSeparator>
                <timestampFormat>yyyy-MM-dd'T'HH:mm:ss.SSSXX</timestampFormat>
            </layout>
        </encoder>
    </appender>
    <logger name=\"io.gravitee\" level=\"INFO\"/>
    <logger name=\"com.graviteesource\" level=\"INFO\"/>
    <logger name=\"io.gravitee.exchange\" level=\"DEBUG\"/>
    <root level=\"WARN\">
        <appender-ref ref=\"STDOUT\" />
    </root>
</configuration>
";

/// What a person writes below `config.graviteeYml` in the chart's values.
fn override_of(stage: &Stage) -> String {
    format!(
        "integration:
  connector:
    ws:
      endpoints:
        - {}
      headers:
        - name: Authorization
          value: bearer ${{APIM_TOKEN}}
  providers:
    - type: aws-api-gateway
      integrationId: {ONE}
      configuration:
        accessKeyId: AKIATESTTESTTESTTEST
        secretAccessKey: secret://kubernetes/aws:secretAccessKey?namespace=apim
        region: {}
        endpointUrl: {}
",
        stage.plane.url(),
        standin::REGION,
        stage.gateway.url()
    )
}

/// A folder as the chart mounts it, with a mounted secret beside; and the variables that the pod has.
fn mounted(stage: &Stage, override_: &str) -> (TempDir, Vec<(String, String)>) {
    let folder = TempDir::new().expect("a folder");
    let write = |path: &Path, text: &str| std::fs::write(path, text).expect("a file");
    write(&folder.path().join("gravitee.yml"), GRAVITEE);
    write(&folder.path().join("gravitee-override.yml"), override_);
    write(&folder.path().join("logback.xml"), LOGBACK);
    std::fs::create_dir_all(folder.path().join("secrets/aws")).expect("a folder");
    write(&folder.path().join("secrets/aws/secretAccessKey"), AWS_SECRET);
    let path = folder.path().display();
    let mut variables: Vec<(String, String)> = stage.environment(&[]);
    variables.retain(|(name, _)| name.starts_with("FEDERATION_AGENT_"));
    variables.extend([
        (
            "JDK_JAVA_OPTIONS".into(),
            format!("-Xmx256m -Dgravitee.conf={path}/gravitee.yml,{path}/gravitee-override.yml"),
        ),
        ("FEDERATION_AGENT_SECRETS_DIR".into(), format!("{path}/secrets")),
        ("APIM_TOKEN".into(), TOKEN.into()),
    ]);
    (folder, variables)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_of_gravitees_chart_are_enough() {
    let stage = Stage::set(&[ONE]).await;
    let (folder, variables) = mounted(&stage, &override_of(&stage));
    let mut agent = Process::start(&[], variables.clone());
    soon("connected", stage.plane.connected(ONE)).await;
    soon("ready", agent.says("ready, waiting for the plane's commands")).await;
    let found = soon("discover", stage.plane.discover(ONE)).await.expect("a list");
    assert_eq!(found.apis.len(), 5);
    agent.signal("TERM");
    let (status, said) = agent.end().await;
    let said = said.join("\n");
    assert_eq!(status.code(), Some(0), "{said}");
    for told in [
        "gravitee.yml, and the environment before it",
        "gravitee-override.yml, and the environment before it",
        "-Xmx256m",
        "logback.xml",
    ] {
        assert_eq!(said.matches(told).count(), 1, "{told}: {said}");
    }
    // The exchange's level is the link's here.
    assert!(said.contains("DEBUG") && !said.contains(TOKEN) && !said.contains(AWS_SECRET), "{said}");

    let (status, said) = Process::start(&["config"], variables.clone()).end().await;
    let said = said.join("\n");
    assert_eq!(status.code(), Some(0), "{said}");
    let source = |property: &str| {
        let line = said.lines().find(|line| line.starts_with(&format!("{property} "))).unwrap_or_default();
        line.split_whitespace().skip(1).take(2).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(source("integration.providers[0].type"), "aws-api-gateway gravitee-override.yml:10", "{said}");
    assert_eq!(source("integration.connector.ws.headers[0].value"), "******** gravitee-override.yml:8", "{said}");
    assert_eq!(source("integration.providers[0].configuration.secretAccessKey"), "******** gravitee-override.yml:14");
    assert_eq!(source("secrets.kubernetes.enabled"), "true gravitee.yml:3", "{said}");
    assert_eq!(
        source("FEDERATION_AGENT_LOG"),
        "warn,federation_agent=info,federation_agent::link=debug logback.xml:12"
    );
    assert!(!said.contains(TOKEN) && !said.contains(AWS_SECRET), "{said}");
    drop(folder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_reads_the_files() {
    let stage = Stage::set(&[ONE]).await;
    let (_folder, variables) = mounted(&stage, &override_of(&stage));
    for command in ["check", "discover", "iam", "grants"] {
        let (status, said) = Process::start(&[command], variables.clone()).end().await;
        assert_eq!(status.code(), Some(0), "{command}: {}", said.join("\n"));
    }
    let broken = override_of(&stage).replace("  providers:", "  connector: {}\n  providers:");
    let (_folder, variables) = mounted(&stage, &broken);
    for command in ["run", "check", "config", "discover", "iam", "health"] {
        let (status, said) = Process::start(&[command], variables.clone()).end().await;
        let said = said.join("\n");
        assert_eq!(status.code(), Some(2), "{command}: {said}");
        let line = "gravitee-override.yml:9: `connector` stands here a second time, the first is in line 2; keep one";
        assert!(said.contains(line), "{command}: {said}");
    }
}

/// The way to the gateways takes the trust store too, whatever it is in: a broken one is told once, by its option.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trust_store_of_java_is_for_the_gateways_too() {
    let stage = Stage::set(&[ONE]).await;
    let (folder, mut variables) = mounted(&stage, &override_of(&stage));
    let path = folder.path().join("trust.pem");
    for (_, value) in variables.iter_mut().filter(|(name, _)| name == "JDK_JAVA_OPTIONS") {
        value.extend([" -Djavax.net.ssl.trustStore=", &path.display().to_string()]);
    }
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&rcgen::KeyPair::generate().expect("a key")).expect("a certificate").pem();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (pem, code) in [(ca.as_str(), 0), (broken, 2)] {
        std::fs::write(&path, pem).expect("a file");
        for command in ["iam", "config"] {
            let (status, said) = Process::start(&[command], variables.clone()).end().await;
            let said = said.join("\n");
            assert_eq!(status.code(), Some(code), "{command}: {said}");
            let faults = said.lines().filter(|line| line.contains("-Djavax.net.ssl.trustStore: ")).count();
            assert_eq!(faults, usize::from(code == 2), "{command}: {said}");
        }
    }
}
