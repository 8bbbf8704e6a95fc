//! What the answers of AWS tell besides what was asked: its clock, and that it was too much. For `check`.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_smithy_runtime_api::http::Headers;

use crate::model::Dated;

/// Only AWS gives its answers an id: neither a proxy nor what hands out credentials on this machine does.
const ITS_OWN: &str = "x-amzn-requestid";

/// What was seen in answers so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    clock: Mutex<Option<Dated>>,
    throttled: AtomicU64,
}

impl Watch {
    /// An answer came, `took` after it was asked for.
    pub(super) fn saw(&self, status: u16, headers: &Headers, took: Duration) {
        if headers.get(ITS_OWN).is_none() {
            return;
        }
        if status == 429 {
            self.throttled.fetch_add(1, Ordering::Relaxed);
        }
        let theirs = headers.get("date").and_then(|date| httpdate::parse_http_date(date).ok());
        if let Some(theirs) = theirs {
            let dated = Dated { theirs, ours: SystemTime::now(), took };
            *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some(dated);
        }
    }

    /// AWS's clock, by its last answer.
    pub(super) fn clock(&self) -> Option<Dated> {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls were turned away for being too many.
    pub(super) fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_aws_answers_counts() {
        let watch = Watch::default();
        let mut headers = Headers::new();
        headers.insert("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        watch.saw(429, &headers, Duration::ZERO);
        assert_eq!((watch.clock(), watch.throttled()), (None, 0));
        headers.insert(ITS_OWN, "1");
        watch.saw(429, &headers, Duration::ZERO);
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!((watch.clock().map(|dated| dated.theirs), watch.throttled()), (Some(at), 1));
    }
}
