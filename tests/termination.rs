//! How the real binary ends: every signal in every kind of work, with little and with much time.
//!
//! `cargo nextest run --test termination --no-capture` prints the matrix.

#[path = "termination/away.rs"]
mod away;
#[path = "termination/log.rs"]
mod log;
#[path = "termination/matrix.rs"]
mod matrix;
#[path = "termination/signals.rs"]
mod signals;
mod support;
#[path = "termination/work.rs"]
mod work;

/// The integration's id in the plane.
const ONE: &str = "one";
