//! A disk that fails, and one that hangs.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use proptest::prelude::*;
use tokio::time::{Instant, timeout};

use super::{
    super::{Found, Journal, Memory, Name, Record, Sheet, State, Store, read},
    flaky::{Fate, Flaky},
};

pub(super) fn name() -> Name {
    Name { integration: "integration".into(), subscription: "subscription".into() }
}

#[derive(Debug, Clone)]
enum Step {
    Put(usize, State),
    LetGo,
    NewProcess,
}

fn step() -> impl Strategy<Value = Step> {
    let states = [
        State::Intended,
        State::Making,
        State::Made,
        State::Unconfirmed,
        State::Live,
        State::Removing,
        State::Leftover,
        State::Stuck,
        State::Gone,
    ];
    prop_oneof![
        8 => (0..3usize, prop::sample::select(states.to_vec())).prop_map(|(grant, state)| Step::Put(grant, state)),
        1 => Just(Step::LetGo),
        1 => Just(Step::NewProcess),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![4 => Just(Fate::Done), 2 => Just(Fate::Failed), 1 => Just(Fate::DoneAndFailed), 1 => Just(Fate::Torn)]
}

pub(super) fn record(grant: usize, state: State) -> Record {
    let since = SystemTime::UNIX_EPOCH;
    Record { grant: grant.to_string(), state, since, ..Record::intended(&name(), "api", "command") }
}

/// Nothing that could have a key removed may lie there of a grant that was last said to be in use.
pub(super) fn check(
    text: &[u8],
    acknowledged: &HashMap<usize, State>,
    but: Option<usize>,
) -> Result<(), TestCaseError> {
    let there = read(text).expect("what lies there can always be read");
    for (grant, state) in acknowledged {
        if Some(*grant) == but || !matches!(state, State::Unconfirmed | State::Live) {
            continue;
        }
        if let Some(found) = there.iter().find(|record| record.grant == grant.to_string()) {
            let removes = matches!(found.state, State::Making | State::Made | State::Removing);
            prop_assert!(!removes, "grant {grant} was acknowledged as {state:?}, and {:?} lies there", found.state);
        }
    }
    Ok(())
}

async fn run(steps: Vec<Step>, fates: Vec<Fate>) -> Result<(), TestCaseError> {
    let disk = Flaky::default();
    disk.0.lock().unwrap().fates = fates;
    let mut journal = Journal::new(Arc::new(disk.clone()));
    let mut acknowledged = HashMap::new();
    let (mut page, mut ids) = (None, [0, 1, 2]);
    for step in steps {
        match step {
            Step::LetGo => page = None,
            Step::NewProcess => {
                drop(page.take());
                // Whoever had it lets go of it before the next one comes: the process is dead.
                drop(journal.try_hold(&name()).await);
                disk.0.lock().unwrap().taken = false;
                journal = Journal::new(Arc::new(disk.clone()));
                acknowledged.clear();
            }
            Step::Put(grant, state) => {
                // What is intended is new.
                ids[grant] += if state == State::Intended { 3 } else { 0 };
                let grant = ids[grant];
                if page.is_none() {
                    page = journal.try_hold(&name()).await;
                }
                let held = page.as_ref().expect("nobody else has it");
                disk.0.lock().unwrap().seen.clear();
                let put = held.put(record(grant, state)).await;
                let (seen, text) = disk.seen();
                for text in &seen {
                    check(text, &acknowledged, Some(grant))?;
                }
                match put {
                    Ok(()) => acknowledged.insert(grant, state),
                    Err(_) => acknowledged.remove(&grant),
                };
                if put.is_ok() {
                    check(&text, &acknowledged, None)?;
                }
                let there = read(&text).unwrap();
                if journal.trouble().is_none() {
                    prop_assert!(put.is_ok());
                    let known = held.records().await;
                    prop_assert_eq!(there.len(), known.len());
                    prop_assert!(
                        known.iter().all(|record| there.contains(record)),
                        "no trouble: it outlives the process"
                    );
                }
                let known = held.record(&grant.to_string()).await.map(|record| record.state);
                prop_assert_eq!(known, (state != State::Gone).then_some(state), "who holds it sees what was put");
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_a_crash_leaves_never_has_a_key_removed_that_is_in_use(
        steps in prop::collection::vec(step(), 1..24),
        fates in prop::collection::vec(fate(), 0..40),
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(steps, fates))?;
    }
}

/// A disk that does not answer until it is told to.
#[derive(Debug)]
struct Hung {
    disk: Arc<dyn Store>,
    answers: Arc<Mutex<mpsc::Receiver<()>>>,
}

#[derive(Debug)]
struct HungSheet(Box<dyn Sheet>, Arc<Mutex<mpsc::Receiver<()>>>);

impl Store for Hung {
    fn read_all(&self, integration: &str) -> io::Result<Vec<Found>> {
        let _ = self.answers.lock().unwrap().recv();
        self.disk.read_all(integration)
    }

    fn take(&self, name: &Name) -> io::Result<Option<Box<dyn Sheet>>> {
        let taken = self.disk.take(name)?;
        Ok(taken.map(|sheet| Box::new(HungSheet(sheet, Arc::clone(&self.answers))) as _))
    }
}

impl Sheet for HungSheet {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.0.read()
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let _ = self.1.lock().unwrap().recv();
        self.0.append(line)
    }

    fn clear(&mut self) -> io::Result<()> {
        let _ = self.1.lock().unwrap().recv();
        self.0.clear()
    }

    fn replace(&mut self, text: &[u8]) -> io::Result<()> {
        let _ = self.1.lock().unwrap().recv();
        self.0.replace(text)
    }

    fn put_aside(&mut self) -> io::Result<String> {
        self.0.put_aside()
    }
}

#[tokio::test]
async fn a_hung_disk_hangs_nobody_and_what_is_known_reaches_it_when_it_answers() {
    let (answer, answers) = mpsc::channel();
    let disk = Flaky::default();
    let journal = Journal::new(Arc::new(Hung { disk: Arc::new(disk.clone()), answers: Arc::new(Mutex::new(answers)) }));
    *journal.0.trouble.lock().unwrap() = Some("as after an earlier failure: patience is short".into());
    let begun = Instant::now();
    let page = journal.try_hold(&name()).await.unwrap();
    page.put(record(1, State::Intended)).await.unwrap();
    page.put(record(1, State::Making)).await.unwrap();
    page.put(record(1, State::Unconfirmed)).await.unwrap();
    assert!(journal.trouble().is_some());
    let contents = journal.read("integration").await;
    assert_eq!(contents.records[0].state, State::Unconfirmed, "what is in memory is listed");
    assert_eq!(contents.unreadable.len(), 1, "and that the rest cannot be read");
    drop(page);
    let again = journal.try_hold(&name()).await.expect("its own thread keeps it from nobody");
    assert_eq!(again.records().await[0].state, State::Unconfirmed);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // The pool has threads left: names are looked up on them.
    timeout(Duration::from_secs(5), tokio::task::spawn_blocking(|| ())).await.unwrap().unwrap();
    drop((again, answer));
    let page = timeout(Duration::from_secs(10), async {
        loop {
            let page = journal.try_hold(&name()).await.unwrap();
            if journal.trouble().is_none() {
                return page;
            }
        }
    });
    let page = page.await.expect("the disk answers again");
    let (_, text) = disk.seen();
    assert_eq!(read(&text).unwrap(), page.records().await);
}

/// Of the few threads that may block, name look-ups need one.
#[test]
fn many_pages_on_a_hung_disk_leave_threads_to_others() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(3).build().unwrap();
    let (answer, answers) = mpsc::channel();
    let disk = Arc::new(Memory::default());
    let journal = Journal::new(Arc::new(Hung { disk, answers: Arc::new(Mutex::new(answers)) }));
    runtime.block_on(async {
        let mut pages = Vec::new();
        for number in 0..6 {
            let name = Name { subscription: number.to_string(), ..name() };
            pages.push((journal.try_hold(&name).await.unwrap(), Record::intended(&name, "api", "command")));
        }
        *journal.0.trouble.lock().unwrap() = Some("as after an earlier failure: patience is short".into());
        join_all(pages.iter().map(|(page, record)| page.put(record.clone()))).await;
        let free = timeout(Duration::from_secs(5), tokio::task::spawn_blocking(|| ())).await;
        // Else the runtime would wait for them for ever.
        drop(answer);
        free.expect("a thread is free").unwrap();
    });
}

#[tokio::test]
async fn a_put_that_is_given_up_is_not_in_the_way_of_the_next() {
    let (answer, answers) = mpsc::channel();
    let disk = Flaky::default();
    let journal = Journal::new(Arc::new(Hung { disk: Arc::new(disk.clone()), answers: Arc::new(Mutex::new(answers)) }));
    let page = journal.try_hold(&name()).await.unwrap();
    let given_up = timeout(Duration::from_millis(20), page.put(record(1, State::Made))).await;
    assert!(given_up.is_err());
    drop(answer);
    page.put(record(1, State::Removing)).await.unwrap();
    assert_eq!(journal.trouble(), None);
    assert_eq!(read(&disk.seen().1).unwrap()[0].state, State::Removing);
}

#[tokio::test]
async fn what_could_not_be_written_is_caught_up_with_though_nobody_holds_its_page_again() {
    let disk = Flaky::default();
    let journal = Journal::new(Arc::new(disk.clone()));
    let page = journal.try_hold(&name()).await.unwrap();
    let record = Record::intended(&name(), "api", "command");
    page.put(record.clone()).await.unwrap();
    disk.0.lock().unwrap().fates = vec![Fate::Failed; 2];
    page.put(record.now(State::Unconfirmed)).await.unwrap();
    drop(page);
    let lies_there = || read(&disk.0.lock().unwrap().text).unwrap()[0].state;
    assert_eq!(lies_there(), State::Intended);
    disk.0.lock().unwrap().fates = vec![Fate::Failed; 2];
    journal.catch_up().await;
    assert_eq!(lies_there(), State::Intended);
    disk.0.lock().unwrap().fates.clear();
    journal.catch_up().await;
    assert_eq!(lies_there(), State::Unconfirmed);
    assert_eq!(journal.trouble(), None);
}
