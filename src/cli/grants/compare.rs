//! Three sets side by side: what the journal knows, what the gateway has, and what the plane has accepted. Pure: it asks
//! nobody, and decides what is to be said of each key.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use super::export::{Status, Subscription};
use crate::{
    journal::{Record, State},
    provider::Held,
};

/// A key that is not much older than the export may be that of a subscription that the export could not have.
pub(super) const MARGIN: Duration = Duration::from_mins(10);

/// What is to be said of a key, or of a subscription or a grant that has none. Exactly one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Class {
    /// As it should be.
    Fine,
    /// It opens something, and no subscription in force is behind it.
    KeyWithoutSubscription,
    /// The subscription is in force, and its key is gone or opens nothing.
    SubscriptionWithoutKey,
    /// It opens something, and its subscription is paused, over or not yet begun.
    KeyOutOfForce,
    /// The gateway has it and the journal does not know it; whose it is only the plane can tell.
    NotInJournal,
    /// The journal knows it, and the gateway has it no more.
    NotInGateway,
    /// The agent has given it up, and waits for a person.
    Waiting,
    /// An agent is at it, or will be when it starts.
    UnderWay,
    /// It cannot be told: a source failed, or it is newer than the export.
    Undetermined,
}

impl Class {
    /// All, in the order in which they are told.
    pub(super) const ALL: [Self; 9] = [
        Self::KeyWithoutSubscription,
        Self::SubscriptionWithoutKey,
        Self::KeyOutOfForce,
        Self::NotInJournal,
        Self::NotInGateway,
        Self::Waiting,
        Self::Undetermined,
        Self::UnderWay,
        Self::Fine,
    ];

    /// Its list's name for machines.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::KeyWithoutSubscription => "keysWithoutSubscription",
            Self::SubscriptionWithoutKey => "subscriptionsWithoutKey",
            Self::KeyOutOfForce => "keysOfPausedOrExpired",
            Self::NotInJournal => "notInJournal",
            Self::NotInGateway => "notInGateway",
            Self::Waiting => "waiting",
            Self::UnderWay => "underWay",
            Self::Undetermined => "undetermined",
        }
    }

    /// Whether a person has to do something.
    pub(super) fn is_amiss(self) -> bool {
        !matches!(self, Self::Fine | Self::UnderWay | Self::Undetermined)
    }
}

/// What is said of one thing.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) class: Class,
    /// The integration, as far as it is known.
    pub(super) integration: Option<String>,
    /// The subscription that it is for.
    pub(super) subscription: Option<String>,
    /// The key's id.
    pub(super) key_id: Option<String>,
    /// The key as the gateway has it.
    pub(super) held: Option<Held>,
    /// What the journal knows of it.
    pub(super) record: Option<Record>,
    /// What the plane knows of its subscription.
    pub(super) plane: Option<Subscription>,
    /// Why it is of this class.
    pub(super) says: String,
}

/// What one integration's journal and gateway say.
#[derive(Debug, Clone, Default)]
pub(super) struct Side {
    pub(super) integration: String,
    /// What the journal knew before the gateway was asked.
    pub(super) before: Vec<Record>,
    /// What it knew afterwards.
    pub(super) after: Vec<Record>,
    /// The keys that the gateway has.
    pub(super) held: Vec<Held>,
    /// Whether every source of the gateway was read: only then is a key that is not there gone.
    pub(super) whole: bool,
}

/// The plane's side.
#[derive(Debug, Clone)]
pub(super) struct Plane {
    /// Every subscription with the id of the key that it names.
    pub(super) subscriptions: Vec<(Subscription, Option<String>)>,
    /// When the export was finished.
    pub(super) taken: SystemTime,
}

impl Plane {
    /// Whether it has no subscription but accepted ones, as it is when the plane was not asked for others.
    pub(super) fn holds_accepted_only(&self) -> bool {
        !self.subscriptions.is_empty() && self.subscriptions.iter().all(|(one, _)| one.status == Status::Accepted)
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) rows: Vec<Row>,
    /// Accepted subscriptions that name no key and have nothing to do with any of the integrations, as far as can be
    /// seen.
    pub(super) set_aside: Vec<Subscription>,
}

