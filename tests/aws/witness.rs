//! What a witness hears of a SUBSCRIBE, and when: whatever dies afterwards, what it heard last leads to what is there.
//! On the stand-in alone.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use federation_agent::{
    model::Texts,
    provider::{Revoked, Witness},
    standin::{ACCOUNT, Failure, Gateway, Operation, REGION, Request},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    shop::{GOLD, Shop},
    suite::asking::{asking, call, call_for, leaving, texts},
};

/// What was heard, and how many keys were made, bound and deleted when it was.
#[derive(Debug, Clone, PartialEq)]
struct Heard {
    what: &'static str,
    told: Texts,
    came: [u64; 3],
}

/// Remembers what it hears; may do something when it does.
struct Recorder {
    gateway: Gateway,
    heard: watch::Sender<Vec<Heard>>,
    /// What it is to hear, and what it does then.
    on: Mutex<Option<(&'static str, Does)>>,
}

enum Does {
    Cancels(CancellationToken),
    Takes(Duration),
}

impl Recorder {
    fn of(shop: &Shop) -> Arc<Self> {
        Arc::new(Self { gateway: shop.gateway().clone(), heard: watch::Sender::default(), on: Mutex::default() })
    }

    fn does(self: Arc<Self>, what: &'static str, does: Does) -> Arc<Self> {
        *self.on.lock().expect("never poisoned") = Some((what, does));
        self
    }

    async fn hears(&self, what: &'static str, told: &Texts) {
        let came = [Operation::CreateApiKey, Operation::CreateUsagePlanKey, Operation::DeleteApiKey];
        let came = came.map(|operation| self.gateway.count(operation));
        let does = self.on.lock().expect("never poisoned").take_if(|(on, _)| *on == what);
        match does {
            Some((_, Does::Cancels(cancel))) => cancel.cancel(),
            Some((_, Does::Takes(time))) => tokio::time::sleep(time).await,
            None => {}
        }
        self.heard.send_modify(|heard| heard.push(Heard { what, told: told.clone(), came }));
    }

    fn words(&self) -> Vec<&'static str> {
        self.heard.borrow().iter().map(|heard| heard.what).collect()
    }

    /// What it heard last, once that is `what`.
    async fn last(&self, what: &str) -> Heard {
        let mut heard = self.heard.subscribe();
        let came = heard.wait_for(|heard| heard.last().is_some_and(|last| last.what == what)).await;
        came.expect("the recorder lives").last().expect("it was heard").clone()
    }
}

#[async_trait]
impl Witness for Recorder {
    async fn making(&self, trace: &Texts) {
        self.hears("making", trace).await;
    }

    async fn made(&self, metadata: &Texts) {
        self.hears("made", metadata).await;
    }

    async fn unmade(&self) {
        self.hears("unmade", &Texts::new()).await;
    }
}

fn dynamic(recorder: &Arc<Recorder>) -> Arc<dyn Witness> {
    recorder.clone()
}

#[tokio::test]
async fn each_step_is_told_before_the_gateway_hears_of_it() {
    let shop = Shop::new().await;
    let recorder = Recorder::of(&shop);
    let grant = shop.subscribe_before(&call(), &dynamic(&recorder)).await.unwrap();
    let trace = texts(&[("aws-account-id", ACCOUNT), ("aws-region", REGION)]);
    let heard = [
        Heard { what: "making", told: trace, came: [0, 0, 0] },
        Heard { what: "made", told: grant.metadata, came: [1, 0, 0] },
    ];
    assert_eq!(*recorder.heard.borrow(), heard);
    assert_eq!(shop.keys(), 1);
}

#[tokio::test]
async fn what_is_refused_before_anything_is_made_is_not_told() {
    let shop = Shop::new().await;
    let recorder = Recorder::of(&shop);
    let api = shop.pets().await;
    let unknown = asking(&api, "no-plan-at-all");
    shop.provider.subscribe(&call(), &api.id, &unknown, &dynamic(&recorder)).await.unwrap_err();
    shop.subscribe_before(&call_for(Duration::from_millis(500)), &dynamic(&recorder)).await.unwrap_err();
    assert_eq!(recorder.words(), [""; 0]);
}

#[tokio::test]
async fn a_refused_key_is_unmade() {
    for (failure, budget) in [
        (Failure::Denied, 20_000),
        (Failure::LimitExceeded, 20_000),
        (Failure::Error(409, "ConflictException", "API Key already exists"), 20_000),
        (Failure::Error(400, "BadRequestException", "No"), 20_000),
        // Until there is no time left.
        (Failure::Throttled(None), 2_200),
    ] {
        let shop = Shop::new().await;
        let recorder = Recorder::of(&shop);
        shop.gateway().fault(failure.clone().on(Operation::CreateApiKey));
        shop.subscribe_before(&call_for(Duration::from_millis(budget)), &dynamic(&recorder)).await.unwrap_err();
        assert_eq!((recorder.words(), shop.keys()), (vec!["making", "unmade"], 0), "{failure:?}");
    }
}

