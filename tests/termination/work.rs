//! What can be under way when a signal comes, and how it is brought about.

use federation_agent::{
    plane::Plane,
    standin::{Failure, Operation, Request},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    ONE,
    support::{Stage, soon},
};

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing.
    Idle,
    /// SUBSCRIBE; CreateApiKey is not answered, and does nothing.
    Making,
    /// SUBSCRIBE; CreateApiKey has made the key and is not answered.
    Made,
    /// SUBSCRIBE; CreateUsagePlanKey is not answered, and does nothing.
    Binding,
    /// SUBSCRIBE; CreateUsagePlanKey has bound the key and is not answered.
    Bound,
    /// SUBSCRIBE; CreateUsagePlanKey is answered after the signal.
    Late,
    /// UNSUBSCRIBE; DeleteApiKey is not answered, and does nothing.
    Taking,
    /// UNSUBSCRIBE; DeleteApiKey has deleted the key and is not answered.
    Taken,
    /// START_INGEST; no document comes.
    Counting,
    /// An ingest job that the plane has time to learn of.
    Ingesting,
    /// DISCOVER; the list does not come.
    Discovering,
}

impl Work {
    pub(crate) const ALL: [Self; 11] = [
        Self::Idle,
        Self::Making,
        Self::Made,
        Self::Binding,
        Self::Bound,
        Self::Late,
        Self::Taking,
        Self::Taken,
        Self::Counting,
        Self::Ingesting,
        Self::Discovering,
    ];

    /// For the matrix.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Making => "SUBSCRIBE, CreateApiKey hangs",
            Self::Made => "SUBSCRIBE, CreateApiKey done, no answer",
            Self::Binding => "SUBSCRIBE, CreateUsagePlanKey hangs",
            Self::Bound => "SUBSCRIBE, CreateUsagePlanKey done, no answer",
            Self::Late => "SUBSCRIBE, the gateway answers late",
            Self::Taking => "UNSUBSCRIBE, DeleteApiKey hangs",
            Self::Taken => "UNSUBSCRIBE, DeleteApiKey done, no answer",
            Self::Counting => "START_INGEST, GetExport hangs",
            Self::Ingesting => "an ingest job",
            Self::Discovering => "DISCOVER, GetRestApis hangs",
        }
    }

    /// The call that the gateway does not answer.
    fn call(self) -> Option<Operation> {
        match self {
            Self::Idle | Self::Ingesting => None,
            Self::Making | Self::Made => Some(Operation::CreateApiKey),
            Self::Binding | Self::Bound | Self::Late => Some(Operation::CreateUsagePlanKey),
            Self::Taking | Self::Taken => Some(Operation::DeleteApiKey),
            Self::Counting => Some(Operation::GetExport),
            Self::Discovering => Some(Operation::GetRestApis),
        }
    }

    /// What the agent must be set to.
    pub(crate) fn setting(self) -> (&'static str, &'static str) {
        // Longer than any drain, so that the signal comes while the job waits.
        ("FEDERATION_AGENT_INGEST_PAUSE", if self == Self::Ingesting { "30s" } else { "300ms" })
    }

    /// Brings it about: returns when the gateway has been asked what it does not answer.
    pub(crate) async fn begin(self, stage: &Stage) -> Begun {
        let release = CancellationToken::new();
        let mut subscribed = None;
        let mut api = String::new();
        if !matches!(self, Self::Idle | Self::Counting | Self::Ingesting | Self::Discovering) {
            api = stage.ingested(ONE).await;
        }
        if matches!(self, Self::Taking | Self::Taken) {
            let made = soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "shop")).await;
            subscribed = Some(made.expect("a subscription to be taken away").id);
        }
        if self == Self::Ingesting {
            let job = soon("START_INGEST", stage.plane.ingest(ONE, [] as [&str; 0])).await.expect("a job");
            let plane = stage.plane.clone();
            let reply = tokio::spawn(async move {
                // The plane gives a job up after five minutes; here that is over when the session is.
                tokio::select! {
                    biased;
                    ended = job.ended() => format!("{:?}, {} APIs", ended.phase, ended.received),
                    () = plane.until(|plane| !plane.endings().is_empty()) => "no end of the job".to_owned(),
                }
            });
            return Begun { release, reply: Some(reply) };
        }
        let Some(call) = self.call() else {
            return Begun { release, reply: None };
        };
        stage.gateway.forget();
        let held = match self {
            Self::Made | Self::Bound | Self::Taken => Failure::Withheld(release.clone()),
            _ => Failure::Held(release.clone()),
        };
        stage.gateway.fault(held.on(call));
        let plane = stage.plane.clone();
        let reply = tokio::spawn(async move { ask(self, plane, api, subscribed).await });
        let asked = |requests: &[Request]| requests.iter().any(|request| request.operation == Some(call));
        soon(call.name(), stage.gateway.until(asked)).await;
        Begun { release, reply: Some(reply) }
    }
}

/// Gives the command; what it was answered with, in the matrix's words.
async fn ask(work: Work, plane: Plane, api: String, subscription: Option<String>) -> String {
    let told = match work {
        Work::Counting => plane.ingest(ONE, [] as [&str; 0]).await.map(|_| ()),
        Work::Discovering => plane.discover(ONE).await.map(|_| ()),
        Work::Taking | Work::Taken => plane.unsubscribe(&subscription.unwrap_or_default()).await,
        _ => plane.subscribe(ONE, &api, "g0ld77", "shop").await.map(|_| ()),
    };
    match told {
        Ok(()) => "SUCCEEDED".to_owned(),
        Err(error) => format!("ERROR: {error}"),
    }
}

/// Work that is under way.
pub(crate) struct Begun {
    /// Lets the gateway answer.
    pub(crate) release: CancellationToken,
    /// What the command was answered with; `None` when there was none.
    pub(crate) reply: Option<JoinHandle<String>>,
}

impl Begun {
    /// What the plane was answered.
    pub(crate) async fn reply(self) -> String {
        match self.reply {
            Some(reply) => soon("the reply", reply).await.expect("it does not panic"),
            None => "-".to_owned(),
        }
    }
}
