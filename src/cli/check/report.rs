//! The report that a person pastes into an issue: what runs where, what was found, which settings are set. Markdown, in
//! one fenced block, without a secret, and without names unless they are asked for.

use std::fmt::Write as _;

use url::Url;

use super::{
    super::{
        arguments::VERSION,
        exit::Exit,
        gateways::{self, Ready},
        terminal::{self, printable},
    },
    Told,
    names::Names,
    teller::{Teller, summary, words},
};
use crate::{
    journal::is_contained,
    provider::Verdict,
    settings::{Environment, Explanation, Source, explain},
};

/// Settings whose values are names of people or of things that only their owner knows by them.
const PERSONAL: [&str; 6] = ["username", "alias", "externalId", "accessKeyId", "apiName", "_name"];

/// What stands before a user's name in the name of the setting that has the user's password.
const USERS: &str = "_authentication_users_";

/// Prints it. `ready` is there when the settings are right.
pub(super) fn print(environment: &Environment, ready: Option<&Ready>, teller: &Teller, with_names: bool) -> Exit {
    let mut names = Names::default();
    let explanation = explain(environment, &gateways::kinds());
    learn(&mut names, &explanation);
    let text = render(&explanation, ready, teller, (!with_names).then_some(&mut names));
    terminal::say(text.trim_end());
    teller.exit()
}

/// The names that the settings tell, right or wrong.
fn learn(names: &mut Names, explanation: &Explanation) {
    for setting in &explanation.settings {
        let Some(value) = setting.value.as_deref() else { continue };
        let variable = setting.variable.as_str();
        if let Some((_, user)) = variable.split_once(USERS) {
            names.know(user, "user");
        } else if variable.ends_with("_integrationId") {
            names.know(value, "integration");
        } else if variable.ends_with("proxy_host") {
            names.know(value, "host");
        } else if variable.contains("_endpoints") || variable.ends_with("_endpointUrl") {
            for url in value.split(',').filter_map(|url| Url::parse(url.trim()).ok()) {
                names.know(url.host_str().unwrap_or_default().trim_matches(['[', ']']), "host");
            }
        }
    }
}

fn render(explanation: &Explanation, ready: Option<&Ready>, teller: &Teller, mut names: Option<&mut Names>) -> String {
    let mut hide = |text: &str, quoted: bool| -> String {
        let text = printable(text).replace("```", "'''");
        match &mut names {
            Some(names) if quoted => names.hide_quoted(&text),
            Some(names) => names.hide(&text),
            None => text,
        }
    };
    let mut text = String::from("**federation-agent check**\n\n```text\n");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let contained = if is_contained() { "in a container" } else { "no container seen" };
    // Writing to a text cannot fail.
    let _ = writeln!(text, "version: {VERSION}");
    let (os, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
    let _ = writeln!(text, "platform: {os} {architecture}, kernel {}, {contained}", printable(kernel.trim()));
    if let Some(ready) = ready {
        let kinds: Vec<&str> = ready.gateways.iter().map(|gateway| gateway.integration.kind.as_str()).collect();
        let endpoints = ready.connector.endpoints.len();
        let _ = writeln!(text, "integrations: {} ({}); endpoints: {endpoints}", kinds.len(), kinds.join(", "));
    }
    let (bad, doubtful) = (teller.count(Verdict::Bad), teller.count(Verdict::Doubtful));
    let (good, untried) = (teller.count(Verdict::Good), teller.count(Verdict::Untried));
    let _ = writeln!(text, "findings: {bad} bad, {doubtful} doubtful, {good} good, {untried} untried");
    let _ = writeln!(text, "{}", summary(bad, doubtful));
    for told in teller.kept() {
        match told {
            Told::Heading(what) => {
                let _ = writeln!(text, "\n{}", hide(what, false));
            }
            Told::Finding { finding, .. } => {
                let line = words((&finding.what, &finding.says, finding.took));
                let line = hide(&line, finding.id.ends_with("certificate"));
                let _ = writeln!(text, "{:<8} {:<18} {line}", finding.verdict.word(), finding.id);
            }
        }
    }
    let _ = writeln!(text, "\nsettings that are set (secrets are masked)");
    for setting in &explanation.settings {
        let source = match &setting.source {
            Source::Variable => "variable",
            Source::File(_) | Source::Property(_) => "file",
            Source::Default | Source::Unset => continue,
        };
        let personal = PERSONAL.iter().any(|end| setting.variable.ends_with(end));
        let value = match setting.value.as_deref() {
            None | Some("") => "(empty)".to_owned(),
            // A header's name is none of these.
            Some(_) if personal && !setting.variable.contains("_headers_") => "(set)".to_owned(),
            Some(value) => hide(value, false),
        };
        let variable = if setting.variable.contains(USERS) {
            hide(&setting.variable, false)
        } else {
            printable(&setting.variable)
        };
        let _ = writeln!(text, "{variable} = {value} ({source})");
    }
    for (title, lines) in [("notes", &explanation.notes), ("warnings", &explanation.warnings)] {
        for line in lines {
            let _ = writeln!(text, "{title}: {}", hide(line, false));
        }
    }
    text.push_str("```\n");
    text
}
