//! The journal in numbers: pages are read one after the other, and none is kept.

use std::io;

use super::{Journal, Record, State, read_page};
use crate::observe::{Census, Ledger};

impl Ledger for Journal {
    fn states(&self) -> Vec<&'static str> {
        // What is gone is not counted: it is written only where other grants stand in the same page.
        State::ALL.into_iter().filter(|state| *state != State::Gone).map(State::word).collect()
    }

    fn census(&self, integration: &str) -> io::Result<Census> {
        let mut census = Census::default();
        let count = |census: &mut Census, records: &[Record]| {
            for record in records.iter().filter(|record| record.state != State::Gone) {
                *census.grants.entry(record.state.word()).or_default() += 1;
            }
        };
        self.0.store.visit(integration, &mut |page| {
            let Ok(text) = &page.text else {
                census.unreadable += 1;
                return;
            };
            census.bytes += text.len() as u64;
            if page.name.as_ref().is_some_and(|name| self.astray().contains_key(name)) {
                return;
            }
            match read_page(page.name.as_ref(), text) {
                Ok(records) => count(&mut census, &records),
                Err(_) => census.unreadable += 1,
            }
        })?;
        // What the disk does not have yet.
        let astray = self.astray();
        for (_, known) in astray.iter().filter(|(name, _)| name.integration == integration) {
            count(&mut census, &known.records);
        }
        Ok(census)
    }

    fn trouble(&self) -> Option<String> {
        Journal::trouble(self)
    }
}
