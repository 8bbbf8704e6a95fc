//! The status page: one self-contained document that draws what `/status` answers.

use std::sync::LazyLock;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

/// The page.
pub const PAGE: &str = include_str!("page.html");

/// What a browser may do for [`PAGE`]: run its one script, apply its one style, ask where it came from. Nothing that
/// gets into the page from elsewhere runs.
pub static PAGE_POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash_of("style"),
        hash_of("script")
    )
});

/// The hash of the page's one element `tag`, as a policy names it.
fn hash_of(tag: &str) -> String {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let content =
        PAGE.split_once(&open).and_then(|(_, rest)| rest.split_once(&close)).map_or("", |(content, _)| content);
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_style_and_one_script_and_nothing_from_elsewhere() {
        for tag in ["style", "script"] {
            assert_eq!(PAGE.matches(&format!("<{tag}")).count(), 1, "{tag}");
            assert_eq!(PAGE.matches(&format!("<{tag}>")).count(), 1, "{tag} has attributes");
        }
        for foreign in ["http:", "https:", "//cdn", "@import", "innerHTML", "style=\"", "onclick", "eval("] {
            assert!(!PAGE.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn the_policy_lets_nothing_in() {
        assert!(PAGE_POLICY.starts_with("default-src 'none'") && !PAGE_POLICY.contains("unsafe"), "{}", *PAGE_POLICY);
        assert_ne!(hash_of("style"), hash_of("nothing"));
        assert_ne!(hash_of("script"), hash_of("nothing"));
    }
}