/// Compares. `elsewhere` are subscriptions of integrations that were not asked for.
pub(super) fn compare(
    sides: &[Side],
    plane: Option<&Plane>,
    elsewhere: &BTreeSet<String>,
    now: SystemTime,
) -> Compared {
    let mut work = Work {
        by_id: BTreeMap::new(),
        by_key: BTreeMap::new(),
        plane,
        now,
        seen: BTreeSet::new(),
        compared: Compared::default(),
    };
    for (subscription, key_id) in plane.iter().flat_map(|plane| &plane.subscriptions) {
        work.by_id.insert(&subscription.id, (subscription, key_id.as_deref()));
        if let Some(key_id) = key_id {
            work.by_key.entry(key_id).or_default().push(subscription);
        }
    }
    // Whose name a key bears has it; others may know it by its id only.
    let named: BTreeSet<&str> = sides
        .iter()
        .flat_map(|side| &side.held)
        .filter(|held| held.subscription.is_some())
        .map(|held| held.key_id.as_str())
        .collect();
    let mut told: BTreeSet<String> = BTreeSet::new();
    let mut attached: Vec<bool> = Vec::new();
    for side in sides {
        attached.clear();
        attached.resize(side.after.len(), false);
        for held in &side.held {
            if (held.subscription.is_none() && named.contains(held.key_id.as_str())) || told.contains(&held.key_id) {
                continue;
            }
            if let Some(row) = work.key(side, held, &mut attached) {
                told.insert(held.key_id.clone());
                work.compared.rows.push(row);
            }
        }
        for (record, _) in side.after.iter().zip(&attached).filter(|(_, attached)| !**attached) {
            if record.key_id.as_ref().is_some_and(|key_id| told.contains(key_id)) {
                continue;
            }
            let row = work.record(side, record);
            told.extend(record.key_id.clone());
            work.compared.rows.push(row);
        }
    }
    work.subscriptions(sides, elsewhere, &mut told);
    work.compared
}

struct Work<'a> {
    by_id: BTreeMap<&'a str, (&'a Subscription, Option<&'a str>)>,
    by_key: BTreeMap<&'a str, Vec<&'a Subscription>>,
    plane: Option<&'a Plane>,
    now: SystemTime,
    /// Subscriptions of which something has been said.
    seen: BTreeSet<&'a str>,
    compared: Compared,
}

