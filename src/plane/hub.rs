//! What all connections of a plane share: integrations, channels, and who waits for which reply.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::HeaderMap;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Behaviour, Ending, PlaneError, PlaneSettings, Seen,
    job::{self, JobState},
    store::Integration,
};
use crate::{
    exchange::{self, Command, CommandBody, EncodedApi, Message, Reply, ReplyBody, Status},
    model::{Api, Subscription},
};

/// What a connection is told to do.
pub(super) enum Order {
    /// Send this message.
    Say(Vec<u8>),
    /// Throw the connector out.
    GoodBye { reconnect: bool },
    /// Close with this code.
    Close(u16),
    /// Drop the connection.
    Cut,
    /// Begin a frame, then drop the connection.
    CutInFrame,
    /// Neither read nor write any more.
    Mute,
}

/// Shared by all connections of a plane.
pub(super) struct Hub {
    pub(super) settings: PlaneSettings,
    pub(super) stop: CancellationToken,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) integrations: BTreeMap<String, Integration>,
    channels: Vec<Channel>,
    waiters: Vec<Waiter>,
    /// Numbers channels and waiters.
    count: u64,
    pub(super) next: VecDeque<Behaviour>,
    pub(super) always: Behaviour,
    pub(super) in_turn: bool,
    pub(super) seen: Seen,
    pub(super) endings: Vec<Ending>,
    pub(super) last_request: Option<(String, HeaderMap)>,
}

/// A connection whose HELLO has succeeded.
struct Channel {
    number: u64,
    integration: String,
    orders: mpsc::Sender<Order>,
    primary: bool,
}

/// Somebody who waits for a reply.
struct Waiter {
    number: u64,
    command_id: String,
    channel: u64,
    /// The job that a reply to START_INGEST begins.
    job: Option<Arc<watch::Sender<JobState>>>,
    tell: oneshot::Sender<Reply>,
}

