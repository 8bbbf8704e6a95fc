//! What a list of the gateway comes to, in numbers, for the recorder: whichever command it was made for.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use tokio::time::Instant;

use crate::{
    model::Error,
    observe::{List, Recorder},
    provider::Found,
};

/// The numbers of a list that is under way.
pub(super) struct Tally {
    by: &'static str,
    recorder: Recorder,
    began: Instant,
    /// Calls that were begun before it.
    calls: u64,
    /// Hashes: an estate's ids would cost ten times as much, and a number that is off by one harms nobody.
    apis: HashSet<u64>,
    plans: HashSet<u64>,
    left_out: u64,
}

impl Tally {
    /// A list begins, for a command of the type `by`.
    pub(super) fn begin(by: &'static str, recorder: &Recorder) -> Self {
        Self {
            by,
            recorder: recorder.clone(),
            began: Instant::now(),
            calls: calls(recorder),
            apis: HashSet::new(),
            plans: HashSet::new(),
            left_out: 0,
        }
    }

    /// The list has found something.
    pub(super) fn found(&mut self, found: &Found) {
        match found {
            Found::Api(listed) => {
                self.apis.insert(hash(&listed.api.unique_id));
                self.plans.extend(listed.api.plans.iter().map(|plan| hash(&plan.id)));
            }
            Found::LeftOut { .. } => self.left_out += 1,
            Found::Failed { .. } => {}
        }
    }

    /// It has ended; `failed` sources could not be read, and `held_back` APIs stay out of ingests.
    pub(super) fn end(&mut self, ended: &Result<(), Error>, failed: &[String], held_back: usize) {
        self.recorder.listed(&List {
            by: self.by,
            error: ended.as_ref().err().map(Error::sentence),
            apis: self.apis.len() as u64,
            plans: self.plans.len() as u64,
            held_back: held_back as u64,
            left_out: self.left_out,
            failed,
            took: self.began.elapsed(),
            calls: calls(&self.recorder).saturating_sub(self.calls),
        });
        // A job goes on for long after its list.
        (self.apis, self.plans) = (HashSet::new(), HashSet::new());
    }
}

fn calls(recorder: &Recorder) -> u64 {
    recorder.calls().iter().map(|(_, count)| count).sum()
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
