//! Whether the process itself goes on: what `/livez` and `/_node/health` answer.
//!
//! A restart mends a process that is stuck and nothing else, and Gravitee's chart restarts by `/_node/health`. So a lost
//! link, a gateway that refuses and a disk that is full are *messages* of healthy probes. A probe is unhealthy only when
//! what it watches ended without a shutdown, or has not run for [`STUCK`]: a thread that blocks for ever, a lock that
//! nobody lets go of.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

use super::Board;

/// How often a task that is watched shows that it runs.
const TICK: Duration = Duration::from_secs(10);
/// A task that has not shown it for so long is stuck. No command, no call and no file of ours holds a thread so long.
pub const STUCK: Duration = Duration::from_mins(1);

/// What goes on in the process. Cheap to clone; all clones are the same.
#[derive(Clone, Default)]
pub struct Vitals(Arc<Inner>);

#[derive(Default)]
struct Inner {
    parts: Mutex<Vec<(Part, Arc<Beat>)>>,
    gateways: Mutex<BTreeMap<String, watch::Receiver<Option<String>>>>,
    journal: Mutex<Option<Trouble>>,
    leaving: AtomicBool,
}

/// Why the journal cannot be written, asked when it is needed.
type Trouble = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The runtime: whether timers come and tasks get their turn.
    Process,
    /// The link of this integration.
    Link(String),
}

/// The health of one probe, as Gravitee's `/_node/health` has it: the message is there when it is null, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Whether it is well. A restart mends what is not.
    pub healthy: bool,
    /// What a person should know.
    pub message: Option<String>,
}

/// When a task ran last.
#[derive(Debug)]
struct Beat {
    last: Mutex<Instant>,
    ended: AtomicBool,
}

impl fmt::Debug for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vitals").field("parts", &self.parts()).finish_non_exhaustive()
    }
}

impl Health {
    fn well(message: Option<String>) -> Self {
        Self { healthy: true, message }
    }

    fn ill(message: impl Into<String>) -> Self {
        Self { healthy: false, message: Some(message.into()) }
    }
}

impl Vitals {
    /// `task`, which shows now and then that it runs, and is missed when it ends. The task is to be polled as a whole:
    /// what it spawns is not watched.
    pub fn watch<F: Future + Send>(&self, part: Part, task: F) -> impl Future<Output = F::Output> + Send + use<F> {
        let beat = Arc::new(Beat { last: Mutex::new(Instant::now()), ended: AtomicBool::new(false) });
        self.parts().push((part, Arc::clone(&beat)));
        async move {
            // Also when it panics.
            let shown = Shown(beat);
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            tokio::pin!(task);
            loop {
                tokio::select! {
                    biased;
                    _ = ticks.tick() => shown.0.runs(),
                    done = &mut task => return done,
                }
            }
        }
    }

    /// What is told of the gateway of the integration `id`: as the plane's health checks have it.
    pub fn tell_gateway(&self, id: &str, detail: watch::Receiver<Option<String>>) {
        lock(&self.0.gateways).insert(id.to_owned(), detail);
    }

    /// How the journal's trouble is found out; it must not block.
    pub fn tell_journal(&self, trouble: impl Fn() -> Option<String> + Send + Sync + 'static) {
        *lock(&self.0.journal) = Some(Arc::new(trouble));
    }

    /// From now on what ends is meant to end.
    pub fn leave(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
    }

    /// What is stuck, by its probe.
    pub fn stuck(&self) -> BTreeMap<String, Health> {
        let mut stuck = BTreeMap::new();
        if self.0.leaving.load(Ordering::Relaxed) {
            return stuck;
        }
        for (part, beat) in self.parts().iter() {
            if let Some(why) = beat.why_stuck(part) {
                stuck.insert(part.probe(), Health::ill(why));
            }
        }
        stuck
    }

    /// Every probe. `board` knows where the links stand.
    pub fn probes(&self, board: &Board) -> BTreeMap<String, Health> {
        let mut probes = BTreeMap::new();
        let message =
            self.0.leaving.load(Ordering::Relaxed).then(|| "it was told to end, and finishes its work".into());
        probes.insert(Part::Process.probe(), Health::well(message));
        let journal = lock(&self.0.journal).clone();
        if let Some(trouble) = journal {
            let message = trouble().map(|why| format!("the journal cannot be written: {why}"));
            probes.insert("journal".into(), Health::well(message));
        }
        let links: Vec<String> = self
            .parts()
            .iter()
            .filter_map(|(part, _)| match part {
                Part::Link(id) => Some(id.clone()),
                Part::Process => None,
            })
            .collect();
        for id in links {
            let message = board.standing(&id).filter(|standing| !standing.connected).map(|standing| {
                let since = humantime::format_rfc3339_seconds(standing.since);
                let why = standing.why.unwrap_or_else(|| "it is connecting".into());
                format!("not connected to the plane since {since}: {why}")
            });
            probes.insert(Part::Link(id).probe(), Health::well(message));
        }
        for (id, detail) in lock(&self.0.gateways).iter() {
            probes.insert(format!("gateway-{id}"), Health::well(detail.borrow().clone()));
        }
        // What is stuck is said in the place of what it would say.
        probes.extend(self.stuck());
        probes
    }

