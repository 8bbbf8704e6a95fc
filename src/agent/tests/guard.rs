//! An ingest that would make the plane delete a plan.

use std::{collections::BTreeMap, path::Path};

use super::*;
use crate::{
    journal::{
        Journal, Name, Record,
        ingested::{Change, Ingested, Known, Once, Taken},
    },
    settings::Process,
};

/// What the gateway's APIs are: name and plans. A test changes them between two ingests.
type Shelf = Arc<Mutex<BTreeMap<&'static str, Vec<&'static str>>>>;

fn shelf(apis: &[(&'static str, &[&'static str])]) -> Shelf {
    Arc::new(Mutex::new(apis.iter().map(|(api, plans)| (*api, plans.to_vec())).collect()))
}

fn with_plans(name: &str, plans: &[&str]) -> Api {
    let plan = |id: &&str| Plan { id: (*id).into(), name: format!("The {id}"), ..api(name).plans[0].clone() };
    Api { plans: plans.iter().map(plan).collect(), ..api(name) }
}

/// A gateway with what is on the shelf.
fn gateway(shelf: &Shelf) -> Gateway {
    let shelf = Arc::clone(shelf);
    Gateway::of(&[]).list(move |_, out| {
        let now = shelf.lock().unwrap().clone();
        async move {
            for (name, plans) in now {
                let listed = Listed { api: with_plans(name, &plans), source: "account 1".into() };
                out.send(Found::Api(Box::new(listed))).await.ok();
            }
            Ok(())
        }
    })
}

/// The life of one process, on the data folder `data` when there is one.
fn life(shelf: &Shelf, plan_loss: PlanLoss, data: Option<&Path>) -> Rig {
    with_journal(shelf, plan_loss, data, Journal::in_memory())
}

fn with_journal(shelf: &Shelf, plan_loss: PlanLoss, data: Option<&Path>, journal: Journal) -> Rig {
    let ingested = data.map_or_else(Ingested::in_memory, |data| Ingested::in_folder(data, &journal));
    Rig::with(gateway(shelf), |settings| settings.guard = Guard::new(ingested, journal, plan_loss))
}

/// All ids that one ingest of `ids`, or of everything, hands over.
async fn ingest(rig: &Rig, ids: &[&str]) -> Vec<String> {
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, &uuid::Uuid::new_v4().to_string(), start("job", ids)).await;
    let promised = total(&reply);
    let batches = line.take_job().await;
    rig.idle().await;
    let sent: Vec<String> = batches.iter().flat_map(Batch::names).map(str::to_owned).collect();
    assert_eq!(promised as usize, sent.len());
    sent
}

/// The sentence of an ingest that is refused.
async fn refused(rig: &Rig, ids: &[&str]) -> String {
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, &uuid::Uuid::new_v4().to_string(), start("job", ids)).await;
    assert!(line.is_quiet_for(secs(600)).await);
    sentence(&reply).to_owned()
}

