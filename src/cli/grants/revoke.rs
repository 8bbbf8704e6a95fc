//! `grants revoke`: removes one credential, with its page of the journal held, and says what it does.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        exit::{Exit, Stop},
        gateways::{self, Gateway},
        start::{self, Habit},
        terminal::{self, Mark, Terminal, printable},
    },
    gather::ask,
    list::moment,
    shelf::Shelf,
};
use crate::{
    journal::{Name, Page, Record, State},
    model::{Error, Subscription},
    provider::{Call, Held, Revoked},
    settings::Environment,
};

/// How long removing one key may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long somebody else's hold on the page is waited for.
const HOLD: Duration = Duration::from_secs(5);
/// A gateway may know what was made so short a while ago only later: that it does not find it proves nothing.
const SETTLED: Duration = Duration::from_mins(1);
/// The word for what this command does, in logs and in the journal.
const COMMAND: &str = "grants revoke";

/// What a person wants.
pub(super) struct Wish<'a> {
    pub(super) which: &'a str,
    pub(super) integration: Option<&'a str>,
    pub(super) live: bool,
    pub(super) dry_run: bool,
}

/// What is to be removed.
#[derive(Debug)]
enum Target {
    /// A grant of the journal.
    Known(Record),
    /// A key that the journal does not know.
    Unknown { held: Held, subscription: String },
}

pub(super) fn revoke(environment: &Environment, wish: &Wish<'_>) -> Result<Exit, Stop> {
    let (process, gateways) = gateways::load(environment, wish.integration)?;
    start::log(&process, environment, Habit::Quiet)?;
    let shelf = Shelf::of(&process.data_dir, Vec::new());
    if wish.which.trim().is_empty() {
        return Err(Stop::usage("revoke what? Name a key, a subscription or a grant"));
    }
    let terminal = Terminal::of_stdout(environment);
    start::runtime()?.block_on(async {
        let cancel = start::cancelled_by_signal()?;
        let (gateway, target) = find(&gateways, &shelf, wish.which, &cancel).await?;
        terminal::say(printable(&plan(gateway, &target)));
        refuse_what_may_be_in_use(&target, wish)?;
        if wish.dry_run {
            terminal::say("Nothing was done (--dry-run).");
            return Ok(Exit::Good);
        }
        let said = remove(gateway, &shelf, target, &cancel).await?;
        terminal::say(format_args!("{} {}", terminal.mark(Mark::Good), printable(&said)));
        Ok(Exit::Good)
    })
}

/// Finds what is meant: in the journal, else in the gateways.
async fn find<'a>(
    gateways: &'a [Gateway],
    shelf: &Shelf,
    which: &str,
    cancel: &CancellationToken,
) -> Result<(&'a Gateway, Target), Stop> {
    let mut found = Vec::new();
    for gateway in gateways {
        let contents = shelf.journal.read(&gateway.integration.id).await;
        for (name, why) in &contents.unreadable {
            if name.as_ref().is_none_or(|name| name.subscription == which) {
                terminal::complain(printable(&format!("cannot be read: {why}")));
            }
        }
        let meant = |record: &Record| {
            record.key_id.as_deref() == Some(which) || record.subscription == which || record.grant == which
        };
        found.extend(contents.records.into_iter().filter(meant).map(|record| (gateway, Target::Known(record))));
    }
    let mut failed = Vec::new();
    if found.is_empty() {
        for gateway in gateways {
            let asked = ask(gateway, &BTreeSet::new(), cancel).await;
            if cancel.is_cancelled() {
                return Err(Stop::failed("stopped by a signal; nothing was done"));
            }
            failed.extend(asked.failed.into_iter().map(|(_, error)| error));
            for held in asked.held {
                // A key without this integration's name is somebody else's, whatever its id.
                let Some(subscription) = held.subscription.clone() else { continue };
                if held.key_id == which || subscription == which {
                    found.push((gateway, unknown(shelf, gateway, held, subscription).await));
                }
            }
        }
    }
    if found.len() > 1 {
        let mut lines =
            format!("{which} means {} grants, and one is removed at a time; name one of them:", found.len());
        for (_, target) in &found {
            lines += "\n  ";
            lines += &printable(&match target {
                Target::Known(record) => format!(
                    "{}: {}, {}, since {}",
                    record.key_id.as_deref().unwrap_or(&record.grant),
                    record.integration,
                    record.state.word(),
                    moment(record.since)
                ),
                Target::Unknown { held, .. } => format!("{}: {}, not in the journal", held.key_id, held.name),
            });
        }
        return Err(Stop::usage(lines));
    }
    if let Some(found) = found.pop() {
        return Ok(found);
    }
    if let Some(error) = failed.into_iter().next() {
        return Err(Stop::failed(printable(&format!(
            "the journal in {} does not know {which}, and the gateway cannot be asked: {error}. Nothing was done",
            shelf.folder.display()
        ))));
    }
    let all: Vec<_> = gateways.iter().map(|gateway| gateway.integration.id.as_str()).collect();
    Err(Stop::usage(printable(&format!(
        "{which} is not to be revoked: the journal in {} does not know it, and no key that bears the name of {} has it. \
         Other keys are somebody else's",
        shelf.folder.display(),
        all.join(" or ")
    ))))
}

