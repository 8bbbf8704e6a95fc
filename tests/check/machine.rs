//! What the agent stands on: the data folder and the grants in it.

use std::{path::Path, process::Command};

use federation_agent::journal::{Journal, Name, Record, State};

use super::{support::Stage, *};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_folders_that_cannot_be_written() {
    let stage = Stage::set(&[ONE]).await;
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (place, word) in [(file.as_path(), "FEDERATION_AGENT_DATA_DIR"), (Path::new("/proc/nowhere"), "/proc/nowhere")]
    {
        let more = [("FEDERATION_AGENT_DATA_DIR", place.to_str().unwrap())];
        Checked::of(&stage, &more).await.only_bad(&["disk.folder"]).says("disk.folder", "bad", &[word]);
        // The agent says so too, and works all the same.
        let mut agent = stage.agent(&more).await;
        let line = agent.says("FEDERATION_AGENT_DATA_DIR").await;
        assert!(line.contains("ERROR") || line.contains("WARN"), "{line}");
    }
}

/// A file system of its own on a folder, as long as this lives.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(options: &str) -> Option<Self> {
        let folder = tempfile::TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "none"]).arg(folder.path());
        mount.output().is_ok_and(|done| done.status.success()).then_some(Self(folder))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_that_are_full_or_read_only() {
    let stage = Stage::set(&[ONE]).await;
    let (Some(full), Some(read_only)) = (Mounted::new("size=64k"), Mounted::new("ro,size=64k")) else {
        println!("disks_that_are_full_or_read_only did not run: nothing can be mounted here");
        return;
    };
    std::fs::create_dir(full.0.path().join("journal")).unwrap();
    let filled = std::fs::write(full.0.path().join("filling"), vec![0; 128 << 10]);
    assert!(filled.is_err(), "it is full");
    let checked = Checked::of(&stage, &[("FEDERATION_AGENT_DATA_DIR", full.0.path().to_str().unwrap())]).await;
    checked
        .only_bad(&["disk.folder", "disk.space"])
        .says("disk.folder", "bad", &["the disk is full", "make room"])
        .says("disk.space", "bad", &["0 MB free"])
        .says("disk.lasting", "doubtful", &["in memory"]);
    let checked = Checked::of(&stage, &[("FEDERATION_AGENT_DATA_DIR", read_only.0.path().to_str().unwrap())]).await;
    checked.says("disk.folder", "bad", &["mounted read-only", "mount a volume"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_that_wait_for_a_person() {
    let stage = Stage::set(&[ONE]).await;
    let journal = Journal::open(stage.data.path()).await;
    let name = Name { integration: ONE.into(), subscription: "s1".into() };
    let record = Record {
        grant: "g1".into(),
        integration: ONE.into(),
        subscription: "s1".into(),
        api: "a".into(),
        plan: None,
        command: String::new(),
        key_id: Some("k1".into()),
        metadata: federation_agent::model::Texts::new(),
        state: State::Stuck,
        since: std::time::SystemTime::now(),
        tries: 9,
        why: Some("denied".into()),
    };
    let page = journal.hold(&name, tokio::time::Instant::now()).await.unwrap();
    page.put(record).await.unwrap();
    drop(page);
    Checked::of(&stage, &[]).await.only_bad(&[]).says(
        "journal.grants",
        "doubtful",
        &["1 stuck", "`federation-agent grants`"],
    );
}
