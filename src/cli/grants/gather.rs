//! `grants --orphans` and `--subscriptions`: asks journal, gateways and files, and has them compared.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        arguments::Grants,
        exit::{Exit, Stop},
        gateways::{self, Gateway},
        start::{self, Habit},
    },
    compare::{self, Plane, Side},
    export::{Export, Subscription},
    report::{self, Failed, Report},
    shelf::Shelf,
};
use crate::{
    model::Error,
    provider::{Call, Held, Keys},
    settings::Environment,
};

/// How long one gateway may take; a person who has waited so long has pressed Ctrl-C before.
pub(super) const PATIENCE: Duration = Duration::from_mins(30);
/// Keys that may wait to be counted.
const QUEUE: usize = 64;
/// No export is larger.
const LARGEST: u64 = 256 << 20;

/// The subscriptions of an export, and when it was finished.
struct Exported {
    subscriptions: Vec<Subscription>,
    taken: SystemTime,
}

pub(super) fn compared(environment: &Environment, asked: &Grants) -> Result<Exit, Stop> {
    let (process, wanted, others) = gateways::load_beside(environment, asked.integration.as_deref())?;
    start::log(&process, environment, Habit::Quiet)?;
    let exported = if asked.subscriptions.is_empty() { None } else { Some(read(&asked.subscriptions)?) };
    let shelf = Shelf::of(&process.data_dir, Vec::new());
    start::runtime()?.block_on(async {
        let cancel = start::cancelled_by_signal()?;
        let plane = exported.map(|exported| plane(exported, &wanted));
        let mut report = Report { emptiness: None, ..Report::default() };
        if !matches!(shelf.there, Ok(true)) {
            report.emptiness = Some(shelf.emptiness());
        }
        let mut sides = Vec::new();
        for gateway in &wanted {
            sides.push(side(gateway, &shelf, plane.as_ref(), &cancel, &mut report).await?);
        }
        // A file of all subscriptions names those of integrations that were not asked for, too.
        let mut elsewhere = BTreeSet::new();
        for other in &others {
            let contents = shelf.journal.read(other).await;
            elsewhere.extend(contents.records.into_iter().map(|record| record.subscription));
        }
        report.with_plane = plane.is_some();
        report.accepted_only = plane.as_ref().is_some_and(Plane::holds_accepted_only);
        report.compared = compare::compare(&sides, plane.as_ref(), &elsewhere, SystemTime::now());
        Ok(report::tell(&report, asked.output, environment))
    })
}

/// What journal and gateway of one integration know.
async fn side(
    gateway: &Gateway,
    shelf: &Shelf,
    plane: Option<&Plane>,
    cancel: &CancellationToken,
    report: &mut Report,
) -> Result<Side, Stop> {
    let integration = &gateway.integration.id;
    // Read before and after: what an agent beside makes and removes meanwhile is neither lost nor left behind.
    let before = shelf.journal.read(integration).await.records;
    let mut known: BTreeSet<String> = before.iter().filter_map(|record| record.key_id.clone()).collect();
    for (_, key_id) in plane.iter().flat_map(|plane| &plane.subscriptions) {
        known.extend(key_id.clone());
    }
    let asked = ask(gateway, &known, cancel).await;
    if cancel.is_cancelled() {
        return Err(Stop::failed("stopped by a signal before everything was read"));
    }
    let after = shelf.journal.read(integration).await;
    for (name, why) in after.unreadable {
        report.unreadable.push((integration.clone(), name.map(|name| name.subscription), why));
    }
    let whole = asked.failed.is_empty();
    for (source, error) in asked.failed {
        report.failed.push(Failed { integration: integration.clone(), source, error });
    }
    Ok(Side { integration: integration.clone(), before, after: after.records, held: asked.held, whole })
}

/// What a gateway told.
pub(super) struct Asked {
    /// The keys.
    pub(super) held: Vec<Held>,
    /// The sources that could not be read; none has a name when all failed.
    pub(super) failed: Vec<(Option<String>, Error)>,
}

/// Asks a gateway for its keys.
pub(super) async fn ask(gateway: &Gateway, known: &BTreeSet<String>, cancel: &CancellationToken) -> Asked {
    let call = Call { id: "grants".into(), deadline: Instant::now() + PATIENCE, cancel: cancel.clone() };
    let (found, mut finds) = mpsc::channel(QUEUE);
    let mut asked = Asked { held: Vec::new(), failed: Vec::new() };
    let gather = async {
        while let Some(find) = finds.recv().await {
            match find {
                Keys::Key(held) => asked.held.push(*held),
                Keys::Failed { source, error } => asked.failed.push((Some(source), error)),
            }
        }
    };
    let (ended, ()) = tokio::join!(gateway.provider.keys(&call, known, found), gather);
    if let Err(error) = ended {
        asked.failed.push((None, error));
    }
    asked.held.sort_by(|a, b| (&a.name, &a.key_id).cmp(&(&b.name, &b.key_id)));
    asked
}

fn plane(exported: Exported, gateways: &[Gateway]) -> Plane {
    let key_id = |subscription: &Subscription| {
        gateways.iter().find_map(|gateway| gateway.provider.key_id(&subscription.metadata))
    };
    let subscriptions = exported.subscriptions.into_iter().map(|subscription| {
        let key_id = key_id(&subscription).map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
        (subscription, key_id)
    });
    Plane { subscriptions: subscriptions.collect(), taken: exported.taken }
}

/// Reads the export's files.
fn read(files: &[PathBuf]) -> Result<Exported, Stop> {
    let mut export = Export::default();
    let mut taken = SystemTime::now();
    for file in files {
        let (name, text, written) = slurp(file)?;
        export.add(&name, &text).map_err(Stop::usage)?;
        taken = taken.min(written);
    }
    Ok(Exported { subscriptions: export.whole().map_err(Stop::usage)?, taken })
}

/// The name of a file for people, what stands in it, and when it was written.
fn slurp(file: &Path) -> Result<(String, Vec<u8>, SystemTime), Stop> {
    let now = SystemTime::now();
    let (name, source, written): (_, Box<dyn Read>, _) = if file == Path::new("-") {
        ("stdin".to_owned(), Box::new(io::stdin().lock()), now)
    } else {
        let name = file.display().to_string();
        let cannot = |error: io::Error| Stop::usage(format_args!("--subscriptions {name}: cannot be read: {error}"));
        let file = File::open(file).map_err(cannot)?;
        // A pipe has no time of its own that would mean anything.
        let written = file.metadata().ok().filter(std::fs::Metadata::is_file).and_then(|data| data.modified().ok());
        (name, Box::new(file), written.unwrap_or(now))
    };
    let mut text = Vec::new();
    let read = source.take(LARGEST + 1).read_to_end(&mut text);
    read.map_err(|error| Stop::usage(format_args!("--subscriptions {name}: cannot be read: {error}")))?;
    if text.len() as u64 > LARGEST {
        return Err(Stop::usage(format_args!(
            "--subscriptions {name}: more than {} MiB, which no export of subscriptions is",
            LARGEST >> 20
        )));
    }
    Ok((name, text, written))
}
