//! The AWS suite: what it runs against, and its cases. Shared by `tests/aws.rs` and `tests/iam.rs`.

pub(crate) mod cases;
pub(crate) mod ministack;
pub(crate) mod peer;
pub(crate) mod raw;
