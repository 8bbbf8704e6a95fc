//! The real binary as a child process, with what it says.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};

/// How long anything here may take before the test gives up; nothing waits for it to pass.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running `federation-agent`. Killed when it is dropped.
pub struct Process {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    /// Everything that it has said so far, on stdout and stderr.
    pub said: Vec<String>,
}

impl Process {
    /// Starts it with exactly these variables.
    pub fn start(arguments: &[&str], environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("federation-agent"))
            .args(arguments)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (told, lines) = mpsc::unbounded_channel();
        hear(child.stdout.take().unwrap(), told.clone());
        hear(child.stderr.take().unwrap(), told);
        Self { child, lines, said: Vec::new() }
    }

    /// Waits for a line that contains `what`, or finds it among those said before.
    pub async fn says(&mut self, what: &str) -> String {
        self.says_after(0, what).await
    }

    /// The same, but not before the line numbered `from`.
    pub async fn says_after(&mut self, from: usize, what: &str) -> String {
        if let Some(line) = self.said.iter().skip(from).find(|line| line.contains(what)) {
            return line.clone();
        }
        loop {
            match timeout(PATIENCE, self.lines.recv()).await {
                Ok(Some(line)) => {
                    self.said.push(line.clone());
                    if self.said.len() > from && line.contains(what) {
                        return line;
                    }
                }
                Ok(None) => panic!("it ended without saying `{what}`:\n{}", self.said.join("\n")),
                Err(_) => panic!("it does not say `{what}`:\n{}", self.said.join("\n")),
            }
        }
    }

    /// Sends `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().expect("it has ended");
        let sent = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, and returns everything that it said.
    pub async fn end(mut self) -> (ExitStatus, Vec<String>) {
        let Ok(status) = timeout(PATIENCE, self.child.wait()).await else {
            panic!("it does not end:\n{}", self.said.join("\n"))
        };
        while let Ok(Some(line)) = timeout(PATIENCE, self.lines.recv()).await {
            self.said.push(line);
        }
        (status.unwrap(), std::mem::take(&mut self.said))
    }
}

fn hear(stream: impl AsyncRead + Unpin + Send + 'static, told: mpsc::UnboundedSender<String>) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if told.send(line).is_err() {
                return;
            }
        }
    });
}

/// `what`, or a panic that names it when it takes too long.
pub async fn soon<T>(name: &str, what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.unwrap_or_else(|_| panic!("{name}: not within {PATIENCE:?}"))
}