#[tokio::test]
async fn a_throttled_key_is_made_once_and_told_once() {
    let shop = Shop::new().await;
    let recorder = Recorder::of(&shop);
    shop.gateway().fault(Failure::Throttled(None).on(Operation::CreateApiKey).times(2));
    shop.subscribe_before(&call(), &dynamic(&recorder)).await.unwrap();
    assert_eq!((recorder.words(), shop.keys()), (vec!["making", "made"], 1));
}

/// What may be there stays in the making, and what was told then is enough to remove it.
#[tokio::test]
async fn a_key_whose_answer_was_lost_stays_in_the_making_and_is_swept() {
    for (failure, is_there) in [
        (Failure::CutBefore, false),
        (Failure::CutAfter, true),
        (Failure::CutAmid, true),
        (Failure::Garbage, true),
        (Failure::Answer("{}"), true),
        (Failure::Error(500, "InternalFailure", "Broken"), false),
    ] {
        let shop = Shop::new().await;
        let recorder = Recorder::of(&shop);
        shop.gateway().fault(failure.clone().on(Operation::CreateApiKey).times(1));
        let error = shop.subscribe_before(&call(), &dynamic(&recorder)).await.unwrap_err();
        for told in ["gravitee-", "iam/find-leftovers.json", "federation-agent grants"] {
            assert!(error.sentence().contains(told), "{failure:?}: {error}");
        }
        let expected: (_, usize, _) = (vec!["making"], usize::from(is_there), 0);
        assert_eq!(
            (recorder.words(), shop.keys(), shop.gateway().count(Operation::GetApiKeys)),
            expected,
            "{failure:?}"
        );

        let trace = recorder.last("making").await.told;
        let subscription = leaving(Texts::new()).id;
        let swept = shop.provider.sweep(&call(), "x", &subscription, &trace, &[]).await.unwrap();
        let expected = if is_there { Revoked::Deleted } else { Revoked::AlreadyGone };
        assert_eq!((swept, shop.keys()), (expected, 0), "{failure:?}");
    }
}