/// A key that the journal does not know by its id. If it waits for one of that name, and this one opens nothing, it is
/// the one.
async fn unknown(shelf: &Shelf, gateway: &Gateway, held: Held, subscription: String) -> Target {
    let records = shelf.journal.read(&gateway.integration.id).await.records;
    let waits = |record: &Record| {
        record.subscription == subscription && record.key_id.is_none() && record.state == State::Leftover
    };
    match records.into_iter().find(waits) {
        Some(record) if held.plans.is_empty() || !held.enabled => {
            Target::Known(Record { key_id: Some(held.key_id), metadata: held.metadata, ..record })
        }
        _ => Target::Unknown { held, subscription },
    }
}

/// What is about to be done.
fn plan(gateway: &Gateway, target: &Target) -> String {
    let integration = &gateway.integration.id;
    match target {
        Target::Known(record) => {
            let what = match &record.key_id {
                Some(key_id) => format!("the key {key_id}"),
                None => "what may have been made under its name".to_owned(),
            };
            let why = record.why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
            let api = if record.api.is_empty() { String::new() } else { format!(", API {}", record.api) };
            format!(
                "Revoking {what}: subscription {}{api}, integration {integration}; {} since {}{why}.",
                record.subscription,
                record.state.word(),
                moment(record.since)
            )
        }
        Target::Unknown { held, subscription } => {
            let opens = if !held.enabled {
                "it is disabled".to_owned()
            } else if held.plans.is_empty() {
                "it opens nothing".to_owned()
            } else {
                format!("it opens {}", held.plans.join(", "))
            };
            let made = held.created.map(|created| format!(", made {}", moment(created))).unwrap_or_default();
            format!(
                "Revoking the key {} ({}): subscription {subscription}, integration {integration}{made}; {opens}, and \
                 the journal does not know it.",
                held.key_id, held.name
            )
        }
    }
}

/// A key that an application may be using is removed only by who says so.
fn refuse_what_may_be_in_use(target: &Target, wish: &Wish<'_>) -> Result<(), Stop> {
    if wish.live {
        return Ok(());
    }
    match target {
        Target::Known(record) if record.state == State::Live => Err(Stop::usage(
            "it is live, and nothing was done: an application may be using it, and the plane would go on showing its \
             subscription as accepted. Close the subscription there; the agent then removes the key. If the plane does \
             not know it any more, --live removes it all the same",
        )),
        Target::Unknown { held, .. } if held.enabled && !held.plans.is_empty() => Err(Stop::usage(
            "it works, and nothing was done: the journal does not know it, and an application may be using it. \
             `federation-agent grants --subscriptions FILE` says whether the plane has a subscription for it; if it has \
             none, --live removes it",
        )),
        _ => Ok(()),
    }
}

