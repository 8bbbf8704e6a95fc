//! DISCOVER: the preview. A list that outlives its command goes on, and the next DISCOVER within ten minutes uses it.

use std::{
    collections::HashSet,
    sync::{
        Arc, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Agent,
    command::{Done, Outcome},
    fault::caught,
    guard::{self, Verdict},
    patience::{Event, Lister},
    scout::names,
    shape::shape,
    shutting_down,
    tally::Tally,
};
use crate::{
    exchange::{Discovered, ReplyBody},
    model::{Api, Class, Error, Texts},
    observe::span,
    provider::{Call, Found},
};

/// How long a list may take, also when no command waits for it any more: a call for each of ten thousand APIs, eight a
/// second, takes half an hour. One that [finds nothing](super::patience::IDLE) for minutes is ended before.
pub(super) const LISTING: Duration = Duration::from_hours(2);

/// How long what a late list found is used.
const KEPT: Duration = Duration::from_mins(10);

/// A list of the gateway, under way or ended.
pub(super) struct Listing {
    progress: watch::Sender<Progress>,
    /// A DISCOVER ran out of time with it: it goes on and is kept.
    late: AtomicBool,
    cancel: CancellationToken,
}

#[derive(Default)]
struct Progress {
    /// All that the preview reads of them.
    apis: Vec<Api>,
    failed: Vec<String>,
    left_out: usize,
    /// APIs that an ingest would hold back: which, and what hangs on it.
    held: Vec<String>,
    ended: Option<Result<(), (Class, String)>>,
}

impl Agent {
    pub(super) async fn discover(self: &Arc<Self>, call: &Call) -> Outcome {
        if self.draining.is_cancelled() {
            return Err(shutting_down());
        }
        let listing = self.listing_for(call);
        let mut progress = listing.progress.subscribe();
        let ended = tokio::select! {
            biased;
            // First: the same signal stops the list, and what it then ended with is not the reason.
            () = self.draining.cancelled() => return Err(shutting_down()),
            _ = progress.wait_for(|progress| progress.ended.is_some()) => true,
            () = tokio::time::sleep_until(call.deadline) => false,
            () = call.cancel.cancelled() => {
                listing.late.store(true, Ordering::Relaxed);
                return Err(Error::unavailable("nobody waits for this DISCOVER any more; its list goes on"));
            }
        };
        if !ended {
            listing.late.store(true, Ordering::Relaxed);
        }
        let progress = listing.progress.borrow();
        let ended = ended || progress.ended.is_some();
        if let Some(Err((class, sentence))) = &progress.ended {
            return Err(Error::new(*class, sentence.clone()));
        }
        if !ended && progress.apis.is_empty() {
            // Not an empty preview: the console would take it for an estate without APIs.
            let why = if progress.failed.is_empty() {
                "the gateway is slow or does not answer".to_owned()
            } else {
                format!("some sources failed ({})", names(&progress.failed))
            };
            return Err(Error::unavailable(format!(
                "nothing was found in {} s, {why}; the list goes on, try again in a minute",
                self.settings.budget.as_secs_f64()
            )));
        }
        let note = format!(
            "{} APIs found, {} left out, {} sources failed{}{}",
            progress.apis.len(),
            progress.left_out,
            progress.failed.len(),
            if ended { "" } else { "; out of time, the list goes on" },
            if progress.held.is_empty() {
                String::new()
            } else {
                format!(
                    "; an ingest holds back {}, since the plane would delete a plan: {}",
                    progress.held.len(),
                    names(&progress.held)
                )
            }
        );
        Ok(Done::new(ReplyBody::Discover(Some(Discovered { apis: progress.apis.clone(), partial: !ended })), note))
    }

    /// The list that is under way or was late, else a new one.
    fn listing_for(self: &Arc<Self>, call: &Call) -> Arc<Listing> {
        let mut slot = self.listing();
        if let Some(listing) = &*slot {
            return Arc::clone(listing);
        }
        let listing = Arc::new(Listing {
            progress: watch::Sender::default(),
            late: AtomicBool::new(false),
            cancel: self.draining.child_token(),
        });
        *slot = Some(Arc::clone(&listing));
        drop(slot);
        let list = Arc::clone(self).list(Arc::clone(&listing), call.id.clone());
        self.background.spawn(list.instrument(span::list(self.integration(), &call.id)));
        listing
    }

    fn listing(&self) -> MutexGuard<'_, Option<Arc<Listing>>> {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn list(self: Arc<Self>, listing: Arc<Listing>, id: String) {
        // Whatever happens in it: it ends, and the next DISCOVER begins a new one.
        let followed = caught(async {
            self.follow(&listing, id).await;
            Ok(())
        });
        if let Err(error) = followed.await {
            let ended = Some(Err((error.class(), error.sentence().to_owned())));
            listing.progress.send_modify(|progress| progress.ended = ended);
        }
        self.listing().take_if(|kept| Arc::ptr_eq(kept, &listing));
    }

    /// Lists into `listing`, and keeps it alive as long as it is of use.
    async fn follow(self: &Arc<Self>, listing: &Listing, id: String) {
        let view = self.settings.guard.view(self.integration()).await;
        let call = Call { id, deadline: Instant::now() + LISTING, cancel: listing.cancel.clone() };
        let mut lister = Lister::begin(self, &self.background, call);
        let mut ids = HashSet::new();
        let mut tally = Tally::begin("DISCOVER", &self.settings.recorder);
        let ended = loop {
            let find = match lister.next().await {
                Event::Found(find) => find,
                Event::Ended(ended) => break ended,
            };
            tally.found(&find);
            match find {
                Found::Api(one) if ids.insert(one.api.unique_id.clone()) => {
                    let verdict = view.verdict(&one.api);
                    let api = preview(one.api);
                    listing.progress.send_modify(|progress| {
                        progress.apis.push(api);
                        if let Verdict::HoldBack(loss) = verdict {
                            progress.held.push(loss.to_string());
                        }
                    });
                }
                Found::Api(_) => {}
                Found::LeftOut { what, why } => {
                    tracing::debug!(integration = self.integration(), what, why, "left out");
                    listing.progress.send_modify(|progress| progress.left_out += 1);
                }
                Found::Failed { source, error } => {
                    let failed = self.source_failed(&source, &error);
                    listing.progress.send_modify(|progress| progress.failed.push(failed));
                }
            }
        };
        {
            let progress = listing.progress.borrow();
            self.tell_list(&ended, &progress.failed, progress.held.len());
            tally.end(&ended, &progress.failed, self.held_back());
        }
        let useful = ended.is_ok();
        let ended = ended.map_err(|error| (error.class(), error.sentence().to_owned()));
        listing.progress.send_modify(|progress| progress.ended = Some(ended));
        if useful && listing.late.load(Ordering::Relaxed) {
            tracing::info!(
                integration = self.integration(),
                apis = listing.progress.borrow().apis.len(),
                "the list that a DISCOVER did not wait for has ended; a DISCOVER in the next ten minutes uses it"
            );
            tokio::select! {
                () = tokio::time::sleep(KEPT) => {}
                () = self.draining.cancelled() => {}
            }
        }
    }

    /// One source failed beside others: a line in the log, and the text that names it.
    pub(super) fn source_failed(&self, source: &str, error: &Error) -> String {
        tracing::warn!(
            integration = self.integration(),
            source,
            class = error.class().word(),
            "{source} could not be listed and is left out: {error}"
        );
        format!("{source}: {}: {error}", error.class().word())
    }

    /// What a list says about the gateway's health; `held` APIs of it are held back from an ingest.
    pub(super) fn tell_list(&self, ended: &Result<(), Error>, failed: &[String], held: usize) {
        let mut sentences = Vec::new();
        match ended {
            // Of a list that failed nothing is known: what was held back before still is.
            Err(error) => return self.tell_health(Some(format!("{}: {error}", error.class().word()))),
            Ok(()) if failed.is_empty() => {}
            Ok(()) => sentences.push(names(failed)),
        }
        self.held_back.store(held, Ordering::Relaxed);
        if held > 0 {
            sentences.push(guard::health(held));
        }
        self.tell_health((!sentences.is_empty()).then(|| sentences.join("; ")));
    }
}

/// All of `api` that the preview reads, with the name that an ingest would give it.
fn preview(api: Api) -> Api {
    let mut api = Api {
        description: None,
        connection: Texts::new(),
        plans: Vec::new(),
        documents: Vec::new(),
        metadata: Vec::new(),
        ..api
    };
    shape(&mut api);
    api
}