/// Whatever the gateway did of the binding: deleting the key ends it, and then only it is unmade.
#[tokio::test]
async fn a_key_that_is_not_bound_is_unmade_when_it_is_deleted() {
    for failure in [
        Failure::Denied,
        Failure::LimitExceeded,
        Failure::Error(404, "NotFoundException", "Invalid Usage Plan identifier specified"),
        Failure::Error(409, "ConflictException", "Usage plan key already exists"),
        Failure::Error(500, "InternalFailure", "Broken"),
        Failure::CutBefore,
        Failure::CutAfter,
        Failure::CutAmid,
        Failure::Garbage,
    ] {
        let shop = Shop::new().await;
        let recorder = Recorder::of(&shop);
        shop.gateway().fault(failure.clone().on(Operation::CreateUsagePlanKey));
        shop.subscribe_before(&call(), &dynamic(&recorder)).await.unwrap_err();
        assert_eq!(recorder.words(), ["making", "made", "unmade"], "{failure:?}");
        assert_eq!(recorder.last("unmade").await.came[2], 1, "{failure:?}: after the delete");
        assert_eq!(shop.gateway().with(|estate| estate.key_counts()), (0, 0), "{failure:?}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_deleted_stays_made_and_is_removed_by_what_was_told() {
    let outage = Failure::Error(503, "ServiceUnavailableException", "Later");
    let failures = [Failure::Denied, Failure::Throttled(None), outage];
    // All at once: undoing takes its time.
    futures_util::future::join_all(failures.map(undeletable)).await;
}

async fn undeletable(failure: Failure) {
    let shop = Shop::new().await;
    let recorder = Recorder::of(&shop);
    // It is bound, and nobody knows it.
    shop.gateway().fault(Failure::CutAfter.on(Operation::CreateUsagePlanKey));
    shop.gateway().fault(failure.clone().on(Operation::DeleteApiKey));
    let brief = call_for(Duration::from_millis(2_300));
    let error = shop.subscribe_before(&brief, &dynamic(&recorder)).await.expect_err("it cannot be bound");
    assert!(error.sentence().contains("goes on trying"), "{failure:?}: {error}");
    assert_eq!(recorder.words(), ["making", "made"], "{failure:?}");
    assert_eq!(shop.gateway().with(|estate| estate.key_counts()), (1, 1), "{failure:?}");

    shop.gateway().heal();
    let lasting = shop.provider.lasting(&recorder.last("made").await.told);
    assert_eq!(shop.provider.key_id(&lasting).as_deref(), Some(lasting["aws-api-key-id"].as_str()));
    let revoked = shop.provider.unsubscribe(&call(), "x", &leaving(lasting)).await.expect("it can be deleted now");
    assert_eq!(revoked, Revoked::Deleted, "{failure:?}");
    assert_eq!(shop.gateway().with(|estate| estate.key_counts()), (0, 0), "{failure:?}");
}

/// A gateway may need a moment until it knows of what it has made: one "not found" does not make it gone.
#[tokio::test]
async fn a_new_key_that_the_gateway_does_not_know_yet_is_deleted_all_the_same() {
    let shop = Shop::new().await;
    let recorder = Recorder::of(&shop);
    shop.gateway().fault(Failure::Denied.on(Operation::CreateUsagePlanKey));
    let unknown = Failure::Error(404, "NotFoundException", "Invalid API Key identifier specified");
    shop.gateway().fault(unknown.on(Operation::DeleteApiKey).times(1));
    shop.subscribe_before(&call(), &dynamic(&recorder)).await.unwrap_err();
    assert_eq!((recorder.words(), shop.keys()), (vec!["making", "made", "unmade"], 0));
}

#[tokio::test]
async fn a_command_that_is_cancelled_while_the_witness_is_told_ends_as_it_was_told() {
    for (when, heard, came) in
        [("making", &["making", "unmade"][..], [0, 0, 0]), ("made", &["making", "made", "unmade"], [1, 0, 1])]
    {
        let shop = Shop::new().await;
        let wanted = call();
        let recorder = Recorder::of(&shop).does(when, Does::Cancels(wanted.cancel.clone()));
        shop.subscribe_before(&wanted, &dynamic(&recorder)).await.unwrap_err();
        assert_eq!((recorder.words(), shop.keys()), (heard.to_vec(), 0), "{when}");
        assert_eq!(recorder.last("unmade").await.came, came, "{when}");
    }
}

/// Cancelled, or dropped by whoever asked, while the gateway is at it.
#[tokio::test]
async fn a_command_that_ends_while_the_gateway_works_is_undone_and_told() {
    for operation in [Operation::CreateApiKey, Operation::CreateUsagePlanKey] {
        for dropped in [false, true] {
            let shop = Shop::new().await;
            let recorder = Recorder::of(&shop);
            let api = shop.pets().await;
            shop.gateway().forget();
            let held = CancellationToken::new();
            shop.gateway().fault(Failure::Held(held.clone()).on(operation));
            let wanted = call();
            let asked = tokio::spawn({
                let (provider, wanted, witness) = (shop.provider.clone(), wanted.clone(), dynamic(&recorder));
                async move { provider.subscribe(&wanted, &api.id, &asking(&api, GOLD), &witness).await }
            });
            let came = |request: &Request| request.operation == Some(operation);
            shop.gateway().until(|requests| requests.iter().any(came)).await;
            if dropped {
                asked.abort();
                assert!(asked.await.unwrap_err().is_cancelled());
                held.cancel();
            } else {
                wanted.cancel.cancel();
                held.cancel();
                asked.await.unwrap().expect_err("nobody waits for it");
            }
            recorder.last("unmade").await;
            assert_eq!(recorder.words(), ["making", "made", "unmade"], "{operation:?} {dropped}");
            assert_eq!(shop.keys(), 0, "{operation:?} {dropped}");
        }
    }
}

/// A disk that hangs uses up the command's time: nothing is begun then, or what is there is undone.
#[tokio::test]
async fn a_witness_that_takes_its_time_is_waited_for() {
    for (when, takes, heard) in
        [("making", 600, &["making", "unmade"][..]), ("made", 2_600, &["making", "made", "unmade"])]
    {
        let shop = Shop::new().await;
        let recorder = Recorder::of(&shop).does(when, Does::Takes(Duration::from_millis(takes)));
        let error = shop.subscribe_before(&call_for(Duration::from_millis(2_500)), &dynamic(&recorder)).await;
        assert!(error.unwrap_err().class().is_passing(), "{when}");
        let created = u64::from(when == "made");
        assert_eq!(recorder.words(), heard, "{when}");
        assert_eq!((shop.gateway().count(Operation::CreateApiKey), shop.keys()), (created, 0), "{when}");
    }
}
