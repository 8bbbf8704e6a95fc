//! The metrics of the real binary: what they say after real work, that dashboard, alert rules and documents name what is
//! there, and what Prometheus itself makes of them.
//!
//! Prometheus and promtool come with Debian's package `prometheus`; without them the tests say that they did not run.

#[path = "metrics/exposition.rs"]
mod exposition;
#[path = "support/health.rs"]
mod health;
#[path = "metrics/names.rs"]
mod names;
#[path = "metrics/sample.rs"]
mod sample;
#[path = "metrics/scraped.rs"]
mod scraped;
mod support;

/// The integration's id in the plane.
const ONE: &str = "one";