impl Work<'_> {
    /// What is to be said of a key in the gateway; `None`: it is none of ours.
    fn key(&mut self, side: &Side, held: &Held, attached: &mut [bool]) -> Option<Row> {
        let claims = self.by_key.get(held.key_id.as_str()).cloned().unwrap_or_default();
        let record = find(&side.after, held).map(|index| {
            attached[index] = true;
            &side.after[index]
        });
        let passing = find(&side.before, held).map(|index| &side.before[index]);
        let subscription = held
            .subscription
            .clone()
            .or_else(|| record.or(passing).map(|record| record.subscription.clone()))
            .or_else(|| claims.first().map(|claim| claim.id.clone()))?;
        let mut row = Row {
            class: Class::Fine,
            integration: Some(side.integration.clone()),
            subscription: Some(subscription.clone()),
            key_id: Some(held.key_id.clone()),
            held: Some(held.clone()),
            record: record.cloned(),
            plane: None,
            says: String::new(),
        };
        let passing = passing.filter(|_| record.is_none());
        (row.class, row.says) = if let Some(plane) = self.plane {
            let known = self.by_id.get(subscription.as_str()).copied();
            // Of several that name the key, one that is accepted speaks for it: it must not be taken for nobody's.
            let rank = |claim: &&&Subscription| (claim.status != Status::Accepted, claim.id != subscription);
            let claim = claims.iter().min_by_key(rank).copied();
            let behind = claim.or(known.map(|(subscription, _)| subscription));
            row.plane = behind.cloned();
            let other = known.and_then(|(_, names)| names).filter(|_| claim.is_none());
            for claim in claims {
                self.seen.insert(&claim.id);
            }
            if let (Some(behind), None) = (behind, other) {
                self.seen.insert(&behind.id);
                row.subscription = Some(behind.id.clone());
            }
            let young = is_young(plane, held, record);
            self.with_plane(held, record, behind, other, young)
        } else {
            without_plane(record)
        };
        if passing.is_some() {
            (row.class, row.says) = (Class::UnderWay, "removed while the gateway was being read".into());
        }
        Some(row)
    }

    /// What the plane makes of a key. `other` is the key that its subscription names instead.
    fn with_plane(
        &self,
        held: &Held,
        record: Option<&Record>,
        behind: Option<&Subscription>,
        other: Option<&str>,
        young: bool,
    ) -> (Class, String) {
        let nobodys = |says: String| match record {
            Some(record) if record.state.is_unsettled() => (Class::UnderWay, under_way(record)),
            _ if young => (Class::Undetermined, "younger than the export, or nearly: export again".into()),
            _ => (Class::KeyWithoutSubscription, says + opens(held)),
        };
        let Some(behind) = behind else { return nobodys("the plane's export has no such subscription".into()) };
        if let Some(other) = other {
            return nobodys(format!("its subscription has another key, {other}"));
        }
        match standing(behind, self.now) {
            Standing::InForce if !held.enabled => {
                (Class::SubscriptionWithoutKey, "accepted, and its key is disabled in the gateway".into())
            }
            Standing::InForce if held.plans.is_empty() => {
                (Class::SubscriptionWithoutKey, "accepted, and its key is bound to no plan: it opens nothing".into())
            }
            Standing::InForce => (Class::Fine, "accepted".into()),
            Standing::Suspended(why) if held.enabled && !held.plans.is_empty() => {
                (Class::KeyOutOfForce, format!("{why}, and its key still works in the gateway"))
            }
            Standing::Suspended(why) => (Class::Fine, format!("{why}, and its key opens nothing")),
            Standing::Over => nobodys(format!("its subscription is {}", behind.status.word())),
        }
    }

    /// What is to be said of a grant in the journal of which the gateway shows no key.
    fn record(&mut self, side: &Side, record: &Record) -> Row {
        let mut row = Row {
            class: Class::Fine,
            integration: Some(side.integration.clone()),
            subscription: Some(record.subscription.clone()),
            key_id: record.key_id.clone(),
            held: None,
            record: Some(record.clone()),
            plane: None,
            says: String::new(),
        };
        let known = self.by_id.get(record.subscription.as_str()).copied();
        row.plane = known.map(|(subscription, _)| subscription.clone());
        (row.class, row.says) = match record.state {
            State::Intended | State::Making | State::Made | State::Removing | State::Gone => {
                (Class::UnderWay, under_way(record))
            }
            State::Leftover | State::Stuck if side.whole && record.key_id.is_some() => {
                (Class::Waiting, waiting(record) + "; the gateway has the key no more: revoking it strikes it out")
            }
            State::Leftover | State::Stuck => (Class::Waiting, waiting(record)),
            State::Unconfirmed | State::Live if !side.whole => {
                (Class::Undetermined, "not among the keys that could be read".into())
            }
            State::Unconfirmed | State::Live if !side.before.iter().any(|known| known.grant == record.grant) => {
                (Class::UnderWay, "made while the gateway was being read".into())
            }
            State::Unconfirmed | State::Live => {
                // Another key that the subscription names is looked at by itself.
                let behind = known.filter(|(_, names)| names.is_none() || *names == record.key_id.as_deref());
                match behind {
                    Some((behind, _)) if standing(behind, self.now) == Standing::InForce => {
                        self.seen.insert(&behind.id);
                        (Class::SubscriptionWithoutKey, "accepted, and its key is gone from the gateway".into())
                    }
                    _ => (
                        Class::NotInGateway,
                        format!("{} in the journal, and its key is gone from the gateway", record.state.word()),
                    ),
                }
            }
        };
        row
    }

    /// The subscriptions in force of which nothing has been said yet.
    fn subscriptions(&mut self, sides: &[Side], elsewhere: &BTreeSet<String>, told: &mut BTreeSet<String>) {
        let whole = sides.iter().all(|side| side.whole);
        let integration = match sides {
            [one] => Some(one.integration.clone()),
            _ => None,
        };
        let ours: BTreeSet<&str> = self
            .seen
            .iter()
            .filter_map(|id| self.by_id.get(id))
            .filter_map(|(subscription, _)| subscription.api.as_deref())
            .collect();
        let unseen: Vec<_> = self
            .by_id
            .values()
            .filter(|(one, _)| !self.seen.contains(one.id.as_str()) && !elsewhere.contains(&one.id))
            .filter(|(one, _)| standing(one, self.now) == Standing::InForce)
            .copied()
            .collect();
        for (subscription, key_id) in unseen {
            let (class, says) = match key_id {
                Some(key_id) if told.contains(key_id) => continue,
                Some(_) if !whole => (Class::Undetermined, "its key is not among those that could be read".to_owned()),
                Some(key_id) => {
                    (Class::SubscriptionWithoutKey, format!("accepted, and no gateway here has its key {key_id}"))
                }
                None if subscription.api.as_deref().is_some_and(|api| ours.contains(api)) => (
                    Class::SubscriptionWithoutKey,
                    "accepted, names no key, and neither journal nor gateway know of one".to_owned(),
                ),
                None => {
                    self.compared.set_aside.push(subscription.clone());
                    continue;
                }
            };
            told.extend(key_id.map(str::to_owned));
            self.compared.rows.push(Row {
                class,
                integration: integration.clone(),
                subscription: Some(subscription.id.clone()),
                key_id: key_id.map(str::to_owned),
                held: None,
                record: None,
                plane: Some(subscription.clone()),
                says,
            });
        }
    }
}

