//! The gateway's stand-in in a process of its own.

use std::{io, process::Stdio};

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

async fn first_line(child: &mut Child) -> io::Result<String> {
    let output: ChildStdout = child.stdout.take().ok_or_else(|| io::Error::other("its output is piped"))?;
    let line = BufReader::new(output).lines().next_line().await?;
    line.ok_or_else(|| io::Error::other("the stand-in ended before it said where it listens"))
}