async fn granted(journal: &Journal, subscription: &str, plan: &str, state: crate::journal::State) {
    let record = Record {
        grant: format!("grant-of-{subscription}"),
        integration: "integration-1".into(),
        subscription: subscription.into(),
        api: "orders".into(),
        plan: Some(plan.into()),
        command: String::new(),
        key_id: None,
        metadata: Texts::new(),
        state,
        since: SystemTime::UNIX_EPOCH,
        tries: 0,
        why: None,
    };
    let name = Name { integration: record.integration.clone(), subscription: subscription.into() };
    assert!(journal.hold(&name, Instant::now()).await.unwrap().put(record).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_api_whose_plan_was_made_anew_is_held_back_and_the_others_go() {
    let log = Log::new();
    let shelf = shelf(&[("orders", &["gold", "iron"]), ("users", &["gold"])]);
    let rig = life(&shelf, PlanLoss::Never, None);
    assert_eq!(ingest(&rig, &[]).await, ["orders", "users"], "the first ingest loses nothing");
    assert_eq!(ingest(&rig, &[]).await, ["orders", "users"], "nor the same again");
    assert!(log.with("WARN").is_empty(), "{}", log.text());

    shelf.lock().unwrap().insert("orders", vec!["gold-2", "iron"]);
    let read = rig.gateway.count("read orders");
    assert_eq!(ingest(&rig, &[]).await, ["users"]);
    assert_eq!(rig.gateway.count("read orders"), read, "it is not even read");
    let lines = log.with("ingest incomplete");
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    for part in [
        "WARN",
        "held_back=1",
        "orders (The orders API) has lost the plan gold \"The gold\"",
        "old plan back",
        "FEDERATION_AGENT_PLAN_LOSS=once",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!line.contains("iron") && !line.contains("not sent"), "{line}");

    // What was held back is not forgotten, and what comes back is let through.
    assert_eq!(ingest(&rig, &[]).await, ["users"]);
    shelf.lock().unwrap().insert("orders", vec!["gold", "gold-2", "iron"]);
    assert_eq!(ingest(&rig, &[]).await, ["orders", "users"]);
}

#[tokio::test(start_paused = true)]
async fn when_all_that_is_asked_for_is_held_back_the_person_is_told() {
    let shelf = shelf(&[("orders", &["gold"]), ("users", &["gold"])]);
    let rig = life(&shelf, PlanLoss::Never, None);
    ingest(&rig, &[]).await;
    shelf.lock().unwrap().insert("orders", vec![]);
    let told = refused(&rig, &["orders", "vanished"]).await;
    assert!(told.starts_with("1 API is held back, since it has lost a plan"), "{told}");
    assert!(told.contains("gold") && told.contains("FEDERATION_AGENT_PLAN_LOSS=once"), "{told}");
    assert_eq!(ingest(&rig, &["users", "orders"]).await, ["users"]);
}

#[tokio::test(start_paused = true)]
async fn what_loses_nothing_is_sent() {
    let shelf = shelf(&[("orders", &["gold"]), ("free", &[]), ("users", &["gold"])]);
    let rig = life(&shelf, PlanLoss::Never, None);
    assert_eq!(ingest(&rig, &[]).await, ["free", "orders", "users"]);
    // A plan more, an API more, plans where there were none; and one that is in no plan any more is not listed at all.
    *shelf.lock().unwrap() =
        BTreeMap::from([("free", vec!["gold"]), ("orders", vec!["iron", "gold"]), ("stock", vec!["iron"])]);
    assert_eq!(ingest(&rig, &[]).await, ["free", "orders", "stock"]);
    assert_eq!(rig.agent.held_back(), 0);
    // It comes back with another plan: the plane still has the old one.
    shelf.lock().unwrap().insert("users", vec!["iron"]);
    assert_eq!(ingest(&rig, &[]).await, ["free", "orders", "stock"]);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_called_otherwise_is_the_same() {
    let (shelf, renamed) = (shelf(&[]), Arc::new(Mutex::new("Gold")));
    let name = Arc::clone(&renamed);
    let gateway = gateway(&shelf).list(move |_, out| {
        let mut api = with_plans("orders", &["gold"]);
        api.plans[0].name = (*name.lock().unwrap()).to_owned();
        async move {
            out.send(Found::Api(Box::new(Listed { api, source: "a".into() }))).await.ok();
            Ok(())
        }
    });
    let rig = Rig::new(gateway);
    assert_eq!(ingest(&rig, &[]).await, ["orders"]);
    *renamed.lock().unwrap() = "Gold for partners";
    assert_eq!(ingest(&rig, &[]).await, ["orders"]);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_goes_between_list_and_read_holds_it_back_too() {
    let log = Log::new();
    let shelf = shelf(&[("orders", &["gold"]), ("users", &["gold"])]);
    let late = Arc::new(Mutex::new(vec!["gold"]));
    let now = Arc::clone(&late);
    let rig = Rig::new(gateway(&shelf).read(move |_, listed| {
        let plans = if listed.api.id == "orders" { now.lock().unwrap().clone() } else { vec!["gold"] };
        async move { Ok(with_plans(&listed.api.id, &plans)) }
    }));
    ingest(&rig, &[]).await;
    late.lock().unwrap().clear();
    let mut line = rig.connect();
    rig.ask(&mut line, "again", start("job", &[])).await;
    let names: Vec<String> = line.take_job().await.iter().flat_map(Batch::names).map(str::to_owned).collect();
    assert_eq!(names, ["users"]);
    rig.idle().await;
    let lines = log.with("ingest incomplete");
    assert!(lines.len() == 1 && lines[0].contains("held_back=1") && !lines[0].contains("not sent"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_of_the_journal_is_said() {
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(data.path().join("journal/integration-1")).unwrap();
    let journal = Journal::open(data.path()).await;
    granted(&journal, "s1", "gold", crate::journal::State::Live).await;
    let pages = std::fs::read_dir(data.path().join("journal/integration-1")).unwrap();
    let page = pages.map(|entry| entry.unwrap().path()).find(|path| path.to_string_lossy().contains("s1")).unwrap();
    std::fs::write(page, "nonsense\n").unwrap();
    let log = Log::new();
    let rig = with_journal(&shelf(&[("orders", &["gold-2"])]), PlanLoss::Never, None, journal);
    assert_eq!(ingest(&rig, &[]).await, ["orders"]);
    let lines = log.with("hold nothing back from an ingest");
    assert!(lines.len() == 1 && lines[0].contains("pages=1"), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn only_what_the_plane_has_taken_counts() {
    let shelf = shelf(&[("orders", &["gold"]), ("users", &["gold"])]);
    let rig = life(&shelf, PlanLoss::Never, None);
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job", &[])).await;
    line.take_job_but(|batch| batch.names().contains(&"orders")).await;
    rig.idle().await;
    *shelf.lock().unwrap() = BTreeMap::from([("orders", vec!["iron"]), ("users", vec!["iron"])]);
    assert_eq!(ingest(&rig, &[]).await, ["orders"], "the plane has refused it, so it has no plan to lose");
}

#[tokio::test(start_paused = true)]
async fn a_live_grant_holds_back_what_no_ingest_knows_of() {
    use crate::journal::State::{Leftover, Live, Made, Removing, Stuck, Unconfirmed};
    for (states, lost) in [
        (&[Live][..], Some("the plan gold with 1 live grant")),
        (&[Live, Unconfirmed, Made, Removing], Some("the plan gold with 3 live grants")),
        (&[Leftover, Stuck, Removing], None),
    ] {
        let journal = Journal::in_memory();
        for (n, state) in states.iter().enumerate() {
            granted(&journal, &format!("s{n}"), "gold", *state).await;
        }
        let shelf = shelf(&[("orders", &["gold"]), ("users", &["iron"])]);
        let rig = with_journal(&shelf, PlanLoss::Never, None, journal.clone());
        assert_eq!(ingest(&rig, &[]).await, ["orders", "users"], "it has its plan");
        let rig = with_journal(&shelf, PlanLoss::Never, None, journal);
        shelf.lock().unwrap().insert("orders", vec!["gold-2"]);
        match lost {
            Some(lost) => {
                let told = refused(&rig, &["orders"]).await;
                assert!(told.contains(lost), "{told}");
            }
            None => assert_eq!(ingest(&rig, &["orders"]).await, ["orders"]),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_known_after_a_restart_and_always_lets_it_go() {
    let log = Log::new();
    let data = tempfile::tempdir().unwrap();
    let shelf = shelf(&[("orders", &["gold"]), ("users", &["gold"])]);
    ingest(&life(&shelf, PlanLoss::Never, Some(data.path())), &[]).await;
    shelf.lock().unwrap().insert("orders", vec!["gold-2"]);
    assert_eq!(ingest(&life(&shelf, PlanLoss::Never, Some(data.path())), &[]).await, ["users"]);

    assert_eq!(ingest(&life(&shelf, PlanLoss::Always, Some(data.path())), &[]).await, ["orders", "users"]);
    let lines =
        log.with("as FEDERATION_AGENT_PLAN_LOSS=always lets it: orders (The orders API) has lost the plan gold");
    assert!(lines.len() == 1 && lines[0].contains("WARN"), "{}", log.text());
    assert_eq!(ingest(&life(&shelf, PlanLoss::Never, Some(data.path())), &[]).await, ["orders", "users"], "it is lost");
}

#[tokio::test(start_paused = true)]
async fn once_is_one_ingest_over_restarts_until_the_setting_was_taken_back() {
    let log = Log::new();
    let data = tempfile::tempdir().unwrap();
    let shelf = shelf(&[("orders", &["gold"]), ("stock", &["gold"]), ("users", &["gold"])]);
    let started = async |plan_loss| {
        let rig = life(&shelf, plan_loss, Some(data.path()));
        rig.agent.settings.guard.begin("integration-1").await;
        rig
    };
    let change = |api, plan| drop(shelf.lock().unwrap().insert(api, vec![plan]));
    ingest(&started(PlanLoss::Never).await, &[]).await;

    let rig = started(PlanLoss::Once).await;
    assert_eq!(ingest(&rig, &[]).await.len(), 3);
    assert!(log.with("used up").is_empty(), "an ingest that loses nothing does not use it up");
    change("orders", "gold-2");
    change("users", "gold-2");
    assert_eq!(ingest(&rig, &[]).await, ["orders", "stock", "users"], "all of one job");
    assert_eq!(log.with("PLAN_LOSS=once lets it: orders").len(), 1, "{}", log.text());
    assert_eq!(log.with("once is used up").len(), 1, "{}", log.text());
    change("orders", "gold-3");
    assert_eq!(ingest(&rig, &[]).await, ["stock", "users"]);

    let rig = started(PlanLoss::Once).await;
    assert_eq!(log.with("was used up at 20").len(), 1, "a start says so: {}", log.text());
    assert_eq!(ingest(&rig, &[]).await, ["stock", "users"]);
    assert_eq!(ingest(&started(PlanLoss::Never).await, &[]).await, ["stock", "users"]);
    assert_eq!(ingest(&started(PlanLoss::Once).await, &[]).await, ["orders", "stock", "users"]);
}

#[tokio::test(start_paused = true)]
async fn once_is_not_used_up_by_what_the_plane_did_not_take() {
    let shelf = shelf(&[("orders", &["gold"])]);
    let rig = life(&shelf, PlanLoss::Once, None);
    ingest(&rig, &[]).await;
    shelf.lock().unwrap().insert("orders", vec!["gold-2"]);
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job", &[])).await;
    line.take_job_but(|batch| !batch.apis.is_empty()).await;
    rig.idle().await;
    assert_eq!(ingest(&rig, &[]).await, ["orders"]);
    shelf.lock().unwrap().insert("orders", vec!["gold-3"]);
    assert!(refused(&rig, &[]).await.contains("gold-2"));
}

#[tokio::test(start_paused = true)]
async fn discover_lists_it_and_log_and_health_name_it() {
    let log = Log::new();
    let shelf = shelf(&[("orders", &["gold"]), ("users", &["gold"])]);
    let rig = life(&shelf, PlanLoss::Never, None);
    ingest(&rig, &[]).await;
    let health = rig.agent.health_detail();
    assert_eq!(*health.borrow(), None);
    shelf.lock().unwrap().insert("orders", vec!["gold-2"]);
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "d", CommandBody::Discover).await;
    let ReplyBody::Discover(Some(found)) = &reply.body else { panic!("{reply:?}") };
    assert_eq!(found.apis.len(), 2);
    rig.idle().await;
    let lines = log.with("holds back 1, since the plane would delete a plan: orders (The orders API) has lost");
    assert_eq!(lines.len(), 1, "{}", log.text());
    let detail = health.borrow().clone().unwrap();
    assert!(detail.starts_with("1 API is held back from ingests"), "{detail}");
    assert_eq!(rig.agent.held_back(), 1);
    let held_back = async || recorded::shown(&rig).await.0.discovery.unwrap().held_back;
    assert_eq!(held_back().await, 1, "the metrics and the status page name them too");

    // An ingest of others does not hide it; one that finds it well again does.
    assert_eq!(ingest(&rig, &["users"]).await, ["users"]);
    assert_eq!(rig.agent.held_back(), 1);
    shelf.lock().unwrap().insert("orders", vec!["gold"]);
    ingest(&rig, &["users"]).await;
    assert_eq!((rig.agent.held_back(), health.borrow().clone()), (0, None));
    assert_eq!(held_back().await, 0);
}

#[tokio::test(start_paused = true)]
async fn many_losses_and_odd_names_stay_one_short_line() {
    let log = Log::new();
    let ingested = Ingested::in_memory();
    let plans: Texts = (0..200).map(|n| (format!("plan-{n:03}"), "x\r\n".repeat(3_000))).collect();
    let names: Vec<String> = (0..100).map(|n| format!("api-{n:03}")).collect();
    let taken = |id: &String| (format!("u-{id}"), Taken { id: id.clone(), plans: plans.clone() });
    let apis = names.iter().map(taken).collect();
    ingested.keep("integration-1", Change { apis, once: None }).await;
    let all: Vec<&str> = names.iter().map(String::as_str).chain(["users"]).collect();
    let rig = Rig::with(Gateway::of(&all), |settings| {
        settings.guard = Guard::new(ingested, Journal::in_memory(), PlanLoss::Never);
    });
    assert_eq!(ingest(&rig, &[]).await, ["users"]);
    let lines = log.with("100 APIs are held back");
    assert!(lines.len() == 1 && lines[0].len() < 20_000, "{} lines, {}", lines.len(), lines[0].len());
    assert!(lines[0].contains("and 195 more") && lines[0].contains("and 80 more"), "{}", lines[0]);
}

#[tokio::test]
async fn begin_says_what_the_setting_means_and_touches_nothing_without_need() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("ingested");
    let guard = |plan_loss| {
        let journal = Journal::in_memory();
        Guard::new(Ingested::in_folder(&folder, &journal), journal, plan_loss)
    };
    for (plan_loss, lines) in [(PlanLoss::Never, 0), (PlanLoss::Once, 1), (PlanLoss::Always, 1)] {
        let log = Log::new();
        guard(plan_loss).begin("one").await;
        assert_eq!(log.with("WARN").len(), lines, "{}", log.text());
    }
    assert!(!folder.exists());
    assert_eq!(AgentSettings::new("one", &Process::default()).guard.plan_loss(), PlanLoss::Never);
    let ingested = Ingested::in_folder(&folder, &Journal::in_memory());
    assert_eq!(ingested.read("one").await, Known::default());
    ingested.keep("one", Change { once: Some(Once::Used), ..Change::default() }).await;
    guard(PlanLoss::Always).begin("one").await;
    assert!(ingested.read("one").await.once_used.is_some());
    guard(PlanLoss::Never).begin("one").await;
    assert!(ingested.read("one").await.once_used.is_none());
}
