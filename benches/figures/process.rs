//! The other processes: the agent as users run it, and the gateway's stand-in.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};

use crate::http;

/// The stand-in in a process of its own; ends with this one.
pub(crate) struct Gateway {
    /// Its URL.
    pub(crate) url: String,
    _child: Child,
}

impl Gateway {
    /// Starts this program once more, as the stand-in. `words`: see [`serve`](crate::gateway::serve).
    pub(crate) async fn start(words: &[&str]) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("gateway")
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let url = first_line(&mut child).await?;
        Ok(Self { url, _child: child })
    }

    /// How many calls it got so far, by operation.
    pub(crate) async fn calls(&self) -> io::Result<Vec<(String, u64)>> {
        let state = http::get(&format!("{}/standin/state", self.url), &[]).await?;
        let state: serde_json::Value = serde_json::from_slice(&state).map_err(io::Error::other)?;
        let calls = state["calls"].as_object().into_iter().flatten();
        Ok(calls.filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect())
    }
}

/// The agent, as a process.
pub(crate) struct Agent {
    child: Child,
}

impl Agent {
    /// Starts it with exactly these variables; what it logs is thrown away.
    pub(crate) fn start(binary: &Path, variables: &[(&str, String)]) -> io::Result<Self> {
        let child = Command::new(binary)
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .env("FEDERATION_AGENT_LISTEN", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(if std::env::args().any(|word| word == "--show") { Stdio::inherit() } else { Stdio::null() })
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

    /// Ends it and waits for that.
    pub(crate) async fn end(mut self) -> io::Result<()> {
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

async fn first_line(child: &mut Child) -> io::Result<String> {
    let output: ChildStdout = child.stdout.take().ok_or_else(|| io::Error::other("its output is piped"))?;
    let line = BufReader::new(output).lines().next_line().await?;
    line.ok_or_else(|| io::Error::other("the stand-in ended before it said where it listens"))
}