/// Removes it; what was done.
async fn remove(gateway: &Gateway, shelf: &Shelf, target: Target, cancel: &CancellationToken) -> Result<String, Stop> {
    let (integration, subscription) = match &target {
        Target::Known(record) => (record.integration.clone(), record.subscription.clone()),
        Target::Unknown { subscription, .. } => (gateway.integration.id.clone(), subscription.clone()),
    };
    let name = Name { integration, subscription };
    let page = shelf.journal.hold(&name, Instant::now() + HOLD).await.map_err(|error| {
        Stop::failed(format_args!("nothing was done: a running agent works on this subscription just now ({error})"))
    })?;
    if let Some(trouble) = shelf.journal.trouble() {
        return Err(Stop::failed(format_args!(
            "nothing was done: the journal in {} cannot be written ({trouble}), and what is not in it is not settled \
             when this is interrupted; run this as the agent's user",
            shelf.folder.display()
        )));
    }
    let before = match target {
        Target::Known(record) => {
            let now = page.record(&record.grant).await;
            let same =
                |now: &Record| now.state == record.state && (now.key_id.is_none() || now.key_id == record.key_id);
            if !now.as_ref().is_some_and(same) {
                let how = now.map_or_else(|| "it is gone".to_owned(), |now| format!("it is {}", now.state.word()));
                return Err(Stop::failed(format_args!("nothing was done: an agent was quicker, and now {how}")));
            }
            record
        }
        Target::Unknown { held, .. } => {
            if page.records().await.iter().any(|record| record.key_id.as_ref() == Some(&held.key_id)) {
                return Err(Stop::failed("nothing was done: an agent was quicker, and now the journal knows it"));
            }
            Record {
                plan: held.plans.first().cloned(),
                key_id: Some(held.key_id),
                metadata: held.metadata,
                // So it stays in the journal, should removing it fail.
                state: State::Stuck,
                ..Record::intended(&name, "", COMMAND)
            }
        }
    };
    if before.state == State::Intended {
        put(&page, before.now(State::Gone)).await?;
        return Ok("Nothing had been made yet; it is struck out of the journal.".into());
    }
    let call = Call { id: COMMAND.into(), deadline: Instant::now() + PATIENCE, cancel: cancel.clone() };
    match before.key_id.clone() {
        Some(key_id) => by_id(gateway, &call, &page, before, &key_id).await,
        None => by_name(gateway, &call, &page, before).await,
    }
}

/// Removes a key whose id is known.
async fn by_id(gateway: &Gateway, call: &Call, page: &Page, before: Record, key_id: &str) -> Result<String, Stop> {
    // On the disk before the gateway is asked: who finds it after a crash goes on with it.
    put(page, before.clone().now(State::Removing)).await?;
    let subscription = Subscription {
        id: before.subscription.clone(),
        application_id: None,
        application_name: None,
        kind: None,
        metadata: before.metadata.clone(),
    };
    match gateway.provider.unsubscribe(call, &before.api, &subscription).await {
        Ok(revoked) => {
            put(page, before.now(State::Gone)).await?;
            Ok(match revoked {
                Revoked::Deleted => {
                    format!("The key {key_id} is removed from the gateway, and struck out of the journal.")
                }
                Revoked::AlreadyGone => {
                    format!("The key {key_id} was not in the gateway any more; it is struck out of the journal.")
                }
            })
        }
        Err(error) => Err(not_removed(page, before, key_id, &error).await),
    }
}

/// Looks for what may have been made under the grant's name, and removes it.
async fn by_name(gateway: &Gateway, call: &Call, page: &Page, before: Record) -> Result<String, Stop> {
    let spare: Vec<_> = page
        .records()
        .await
        .into_iter()
        .filter(|record| record.grant != before.grant && record.key_id.is_some())
        .map(|record| record.metadata)
        .collect();
    let provider = &gateway.provider;
    match provider.sweep(call, &before.api, &before.subscription, &before.metadata, &spare).await {
        Ok(Revoked::AlreadyGone) if before.since.elapsed().unwrap_or_default() < SETTLED => Err(Stop::failed(
            "the gateway knows no key of that name, but it was to be made less than a minute ago and may turn up yet; \
             try again in a minute",
        )),
        Ok(revoked) => {
            put(page, before.now(State::Gone)).await?;
            Ok(match revoked {
                Revoked::Deleted => "What was made under its name is removed from the gateway, and struck out of the \
                                     journal."
                    .into(),
                Revoked::AlreadyGone => "The gateway has no key of its name; it is struck out of the journal.".into(),
            })
        }
        Err(error) => {
            let what = format!("what may be there for the subscription {}", before.subscription);
            Err(not_removed(page, before, &what, &error).await)
        }
    }
}

/// Puts the record back as it was, with the reason.
async fn not_removed(page: &Page, before: Record, what: &str, error: &Error) -> Stop {
    let state = before.state;
    let back = Record { why: Some(error.sentence().to_owned()), ..before };
    let kept = match put(page, back).await {
        Ok(()) => format!("the journal has it as {}", state.word()),
        Err(stop) => return stop,
    };
    Stop::failed(printable(&format!("{what} is not removed, {kept}: {error}")))
}

async fn put(page: &Page, record: Record) -> Result<(), Stop> {
    page.put(record).await.map_err(|stale| Stop::failed(format_args!("the journal cannot be written: {stale}")))
}