    fn parts(&self) -> MutexGuard<'_, Vec<(Part, Arc<Beat>)>> {
        lock(&self.0.parts)
    }
}

impl Part {
    /// The id of its probe.
    fn probe(&self) -> String {
        match self {
            Self::Process => "process".into(),
            Self::Link(id) => format!("plane-{id}"),
        }
    }
}

impl Beat {
    fn runs(&self) {
        *lock(&self.last) = Instant::now();
    }

    fn why_stuck(&self, part: &Part) -> Option<String> {
        let what = match part {
            Part::Process => "the process",
            Part::Link(_) => "the link",
        };
        if self.ended.load(Ordering::Relaxed) {
            return Some(format!("{what} has ended without being told to; only a restart brings it back"));
        }
        let silent = lock(&self.last).elapsed();
        (silent >= STUCK)
            .then(|| format!("{what} has not run for {} s: it is stuck, and only a restart frees it", silent.as_secs()))
    }
}

/// Marks the task's end, however it comes.
struct Shown(Arc<Beat>);

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::SystemTime};

    use tokio::time::sleep;

    use super::*;
    use crate::observe::Standing;

    fn link() -> Part {
        Part::Link("one".into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_waits_for_hours_is_well_and_one_that_does_not_run_is_stuck() {
        let (vitals, board) = (Vitals::default(), Board::new());
        let watched = tokio::spawn(vitals.watch(Part::Process, pending::<()>()));
        // Never polled: as if its thread were blocked.
        let _blocked = vitals.watch(link(), pending::<()>());
        sleep(Duration::from_secs(59)).await;
        assert!(vitals.stuck().is_empty());
        sleep(Duration::from_hours(5)).await;
        let probes = vitals.probes(&board);
        assert!(probes["process"].healthy && !probes["plane-one"].healthy, "{probes:?}");
        assert!(probes["plane-one"].message.as_ref().unwrap().contains("has not run for 18059 s"), "{probes:?}");
        watched.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_ends_or_panics_is_stuck_unless_it_was_told_to_end() {
        for panics in [false, true] {
            let vitals = Vitals::default();
            let task = async move {
                sleep(Duration::from_secs(5)).await;
                assert!(!panics, "a fault of ours");
            };
            let ended = tokio::spawn(vitals.watch(link(), task));
            assert!(vitals.stuck().is_empty());
            assert_eq!(ended.await.is_err(), panics);
            let health = vitals.probes(&Board::new())["plane-one"].clone();
            assert!(!health.healthy && health.message.unwrap().contains("has ended without being told to"));
            vitals.leave();
            assert!(vitals.probes(&Board::new()).values().all(|health| health.healthy));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_plane_a_gateway_and_the_disk_are_messages_of_healthy_probes() {
        let (vitals, board) = (Vitals::default(), Board::new());
        tokio::spawn(vitals.watch(link(), pending::<()>()));
        let (tell, detail) = watch::channel(None);
        vitals.tell_gateway("one", detail);
        vitals.tell_journal(|| Some("no room".into()));
        let since = SystemTime::UNIX_EPOCH;
        board.put("one", "aws-api-gateway", Standing { connected: false, since, why: Some("refused".into()) });
        tell.send_replace(Some("AWS refuses".into()));
        let shown = serde_json::to_value(vitals.probes(&board)).unwrap();
        let expected = serde_json::json!({
            "process": null,
            "gateway-one": {"healthy": true, "message": "AWS refuses"},
            "journal": {"healthy": true, "message": "the journal cannot be written: no room"},
            "plane-one": {"healthy": true, "message": "not connected to the plane since 1970-01-01T00:00:00Z: refused"},
        });
        for probe in ["gateway-one", "journal", "plane-one"] {
            assert_eq!(shown[probe], expected[probe]);
        }
        assert_eq!(shown["process"], serde_json::json!({"healthy": true, "message": null}));

        board.put("one", "aws-api-gateway", Standing { connected: true, since, why: None });
        tell.send_replace(None);
        let shown = serde_json::to_value(vitals.probes(&board)).unwrap();
        assert_eq!(shown["plane-one"], serde_json::json!({"healthy": true, "message": null}));
    }
}
