//! `grants` as a person meets it: the real binary on a journal that the library wrote, before a gateway of either hand.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

#[path = "aws/ministack.rs"]
#[expect(dead_code, reason = "only a part of it is needed here")]
mod ministack;
#[path = "aws/raw.rs"]
mod raw;

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use assert_cmd::{Command, cargo::cargo_bin};
use federation_agent::{
    journal::{Journal, Name, Page, Record, State},
    model::Texts,
    standin::{ACCOUNT, ApiKey, Estate, Failure, Gateway, Operation, REGION},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

const ONE: &str = "6f0c2f9e-5a4b-4a4e-8f27-3d1a0b6f1f01";
const TWO: &str = "6f0c2f9e-5a4b-4a4e-8f27-3d1a0b6f1f02";

/// The id of a subscription: the plane's are UUIDs.
fn sub(n: u8) -> String {
    format!("00000000-0000-4000-8000-0000000000{n:02x}")
}

/// What a run of the binary said.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }

    /// The key ids in one of the comparison's lists, in their own order.
    fn keys(&self, list: &str) -> Vec<String> {
        let rows = self.json()[list].as_array().unwrap_or_else(|| panic!("{list}: {}", self.stdout)).clone();
        let mut keys: Vec<_> = rows.iter().map(|row| row["keyId"].as_str().unwrap_or("none").to_owned()).collect();
        keys.sort();
        keys
    }
}

fn run(environment: &[(String, String)], arguments: &[&str], stdin: &str) -> Said {
    let output = Command::new(cargo_bin!("federation-agent"))
        .env_clear()
        .envs(environment.iter().cloned())
        .arg("grants")
        .args(arguments)
        .write_stdin(stdin)
        .output()
        .unwrap();
    Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A data folder and what settings name it.
struct Data {
    dir: TempDir,
    journal: Journal,
}

impl Data {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).await;
        assert_eq!(journal.trouble(), None);
        Self { dir, journal }
    }

    fn setting(&self) -> (String, String) {
        ("FEDERATION_AGENT_DATA_DIR".into(), self.dir.path().to_str().unwrap().into())
    }

    fn page(&self, subscription: &str) -> PathBuf {
        self.dir.path().join("journal").join(ONE).join(format!("{subscription}.jsonl"))
    }

    async fn hold(&self, integration: &str, subscription: &str) -> Page {
        let name = Name { integration: integration.into(), subscription: subscription.into() };
        self.journal.hold(&name, Instant::now() + Duration::from_secs(5)).await.unwrap()
    }

    /// Writes down one grant.
    async fn write(&self, integration: &str, subscription: &str, key_id: Option<&str>, state: State) -> Record {
        let page = self.hold(integration, subscription).await;
        let name = Name { integration: integration.into(), subscription: subscription.into() };
        let mut metadata = Texts::from([
            ("aws-account-id".to_owned(), ACCOUNT.to_owned()),
            ("aws-region".to_owned(), REGION.to_owned()),
        ]);
        if let Some(key_id) = key_id {
            metadata.insert("aws-api-key-id".into(), key_id.into());
        }
        let record = Record {
            key_id: key_id.map(str::to_owned),
            plan: Some("g0ld77".into()),
            metadata,
            state,
            since: SystemTime::now() - Duration::from_hours(2),
            ..Record::intended(&name, "eu-west-1:p3ts7ore01:prod", "c-1")
        };
        page.put(record.clone()).await.unwrap();
        record
    }

    /// The states of a subscription's grants.
    async fn states(&self, subscription: &str) -> Vec<State> {
        self.hold(ONE, subscription).await.records().await.iter().map(|record| record.state).collect()
    }
}

/// A stand-in, a data folder, and the settings between them.
struct Shop {
    gateway: Gateway,
    data: Data,
}

impl Shop {
    async fn new() -> Self {
        Self { gateway: Gateway::start(Estate::demo()).await.unwrap(), data: Data::new().await }
    }

