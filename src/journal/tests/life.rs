//! A grant's whole life on a disk of which one thing after the other fails.

use std::{collections::HashMap, sync::Arc};

use proptest::prelude::*;

use super::{
    super::{Journal, State},
    faults::{check, name, record},
    flaky::{Fate, Flaky},
};

/// What happens from one thing on that is asked of the disk.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// It alone.
    Once(Fate),
    /// Everything from then on, until the grant is live.
    Lasting,
}

/// A whole life of a grant, as the agent writes it, while the `nth` thing that is asked of the disk fails; how many were
/// asked.
async fn life_with(nth: usize, blow: Blow) -> Result<usize, TestCaseError> {
    const PLENTY: usize = 200;
    let disk = Flaky::default();
    let mut fates = vec![Fate::Done; PLENTY];
    for (number, fate) in fates.iter_mut().enumerate() {
        match blow {
            Blow::Once(once) if number == nth => *fate = once,
            Blow::Lasting if number >= nth => *fate = Fate::Failed,
            _ => {}
        }
    }
    // The next one stands last.
    fates.reverse();
    disk.0.lock().unwrap().fates = fates;
    let journal = Journal::new(Arc::new(disk.clone()));
    let mut page = None;
    let mut acknowledged = HashMap::new();
    let mut known = None;
    for step in [
        Some(State::Intended),
        Some(State::Making),
        Some(State::Made),
        Some(State::Unconfirmed),
        None,
        Some(State::Live),
        None,
        Some(State::Removing),
        Some(State::Gone),
    ] {
        let Some(state) = step else {
            page = None;
            continue;
        };
        if matches!((blow, state), (Blow::Lasting, State::Removing)) {
            disk.0.lock().unwrap().fates.clear();
        }
        if page.is_none() {
            page = journal.try_hold(&name()).await;
        }
        let held = page.as_ref().expect("nobody else has it");
        disk.0.lock().unwrap().seen.clear();
        let put = held.put(record(1, state)).await;
        // A process may have died after each thing that was asked, and this is what the next one would find.
        let (seen, text) = disk.seen();
        for text in &seen {
            check(text, &acknowledged, Some(1))?;
        }
        match put {
            Ok(()) => acknowledged.insert(1, state),
            Err(_) => acknowledged.remove(&1),
        };
        check(&text, &acknowledged, None)?;
        let next = Journal::new(Arc::new(disk.clone())).read("integration").await;
        prop_assert_eq!(&next.unreadable, &[]);
        if journal.trouble().is_none() {
            known = (state != State::Gone).then_some(state);
            prop_assert!(put.is_ok());
            prop_assert_eq!(next.records.first().map(|record| record.state), known, "{:?} said: it is written", state);
        }
        let here = journal.read("integration").await.records;
        let expected = (state != State::Gone).then_some(state);
        prop_assert_eq!(here.first().map(|record| record.state), expected, "it is listed while the process lives");
    }
    if matches!(blow, Blow::Lasting) {
        prop_assert_eq!(journal.trouble(), None, "the disk is well again");
        prop_assert_eq!(known, None);
    }
    let left = disk.0.lock().unwrap().fates.len();
    Ok(PLENTY.saturating_sub(left))
}

#[tokio::test]
async fn each_single_failure_in_a_grants_life_leaves_nothing_that_removes_a_key_in_use() {
    let blows = [Blow::Once(Fate::Failed), Blow::Once(Fate::DoneAndFailed), Blow::Once(Fate::Torn), Blow::Lasting];
    let asked = life_with(usize::MAX, Blow::Once(Fate::Failed)).await.unwrap();
    assert!((12..100).contains(&asked), "{asked} things were asked of the disk");
    for blow in blows {
        for nth in 0..asked {
            if let Err(error) = life_with(nth, blow).await {
                panic!("{blow:?}, number {nth} of {asked}: {error}");
            }
        }
    }
}
