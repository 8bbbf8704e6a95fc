//! What is said of each key, for every way in which the three sets can differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use proptest::{prelude::*, sample::select};

use super::{
    compare::{Class, Compared, Plane, Row, Side, compare},
    export::{Export, Status, Subscription},
};
use crate::{
    journal::{Name, Record, State},
    model::Texts,
    provider::Held,
};

const HOUR: Duration = Duration::from_hours(1);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + 1_000_000 * HOUR
}

fn held(key_id: &str, subscription: Option<&str>) -> Held {
    Held {
        key_id: key_id.into(),
        name: format!("name of {key_id}"),
        subscription: subscription.map(str::to_owned),
        plans: vec!["plan".into()],
        enabled: true,
        created: Some(now() - 1_000 * HOUR),
        metadata: Texts::new(),
    }
}

fn record(subscription: &str, key_id: Option<&str>, state: State) -> Record {
    let name = Name { integration: "one".into(), subscription: subscription.into() };
    let since = now() - 1_000 * HOUR;
    Record { key_id: key_id.map(str::to_owned), state, since, ..Record::intended(&name, "api", "command") }
}

/// A subscription as an export has it.
fn subscription(id: &str, status: &str, more: &serde_json::Value) -> Subscription {
    let mut document = serde_json::json!({ "id": id, "status": status, "api": { "id": "the api" } });
    for (name, value) in more.as_object().into_iter().flatten() {
        document[name] = value.clone();
    }
    let mut export = Export::default();
    export.add("export", document.to_string().as_bytes()).unwrap();
    export.whole().unwrap().remove(0)
}

fn accepted(id: &str) -> Subscription {
    subscription(id, "ACCEPTED", &serde_json::json!({}))
}

fn side(records: &[Record], held: &[Held]) -> Side {
    let integration = "one".into();
    Side { integration, before: records.to_vec(), after: records.to_vec(), held: held.to_vec(), whole: true }
}

fn plane(subscriptions: &[(Subscription, Option<&str>)]) -> Plane {
    let subscriptions = subscriptions.iter().map(|(one, key)| (one.clone(), key.map(str::to_owned))).collect();
    Plane { subscriptions, taken: now() - HOUR }
}

fn compared(side: &Side, plane: Option<&Plane>) -> Compared {
    compare(std::slice::from_ref(side), plane, &BTreeSet::new(), now())
}

/// The class and the key of everything that is told.
fn classes(side: &Side, plane: Option<&Plane>) -> Vec<(Class, Option<String>)> {
    compared(side, plane).rows.into_iter().map(|row| (row.class, row.key_id)).collect()
}

fn told(class: Class, key_id: &str) -> Vec<(Class, Option<String>)> {
    vec![(class, Some(key_id.to_owned()))]
}

#[test]
fn two_ways_every_difference_has_its_name() {
    let key = held("k", Some("s"));
    for (state, class) in [
        (State::Live, Class::Fine),
        (State::Unconfirmed, Class::Fine),
        (State::Made, Class::UnderWay),
        (State::Removing, Class::UnderWay),
        (State::Stuck, Class::Waiting),
    ] {
        let both = side(&[record("s", Some("k"), state)], std::slice::from_ref(&key));
        assert_eq!(classes(&both, None), told(class, "k"), "{state:?}");
    }
    assert_eq!(classes(&side(&[], std::slice::from_ref(&key)), None), told(Class::NotInJournal, "k"));
    for (state, class) in
        [(State::Live, Class::NotInGateway), (State::Unconfirmed, Class::NotInGateway), (State::Stuck, Class::Waiting)]
    {
        assert_eq!(classes(&side(&[record("s", Some("k"), state)], &[]), None), told(class, "k"), "{state:?}");
    }
}

#[test]
fn a_leftover_is_known_by_its_name() {
    let found = side(&[record("s", None, State::Leftover)], &[held("k", Some("s"))]);
    assert_eq!(classes(&found, None), told(Class::Waiting, "k"));
    let gone = side(&[record("s", None, State::Leftover)], &[]);
    assert_eq!(classes(&gone, None), [(Class::Waiting, None)]);
}

