//! The agent as users run it: a process of its own, measured from outside.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::{Child, Command};

/// The agent, as a process.
pub(crate) struct Agent {
    pub(crate) child: Child,
}

impl Agent {
    /// Starts it with exactly these variables; what it logs goes to `log`.
    pub(crate) fn start(binary: &Path, variables: &[(&str, String)], log: Stdio) -> io::Result<Self> {
        let child = Command::new(binary)
            .env_clear()
            // Not the machine's own, where nothing else is named.
            .env("FEDERATION_AGENT_DATA_DIR", std::env::temp_dir().join("federation-agent-figures"))
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child })
    }

    /// Resident memory now and at its highest, in KiB, as the kernel tells it.
    pub(crate) fn resident(&self) -> io::Result<Resident> {
        let id = self.child.id().ok_or_else(|| io::Error::other("the agent has ended"))?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches(" kB").parse().ok()
        };
        match (field("VmRSS:"), field("VmHWM:")) {
            (Some(now), Some(highest)) => Ok(Resident { now, highest }),
            _ => Err(io::Error::other("the kernel does not tell resident memory")),
        }
    }

    /// Kills it and waits for that.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        self.child.kill().await
    }
}

/// Resident memory, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resident {
    pub(crate) now: u64,
    pub(crate) highest: u64,
}

/// The binary to be measured, and what it is.
pub(crate) fn binary() -> (PathBuf, &'static str) {
    let named = std::env::vars_os().find_map(|(name, value)| (name == "STATIC_BINARY").then_some(value));
    match named {
        Some(path) => (path.into(), "the static release binary"),
        None => (env!("CARGO_BIN_EXE_federation-agent").into(), "this profile's binary, NOT the release: `make bench`"),
    }
}
