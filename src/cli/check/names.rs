//! Other words for what a report should not tell to everybody: host names, addresses, account numbers, ids. The same
//! thing gets the same word in all of one report.

use std::{collections::BTreeMap, net::IpAddr};

/// Hosts that everybody has.
const EVERYBODYS: [&str; 2] = ["localhost", "169.254.169.254"];
/// What looks like a host's name and is a file's.
const ENDINGS: [&str; 10] = ["pem", "p12", "jks", "md", "yaml", "yml", "json", "crt", "key", "env"];

/// What was replaced by what.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// What is known to be a name, and of what kind.
    known: Vec<(String, &'static str)>,
    given: BTreeMap<String, String>,
    counts: BTreeMap<&'static str, usize>,
}

impl Names {
    /// From now on `text` is replaced by a word for a thing of this `kind` wherever it stands.
    pub(super) fn know(&mut self, text: &str, kind: &'static str) {
        let text = text.trim();
        let is_everybodys = EVERYBODYS.contains(&text) || text.parse().is_ok_and(|address| is_near(&address));
        if text.len() > 2 && !is_everybodys && !self.known.iter().any(|(known, _)| known == text) {
            self.known.push((text.to_owned(), kind));
            // A longer one may hold a shorter one.
            self.known.sort_by_key(|(known, _)| std::cmp::Reverse(known.len()));
        }
    }

    /// `text` without the names.
    pub(super) fn hide(&mut self, text: &str) -> String {
        let mut text = self.hide_arns(text);
        for (known, kind) in self.known.clone() {
            text = self.hide_known(&text, &known, kind);
        }
        let mut hidden = String::with_capacity(text.len());
        let mut word = String::new();
        for c in text.chars().chain([' ']) {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_') {
                word.push(c);
            } else {
                let bare = word.trim_end_matches(['.', ':', '-']);
                hidden.push_str(&self.hide_word(bare));
                hidden.push_str(&word[bare.len()..]);
                word.clear();
                hidden.push(c);
            }
        }
        hidden.pop();
        hidden
    }

    /// What stands in backticks, such as the owners of certificates, is hidden too.
    pub(super) fn hide_quoted(&mut self, text: &str) -> String {
        let parts: Vec<&str> = text.split('`').collect();
        let whole = parts.len() % 2 == 1;
        let mut hidden = String::new();
        for (nth, part) in parts.iter().enumerate() {
            if nth > 0 {
                hidden.push('`');
            }
            if nth % 2 == 1 && whole {
                hidden.push_str(&self.word(part, "name"));
            } else {
                hidden.push_str(&self.hide(part));
            }
        }
        hidden
    }

    fn word(&mut self, text: &str, kind: &'static str) -> String {
        if let Some(given) = self.given.get(text) {
            return given.clone();
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let word = format!("{kind}-{count}");
        self.given.insert(text.to_owned(), word.clone());
        word
    }

    /// `known`, where it stands by itself.
    fn hide_known(&mut self, text: &str, known: &str, kind: &'static str) -> String {
        let mut hidden = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(known) {
            let (before, after) = (&rest[..at], &rest[at + known.len()..]);
            let joins = |c: char| c.is_ascii_alphanumeric();
            hidden.push_str(before);
            if before.ends_with(joins) || after.starts_with(joins) {
                hidden.push_str(known);
            } else {
                hidden.push_str(&self.word(known, kind));
            }
            rest = after;
        }
        hidden + rest
    }

    /// Of an ARN the service and the kind of thing stay, account and name do not.
    fn hide_arns(&mut self, text: &str) -> String {
        let mut hidden = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("arn:aws") {
            let (before, arn) = rest.split_at(at);
            let end = arn.find(|c: char| c.is_whitespace() || "`,;\"')".contains(c)).unwrap_or(arn.len());
            let (arn, after) = arn.split_at(arn[..end].trim_end_matches([':', '.']).len());
            hidden.push_str(before);
            match arn.split_once('/') {
                // Rights name API Gateway's own paths, which everybody has.
                Some((head, name)) if !arn.contains(":apigateway:") => {
                    hidden.push_str(head);
                    hidden.push('/');
                    hidden.push_str(&self.word(name, "name"));
                }
                _ => hidden.push_str(arn),
            }
            rest = after;
        }
        hidden + rest
    }

    /// One word, which may be an address, or hold several parts.
    fn hide_word(&mut self, word: &str) -> String {
        if let Ok(address) = word.parse::<IpAddr>() {
            return self.hide_address(word, address);
        }
        if word.contains(':') {
            return word.split(':').map(|part| self.hide_word(part)).collect::<Vec<_>>().join(":");
        }
        if word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_digit()) {
            return self.word(word, "account");
        }
        if let Some(at) = uuid_in(word) {
            let (before, rest) = word.split_at(at);
            let (id, after) = rest.split_at(36);
            let id = self.word(id, "id");
            return format!("{before}{id}{}", self.hide_word(after));
        }
        if is_host(word) { self.word(word, "host") } else { word.to_owned() }
    }

    fn hide_address(&mut self, word: &str, address: IpAddr) -> String {
        if is_near(&address) || EVERYBODYS.contains(&word) { word.to_owned() } else { self.word(word, "address") }
    }
}