#[test]
fn a_key_that_nobody_here_has_named_is_never_told() {
    let foreign = side(&[], &[held("k", None)]);
    assert_eq!(classes(&foreign, None), []);
    assert_eq!(
        classes(&foreign, Some(&plane(&[(accepted("s"), Some("other"))]))),
        told(Class::SubscriptionWithoutKey, "other")
    );
}

#[test]
fn a_source_that_failed_proves_nothing_gone() {
    let mut half = side(&[record("s", Some("k"), State::Live)], &[]);
    half.whole = false;
    assert_eq!(classes(&half, None), told(Class::Undetermined, "k"));
    let of_plane = plane(&[(accepted("s"), Some("k")), (accepted("t"), Some("l"))]);
    let all = classes(&half, Some(&of_plane));
    assert!(all.len() == 2 && all.iter().all(|(class, _)| *class == Class::Undetermined), "{all:?}");
}

#[test]
fn what_comes_and_goes_while_the_gateway_is_read_is_not_amiss() {
    let mut made = side(&[record("s", Some("k"), State::Live)], &[]);
    made.before.clear();
    assert_eq!(classes(&made, None), told(Class::UnderWay, "k"));
    let mut removed = side(&[record("s", Some("k"), State::Live)], &[held("k", Some("s"))]);
    removed.after.clear();
    assert_eq!(classes(&removed, None), told(Class::UnderWay, "k"));
    assert_eq!(classes(&removed, Some(&plane(&[]))), told(Class::UnderWay, "k"));
}

