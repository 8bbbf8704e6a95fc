//! What a browser lets the page do: run the one script and use the one style that are in it, and ask this server.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::header::HeaderValue;
use sha2::{Digest, Sha256};

/// The Content-Security-Policy of `page`, by the hashes of its style and its script. Where it has none of them, none is
/// allowed.
pub(super) fn of(page: &str) -> HeaderValue {
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hashes(page, "script"),
        hashes(page, "style"),
    );
    // Hashes are letters of ASCII.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// The hashes of what stands between the tags `name`.
fn hashes(page: &str, name: &str) -> String {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut hashes = Vec::new();
    let mut rest = page;
    while let Some((inside, after)) = next(rest, &open, &close) {
        hashes.push(format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(inside))));
        rest = after;
    }
    if hashes.is_empty() { "'none'".into() } else { hashes.join(" ") }
}

/// What stands between the first such tags, and what follows them.
fn next<'p>(page: &'p str, open: &str, close: &str) -> Option<(&'p str, &'p str)> {
    let (_, tag) = page.split_once(open)?;
    let (_, inside) = tag.split_once('>')?;
    inside.split_once(close)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::page::PAGE;

    #[test]
    fn exactly_what_is_in_the_page_is_allowed() {
        let page = "<style media=all>p{}</style><script>go()</script>";
        let policy = of(page);
        let policy = policy.to_str().unwrap();
        // `printf 'go()' | openssl dgst -sha256 -binary | base64`
        assert!(policy.contains("script-src 'sha256-5KYv+PUboo5h+0+YAtGRPbwv5d/QxzHslP4YGnUaxRw='"), "{policy}");
        assert!(policy.contains("style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
        assert!(of("<p>").to_str().unwrap().contains("script-src 'none'; style-src 'none'"));
    }

    #[test]
    fn the_page_has_nothing_that_the_policy_forbids() {
        for name in ["script", "style"] {
            assert!(PAGE.matches(&format!("<{name}")).count() <= 1, "more than one <{name}>");
        }
        for forbidden in [" style=\"", " onclick=", " onload=", "javascript:", " src=\"http", "@import"] {
            assert!(!PAGE.contains(forbidden), "the page has `{forbidden}`, which the policy forbids");
        }
    }
}
