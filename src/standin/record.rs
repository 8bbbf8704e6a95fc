//! What was asked of the stand-in, for those who want to know.

use std::collections::{BTreeMap, VecDeque};

use super::operation::Operation;

/// How many requests are kept; older ones are only counted.
const KEPT: usize = 20_000;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` and so on.
    pub verb: String,
    /// The path as it was sent, without the query.
    pub path: String,
    /// The query as it was sent.
    pub query: String,
    /// Which operation it is, if it is one.
    pub operation: Option<Operation>,
    /// Whose credentials it came with; empty when they are nobody's, or on the call side.
    pub account: String,
    /// The ARN of who asked; empty as `account` is.
    pub principal: String,
    /// The region that it was signed for; empty on the call side.
    pub region: String,
    /// The status of the answer; `None` while there is none, and for ever when the connection was cut.
    pub status: Option<u16>,
}

#[derive(Debug, Default)]
pub(super) struct Record {
    kept: VecDeque<Request>,
    dropped: usize,
    calls: BTreeMap<&'static str, u64>,
}

impl Record {
    /// Notes a request that came in; the number is for [`Record::answered`].
    pub(super) fn came(&mut self, request: Request) -> usize {
        if let Some(operation) = request.operation {
            *self.calls.entry(operation.name()).or_default() += 1;
        }
        if self.kept.len() == KEPT {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.kept.push_back(request);
        self.dropped + self.kept.len() - 1
    }

    pub(super) fn answered(&mut self, number: usize, status: u16) {
        if let Some(request) = number.checked_sub(self.dropped).and_then(|nth| self.kept.get_mut(nth)) {
            request.status = Some(status);
        }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.kept.iter().cloned().collect()
    }

    pub(super) fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.calls.clone()
    }

    /// Forgets all; numbers given out before stay valid and lead nowhere.
    pub(super) fn forget(&mut self) {
        self.dropped += self.kept.len();
        self.kept.clear();
        self.calls.clear();
    }
}
