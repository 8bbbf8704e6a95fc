//! Every API fits the plane's columns, and what differed differs still.

use proptest::prelude::*;

use super::{api, with_document};
use crate::{
    agent::shape::shape,
    model::{Api, Metadata, MetadataFormat},
};

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Texts around the limit of 64, with letters of two UTF-16 units and of several bytes among them.
fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![Just('a'), Just('A'), Just('ß'), Just('語'), Just('🦀'), any::<char>()],
        0..90,
    )
    .prop_map(|letters| letters.into_iter().collect())
}

fn metadata(name: &str, value: &str) -> Metadata {
    Metadata { name: name.into(), value: value.into(), format: MetadataFormat::Url }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everything_fits(
        names in proptest::collection::vec(text(), 1..6), long in 1_000usize..9_000, letter in any::<char>(),
    ) {
        let mut shaped = with_document(api("orders"), 10);
        shaped.name = letter.to_string().repeat(long);
        shaped.version = Some(names[0].clone());
        shaped.description = Some(letter.to_string().repeat(long));
        shaped.plans[0].name.clone_from(&names[0]);
        shaped.plans[0].characteristics.clone_from(&names);
        shaped.documents[0].filename.clone_from(&names[0]);
        shaped.metadata = names.iter().map(|name| metadata(name, &letter.to_string().repeat(long))).collect();
        shape(&mut shaped);
        prop_assert!(units(&shaped.name) <= 512);
        prop_assert!(units(shaped.version.as_deref().unwrap()) <= 64);
        prop_assert!(units(shaped.description.as_deref().unwrap()) <= 4_000);
        prop_assert!(units(&shaped.plans[0].name) <= 64);
        prop_assert!(units(&shaped.documents[0].filename) <= 64);
        for text in &shaped.plans[0].characteristics {
            prop_assert!(units(text) <= 64);
        }
        for entry in &shaped.metadata {
            prop_assert!(units(&entry.name) <= 64 && units(&entry.value) <= 1_024);
        }
        let again = shaped.clone();
        prop_assert!(shape(&mut shaped).is_empty(), "shaping is done in one step");
        prop_assert_eq!(shaped, again);
    }

    #[test]
    fn what_differed_differs_also_without_case(names in proptest::collection::hash_set(text(), 2..8)) {
        let mut shaped = api("orders");
        shaped.metadata = names.iter().map(|name| metadata(name, "value")).collect();
        shape(&mut shaped);
        let keys: std::collections::HashSet<String> =
            shaped.metadata.iter().map(|entry| entry.name.trim_end().to_lowercase()).collect();
        prop_assert_eq!(keys.len(), names.len());
    }
}

#[test]
fn long_names_stay_distinct() {
    let shortened = |name: &str| {
        let mut shaped = api("orders");
        shaped.name = name.into();
        shape(&mut shaped);
        shaped.name
    };
    let (one, other) = (format!("{}a", "n".repeat(600)), format!("{}A", "n".repeat(600)));
    assert_ne!(shortened(&one).to_lowercase(), shortened(&other).to_lowercase());
    assert_eq!(shortened(&one), shortened(&one));
}

/// The mark is stored by the plane as part of identities: it must never change.
#[test]
fn the_mark_is_pinned() {
    let mut shaped = with_document(api("orders"), 10);
    shaped.documents[0].filename = format!("{}.json", "p".repeat(70));
    shape(&mut shaped);
    assert_eq!(shaped.documents[0].filename, format!("{}~{}", "p".repeat(55), "8712096b"));
}

#[test]
fn short_things_are_left_alone() {
    let mut shaped = with_document(api("orders"), 10);
    let before = shaped.clone();
    assert!(shape(&mut shaped).is_empty());
    assert_eq!(shaped, before);
}

#[test]
fn duplicates_that_would_fail_there_are_dropped() {
    let mut shaped: Api = api("orders");
    shaped.plans[0].characteristics = vec!["Rate: 1".into(), "rate: 1 ".into(), "Burst: 1".into()];
    let mut twin = shaped.plans[0].clone();
    twin.name = "Another with the same id".into();
    shaped.plans.push(twin);
    shaped.metadata = vec![metadata("owner", "a"), metadata("owner", "b")];
    let changes: Vec<String> = shape(&mut shaped).iter().map(ToString::to_string).collect();
    assert_eq!(shaped.plans.len(), 1);
    assert_eq!(shaped.plans[0].characteristics, ["Rate: 1", "Burst: 1"]);
    assert_eq!(shaped.metadata, [metadata("owner", "a")]);
    assert_eq!(
        changes,
        ["plan dropped as a duplicate", "characteristic dropped as a duplicate", "metadata dropped as a duplicate"]
    );
}

#[test]
fn control_characters_do_not_reach_the_plane() {
    let mut shaped = api("orders");
    shaped.name = "Orders\0\u{1b}[31m".into();
    shaped.description = Some("One\0line\nand another".into());
    shape(&mut shaped);
    assert_eq!(shaped.name, "Orders  [31m");
    assert_eq!(shaped.description.as_deref(), Some("One line\nand another"));
}

#[test]
fn a_shortened_value_is_no_url_any_more() {
    let mut shaped = api("orders");
    shaped.metadata = vec![metadata("url", &"u".repeat(2_000))];
    shape(&mut shaped);
    assert_eq!(shaped.metadata[0].format, MetadataFormat::String);
}
