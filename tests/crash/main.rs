//! The real binary, killed with SIGKILL at every step and at random, and what is left then: in the gateway, in the plane
//! and in the journal.
//!
//! The fault points are in debug builds only (`src/faultpoint.rs`).

#[path = "../support/mod.rs"]
mod support;

mod books;
mod matrix;
mod storm;
mod two;
