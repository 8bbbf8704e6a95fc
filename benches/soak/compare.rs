//! The gateway's keys against the plane's subscriptions.

use std::{collections::BTreeSet, path::Path, process::Stdio};

use federation_agent::standin::{ACCOUNT, Gateway, REGION};

use crate::{INTEGRATION, stage::Stage, work::Work};

/// The entry of a grant's metadata that names its key.
const KEY_ID: &str = "aws-api-key-id";

/// What does not fit.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    keys: usize,
    subscriptions: usize,
    /// Names of bound keys that belong to no subscription,
    bound: Vec<String>,
    /// those of them that the agent's journal tells as unconfirmed,
    unconfirmed: Vec<String>,
    /// and those whose SUBSCRIBE lost its session before the reply.
    unheard: usize,
    /// Subscriptions whose key is not there, or bound to nothing.
    keyless: Vec<String>,
    /// Names that more than one key has.
    doubles: Vec<String>,
    /// Names of keys that are bound to nothing and open nothing.
    unbound: Vec<String>,
    /// How the journal was asked.
    journal: &'static str,
}

impl Compared {
    /// As both are now.
    pub(crate) fn of(gateway: &Gateway, work: &Work) -> Self {
        let subscriptions = work.subscriptions_now();
        let held: BTreeSet<&str> =
            subscriptions.values().filter_map(|metadata| metadata.get(KEY_ID)).map(String::as_str).collect();
        gateway.with(|estate| {
            let region = estate.region(ACCOUNT, REGION);
            let mut compared = Self { keys: region.keys.len(), subscriptions: subscriptions.len(), ..Self::default() };
            let mut names = BTreeSet::new();
            for key in &region.keys {
                let name = key.name.clone().unwrap_or_else(|| key.id.clone());
                if !names.insert(name.clone()) {
                    compared.doubles.push(name.clone());
                }
                if held.contains(key.id.as_str()) {
                    continue;
                }
                if region.is_bound(&key.id) {
                    compared.unheard += usize::from(subscription_of(&name).is_some_and(|id| work.is_unheard(id)));
                    compared.bound.push(name);
                } else {
                    compared.unbound.push(name);
                }
            }
            for (id, metadata) in &subscriptions {
                let key = metadata.get(KEY_ID).and_then(|id| region.key(id));
                if !key.is_some_and(|key| key.enabled && region.is_bound(&key.id)) {
                    compared.keyless.push(id.clone());
                }
            }
            compared
        })
    }

    /// The same, with what the agent's journal says of keys that belong to no subscription.
    pub(crate) async fn told(mut self, binary: &Path, stage: &Stage) -> Self {
        let asked = tokio::process::Command::new(binary)
            .args(["grants", "--output", "json"])
            .env_clear()
            .envs(stage.variables.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::null())
            .output();
        let told = asked.await.ok().filter(|output| output.status.success());
        let told = told.and_then(|output| serde_json::from_slice::<serde_json::Value>(&output.stdout).ok());
        let Some(serde_json::Value::Array(grants)) = told else {
            self.journal = "this binary has no `grants`: nothing is told as unconfirmed";
            return self;
        };
        self.journal = "told by `grants`";
        let unconfirmed: BTreeSet<&str> = grants
            .iter()
            .filter(|grant| grant["state"] == "unconfirmed")
            .filter_map(|grant| grant["subscription"].as_str())
            .collect();
        let is_told = |name: &String| subscription_of(name).is_some_and(|id| unconfirmed.contains(id));
        (self.unconfirmed, self.bound) = std::mem::take(&mut self.bound).into_iter().partition(is_told);
        self
    }

    /// Whether nothing was lost and nothing was left behind.
    pub(crate) fn is_clean(&self) -> bool {
        self.bound.is_empty() && self.keyless.is_empty() && self.doubles.is_empty()
    }

    /// How many grants the journal rightly keeps although no subscription has them.
    pub(crate) fn journalled(&self) -> usize {
        self.unconfirmed.len() + self.unbound.len()
    }

    /// Prints it; whether it is clean.
    pub(crate) fn print(&self) -> bool {
        println!("\nThe gateway's {} keys and the plane's {} subscriptions:", self.keys, self.subscriptions);
        let row = |name: &str, found: &[String], must: bool| {
            let mark = if must && !found.is_empty() { "   <-- must be 0" } else { "" };
            println!("{name:<58} {:>6}{mark}", found.len());
            for one in found.iter().take(if must { 10 } else { 3 }) {
                println!("    {one}");
            }
        };
        row("bound keys without subscription", &self.bound, true);
        if self.unheard > 0 {
            println!("    ({} bound ones lost their session before the reply reached the plane)", self.unheard);
        }
        row("subscriptions without key", &self.keyless, true);
        row("keys of one name more than once", &self.doubles, true);
        row("bound keys that the journal tells as unconfirmed", &self.unconfirmed, false);
        println!("    ({})", self.journal);
        row("keys bound to nothing (CreateApiKey's answer was lost)", &self.unbound, false);
        self.is_clean()
    }
}

/// The subscription in a key's name.
fn subscription_of(name: &str) -> Option<&str> {
    name.strip_prefix("gravitee-")?.strip_prefix(INTEGRATION)?.strip_prefix('-')
}