fn is_near(address: &IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

/// Where a UUID stands in `word`.
fn uuid_in(word: &str) -> Option<usize> {
    let is_uuid = |text: &[u8]| {
        text.iter().enumerate().all(|(nth, byte)| match nth {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    word.as_bytes().windows(36).position(is_uuid)
}

/// Whether it looks like a host's name that not everybody has.
fn is_host(word: &str) -> bool {
    let labels: Vec<&str> = word.split('.').collect();
    let last = labels.last().copied().unwrap_or_default();
    let is_label = |label: &&str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    labels.len() > 1
        && labels.iter().all(is_label)
        && last.len() > 1
        && last.bytes().all(|byte| byte.is_ascii_alphabetic())
        && !ENDINGS.contains(&last)
        && !is_service(&labels)
}

/// AWS's own public names: `apigateway.eu-west-1.amazonaws.com`.
fn is_service(labels: &[&str]) -> bool {
    matches!(labels, ["apigateway" | "apigateway-fips" | "sts" | "sts-fips", _, "amazonaws" | "api", ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_alike_everywhere() {
        let mut names = Names::default();
        for (text, kind) in [("plane", "host"), ("shop-integration", "integration"), ("int", "integration")] {
            names.know(text, kind);
        }
        for (text, hidden) in [
            ("nothing to hide: 0.1.0, 200 ms, ca.pem", "nothing to hide: 0.1.0, 200 ms, ca.pem"),
            ("plane http://plane:8072, an airplane", "host-1 http://host-1:8072, an airplane"),
            ("shop-integration is not int", "integration-1 is not integration-2"),
            ("at apim.corp.example:443.", "at host-2:443."),
            ("is 10.0.0.7, fd00::7, [fd00::7]:80", "is address-1, address-2, [address-2]:80"),
            ("127.0.0.1:80 and localhost and ::1", "127.0.0.1:80 and localhost and ::1"),
            ("account 123456789012, eu-west-1", "account account-1, eu-west-1"),
            ("arn:aws:sts::123456789012:assumed-role/boss/me as", "arn:aws:sts::account-1:assumed-role/name-1 as"),
            ("role arn:aws:iam::123456789012:role/boss/me: it is", "role arn:aws:iam::account-1:role/name-1: it is"),
            (
                "apigateway:GET on arn:aws:apigateway:eu-west-1::/restapis to role",
                "apigateway:GET on arn:aws:apigateway:eu-west-1::/restapis to role",
            ),
            ("x-fbf844a0-27b2-4f12-b844-a027b2cf1206", "x-id-1"),
            ("apigateway.eu-west-1.amazonaws.com is up", "apigateway.eu-west-1.amazonaws.com is up"),
            ("vpce-1.apigateway.eu-west-1.vpce.amazonaws.com", "host-3"),
            ("gravitee_integration_connector_ws_endpoints_0", "gravitee_integration_connector_ws_endpoints_0"),
        ] {
            assert_eq!(names.hide(text), hidden);
        }
        assert_eq!(names.hide_quoted("`CN=Boss`, for a.example, by `CN=Boss`"), "`name-2`, for host-4, by `name-2`");
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(text in "\\PC*") {
            let mut names = Names::default();
            names.know("plane", "host");
            names.hide(&text);
            names.hide_quoted(&text);
        }
    }
}
