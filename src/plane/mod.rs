//! A controller of our own: the other end of the link, for the demo and the tests.
//!
//! It does what the recorded controller does, defects included (`tests/conformance.rs`), and keeps Gravitee's rules for
//! jobs, APIs and subscriptions. It can be made to misbehave ([`Behaviour`]), and tells what it has seen ([`Seen`]).

mod behaviour;
mod control;
mod hub;
mod job;
mod session;
mod settings;
mod socket;
mod store;
mod upgrade;

#[cfg(test)]
mod tests;

pub use behaviour::{Behaviour, Ending, Seen};
pub use job::{Job, JobState, Phase};
pub use settings::{PlaneError, PlaneSettings};
pub use store::PlaneSubscription;

use std::{io, net::SocketAddr, sync::Arc};

use http::HeaderMap;
use secrecy::SecretString;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, ToSocketAddrs},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::DropGuard;
use uuid::Uuid;

use self::{
    hub::{Hub, Order, succeeded},
    store::Integration,
};
use crate::{
    exchange::{Command, CommandBody, Discovered, Reply, ReplyBody},
    model::{Api, Subscription, SubscriptionKind},
};

/// A management plane. Cheap to clone; it stops when the last clone is dropped.
#[derive(Clone)]
pub struct Plane {
    hub: Arc<Hub>,
    address: Option<SocketAddr>,
    /// Stops the listener and all connections. `None` for the plane's own use.
    _stop: Option<Arc<DropGuard>>,
}

impl Plane {
    /// A plane that listens nowhere; see [`serve_stream`](Self::serve_stream).
    pub fn new(settings: PlaneSettings) -> Self {
        let hub = Hub::new(settings);
        let stop = Arc::new(hub.stop.clone().drop_guard());
        Self { hub, address: None, _stop: Some(stop) }
    }

    /// A plane that listens on `address`; port 0 takes a free one.
    pub async fn bind(address: impl ToSocketAddrs, settings: PlaneSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let mut plane = Self::new(settings);
        plane.address = Some(listener.local_addr()?);
        tokio::spawn(accept(Arc::clone(&plane.hub), listener));
        Ok(plane)
    }

    /// The plane behind `hub`, for its own use.
    fn of(hub: &Arc<Hub>) -> Self {
        Self { hub: Arc::clone(hub), address: None, _stop: None }
    }

