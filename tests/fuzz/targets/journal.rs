//! The journal's pages, and the list of mounts by which it says how long it lasts.

use std::path::Path;

use federation_agent::journal::{Record, lasting, read};

use super::sound;

/// What is read is written so that it is read as the same, and as much of it as a crash left is read too.
pub(super) fn run(input: &[u8]) {
    // The kernel's words are believed, whatever they are; reading them must end.
    let _ = lasting(&String::from_utf8_lossy(input), Path::new("/var/lib/federation-agent"), false);
    let records = match read(input) {
        Ok(records) => records,
        Err(error) => {
            // Never its content: it may be anybody's.
            let said = error.to_string();
            assert!(said.len() < 200, "{said}");
            return sound(input, &said);
        }
    };
    let write = |records: &[Record]| records.iter().flat_map(Record::line).collect::<Vec<u8>>();
    let written = write(&records);
    let again = read(&written).expect("what was written is read");
    assert_eq!(again.len(), records.len());
    // Times are written to the millisecond, and stay as they are from then on.
    assert_eq!(String::from_utf8_lossy(&write(&again)), String::from_utf8_lossy(&written));
    for (one, other) in records.iter().zip(&again) {
        assert_eq!(one, &Record { since: one.since, ..other.clone() });
    }
    for cut in [written.len() / 3, written.len() / 2, written.len().saturating_sub(1)] {
        let left = read(&written[..cut]).expect("a torn line is none");
        assert_eq!(left, again[..left.len()]);
    }
}
