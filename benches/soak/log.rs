//! What the agent says: kept in `target/soak.log`, counted by level.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::ChildStderr,
    sync::watch,
};

/// How a sentence about a defect of the agent begins.
const DEFECTS: [&str; 3] = ["panicked at", "a fault of this program", "please report this"];

/// What has been said so far.
pub(crate) struct Log {
    levels: Mutex<BTreeMap<String, u64>>,
    defects: Mutex<Vec<String>>,
    health: watch::Sender<Option<String>>,
}

impl Log {
    /// Reads `stderr` until it ends.
    pub(crate) fn follow(stderr: ChildStderr) -> io::Result<Arc<Self>> {
        let mut file = BufWriter::new(File::create("target/soak.log")?);
        let log =
            Arc::new(Self { levels: Mutex::default(), defects: Mutex::default(), health: watch::Sender::new(None) });
        let ours = Arc::clone(&log);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                // A full disk must not stop the agent, which waits when nobody reads.
                let _ = writeln!(file, "{line}");
                ours.hear(&line);
            }
            let _ = file.flush();
        });
        Ok(log)
    }

    fn hear(&self, line: &str) {
        let level = serde_json::from_str::<serde_json::Value>(line)
            .ok()
            .and_then(|said| said["level"].as_str().map(ToOwned::to_owned))
            .unwrap_or_else(|| "not JSON".to_owned());
        *self.levels.lock().unwrap_or_else(PoisonError::into_inner).entry(level).or_default() += 1;
        if DEFECTS.iter().any(|defect| line.contains(defect)) {
            self.defects.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        }
        if let Some((_, rest)) = line.split_once("health: http://")
            && let Some((address, _)) = rest.split_once('/')
        {
            self.health.send_replace(Some(format!("http://{address}")));
        }
    }

    /// Where `/livez` is, once it has been said.
    pub(crate) async fn health(&self) -> io::Result<String> {
        let mut health = self.health.subscribe();
        let told = health.wait_for(Option::is_some).await.map_err(io::Error::other)?;
        told.clone().ok_or_else(|| io::Error::other("no address"))
    }

    /// Whether no line tells of a defect.
    pub(crate) fn print(&self) -> bool {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let levels: Vec<String> = levels.iter().map(|(level, count)| format!("{level} {count}")).collect();
        println!("lines in the agent's log (target/soak.log): {}", levels.join(", "));
        let defects = self.defects.lock().unwrap_or_else(PoisonError::into_inner);
        for line in defects.iter().take(5) {
            println!("A DEFECT: {line}");
        }
        println!(
            "lines that tell of a defect: {}{}",
            defects.len(),
            if defects.is_empty() { "" } else { "   <-- must be 0" }
        );
        defects.is_empty()
    }
}