impl Hub {
    pub(super) fn new(settings: PlaneSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            stop: CancellationToken::new(),
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        })
    }

    /// The state, to be looked at.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state; whoever waits for a change looks again.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let outcome = change(&mut self.state());
        self.changed.send_replace(());
        outcome
    }

    pub(super) async fn until(&self, holds: impl Fn() -> bool) {
        let mut changes = self.changed.subscribe();
        while !holds() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) fn encode(&self, message: &Message) -> Result<Vec<u8>, PlaneError> {
        exchange::encode(message, &self.settings.limits).map_err(|error| PlaneError::TooLong(error.to_string()))
    }

    /// What HELLO is answered with: nothing, or why it is refused.
    pub(super) fn hello(&self, target_id: &str, provider: &str) -> Result<(), String> {
        self.change(|state| {
            state.seen.hellos += 1;
            match state.integrations.get(target_id) {
                None => Err(format!("Integration [id={target_id}] not found")),
                Some(known) if known.provider != provider => Err(format!(
                    "Integration [id={target_id}] does not match. Expected provider [provider={}]",
                    known.provider
                )),
                Some(_) => Ok(()),
            }
        })
    }

    /// A number for a connection.
    pub(super) fn number(&self) -> u64 {
        let mut state = self.state();
        state.count += 1;
        state.count
    }

    /// From now on `number` is a channel of `integration`; whether it is the primary one.
    pub(super) fn register(&self, number: u64, integration: &str, orders: mpsc::Sender<Order>) -> bool {
        self.change(|state| {
            let primary = !state.channels.iter().any(|channel| channel.integration == integration);
            state.channels.push(Channel { number, integration: integration.to_owned(), orders, primary });
            primary
        })
    }

    /// The connection has ended: whoever waits for its replies learns it at once.
    pub(super) fn forget(&self, number: u64) {
        self.change(|state| state.waiters.retain(|waiter| waiter.channel != number));
    }

    /// `number` is no channel any more; another becomes primary.
    pub(super) fn unregister(&self, number: u64) {
        let promoted = self.change(|state| {
            let at = state.channels.iter().position(|channel| channel.number == number)?;
            let gone = state.channels.remove(at);
            let heir = state.channels.iter_mut().find(|channel| channel.integration == gone.integration)?;
            (gone.primary && !heir.primary).then(|| {
                heir.primary = true;
                heir.orders.clone()
            })
        });
        let Some(orders) = promoted else { return };
        let command = Command { id: Uuid::new_v4().to_string(), body: CommandBody::Primary { primary: true } };
        if let Ok(bytes) = self.encode(&Message::Command(command)) {
            // A queue that is full belongs to a connection that is stuck: it will not miss it.
            let _ = orders.try_send(Order::Say(bytes));
        }
    }

    /// How many channels `integration` has, or all have.
    pub(super) fn channels(&self, integration: Option<&str>) -> usize {
        let state = self.state();
        state.channels.iter().filter(|channel| integration.is_none_or(|id| channel.integration == id)).count()
    }

    /// The queues of all channels of `integration`.
    pub(super) fn orders(&self, integration: &str) -> Vec<(u64, mpsc::Sender<Order>)> {
        let state = self.state();
        let of = state.channels.iter().filter(|channel| channel.integration == integration);
        of.map(|channel| (channel.number, channel.orders.clone())).collect()
    }

    /// Sends a command to the first channel of `integration` and waits for its reply.
    pub(super) async fn send(
        &self,
        integration: &str,
        command: Command,
        job: Option<Arc<watch::Sender<JobState>>>,
    ) -> Result<Reply, PlaneError> {
        let (tell, told) = oneshot::channel();
        let command_id = command.id.clone();
        let bytes = self.encode(&Message::Command(command))?;
        let (orders, waiter) = {
            let mut state = self.state();
            let of = state.channels.iter().position(|channel| channel.integration == integration);
            let Some(at) = of else { return Err(PlaneError::NotConnected(integration.to_owned())) };
            if state.in_turn {
                state.channels[at..].rotate_left(1);
            }
            let at = if state.in_turn { state.channels.len() - 1 } else { at };
            let (orders, channel) = (state.channels[at].orders.clone(), state.channels[at].number);
            state.count += 1;
            let number = state.count;
            state.waiters.push(Waiter { number, command_id, channel, job, tell });
            (orders, Waiting { hub: self, number })
        };
        let wait = self.settings.reply_wait;
        let asked = async {
            orders.send(Order::Say(bytes)).await.map_err(|_| PlaneError::ChannelClosed)?;
            told.await.map_err(|_| PlaneError::ChannelClosed)
        };
        let reply = tokio::time::timeout(wait, asked).await.map_err(|_| PlaneError::Silence(wait))?;
        drop(waiter);
        reply
    }

    /// Hands a reply to the first who waits for it.
    pub(super) fn deliver(&self, channel: u64, reply: Reply) {
        let waiter = self.change(|state| {
            let waits = |waiter: &Waiter| waiter.channel == channel && waiter.command_id == reply.command_id;
            let at = state.waiters.iter().position(waits).filter(|_| !matches!(reply.status, Status::Other(_)));
            state.seen.lost += usize::from(at.is_none());
            at.map(|at| state.waiters.remove(at))
        });
        let Some(waiter) = waiter else { return };
        if let (Some(tell), Status::Succeeded, ReplyBody::StartIngest(Some(started))) =
            (&waiter.job, &reply.status, &reply.body)
        {
            // Begun here, not by who waits: how soon that task runs must not decide whether an INGEST is dropped.
            job::begin(tell, started.total, self.settings.job_delay, self.settings.job_deadline);
        }
        let _ = waiter.tell.send(reply);
    }

    /// Stores what an INGEST brings, ending the subscriptions of plans that are gone. An INGEST of no job is dropped.
    /// Refused, and then lost, when an API cannot be read.
    pub(super) async fn ingest(
        &self,
        integration: &str,
        job_id: &str,
        apis: &[EncodedApi],
        done: bool,
    ) -> Result<(), exchange::DecodeError> {
        let apis = apis.iter().map(EncodedApi::decode).collect::<Result<Vec<Api>, _>>()?;
        let job = self.state().integrations.get(integration).and_then(|known| known.jobs.get(job_id).cloned());
        let Some(job) = job else { return Ok(()) };
        if !job::heard(&job, self.settings.job_deadline) {
            return Ok(());
        }
        let count = apis.len();
        'apis: for api in apis {
            let ended = self.state().integrations.get(integration).map(|known| known.ended_by(&api));
            for subscription in ended.unwrap_or_default() {
                if self.unsubscribe(&subscription).await.is_err() {
                    // The plane gives up this API's update and keeps the plan; the next ingest tries again.
                    continue 'apis;
                }
            }
            self.change(|state| state.integrations.get_mut(integration).map(|known| known.store(api)));
        }
        job::stored(&job, count, done);
        self.change(|_| ());
        Ok(())
    }

    /// Ends an accepted subscription; it stays when the agent does not confirm.
    pub(super) async fn unsubscribe(&self, id: &str) -> Result<(), PlaneError> {
        let (integration, body) = {
            let state = self.state();
            let known = state.integrations.values().find_map(|known| Some((known, known.subscriptions.get(id)?)));
            let (known, subscription) = known.ok_or_else(|| PlaneError::NotFound(format!("the subscription {id}")))?;
            let metadata = known.unsubscribe_metadata(subscription);
            let told =
                Subscription { id: id.to_owned(), application_id: None, application_name: None, kind: None, metadata };
            let body = CommandBody::Unsubscribe { api_id: subscription.api_id.clone(), subscription: told };
            (subscription.integration.clone(), body)
        };
        let command = Command { id: Uuid::new_v4().to_string(), body };
        succeeded(self.send(&integration, command, None).await?)?;
        self.change(|state| {
            state.integrations.get_mut(&integration).and_then(|known| known.subscriptions.remove(id));
        });
        Ok(())
    }
}

/// The reply, unless it says that the command failed.
pub(super) fn succeeded(reply: Reply) -> Result<ReplyBody, PlaneError> {
    match reply.status {
        Status::Succeeded => Ok(reply.body),
        _ => Err(PlaneError::Failed(reply.error.unwrap_or_else(|| "no reason given".into()))),
    }
}

/// Forgets a question when nobody waits for its reply any more.
struct Waiting<'a> {
    hub: &'a Hub,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.hub.state().waiters.retain(|waiter| waiter.number != self.number);
    }
}