    fn environment(&self) -> Vec<(String, String)> {
        let mut variables = provider(0, ONE, "AKIATESTTESTTESTTEST", &self.gateway.url());
        variables.push(self.data.setting());
        variables
    }

    fn grants(&self, arguments: &[&str]) -> Said {
        run(&self.environment(), arguments, "")
    }

    /// Makes a key in the gateway that is two hours old.
    fn key(&self, id: &str, name: &str, bound: bool) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        self.gateway.with(|estate| {
            let region = estate.region(ACCOUNT, REGION);
            region.keys.push(ApiKey {
                id: id.into(),
                value: format!("value-never-to-be-seen-{id}"),
                name: Some(name.into()),
                description: None,
                enabled: true,
                tags: std::collections::BTreeMap::new(),
                created: now - 7_200,
            });
            if bound {
                region.plans.iter_mut().find(|plan| plan.id == "g0ld77").unwrap().keys.push(id.into());
            }
        });
    }

    /// One that our agent has made.
    fn ours(&self, id: &str, subscription: &str, bound: bool) {
        self.key(id, &format!("gravitee-{ONE}-{subscription}"), bound);
    }

    fn has(&self, id: &str) -> bool {
        self.gateway.with(|estate| estate.keys().any(|key| key.id == id))
    }

    /// Writes an export of these subscriptions.
    fn export(&self, subscriptions: &[Value]) -> String {
        let path = self.data.dir.path().join("subscriptions.json");
        let of = subscriptions.len();
        let page = json!({
            "data": subscriptions,
            "pagination": { "page": 1, "perPage": 100, "pageCount": 1, "pageItemsCount": of, "totalCount": of },
        });
        std::fs::write(&path, page.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn provider(n: usize, integration: &str, access_key: &str, url: &str) -> Vec<(String, String)> {
    let provider = format!("gravitee_integration_providers_{n}");
    vec![
        (format!("{provider}_type"), "aws-api-gateway".into()),
        (format!("{provider}_integrationId"), integration.into()),
        (format!("{provider}_configuration_accessKeyId"), access_key.into()),
        (format!("{provider}_configuration_secretAccessKey"), "any".into()),
        (format!("{provider}_configuration_region"), REGION.into()),
        (format!("{provider}_configuration_endpointUrl"), url.into()),
    ]
}

fn subscription(id: &str, status: &str, key_id: Option<&str>) -> Value {
    let metadata = key_id.map(|key_id| json!({ "aws-api-key-id": key_id }));
    json!({
        "id": id, "status": status, "api": { "id": "a-federated-api" }, "application": { "id": "a", "name": "Shop" },
        "metadata": metadata,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_the_journal_whatever_else_is_set() {
    let data = Data::new().await;
    data.write(ONE, &sub(1), Some("key1"), State::Live).await;
    data.write(ONE, &sub(2), None, State::Leftover).await;
    data.write(TWO, &sub(3), Some("key3"), State::Unconfirmed).await;
    let wrong = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let broken = [
        data.setting(),
        wrong("FEDERATION_AGENT_DRAIN", "soon"),
        wrong("FEDERATION_AGENT_LOG", "=,="),
        wrong("gravitee_integration_providers_0_type", "nothing"),
        wrong("gravitee_integration_connector_ws_endpoints_0", "ftp://plane"),
    ];
    for environment in [&broken[..1], &broken[..]] {
        let said = run(environment, &["--output", "json"], "");
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
        let all = said.json();
        let of = |n: u8| all.as_array().unwrap().iter().find(|one| one["subscription"] == sub(n).as_str()).unwrap();
        assert_eq!(all.as_array().unwrap().len(), 3);
        assert_eq!(
            (&of(1)["integration"], &of(1)["keyId"], &of(1)["state"]),
            (&json!(ONE), &json!("key1"), &json!("live"))
        );
        assert_eq!(of(1)["api"], "eu-west-1:p3ts7ore01:prod");
        assert!(humantime::parse_rfc3339(of(1)["since"].as_str().unwrap()).is_ok());
        assert_eq!((&of(2)["keyId"], &of(2)["state"]), (&Value::Null, &json!("leftover")));
        assert_eq!((&of(3)["integration"], &of(3)["state"]), (&json!(TWO), &json!("unconfirmed")));
    }
    let table = run(&broken, &[], "");
    assert_eq!(table.code, Some(0), "{}", table.stderr);
    for text in ["STATE", "key1", &sub(2), "3 grants: 1 unconfirmed, 1 live, 1 leftover.", ONE, TWO] {
        assert!(table.stdout.contains(text), "{text}: {}", table.stdout);
    }
    let only = run(&broken, &["--integration", TWO, "--output", "json"], "").json();
    assert_eq!(only.as_array().unwrap().len(), 1);
    let some = run(&broken, &["--state", "live,leftover", "--output", "json"], "").json();
    assert_eq!(some.as_array().unwrap().len(), 2);
    let none = run(&broken, &["--state", "stuck"], "");
    assert!(none.code == Some(0) && none.stdout.contains("None of the 3 grants"), "{}", none.stdout);
    for wrong in [["--integration", "7"], ["--state", "asleep"]] {
        let said = run(&broken, &wrong, "");
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        assert!(said.stderr.contains(ONE) || said.stderr.contains("unconfirmed"), "{}", said.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn says_when_there_is_nothing_and_where_it_looked() {
    let data = Data::new().await;
    let said = run(&[data.setting()], &[], "");
    assert_eq!(said.code, Some(0));
    assert!(said.stdout.contains("holds no grant") && said.stdout.contains("/journal"), "{}", said.stdout);
    let nowhere = ("FEDERATION_AGENT_DATA_DIR".to_owned(), data.dir.path().join("none").to_str().unwrap().to_owned());
    let said = run(std::slice::from_ref(&nowhere), &[], "");
    assert_eq!(said.code, Some(0));
    assert!(said.stdout.contains("none/journal does not exist"), "{}", said.stdout);
    let said = run(std::slice::from_ref(&nowhere), &["--output", "json"], "");
    assert_eq!((said.json(), said.stderr.contains("does not exist")), (json!([]), true), "{}", said.stderr);
    assert!(!Path::new(&nowhere.1).exists(), "looking makes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_be_read_is_named_and_the_others_are_shown() {
    let data = Data::new().await;
    data.write(ONE, &sub(1), Some("key1"), State::Live).await;
    data.write(ONE, &sub(2), Some("key2"), State::Live).await;
    std::fs::write(data.page(&sub(2)), "{\"v\":2,\n").unwrap();
    let said = run(&[data.setting()], &[], "");
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains("key1") && said.stdout.contains("1 grant:"), "{}", said.stdout);
    assert!(said.stderr.contains(&sub(2)) && said.stderr.contains("cannot be read"), "{}", said.stderr);
    assert!(data.page(&sub(2)).exists(), "looking puts nothing aside");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_does_not_steer_the_terminal() {
    let shop = Shop::new().await;
    let nasty = "\u{1b}[2J\u{9b}31m\u{202e}\r\n";
    shop.ours("key1", &sub(1), true);
    shop.data.write(ONE, &format!("s{nasty}"), Some(&format!("k{nasty}")), State::Stuck).await;
    let file = shop.export(&[json!({
        "id": sub(1), "status": "PAUSED", "application": { "name": format!("Shop{nasty}") },
        "metadata": { "aws-api-key-id": "key1" },
    })]);
    for arguments in [
        &[][..],
        &["--output", "json"],
        &["--orphans"],
        &["--subscriptions", &file],
        &["--subscriptions", &file, "--output", "json"],
        &["revoke", &format!("k{nasty}"), "--dry-run"],
        &["revoke", &format!("nothing{nasty}")],
    ] {
        let said = shop.grants(arguments);
        let text = said.stdout + &said.stderr;
        assert!(
            text.contains("Shop") || text.contains("s ") || text.contains("\\u001b") || text.contains("nothing"),
            "{text}"
        );
        let steers = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
        assert_eq!(text.chars().find(steers), None, "{arguments:?}: {text:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_this_integrations_only() {
    let shop = Shop::new().await;
    for (id, n) in [("live1", 1), ("unconf", 2)] {
        shop.ours(id, &sub(n), true);
    }
    shop.data.write(ONE, &sub(1), Some("live1"), State::Live).await;
    shop.data.write(ONE, &sub(2), Some("unconf"), State::Unconfirmed).await;
    shop.key("theirs", "somebody's own key", true);
    shop.key("other", &format!("gravitee-{TWO}-{}", sub(9)), true);
    shop.key("gravitees", "their agent's key", true);
    let said = shop.grants(&["--orphans", "--output", "json"]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert_eq!(said.keys("fine"), ["live1", "unconf"]);
    assert!(!said.stdout.contains("never-to-be-seen"), "{}", said.stdout);

    shop.ours("orphan", &sub(3), true);
    shop.data.write(ONE, &sub(4), Some("gone"), State::Live).await;
    shop.data.write(ONE, &sub(5), None, State::Leftover).await;
    shop.ours("lefto", &sub(5), false);
    let said = shop.grants(&["--orphans", "--output", "json"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert_eq!(said.keys("notInJournal"), ["orphan"]);
    assert_eq!(said.keys("notInGateway"), ["gone"]);
    assert_eq!(said.keys("waiting"), ["lefto"]);
    for foreign in ["theirs", "other", "gravitees"] {
        assert!(!said.stdout.contains(&format!("\"{foreign}\"")), "{foreign}: {}", said.stdout);
    }
    let table = shop.grants(&["--orphans"]);
    assert_eq!(table.code, Some(1));
    assert!(table.stdout.contains("only the plane can tell"), "{}", table.stdout);
    assert!(table.stdout.contains("2 as they should be, 3 amiss"), "{}", table.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_be_asked_is_named_and_nothing_is_called_gone() {
    let shop = Shop::new().await;
    shop.data.write(ONE, &sub(1), Some("key1"), State::Live).await;
    shop.gateway.fault(Failure::Denied.on(Operation::GetApiKeys));
    let said = shop.grants(&["--orphans", "--output", "json"]);
    assert_eq!(said.code, Some(1));
    assert_eq!(said.keys("undetermined"), ["key1"]);
    assert_eq!(said.json()["failed"][0]["class"], "denied");
    assert!(said.stderr.contains("iam/find-leftovers.json"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_ways_with_keys_that_gravitees_agent_made() {
    let shop = Shop::new().await;
    for (id, n) in [("fine", 1), ("paused", 2), ("closed", 3), ("absent", 4), ("young", 12)] {
        shop.ours(id, &sub(n), true);
        shop.data.write(ONE, &sub(n), Some(id), State::Live).await;
    }
    for id in ["javafine", "javaends", "stranger"] {
        shop.key(id, "made by hand or by another agent", true);
    }
    shop.gateway.with(|estate| {
        estate.region(ACCOUNT, REGION).keys.iter_mut().find(|key| key.id == "young").unwrap().created += 7_200;
    });
    let mut expired = subscription(&sub(6), "ACCEPTED", Some("javaends"));
    expired["endingAt"] = json!("2024-01-01T00:00:00Z");
    let file = shop.export(&[
        subscription(&sub(1), "ACCEPTED", Some("fine")),
        subscription(&sub(2), "PAUSED", Some("paused")),
        subscription(&sub(3), "CLOSED", Some("closed")),
        subscription(&sub(5), "ACCEPTED", Some("javafine")),
        expired,
        subscription(&sub(7), "ACCEPTED", Some("lostkey")),
        json!({ "id": sub(8), "status": "ACCEPTED", "api": "a-native-api" }),
    ]);
    let said = shop.grants(&["--subscriptions", &file, "--output", "json"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert_eq!(said.keys("keysWithoutSubscription"), ["absent", "closed"]);
    assert_eq!(said.keys("subscriptionsWithoutKey"), ["lostkey"]);
    assert_eq!(said.keys("keysOfPausedOrExpired"), ["javaends", "paused"]);
    assert_eq!(said.keys("fine"), ["fine", "javafine"]);
    assert_eq!(said.keys("undetermined"), ["young"]);
    assert_eq!(said.json()["setAside"][0]["subscription"], sub(8).as_str());
    assert!(!said.stdout.contains("stranger"), "{}", said.stdout);
    assert_eq!(said.json()["summary"]["keysWithoutSubscription"], 2);
    let table = shop.grants(&["--subscriptions", &file]);
    for text in ["Keys without subscription (2)", "Subscriptions without key (1)", "Keys of paused or expired", "Shop"]
    {
        assert!(table.stdout.contains(text), "{text}: {}", table.stdout);
    }

    let file = shop.export(&[1, 2, 3, 4, 12].map(|n| {
        let key_id = ["fine", "paused", "closed", "absent"].get(usize::from(n) - 1).copied().unwrap_or("young");
        subscription(&sub(n), "ACCEPTED", Some(key_id))
    }));
    let said = shop.grants(&["--subscriptions", &file, "--output", "json"]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert_eq!(said.json()["good"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_export_comes_by_stdin_too_and_is_taken_strictly() {
    let shop = Shop::new().await;
    let line = subscription(&sub(1), "ACCEPTED", Some("lostkey")).to_string();
    let said = run(&shop.environment(), &["--subscriptions", "-", "--output", "json"], &line);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert_eq!(said.keys("subscriptionsWithoutKey"), ["lostkey"]);
    for (text, says) in [
        ("", "stdin is empty"),
        ("Plan;Application;Creation date;Status\n", "CSV"),
        (r#"{"data":[],"pagination"#, "not whole"),
        (r#"{"httpStatus":403,"message":"You do not have sufficient rights"}"#, "403"),
    ] {
        let said = run(&shop.environment(), &["--subscriptions", "-"], text);
        assert_eq!(said.code, Some(2), "{}", said.stdout);
        assert!(said.stderr.contains(says), "{says}: {}", said.stderr);
    }
    let said = shop.grants(&["--subscriptions", "/does/not/exist"]);
    assert_eq!((said.code, said.stderr.contains("/does/not/exist")), (Some(2), true), "{}", said.stderr);
    assert_eq!(shop.gateway.count(Operation::GetApiKeys), 1, "one run has asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn revoke_removes_what_waits_and_says_so() {
    let shop = Shop::new().await;
    for (id, n, state) in [("stuck1", 1, State::Stuck), ("unconf", 2, State::Unconfirmed), ("gone", 3, State::Stuck)] {
        shop.data.write(ONE, &sub(n), Some(id), state).await;
        if id != "gone" {
            shop.ours(id, &sub(n), true);
        }
    }
    let said = shop.grants(&["revoke", "stuck1", "--dry-run"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("Nothing was done") && shop.has("stuck1"), "{}", said.stdout);
    for (which, key, n, says) in [
        ("stuck1", "stuck1", 1, "The key stuck1 is removed from the gateway"),
        (&sub(2), "unconf", 2, "The key unconf is removed from the gateway"),
        ("gone", "gone", 3, "was not in the gateway any more"),
    ] {
        let said = shop.grants(&["revoke", which]);
        assert_eq!(said.code, Some(0), "{which}: {}{}", said.stdout, said.stderr);
        assert!(said.stdout.contains(says), "{}", said.stdout);
        assert!(!shop.has(key));
        assert_eq!(shop.data.states(&sub(n)).await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoke_finds_a_leftover_by_its_name() {
    let shop = Shop::new().await;
    for n in [1, 2, 3] {
        shop.data.write(ONE, &sub(n), None, State::Leftover).await;
    }
    shop.ours("left1", &sub(1), false);
    shop.ours("left2", &sub(2), false);
    for (which, n, says) in
        [(sub(1), 1, "is removed"), ("left2".into(), 2, "is removed"), (sub(3), 3, "has no key of its name")]
    {
        let said = shop.grants(&["revoke", &which]);
        assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
        assert!(said.stdout.contains(says), "{}", said.stdout);
        assert_eq!(shop.data.states(&sub(n)).await, []);
    }
    assert!(!shop.has("left1") && !shop.has("left2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn revoke_refuses_what_may_be_in_use_and_what_is_not_ours() {
    let shop = Shop::new().await;
    shop.ours("live1", &sub(1), true);
    shop.data.write(ONE, &sub(1), Some("live1"), State::Live).await;
    shop.ours("orphan", &sub(2), true);
    shop.ours("unbound", &sub(3), false);
    shop.key("theirs", "somebody's own key", false);
    shop.key("other", &format!("gravitee-{TWO}-{}", sub(9)), false);
    for (which, says) in
        [("live1", "--live"), ("orphan", "--live"), ("theirs", "somebody else's"), ("other", "somebody else's")]
    {
        let said = shop.grants(&["revoke", which]);
        assert_eq!(said.code, Some(2), "{which}: {}", said.stdout);
        assert!(said.stderr.contains(says) && shop.has(which), "{which}: {}", said.stderr);
        assert_eq!(shop.grants(&["revoke", which, "--dry-run"]).code, Some(2), "{which}");
    }
    assert_eq!(shop.data.states(&sub(1)).await, [State::Live]);
    for (arguments, n) in
        [(&["revoke", "live1", "--live"][..], 1), (&["revoke", "orphan", "--live"], 2), (&["revoke", "unbound"], 3)]
    {
        let said = shop.grants(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}{}", said.stdout, said.stderr);
        assert!(!shop.has(arguments[1]));
        assert_eq!(shop.data.states(&sub(n)).await, []);
    }
    assert!(shop.has("theirs") && shop.has("other"));
}

#[tokio::test(flavor = "multi_thread")]
async fn revoke_asks_which_of_several() {
    let shop = Shop::new().await;
    for id in ["key1", "key2"] {
        shop.ours(id, &sub(1), true);
        shop.data.write(ONE, &sub(1), Some(id), State::Stuck).await;
    }
    let said = shop.grants(&["revoke", &sub(1)]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("key1") && said.stderr.contains("key2"), "{}", said.stderr);
    assert_eq!(shop.grants(&["revoke", "key1"]).code, Some(0));
    assert!(!shop.has("key1") && shop.has("key2"));
    assert_eq!(shop.data.states(&sub(1)).await, [State::Stuck]);
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_process_that_holds_the_page_one_can_look_and_not_revoke() {
    let shop = Shop::new().await;
    shop.ours("stuck1", &sub(1), true);
    shop.data.write(ONE, &sub(1), Some("stuck1"), State::Stuck).await;
    let page = shop.data.hold(ONE, &sub(1)).await;
    let said = shop.grants(&["--output", "json"]);
    assert_eq!((said.code, &said.json()[0]["keyId"]), (Some(0), &json!("stuck1")));
    assert_eq!(shop.grants(&["--orphans"]).code, Some(1));
    let said = shop.grants(&["revoke", "stuck1"]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("nothing was done: a running agent works on this"), "{}", said.stderr);
    assert!(shop.has("stuck1"));
    assert_eq!(page.records().await[0].state, State::Stuck);
    drop(page);
    assert_eq!(shop.grants(&["revoke", "stuck1"]).code, Some(0));
}

/// Killed just before the gateway is asked, and just after: the journal says what was under way.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoke_that_dies_is_not_forgotten() {
    for (point, deleted) in [("call:DeleteApiKey:before", false), ("call:DeleteApiKey:after", true)] {
        let shop = Shop::new().await;
        shop.ours("unbound", &sub(1), false);
        let mut child = std::process::Command::new(cargo_bin!("federation-agent"))
            .args(["grants", "revoke", "unbound"])
            .env_clear()
            .envs(shop.environment())
            .env("FEDERATION_AGENT_TEST_FAULT_POINT", point)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains(point)), "{point} is not reached");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(shop.has("unbound"), !deleted, "{point}");
        assert_eq!(shop.data.states(&sub(1)).await, [State::Removing], "{point}");
        // Whoever goes on with it finds all that it needs.
        let said = shop.grants(&["revoke", &sub(1)]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert!(!shop.has("unbound"));
        assert_eq!(shop.data.states(&sub(1)).await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_revoked_stays_in_the_journal_with_the_reason() {
    let shop = Shop::new().await;
    shop.ours("stuck1", &sub(1), true);
    shop.data.write(ONE, &sub(1), Some("stuck1"), State::Stuck).await;
    shop.data.write(ONE, &sub(2), None, State::Leftover).await;
    shop.ours("unbound", &sub(3), false);
    shop.gateway.fault(Failure::Denied.on(Operation::DeleteApiKey));
    let said = shop.grants(&["revoke", "unbound"]);
    assert_eq!(said.code, Some(1), "{}", said.stdout);
    assert_eq!(shop.data.states(&sub(3)).await, [State::Stuck], "whoever comes next knows of it");
    shop.gateway.fault(Failure::Denied.on(Operation::GetApiKeys));
    for (which, n, state) in [("stuck1", 1, State::Stuck), (&sub(2), 2, State::Leftover)] {
        let said = shop.grants(&["revoke", which]);
        assert_eq!(said.code, Some(1), "{}", said.stdout);
        assert!(said.stderr.contains("is not removed, the journal has it as"), "{}", said.stderr);
        assert_eq!(shop.data.states(&sub(n)).await, [state]);
    }
    let listed = shop.grants(&[]);
    assert!(listed.stdout.contains("stuck") && listed.stdout.contains("apigateway:DELETE on"), "{}", listed.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_look_revoke_of_an_unknown_key_says_which() {
    let shop = Shop::new().await;
    shop.gateway.fault(Failure::Denied.on(Operation::GetApiKeys));
    let said = shop.grants(&["revoke", "unknown"]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("iam/find-leftovers.json"), "{}", said.stderr);
}

#[test]
fn flags_and_the_action_do_not_mix() {
    for arguments in
        [&["--orphans", "revoke", "key1"][..], &["--orphans", "--state", "live"], &["revoke"], &["revoke", "a", "b"]]
    {
        let said = run(&[], arguments, "");
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.stdout);
    }
    let help = run(&[], &["--help"], "");
    assert!(
        help.code == Some(0) && help.stdout.contains("Exit codes:") && help.stdout.contains("revoke"),
        "{}",
        help.stdout
    );
    let help = run(&[], &["revoke", "--help"], "");
    assert!(help.code == Some(0) && help.stdout.contains("--dry-run"), "{}", help.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_before_ministack() {
    let Some(aws) = ministack::MiniStack::start().await else { return };
    let account = "123456789012";
    let signed = raw::unsigned(account, REGION, "apigateway");
    let headers = [("authorization", signed.as_str()), ("content-type", "application/json")];
    let mut made = Vec::new();
    for name in [format!("gravitee-{ONE}-{}", sub(1)), format!("gravitee-{ONE}-{}", sub(2)), "theirs".to_owned()] {
        let body = json!({ "name": name, "enabled": true }).to_string();
        let (status, body) = raw::send(aws.address(), "POST", "/apikeys", &headers, body).await.unwrap();
        assert_eq!(status, 201, "{body}");
        made.push(serde_json::from_str::<Value>(&body).unwrap()["id"].as_str().unwrap().to_owned());
    }
    let data = Data::new().await;
    let mut environment = provider(0, ONE, account, &format!("http://{}", aws.address()));
    environment.push(data.setting());
    let said = run(&environment, &["--orphans", "--output", "json"], "");
    let keys = said.keys("notInJournal");
    let mut ours = made[..2].to_vec();
    ours.sort();
    assert_eq!((said.code, keys), (Some(1), ours), "{}", said.stderr);
    let said = run(&environment, &["revoke", &made[0]], "");
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert_eq!(run(&environment, &["revoke", &made[2]], "").code, Some(2), "somebody else's");
    let said = run(&environment, &["--orphans", "--output", "json"], "");
    assert_eq!(said.keys("notInJournal"), made[1..2], "{}", said.stderr);
}

/// A management API of three pages: an integration with two APIs, one of which has two pages of subscriptions.
fn management(path: &str) -> Option<Value> {
    let of = |page: u64, count: u64, data: Value| json!({ "data": data, "pagination": { "page": page, "perPage": 100, "pageCount": count, "totalCount": 3 } });
    let (path, query) = path.split_once('?')?;
    let page = query.split('&').find_map(|part| part.strip_prefix("page="))?.parse().ok()?;
    let asks_for_all = query.contains("statuses=PAUSED") && query.contains("statuses=CLOSED");
    Some(match (path, page) {
        ("/v2/environments/DEFAULT/integrations/the-one/apis", 1) => of(1, 1, json!([{ "id": "a1" }, { "id": "a2" }])),
        ("/v2/environments/DEFAULT/apis/a1/subscriptions", 1 | 2) if asks_for_all => {
            let n = u8::try_from(page).ok()?;
            let mut one = subscription(&sub(n), "ACCEPTED", Some(&format!("key{n}")));
            one["api"]["id"] = json!("a1");
            of(page, 2, json!([one]))
        }
        ("/v2/environments/DEFAULT/apis/a2/subscriptions", 1) if asks_for_all => of(1, 1, json!([])),
        _ => return None,
    })
}

/// Serves it to whoever has the token; one request a connection.
fn serve_management() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v2/environments/DEFAULT", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let path = lines.next().and_then(|line| line.split(' ').nth(1).map(str::to_owned)).unwrap_or_default();
            // All of them are read: a connection that is closed with something unread is cut.
            let headers: Vec<String> = lines.collect();
            let trusted = headers.iter().any(|line| line == "Authorization: Bearer a-token");
            let (status, body) = match management(&path).filter(|_| trusted) {
                Some(body) => ("200 OK", body),
                None => ("403 Forbidden", json!({ "httpStatus": 403, "message": "no" })),
            };
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = (&stream).write_all((head + &body).as_bytes());
        }
    });
    url
}

/// The script of docs/grants.md against a management API: what it prints is what `grants` reads.
#[tokio::test(flavor = "multi_thread")]
async fn the_documented_script_makes_a_whole_export() {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/grants.md")).unwrap();
    let (_, script) = guide.split_once("```sh\n#!/bin/sh\n").unwrap();
    let (script, _) = script.split_once("```").unwrap();
    let needs = ["curl", "jq"].map(|program| Command::new(program).arg("--version").output());
    if needs.iter().any(Result::is_err) {
        eprintln!("not run: the script of docs/grants.md needs curl and jq");
        return;
    }
    let url = serve_management();
    let export = |integration: &str, token: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).env("APIM", &url).env("TOKEN", token).env("INTEGRATION_ID", integration);
        shell.env("no_proxy", "127.0.0.1").output().unwrap()
    };
    let made = export("the-one", "a-token");
    let text = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let shop = Shop::new().await;
    let said = run(&shop.environment(), &["--subscriptions", "-", "--output", "json"], &text);
    assert_eq!(said.keys("subscriptionsWithoutKey"), ["key1", "key2"], "{text}: {}", said.stderr);
    for refused in [export("the-one", "another-token"), export("another", "a-token")] {
        assert!(!refused.status.success());
        let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(stderr.contains("403") && !stderr.contains("-token"), "{stderr}");
    }
}
