//! Killed at every step of SUBSCRIBE and of UNSUBSCRIBE, then started again: with the same data folder, with a new one,
//! with and without the right to look for keys by name.

use std::{collections::BTreeSet, fmt::Write as _};

use federation_agent::standin::{Failure, Operation};
use futures_util::{StreamExt, stream};
use tempfile::TempDir;

use super::{
    books::{Books, settled},
    support::{Stage, soon},
};

const ONE: &str = "one";

/// Every step of SUBSCRIBE in its order. The reply is on its way after `journal:unconfirmed`.
const SUBSCRIBE: &[&str] = &[
    "journal:intended:before",
    "journal:intended:after",
    "call:GetUsagePlans:before",
    "call:GetUsagePlans:after",
    "journal:making:before",
    "journal:making:after",
    "call:CreateApiKey:before",
    "call:CreateApiKey:after",
    "journal:made:before",
    "journal:made:after",
    "call:CreateUsagePlanKey:before",
    "call:CreateUsagePlanKey:after",
    "journal:unconfirmed:before",
    "journal:unconfirmed:after",
    "journal:live:before",
    "journal:live:after",
];

/// Every step of UNSUBSCRIBE in its order.
const UNSUBSCRIBE: &[&str] = &[
    "journal:removing:before",
    "journal:removing:after",
    "call:DeleteApiKey:before",
    "call:DeleteApiKey:after",
    "journal:gone:before",
    "journal:gone:after",
];

/// One way to die and to come back.
#[derive(Debug, Clone, Copy)]
struct Case {
    point: &'static str,
    /// The subscription is closed, not made.
    closing: bool,
    /// The folder is there again.
    folder: bool,
    /// The gateway lets keys be looked for by name.
    may_look: bool,
}

/// What was left.
struct Left {
    case: Case,
    books: Books,
    accepted: bool,
}

impl Case {
    async fn run(self) -> Left {
        let stage = Stage::set(&[ONE]).await;
        if !self.may_look {
            stage.gateway.fault(Failure::Denied.on(Operation::GetApiKeys));
        }
        let agent = stage.agent(&[]).await;
        let api = stage.ingested(ONE).await;
        let mut closing = BTreeSet::new();
        if self.closing {
            let accepted = soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "shop")).await;
            closing.insert(accepted.expect("it works").id);
        }
        agent.signal("TERM");
        agent.end().await;

        let mut agent = stage.agent(&[("FEDERATION_AGENT_TEST_FAULT_POINT", self.point)]).await;
        let (plane, to_close) = (stage.plane.clone(), closing.first().cloned());
        let asked = tokio::spawn(async move {
            match to_close {
                Some(id) => plane.unsubscribe(&id).await.is_ok(),
                None => plane.subscribe(ONE, &api, "g0ld77", "shop").await.is_ok(),
            }
        });
        soon("stopped", agent.says(&format!("stopped at fault point {}", self.point))).await;
        agent.signal("KILL");
        agent.end().await;
        let accepted = soon("the plane's end", asked).await.expect("it ends");

        let other = TempDir::new().expect("a folder");
        let folder = if self.folder { stage.data.path() } else { other.path() };
        let path = folder.to_str().expect("a plain path");
        let agent = stage.agent(&[("FEDERATION_AGENT_DATA_DIR", path)]).await;
        let records = settled(folder, ONE, &stage.gateway).await;
        let books = Books::compare(&stage.plane, &stage.gateway, ONE, &records, &closing);
        // Whoever could not close a subscription closes it again.
        for id in closing.iter().filter(|_| !accepted) {
            soon("unsubscribe", stage.plane.unsubscribe(id)).await.expect("what is gone is gone");
            assert_eq!(stage.keys(), 0, "{self:?}");
        }
        agent.signal("TERM");
        agent.end().await;
        Left { case: self, books, accepted }
    }
}

async fn table(title: &str, cases: Vec<Case>) -> Vec<Left> {
    let left: Vec<Left> = stream::iter(cases).map(Case::run).buffered(6).collect().await;
    let mut text = String::from(
        "killed at                         accepted  unknown  keyless  twice  unconfirmed  unbound (listed)\n",
    );
    for Left { case, books, accepted } in &left {
        let _ = writeln!(
            text,
            "{:<33} {:<9} {:<8} {:<8} {:<6} {:<12} {} ({})",
            case.point,
            accepted,
            books.unknown.len(),
            books.keyless.len(),
            books.twice.len(),
            books.unconfirmed.len(),
            books.unbound.len(),
            books.listed.len()
        );
    }
    println!("{title}\n{text}");
    left
}

fn cases(points: &[&'static str], closing: bool, folder: bool, may_look: bool) -> Vec<Case> {
    points.iter().map(|point| Case { point, closing, folder, may_look }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribe_killed_at_every_step_with_its_folder() {
    for Left { case, books, accepted } in
        table("SUBSCRIBE, started again with its folder, may look for keys", cases(SUBSCRIBE, false, true, true)).await
    {
        assert!(books.are_good(), "{case:?}: {books:?}");
        assert_eq!(books.unbound, [""; 0], "{case:?}");
        // Only what may have been told is kept without being known.
        assert_eq!(books.unconfirmed.len(), usize::from(case.point == "journal:unconfirmed:after"), "{case:?}");
        assert_eq!(accepted, case.point.starts_with("journal:live"), "{case:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribe_killed_at_every_step_without_the_right_to_look() {
    for Left { case, books, .. } in
        table("SUBSCRIBE, started again with its folder, may not look for keys", cases(SUBSCRIBE, false, true, false))
            .await
    {
        assert!(books.are_good(), "{case:?}: {books:?}");
        let unknown_id = ["call:CreateApiKey:after", "journal:made:before"].contains(&case.point);
        assert_eq!(books.unbound.len(), usize::from(unknown_id), "{case:?}");
        assert_eq!(books.unbound, books.listed, "what may be left is listed by its name: {case:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribe_killed_at_every_step_without_its_folder() {
    for Left { case, books, .. } in
        table("SUBSCRIBE, started again without its folder", cases(SUBSCRIBE, false, false, true)).await
    {
        // Nobody knows any more what was under way; what the plane has accepted is untouched all the same.
        assert_eq!((books.keyless.len(), books.twice.len()), (0, 0), "{case:?}: {books:?}");
        let bound = ["call:CreateUsagePlanKey:after", "journal:unconfirmed:before", "journal:unconfirmed:after"];
        assert_eq!(books.unknown.len(), usize::from(bound.contains(&case.point)), "{case:?}");
        let made =
            ["call:CreateApiKey:after", "journal:made:before", "journal:made:after", "call:CreateUsagePlanKey:before"];
        assert_eq!(books.unbound.len(), usize::from(made.contains(&case.point)), "{case:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsubscribe_killed_at_every_step() {
    for folder in [true, false] {
        let title = format!("UNSUBSCRIBE, started again {} its folder", if folder { "with" } else { "without" });
        for Left { case, books, .. } in table(&title, cases(UNSUBSCRIBE, true, folder, false)).await {
            assert!(books.are_good(), "{case:?}: {books:?}");
            assert_eq!(books.unbound, [""; 0], "{case:?}");
            assert_eq!(books.unconfirmed, [""; 0], "{case:?}");
        }
    }
}