/// What the journal knows of a key: by its id, else what is looked for by the name that it bears.
fn find(records: &[Record], held: &Held) -> Option<usize> {
    let by_id = records.iter().position(|record| record.key_id.as_deref() == Some(held.key_id.as_str()));
    by_id.or_else(|| {
        let subscription = held.subscription.as_deref()?;
        records.iter().position(|record| {
            record.key_id.is_none() && record.subscription == subscription && record.state != State::Intended
        })
    })
}

/// What is to be said of a key when the plane's word is not there.
fn without_plane(record: Option<&Record>) -> (Class, String) {
    match record {
        Some(record) => match record.state {
            State::Live => (Class::Fine, "live".into()),
            State::Unconfirmed => {
                (Class::Fine, "unconfirmed: it is not known whether the plane has heard of it".into())
            }
            State::Leftover | State::Stuck => (Class::Waiting, waiting(record)),
            _ => (Class::UnderWay, under_way(record)),
        },
        None => (
            Class::NotInJournal,
            "the journal does not know it: made before there was one, with another data folder, or left behind; \
             only the plane can tell"
                .into(),
        ),
    }
}

fn opens(held: &Held) -> &'static str {
    if !held.enabled {
        "; it is disabled"
    } else if held.plans.is_empty() {
        "; it is bound to no plan and opens nothing"
    } else {
        ""
    }
}

fn under_way(record: &Record) -> String {
    format!("{}: an agent works on it, or will when it starts", record.state.word())
}

fn waiting(record: &Record) -> String {
    let why = record.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{}{why}", record.state.word())
}

/// Whether a key came about too late for the export to have its subscription.
fn is_young(plane: &Plane, held: &Held, record: Option<&Record>) -> bool {
    let since = held.created.into_iter().chain(record.map(|record| record.since)).max();
    since.is_some_and(|since| since + MARGIN > plane.taken)
}

/// Whether a subscription gives a right to a key.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    InForce,
    /// Not now, and why.
    Suspended(&'static str),
    /// Not any more, or never.
    Over,
}

fn standing(subscription: &Subscription, now: SystemTime) -> Standing {
    match subscription.status {
        Status::Pending | Status::Rejected | Status::Closed => Standing::Over,
        Status::Paused => Standing::Suspended("paused"),
        Status::Accepted if subscription.ends.is_some_and(|ends| ends <= now) => Standing::Suspended("expired"),
        Status::Accepted if subscription.starts.is_some_and(|starts| starts > now) => {
            Standing::Suspended("not begun yet")
        }
        Status::Accepted => Standing::InForce,
    }
}
