//! A gateway that does what a test says.

use super::*;

pub(super) type Script<I, O> = Box<dyn Fn(I) -> BoxFuture<'static, O> + Send + Sync>;

/// How the error of a SUBSCRIBE begins whose making was not answered.
pub(super) const LOST: &str = "the answer was lost";

/// A gateway that does what a test says.
pub(super) struct Gateway {
    list: Script<(Call, mpsc::Sender<Found>), Result<(), Error>>,
    read: Script<(Call, Listed), Result<Api, Error>>,
    subscribe: Script<(Call, Subscription), Result<Grant, Error>>,
    unsubscribe: Script<(Call, Subscription), Result<Revoked, Error>>,
    sweep: Script<Texts, Result<Revoked, Error>>,
    /// What was called, in order: `list`, `read orders`, `subscribe s1`, `unsubscribe s1`.
    calls: Mutex<Vec<String>>,
    /// The metadata of every unsubscription.
    pub(super) removed: Mutex<Vec<Texts>>,
    busy: AtomicUsize,
    pub(super) busiest: AtomicUsize,
}

impl Gateway {
    /// With these APIs in one source, everything allowed and at once.
    pub(super) fn of(names: &[&str]) -> Self {
        let finds: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            list: Box::new(move |(_, found)| {
                let finds = finds.clone();
                async move {
                    for name in finds {
                        // A closed receiver ends the work early.
                        if found.send(Found::Api(Box::new(listed(&name, "account 1, eu-west-1")))).await.is_err() {
                            break;
                        }
                    }
                    Ok(())
                }
                .boxed()
            }),
            read: Box::new(|(_, listed)| async move { Ok(with_document(listed.api, 100)) }.boxed()),
            subscribe: Box::new(|(_, subscription)| async move { Ok(grant(&subscription.id)) }.boxed()),
            unsubscribe: Box::new(|_| async { Ok(Revoked::Deleted) }.boxed()),
            sweep: Box::new(|_| async { Ok(Revoked::AlreadyGone) }.boxed()),
            calls: Mutex::default(),
            removed: Mutex::default(),
            busy: AtomicUsize::new(0),
            busiest: AtomicUsize::new(0),
        }
    }

    pub(super) fn list<F>(mut self, list: impl Fn(Call, mpsc::Sender<Found>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.list = Box::new(move |(call, found)| list(call, found).boxed());
        self
    }

    pub(super) fn read<F>(mut self, read: impl Fn(Call, Listed) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Api, Error>> + Send + 'static,
    {
        self.read = Box::new(move |(call, listed)| read(call, listed).boxed());
        self
    }

    pub(super) fn subscribe<F>(mut self, subscribe: impl Fn(Call, Subscription) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Grant, Error>> + Send + 'static,
    {
        self.subscribe = Box::new(move |(call, subscription)| subscribe(call, subscription).boxed());
        self
    }

    pub(super) fn unsubscribe<F>(
        mut self,
        unsubscribe: impl Fn(Call, Subscription) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Revoked, Error>> + Send + 'static,
    {
        self.unsubscribe = Box::new(move |(call, subscription)| unsubscribe(call, subscription).boxed());
        self
    }

    pub(super) fn sweep<F>(mut self, sweep: impl Fn(Texts) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Revoked, Error>> + Send + 'static,
    {
        self.sweep = Box::new(move |trace| sweep(trace).boxed());
        self
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    pub(super) fn count(&self, call: &str) -> usize {
        self.calls().iter().filter(|made| made.starts_with(call)).count()
    }

    async fn note<T>(&self, call: String, work: BoxFuture<'static, T>) -> T {
        self.calls.lock().unwrap().push(call);
        self.busiest.fetch_max(self.busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let done = work.await;
        self.busy.fetch_sub(1, Ordering::SeqCst);
        done
    }
}

#[async_trait]
impl Provider for Gateway {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn describe(&self) -> Vec<String> {
        Vec::new()
    }

    async fn list(&self, call: &Call, found: mpsc::Sender<Found>) -> Result<(), Error> {
        self.note("list".into(), (self.list)((call.clone(), found))).await
    }

    async fn read(&self, call: &Call, listed: &Listed) -> Result<Api, Error> {
        self.note(format!("read {}", listed.api.id), (self.read)((call.clone(), listed.clone()))).await
    }

    async fn subscribe(
        &self,
        call: &Call,
        _: &str,
        subscription: &Subscription,
        witness: &Arc<dyn Witness>,
    ) -> Result<Grant, Error> {
        witness.making(&Texts::from([("where".into(), "here".into())])).await;
        let work = (self.subscribe)((call.clone(), subscription.clone()));
        let made = self.note(format!("subscribe {}", subscription.id), work).await;
        match &made {
            Ok(grant) => witness.made(&grant.metadata).await,
            Err(error) if error.sentence().starts_with(LOST) => {}
            Err(_) => witness.unmade().await,
        }
        made
    }

    async fn unsubscribe(&self, call: &Call, _: &str, subscription: &Subscription) -> Result<Revoked, Error> {
        self.removed.lock().unwrap().push(subscription.metadata.clone());
        let work = (self.unsubscribe)((call.clone(), subscription.clone()));
        self.note(format!("unsubscribe {}", subscription.id), work).await
    }

    async fn sweep(
        &self,
        _: &Call,
        _: &str,
        subscription_id: &str,
        trace: &Texts,
        spare: &[Texts],
    ) -> Result<Revoked, Error> {
        let spared: Vec<&str> = spare.iter().map(|metadata| metadata["key-id"].as_str()).collect();
        let work = (self.sweep)(trace.clone());
        self.note(format!("sweep {subscription_id} but {spared:?}"), work).await
    }

    async fn keys(&self, _: &Call, _: &BTreeSet<String>, _: mpsc::Sender<Keys>) -> Result<(), Error> {
        Ok(())
    }

    fn lasting(&self, metadata: &Texts) -> Texts {
        metadata.clone()
    }

    fn key_id(&self, metadata: &Texts) -> Option<String> {
        metadata.get("key-id").cloned()
    }

    async fn check(&self, _: &Call, _: mpsc::Sender<Finding>) {}

    fn least_policy(&self) -> String {
        String::new()
    }

    fn calls(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}
