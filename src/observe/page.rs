//! The status page: one self-contained document that draws what `/status` answers.

/// The page.
pub(super) const PAGE: &str = include_str!("page.html");
