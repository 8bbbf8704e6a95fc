//! The matrix: signal × work × time to drain.

use std::{sync::Arc, time::Duration};

use federation_agent::plane::Ending;
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use crate::{
    ONE,
    support::{Stage, soon},
    work::Work,
};

/// The times to drain. Half of it, but 2 s at most, is kept for undoing.
const SHORT: (&str, Duration) = ("1s", Duration::from_secs(1));
const LONG: (&str, Duration) = ("4s", Duration::from_secs(4));
const UNDOING: Duration = Duration::from_secs(2);
/// What a start of the next moment, a goodbye and a busy machine may cost.
const SLACK: Duration = Duration::from_secs(4);
/// So many agents run at once.
const AT_ONCE: usize = 6;

const SHUTTING_DOWN: &str = "ERROR: the agent is shutting down; try again in a minute";

/// One cell's question.
#[derive(Debug, Clone, Copy)]
struct Case {
    signal: &'static str,
    drain: (&'static str, Duration),
    work: Work,
}

/// One cell's answer.
struct Outcome {
    code: Option<i32>,
    took: Duration,
    reply: String,
    endings: Vec<Ending>,
    /// Keys in the gateway,
    keys: usize,
    /// bound to a usage plan,
    bound: usize,
    /// bound and no subscription's of the plane.
    unknown: usize,
    /// What they are called.
    names: Vec<String>,
    said: Vec<String>,
}

/// What must come of a case.
struct Expected {
    /// Whether it waits for the gateway until the time to finish is over.
    waits: bool,
    reply: &'static str,
    keys: usize,
    bound: usize,
    /// Words of a line that must be in the log.
    log: &'static str,
    code: i32,
}

impl Case {
    fn expected(self) -> Expected {
        let cut_short = Expected {
            waits: true,
            reply: SHUTTING_DOWN,
            keys: 0,
            bound: 0,
            log: "the time to finish is over",
            code: 0,
        };
        let at_once =
            Expected { waits: false, reply: "-", keys: 0, bound: 0, log: "finishing what is under way", code: 0 };
        match self.work {
            Work::Idle => Expected { log: "nothing is under way, leaving", ..at_once },
            // Whether the key exists, and its id, only the answer tells: it is waited for until the end. What may be left is
            // bound to nothing and opens nothing.
            Work::Making | Work::Made => Expected {
                reply: "ERROR: the connection ended before the reply",
                keys: usize::from(self.work == Work::Made),
                log: "look for grants of these subscriptions",
                code: 1,
                ..cut_short
            },
            Work::Binding | Work::Bound | Work::Taken => cut_short,
            Work::Late => Expected { reply: "SUCCEEDED", keys: 1, bound: 1, ..at_once },
            // The plane keeps the subscription and can end it again.
            Work::Taking => Expected { keys: 1, bound: 1, ..cut_short },
            // The plane is left a quarter of the drain to know the job; without a `done` it would wait for five minutes.
            Work::Ingesting => Expected { reply: "Done, 0 APIs", log: "ended early", ..at_once },
            Work::Counting | Work::Discovering => Expected { reply: SHUTTING_DOWN, ..at_once },
        }
    }

    async fn run(self) -> Outcome {
        let stage = Stage::set(&[ONE]).await;
        let mut agent = stage.agent(&[("FEDERATION_AGENT_DRAIN", self.drain.0), self.work.setting()]).await;
        let begun = self.work.begin(&stage).await;
        let at = Instant::now();
        agent.signal(self.signal);
        if self.work == Work::Late {
            agent.says("finishing what is under way").await;
            begun.release.cancel();
        }
        let (status, said) = agent.end().await;
        let took = at.elapsed();
        let reply = begun.reply().await;
        soon("the close", stage.plane.until(|plane| !plane.endings().is_empty())).await;
        let subscriptions = stage.plane.subscriptions(ONE);
        let known = |id: &str| {
            subscriptions.iter().any(|known| known.metadata.get("aws-api-key-id").is_some_and(|known| known == id))
        };
        let (keys, bound, unknown) = stage.gateway.with(|estate| {
            let (keys, bound) = estate.key_counts();
            let ids: Vec<String> = estate.keys().map(|key| key.id.clone()).collect();
            let region = estate.region(federation_agent::standin::ACCOUNT, federation_agent::standin::REGION);
            (keys, bound, ids.iter().filter(|id| region.is_bound(id) && !known(id)).count())
        });
        let names = stage.gateway.with(|estate| estate.keys().filter_map(|key| key.name.clone()).collect());
        Outcome { code: status.code(), took, reply, endings: stage.plane.endings(), keys, bound, unknown, names, said }
    }

    fn judge(self, outcome: &Outcome) {
        let Case { drain: (_, drain), .. } = self;
        let expected = self.expected();
        let text = format!("{self:?}:\n{}", outcome.said.join("\n"));
        assert_eq!(outcome.code, Some(expected.code), "{text}");
        let least = if expected.waits { drain.saturating_sub(UNDOING.min(drain / 2)) } else { Duration::ZERO };
        let most = if expected.waits { drain } else { Duration::ZERO } + SLACK;
        assert!((least..most).contains(&outcome.took), "{:?} is not in {least:?}..{most:?}; {text}", outcome.took);
        assert_eq!(outcome.reply, expected.reply, "{text}");
        assert_eq!(outcome.endings, [Ending { integration: Some(ONE.into()), code: Some(1000) }], "{text}");
        assert_eq!((outcome.keys, outcome.bound, outcome.unknown), (expected.keys, expected.bound, 0), "{text}");
        let name = format!("SIG{}: ", self.signal);
        assert!(outcome.said.iter().any(|line| line.contains(&name)), "{text}");
        assert!(outcome.said.iter().any(|line| line.contains(expected.log)), "no `{}` in {text}", expected.log);
        if self.work == Work::Made {
            let [name] = outcome.names.as_slice() else { panic!("one key is left; {text}") };
            let subscription = name.strip_prefix("gravitee-one-").expect("its name");
            let told = |line: &String| line.contains(expected.log) && line.contains(subscription);
            assert!(outcome.said.iter().any(told), "{subscription} is not named in {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_signal_in_every_work_with_little_and_much_time() {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    let works = Work::ALL.into_iter().flat_map(|work| [SHORT, LONG].map(|drain| (work, drain)));
    let cases = works.flat_map(|(work, drain)| ["TERM", "INT"].map(|signal| Case { signal, drain, work }));
    for (nth, case) in cases.enumerate() {
        let places = Arc::clone(&places);
        running.spawn(async move {
            let _place = places.acquire().await.expect("never closed");
            (nth, case, case.run().await)
        });
    }
    let mut outcomes = running.join_all().await;
    outcomes.sort_by_key(|(nth, ..)| *nth);
    assert_eq!(outcomes.len(), Work::ALL.len() * 4);
    println!(
        "| under way | signal | drain | exit | took | the plane got | close | keys left, of them bound | bound and unknown to the plane |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (_, Case { signal, drain, work }, outcome) in &outcomes {
        let codes: Vec<String> =
            outcome.endings.iter().map(|end| end.code.map_or("none".into(), |code| code.to_string())).collect();
        println!(
            "| {} | SIG{signal} | {} | {} | {:.1} s | {} | {} | {}, {} | {} |",
            work.title(),
            drain.0,
            outcome.code.map_or("killed".into(), |code| code.to_string()),
            outcome.took.as_secs_f64(),
            outcome.reply,
            codes.join(", "),
            outcome.keys,
            outcome.bound,
            outcome.unknown
        );
    }
    for (_, case, outcome) in &outcomes {
        case.judge(outcome);
    }
}