#[test]
fn three_ways_the_plane_decides() {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let ended = json(r#"{"endingAt":"2001-01-01T00:00:00Z"}"#);
    let later = json(r#"{"startingAt":"2221-01-01T00:00:00Z"}"#);
    for key in [held("k", Some("s")), held("k", None)] {
        for (one, class) in [
            (accepted("s"), Class::Fine),
            (subscription("s", "PAUSED", &json("{}")), Class::KeyOutOfForce),
            (subscription("s", "ACCEPTED", &ended), Class::KeyOutOfForce),
            (subscription("s", "ACCEPTED", &later), Class::KeyOutOfForce),
            (subscription("s", "CLOSED", &json("{}")), Class::KeyWithoutSubscription),
            (subscription("s", "REJECTED", &json("{}")), Class::KeyWithoutSubscription),
        ] {
            let status = one.status;
            let both = side(&[], std::slice::from_ref(&key));
            assert_eq!(classes(&both, Some(&plane(&[(one, Some("k"))]))), told(class, "k"), "{status:?}");
        }
    }
    let ours = side(&[record("s", Some("k"), State::Live)], &[held("k", Some("s"))]);
    assert_eq!(classes(&ours, Some(&plane(&[]))), told(Class::KeyWithoutSubscription, "k"));
}

#[test]
fn a_key_that_opens_nothing_is_none() {
    let of_plane = plane(&[(accepted("s"), Some("k"))]);
    let paused = plane(&[(subscription("s", "PAUSED", &serde_json::json!({})), Some("k"))]);
    let unbound = Held { plans: Vec::new(), ..held("k", Some("s")) };
    let disabled = Held { enabled: false, ..held("k", Some("s")) };
    for key in [unbound, disabled] {
        let both = side(&[], &[key]);
        assert_eq!(classes(&both, Some(&of_plane)), told(Class::SubscriptionWithoutKey, "k"));
        assert_eq!(classes(&both, Some(&paused)), told(Class::Fine, "k"));
        assert_eq!(classes(&both, Some(&plane(&[]))), told(Class::KeyWithoutSubscription, "k"));
    }
}

#[test]
fn the_second_key_of_a_subscription_is_one_too_many() {
    let both = side(&[], &[held("old", Some("s")), held("new", Some("s"))]);
    let all = classes(&both, Some(&plane(&[(accepted("s"), Some("new"))])));
    assert_eq!(all, [(Class::KeyWithoutSubscription, Some("old".into())), (Class::Fine, Some("new".into()))]);
}

#[test]
fn a_key_that_is_younger_than_the_export_is_not_called_nobodys() {
    let of_plane = plane(&[]);
    let young = |created| side(&[], &[Held { created: Some(created), ..held("k", Some("s")) }]);
    for created in [of_plane.taken + HOUR, of_plane.taken - Duration::from_mins(9)] {
        assert_eq!(classes(&young(created), Some(&of_plane)), told(Class::Undetermined, "k"));
    }
    let old = young(of_plane.taken - Duration::from_mins(11));
    assert_eq!(classes(&old, Some(&of_plane)), told(Class::KeyWithoutSubscription, "k"));
}

#[test]
fn an_accepted_subscription_that_names_no_key_is_ours_only_with_its_api() {
    let other_api = subscription("t", "ACCEPTED", &serde_json::json!({ "api": "another" }));
    let of_plane = plane(&[(accepted("s"), Some("k")), (accepted("u"), None), (other_api, None)]);
    let found = compared(&side(&[], &[held("k", Some("s"))]), Some(&of_plane));
    let without: Vec<_> = found.rows.iter().filter(|row| row.class == Class::SubscriptionWithoutKey).collect();
    assert_eq!(without.len(), 1);
    assert_eq!(without[0].subscription.as_deref(), Some("u"));
    assert_eq!(found.set_aside.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["t"]);
}

#[test]
fn what_another_integration_has_is_not_told() {
    let of_plane = plane(&[(accepted("s"), Some("k"))]);
    let elsewhere = BTreeSet::from(["s".to_owned()]);
    let found = compare(&[side(&[], &[])], Some(&of_plane), &elsewhere, now());
    assert!(found.rows.is_empty() && found.set_aside.is_empty(), "{found:?}");
    // Two integrations in one account: the one whose name the key bears has it.
    let mut other = side(&[], &[held("k", Some("s"))]);
    other.integration = "two".into();
    let found = compare(&[side(&[], &[held("k", None)]), other], Some(&of_plane), &BTreeSet::new(), now());
    let whose: Vec<_> = found.rows.iter().map(|row| row.integration.as_deref()).collect();
    assert_eq!(whose, [Some("two")]);
}

const KEYS: [&str; 5] = ["k0", "k1", "k2", "k3", "k4"];
const SUBSCRIPTIONS: [&str; 4] = ["s0", "s1", "s2", "s3"];

#[test]
fn of_two_subscriptions_that_name_one_key_the_accepted_one_speaks_for_it() {
    let (closed, accepted) =
        (subscription("s0", "CLOSED", &serde_json::json!({})), subscription("s1", "ACCEPTED", &serde_json::json!({})));
    let named = |one: &Subscription| (one.clone(), Some("k4".to_owned()));
    for subscriptions in [vec![named(&closed), named(&accepted)], vec![named(&accepted), named(&closed)]] {
        let plane = Plane { subscriptions, taken: now() };
        let one = Side {
            integration: "one".into(),
            before: Vec::new(),
            after: Vec::new(),
            held: vec![Held { plans: vec!["plan".into()], enabled: true, ..held("k4", Some("s0")) }],
            whole: true,
        };
        let found = compared(&one, Some(&plane));
        assert!(found.rows.iter().all(|row| row.class != Class::KeyWithoutSubscription), "{:?}", found.rows);
    }
}

prop_compose! {
    fn any_held()(
        key in select(&KEYS), named in proptest::option::of(select(&SUBSCRIPTIONS)), bound: bool, enabled: bool,
        age in proptest::option::of(0_u32..3)
    ) -> Held {
        let plans = if bound { vec!["plan".to_owned()] } else { Vec::new() };
        Held { plans, enabled, created: age.map(|age| now() - age * HOUR), ..held(key, named) }
    }
}

prop_compose! {
    fn any_record()(
        subscription in select(&SUBSCRIPTIONS), key in proptest::option::of(select(&KEYS)), state in select(&State::ALL[..8])
    ) -> Record {
        record(subscription, key, state)
    }
}

prop_compose! {
    fn any_subscription()(
        id in select(&SUBSCRIPTIONS), status in select(&["ACCEPTED", "PAUSED", "CLOSED", "PENDING", "REJECTED"]),
        key in proptest::option::of(select(&KEYS)), api in select(&["a", "b"])
    ) -> (Subscription, Option<String>) {
        (subscription(id, status, &serde_json::json!({ "api": api })), key.map(str::to_owned))
    }
}

prop_compose! {
    fn any_side()(
        held in proptest::collection::vec(any_held(), 0..6), records in proptest::collection::vec((any_record(), 0..3), 0..5),
        whole: bool
    ) -> Side {
        // A gateway tells each key once.
        let held: BTreeMap<String, Held> = held.into_iter().map(|held| (held.key_id.clone(), held)).collect();
        let part = |without: i32| records.iter().filter(|(_, when)| *when != without).map(|(one, _)| one.clone()).collect();
        Side { integration: "one".into(), before: part(1), after: part(2), held: held.into_values().collect(), whole }
    }
}

fn any_plane() -> impl Strategy<Value = Option<Plane>> {
    proptest::option::of(proptest::collection::vec(any_subscription(), 0..5)).prop_map(|subscriptions| {
        let subscriptions: BTreeMap<_, _> = subscriptions?.into_iter().map(|one| (one.0.id.clone(), one)).collect();
        Some(Plane { subscriptions: subscriptions.into_values().collect(), taken: now() - HOUR })
    })
}

proptest! {
    #[test]
    fn every_key_of_ours_is_told_once_and_nobody_elses_ever(sides in proptest::collection::vec(any_side(), 1..3), plane in any_plane()) {
        let rows = compare(&sides, plane.as_ref(), &BTreeSet::new(), now()).rows;
        let named = plane.iter().flat_map(|plane| &plane.subscriptions).filter_map(|(_, key)| key.as_deref());
        let named: BTreeSet<&str> = named.collect();
        let told: Vec<&str> = rows.iter().filter_map(|row| row.key_id.as_deref()).collect();
        let once: BTreeSet<&str> = told.iter().copied().collect();
        prop_assert_eq!(told.len(), once.len(), "{:?}", told);
        for side in &sides {
            for held in &side.held {
                let known = side.before.iter().chain(&side.after).any(|record| record.key_id.as_deref() == Some(&held.key_id));
                if held.subscription.is_some() || known || named.contains(held.key_id.as_str()) {
                    prop_assert!(once.contains(held.key_id.as_str()), "{} is not told", held.key_id);
                }
            }
        }
        for row in rows.iter().filter(|row| row.held.is_some()) {
            let key_id = row.key_id.as_deref().unwrap_or_default();
            let ours = sides.iter().any(|side| {
                side.held.iter().any(|held| held.key_id == key_id && held.subscription.is_some())
                    || side.before.iter().chain(&side.after).any(|record| record.key_id.as_deref() == Some(key_id))
            });
            prop_assert!(ours || named.contains(key_id), "{key_id} is somebody else's");
        }
    }

    #[test]
    fn what_is_called_nobodys_has_nobody_behind_it(one in any_side(), plane in any_plane()) {
        let found = compared(&one, plane.as_ref());
        let subscriptions = plane.iter().flat_map(|plane| &plane.subscriptions);
        let in_force: Vec<_> = subscriptions.filter(|(one, _)| one.status == Status::Accepted).collect();
        let of = |class: Class| found.rows.iter().filter(move |row| row.class == class);
        for row in of(Class::KeyWithoutSubscription) {
            let key_id = row.key_id.as_deref();
            prop_assert!(plane.is_some() && !in_force.iter().any(|(_, names)| names.as_deref() == key_id), "{row:?}");
        }
        for row in of(Class::NotInGateway) {
            prop_assert!(one.whole && !one.held.iter().any(|held| Some(&held.key_id) == row.key_id.as_ref()), "{row:?}");
        }
        for row in of(Class::SubscriptionWithoutKey) {
            let of_row = |(one, _): &&&(Subscription, Option<String>)| Some(&one.id) == row.plane.as_ref().map(|plane| &plane.id);
            prop_assert!(in_force.iter().any(|one| of_row(&one)), "{row:?}");
        }
        if plane.is_none() {
            let of_plane = [Class::KeyWithoutSubscription, Class::SubscriptionWithoutKey, Class::KeyOutOfForce];
            prop_assert!(!found.rows.iter().any(|row| of_plane.contains(&row.class)));
        }
        // No subscription that is in force is passed over.
        for (subscription, names) in in_force {
            let about = |row: &&Row| {
                row.plane.as_ref().is_some_and(|plane| plane.id == subscription.id)
                    || (names.is_some() && row.key_id == *names)
            };
            let aside = found.set_aside.iter().any(|aside| aside.id == subscription.id);
            prop_assert!(aside || found.rows.iter().any(|row| about(&row)), "{} is passed over", subscription.id);
        }
    }
}