    /// Serves one connection that was accepted elsewhere: the upgrade comes first. Done in the background.
    pub fn serve_stream<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        tokio::spawn(upgrade::serve(Arc::clone(&self.hub), stream));
    }

    /// Where it listens; `None` when it does not.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The endpoint to be given to an agent, prefix included: `http://127.0.0.1:34567`. Empty when it does not listen.
    /// With TLS the host is `localhost`, so that a certificate can name it.
    pub fn url(&self) -> String {
        let prefix = self.hub.settings.prefix.trim_end_matches('/');
        match (self.address, &self.hub.settings.tls) {
            (Some(address), Some(_)) => format!("https://localhost:{}{prefix}", address.port()),
            (Some(address), None) => format!("http://{address}{prefix}"),
            (None, _) => String::new(),
        }
    }

    /// The token that it takes.
    pub fn token(&self) -> &SecretString {
        &self.hub.settings.token
    }

    /// How it is.
    pub fn settings(&self) -> &PlaneSettings {
        &self.hub.settings
    }

    /// Makes an integration known, or changes its provider's type.
    pub fn register(&self, integration: &str, provider: &str) {
        self.hub.change(|state| {
            let known = state.integrations.entry(integration.to_owned());
            known.or_insert_with(|| Integration::new(provider)).provider = provider.into();
        });
    }

    /// Treats every connection from now on in this way.
    pub fn behave(&self, behaviour: Behaviour) {
        self.hub.change(|state| state.always = behaviour);
    }

    /// Treats the next connection in this way; called again, the one after it.
    pub fn behave_once(&self, behaviour: Behaviour) {
        self.hub.change(|state| state.next.push_back(behaviour));
    }

    /// From now on the agents of an integration get its commands in turn, as where they hang on different controllers of
    /// one cluster.
    pub fn ask_in_turn(&self) {
        self.hub.change(|state| state.in_turn = true);
    }

    /// Waits until `holds` of this plane. Looked at after each thing that happens to it.
    pub async fn until(&self, holds: impl Fn(&Self) -> bool) {
        self.hub.until(|| holds(self)).await;
    }

    /// Waits until an agent has a channel for `integration`: the console shows *Connected*.
    pub async fn connected(&self, integration: &str) {
        self.until(|plane| plane.is_connected(integration)).await;
    }

    /// Waits until no agent has a channel for `integration`.
    pub async fn disconnected(&self, integration: &str) {
        self.until(|plane| !plane.is_connected(integration)).await;
    }

    /// Whether an agent has a channel for `integration`.
    pub fn is_connected(&self, integration: &str) -> bool {
        self.channels(integration) > 0
    }

    /// How many connections are channels, of all integrations.
    pub fn sessions(&self) -> usize {
        self.hub.channels(None)
    }

    /// How many agents have a channel for `integration`.
    pub fn channels(&self, integration: &str) -> usize {
        self.hub.channels(Some(integration))
    }

    /// What it has seen since it began.
    pub fn seen(&self) -> Seen {
        self.hub.state().seen
    }

    /// How connections ended by the connectors' doing, in order.
    pub fn endings(&self) -> Vec<Ending> {
        self.hub.state().endings.clone()
    }

    /// Path and headers of the last upgrade that was asked for.
    pub fn last_request(&self) -> Option<(String, HeaderMap)> {
        self.hub.state().last_request.clone()
    }

    /// The APIs of `integration`, as they are stored, by `unique_id`.
    pub fn apis(&self, integration: &str) -> Vec<Api> {
        let state = self.hub.state();
        state.integrations.get(integration).map(|known| known.apis.values().cloned().collect()).unwrap_or_default()
    }

    /// The accepted subscriptions of `integration`.
    pub fn subscriptions(&self, integration: &str) -> Vec<PlaneSubscription> {
        let state = self.hub.state();
        let known = state.integrations.get(integration);
        known.map(|known| known.subscriptions.values().cloned().collect()).unwrap_or_default()
    }

    /// The last ingest of `integration`.
    pub fn last_job(&self, integration: &str) -> Option<JobState> {
        let state = self.hub.state();
        let known = state.integrations.get(integration)?;
        known.jobs.get(known.last_job.as_ref()?).map(|job| job.borrow().clone())
    }

    /// Sends any command and waits for its reply, whatever its status.
    pub async fn send(&self, integration: &str, body: CommandBody) -> Result<Reply, PlaneError> {
        self.send_as(integration, &Uuid::new_v4().to_string(), body).await
    }

    /// The same with a command id of one's own, to send the same command twice.
    pub async fn send_as(&self, integration: &str, id: &str, body: CommandBody) -> Result<Reply, PlaneError> {
        self.hub.send(integration, Command { id: id.to_owned(), body }, None).await
    }

    /// Sends bytes as they are, as one message, to the first channel of `integration`.
    pub async fn send_raw(&self, integration: &str, bytes: Vec<u8>) -> Result<(), PlaneError> {
        let first = self.hub.orders(integration).into_iter().next();
        let (_, orders) = first.ok_or_else(|| PlaneError::NotConnected(integration.to_owned()))?;
        orders.send(Order::Say(bytes)).await.map_err(|_| PlaneError::ChannelClosed)
    }

    /// What the console's *Discover* shows.
    pub async fn discover(&self, integration: &str) -> Result<Discovered, PlaneError> {
        match succeeded(self.send(integration, CommandBody::Discover).await?)? {
            ReplyBody::Discover(Some(found)) => Ok(found),
            _ => Err(PlaneError::Strange("DISCOVER")),
        }
    }

    /// Ingests the APIs with these [`Api::id`]s, or all. Returns when START_INGEST has been answered.
    pub async fn ingest(
        &self,
        integration: &str,
        api_ids: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Job, PlaneError> {
        let job_id = Uuid::new_v4().to_string();
        let job = Arc::new(watch::Sender::new(JobState::new(&job_id)));
        self.hub.change(|state| {
            if let Some(known) = state.integrations.get_mut(integration) {
                known.jobs.insert(job_id.clone(), Arc::clone(&job));
                known.last_job = Some(job_id.clone());
            }
        });
        let api_ids = api_ids.into_iter().map(Into::into).collect();
        let command = Command { id: Uuid::new_v4().to_string(), body: CommandBody::StartIngest { job_id, api_ids } };
        match succeeded(self.hub.send(integration, command, Some(Arc::clone(&job))).await?)? {
            ReplyBody::StartIngest(Some(_)) => Ok(Job::state_of(&job)),
            _ => Err(PlaneError::Strange("START_INGEST")),
        }
    }

    /// Accepts a subscription of `application` to a plan of an API that has been ingested. An error means that the
    /// subscription is rejected, for good.
    pub async fn subscribe(
        &self,
        integration: &str,
        api_id: &str,
        plan_id: &str,
        application: &str,
    ) -> Result<PlaneSubscription, PlaneError> {
        let metadata = {
            let state = self.hub.state();
            let known = state.integrations.get(integration);
            let known = known.ok_or_else(|| PlaneError::NotFound(format!("the integration {integration}")))?;
            let api = known.api(api_id).ok_or_else(|| PlaneError::NotFound(format!("the API {api_id}")))?;
            if !api.plans.iter().any(|plan| plan.id == plan_id) {
                return Err(PlaneError::NotFound(format!("the plan {plan_id} of the API {api_id}")));
            }
            known.subscribe_metadata(api, plan_id)
        };
        let id = Uuid::new_v4().to_string();
        let asked = Subscription {
            id: id.clone(),
            application_id: Some(application.to_owned()),
            application_name: Some(application.to_owned()),
            kind: Some(SubscriptionKind::ApiKey),
            metadata,
        };
        let body = CommandBody::Subscribe { api_id: api_id.to_owned(), subscription: asked };
        let ReplyBody::Subscribe(Some(made)) = succeeded(self.send(integration, body).await?)? else {
            return Err(PlaneError::Strange("SUBSCRIBE"));
        };
        let subscription = PlaneSubscription {
            id,
            integration: integration.to_owned(),
            api_id: api_id.to_owned(),
            plan_id: plan_id.to_owned(),
            application: application.to_owned(),
            api_key: made.api_key,
            metadata: made.metadata,
        };
        self.hub.change(|state| {
            if let Some(known) = state.integrations.get_mut(integration) {
                known.subscriptions.insert(subscription.id.clone(), subscription.clone());
            }
        });
        Ok(subscription)
    }

    /// Closes an accepted subscription, by its id. On an error it stays, and this can be called again.
    pub async fn unsubscribe(&self, id: &str) -> Result<(), PlaneError> {
        self.hub.unsubscribe(id).await
    }

    /// Sends GOOD_BYE to every connection of `integration`; the connectors are to close.
    pub async fn good_bye(&self, integration: &str, reconnect: bool) {
        for (number, orders) in self.hub.orders(integration) {
            _ = orders.send(Order::GoodBye { reconnect }).await;
            self.hub.unregister(number);
        }
    }

    /// Closes every connection of `integration` with this code.
    pub async fn close(&self, integration: &str, code: u16) {
        self.order(integration, || Order::Close(code)).await;
    }

    /// Drops every connection of `integration`, with no close frame.
    pub async fn cut(&self, integration: &str) {
        self.order(integration, || Order::Cut).await;
    }

    /// The same, in the midst of a frame.
    pub async fn cut_in_frame(&self, integration: &str) {
        self.order(integration, || Order::CutInFrame).await;
    }

    /// Neither reads nor writes on the connections of `integration` any more, pongs included.
    pub async fn mute(&self, integration: &str) {
        self.order(integration, || Order::Mute).await;
    }

    async fn order(&self, integration: &str, order: impl Fn() -> Order) {
        for (_, orders) in self.hub.orders(integration) {
            _ = orders.send(order()).await;
        }
    }

    /// Stops listening and drops every connection.
    pub fn stop(&self) {
        self.hub.stop.cancel();
    }
}

/// Takes connections until the plane stops.
async fn accept(hub: Arc<Hub>, listener: TcpListener) {
    let tls = hub.settings.tls.clone().map(TlsAcceptor::from);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = hub.stop.cancelled() => return,
        };
        // A connection that could not be accepted is gone; the next one may fare better.
        let Ok((stream, _)) = accepted else {
            tokio::task::yield_now().await;
            continue;
        };
        _ = stream.set_nodelay(true);
        let (hub, tls) = (Arc::clone(&hub), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => upgrade::serve(hub, stream).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        upgrade::serve(hub, stream).await;
                    }
                }
            }
        });
    }
}
