//! The gateway's keys, the plane's subscriptions and the journal, held against each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use federation_agent::{
    journal::{Journal, Record, State},
    plane::Plane,
    standin::Gateway,
};

/// What was being settled when the agent died is tried again only after a minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// What does not match. All lists are of key ids or subscription ids.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    /// Keys that open something, that no accepted subscription has, and that are not unconfirmed.
    pub(crate) unknown: Vec<String>,
    /// Accepted subscriptions whose key is not there.
    pub(crate) keyless: Vec<String>,
    /// Subscriptions with more than one key that opens something.
    pub(crate) twice: Vec<String>,
    /// Keys that open something and are unconfirmed in the journal.
    pub(crate) unconfirmed: Vec<String>,
    /// Keys that open nothing.
    pub(crate) unbound: Vec<String>,
    /// Of these, the ones that the journal lists, by their names.
    pub(crate) listed: Vec<String>,
}

impl Books {
    /// Compares the three; `closing` are subscriptions that somebody has asked to be closed.
    pub(crate) fn compare(
        plane: &Plane,
        gateway: &Gateway,
        integration: &str,
        records: &[Record],
        closing: &BTreeSet<String>,
    ) -> Self {
        let subscriptions = plane.subscriptions(integration);
        let known: BTreeMap<&str, &str> = subscriptions
            .iter()
            .filter_map(|one| Some((one.metadata.get("aws-api-key-id")?.as_str(), one.id.as_str())))
            .collect();
        let unconfirmed: BTreeSet<&str> = records
            .iter()
            .filter(|record| record.state == State::Unconfirmed)
            .filter_map(|record| record.key_id.as_deref())
            .collect();
        let mut books = Self::default();
        let mut names = BTreeMap::<String, usize>::new();
        let mut there = BTreeSet::new();
        gateway.with(|estate| {
            let bound: BTreeSet<String> = estate.bound_keys().map(ToOwned::to_owned).collect();
            for key in estate.keys() {
                let name = key.name.clone().unwrap_or_default();
                there.insert(key.id.clone());
                if !bound.contains(&key.id) {
                    if records.iter().any(|record| name.ends_with(&record.subscription)) {
                        books.listed.push(name.clone());
                    }
                    books.unbound.push(name);
                    continue;
                }
                *names.entry(name).or_default() += 1;
                if known.contains_key(key.id.as_str()) {
                    continue;
                }
                let list =
                    if unconfirmed.contains(key.id.as_str()) { &mut books.unconfirmed } else { &mut books.unknown };
                list.push(key.id.clone());
            }
        });
        let keyless =
            known.iter().filter(|(key, subscription)| !there.contains(**key) && !closing.contains(**subscription));
        books.keyless = keyless.map(|(_, subscription)| (*subscription).to_owned()).collect();
        books.twice = names.into_iter().filter(|(_, count)| *count > 1).map(|(name, _)| name).collect();
        books
    }

    /// Nothing is lost, nothing opens anything that nobody knows of.
    pub(crate) fn are_good(&self) -> bool {
        self.unknown.is_empty() && self.keyless.is_empty() && self.twice.is_empty()
    }
}

/// What stands in the journal in `folder`, once the agent that runs on it has settled what it can: what was being made
/// and is not to be seen in the gateway is looked for a minute long, and is not waited for.
pub(crate) async fn settled(folder: &Path, integration: &str, gateway: &Gateway) -> Vec<Record> {
    let journal = Journal::open(folder).await;
    let settling = async {
        loop {
            let contents = journal.read(integration).await;
            assert!(contents.unreadable.is_empty(), "{:?}", contents.unreadable);
            let waits = |record: &Record| match record.state {
                State::Made | State::Removing | State::Intended => true,
                State::Making => gateway.with(|estate| {
                    let live: BTreeSet<&str> =
                        contents.records.iter().filter_map(|record| record.key_id.as_deref()).collect();
                    estate.keys().any(|key| {
                        !live.contains(key.id.as_str())
                            && key.name.as_deref().is_some_and(|name| name.ends_with(&record.subscription))
                    })
                }),
                _ => false,
            };
            if !contents.records.iter().any(waits) {
                return contents.records;
            }
            // Another process writes there: there is nothing else to wait on.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let Ok(records) = tokio::time::timeout(PATIENCE, settling).await else {
        panic!("not settled: {:#?}", journal.read(integration).await.records);
    };
    records
}
