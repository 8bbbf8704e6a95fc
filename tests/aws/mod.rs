//! The AWS suite: what it runs against, and its cases. Shared by `tests/aws.rs` and `tests/iam.rs`.

pub mod cases;
pub mod ministack;
pub mod peer;
pub mod raw;
