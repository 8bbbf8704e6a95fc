//! The AWS suite: what it runs against, and the provider's cases. Shared by `tests/aws.rs` and `tests/iam.rs`.

pub(crate) mod access;
pub(crate) mod asking;
pub(crate) mod cases;
pub(crate) mod discovery;
pub(crate) mod leftovers;
pub(crate) mod ministack;
pub(crate) mod peer;
pub(crate) mod raw;

use cases::Case;

/// All of the provider's cases.
pub(crate) fn provider_cases() -> Vec<Case> {
    [discovery::CASES, access::CASES, leftovers::CASES].concat()
}
