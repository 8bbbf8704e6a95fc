//! Tells the binary which commit it was built from, for `--version`. Without git (a tarball, an image's build) it is
//! what `FEDERATION_AGENT_COMMIT` says, else nothing.

use std::{env, path::Path, process::Command};

#[expect(clippy::disallowed_methods, reason = "cargo speaks to a build script by environment variables")]
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=FEDERATION_AGENT_COMMIT");
    let given = env::var("FEDERATION_AGENT_COMMIT").ok().filter(|commit| !commit.trim().is_empty());
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    match given.map(|commit| commit.trim().to_owned()).or_else(of_git) {
        Some(commit) => println!("cargo:rustc-env=FEDERATION_AGENT_VERSION={version} ({commit})"),
        None => println!("cargo:rustc-env=FEDERATION_AGENT_VERSION={version}"),
    }
}

/// The short hash of the checked-out commit; `None` when this folder is not itself a clone (a tarball unpacked inside
/// somebody's repository must not take that repository's commit).
fn of_git() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
}
