//! The figures of integrations as metrics. A series that an alert looks at is there from the start, with 0.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use super::{
    Metric, Row, Scrape, Sheet, moment,
    table::{
        CALL_TOOK, CALLS, CALLS_WAITED, CALLS_WAITING, COMMAND_ERRORS, COMMAND_TOOK, COMMANDS, COMMANDS_AGAIN,
        COMMANDS_IN_FLIGHT, COMMANDS_WAITING, GRANTS, HELD_BACK, INTEGRATION, JOB_FAILED, JOB_GOOD_AT, JOB_NOW,
        JOB_NOW_TAKEN, JOB_TAKEN, JOBS, JOBS_RUNNING, JOURNAL_BYTES, JOURNAL_READ_AT, JOURNAL_READ_TOOK,
        JOURNAL_UNREADABLE, JOURNAL_WRITABLE, LINK_AGE, LINK_CONNECTED, LINK_ENDED, LINK_FAILED, LINK_SESSIONS,
        LINK_STATE, LIST_APIS, LIST_AT, LIST_CALLS, LIST_FAILED, LIST_GOOD_AT, LIST_LEFT_OUT, LIST_PLANS, LIST_TOOK,
        LISTS, THROTTLED, TOKENS, TOKENS_MOST,
    },
    whole,
};
use crate::observe::{
    book::{LinkState, Pages},
    recorder::Recorder,
    status::{DiscoveryStatus, IngestStatus},
    told::{CallOutcome, Cause, JobOutcome, Kind, List, Outcome, Parting},
};

/// The classes of errors whose series are there from the start.
const CLASSES: [&str; 4] = ["denied", "conflict", "throttled", "unavailable"];

pub(super) fn write(scrape: &Scrape, sheet: &mut Sheet<'_, '_>) -> fmt::Result {
    let all = All(&scrape.recorders);
    let info = |recorder: &'_ Recorder| {
        let labels = vec![
            ("integration", Cow::Owned(recorder.integration().to_owned())),
            ("provider", Cow::Owned(recorder.provider().to_owned())),
        ];
        (labels, 1.0)
    };
    sheet.series(&INTEGRATION, scrape.recorders.iter().map(info))?;
    link(&all, sheet)?;
    commands(&all, sheet)?;
    calls(&all, sheet)?;
    buckets(&all, sheet)?;
    lists(&all, sheet)?;
    jobs(&all, sheet)?;
    journal(scrape, &all, sheet)
}

/// A number of something that is kept whole.
type Figure<T> = (&'static Metric, fn(&T) -> u64);

/// All integrations.
struct All<'r>(&'r [Recorder]);

impl<'r> All<'r> {
    /// One number an integration.
    fn one(&self, sheet: &mut Sheet<'_, '_>, metric: &Metric, figure: impl Fn(&mut Pages) -> f64) -> fmt::Result {
        let rows = self.0.iter().map(|recorder| {
            (vec![("integration", Cow::Borrowed(recorder.integration()))], figure(&mut recorder.pages()))
        });
        sheet.series(metric, rows)
    }

    /// Several an integration, told apart by other labels.
    fn rows<V>(&self, figures: impl Fn(&mut Pages) -> Vec<Row<'r, V>>) -> Vec<Row<'r, V>> {
        let of_one = |recorder: &'r Recorder| {
            let rows = figures(&mut recorder.pages());
            rows.into_iter().map(|(labels, value)| {
                let mut whose = vec![("integration", Cow::Borrowed(recorder.integration()))];
                whose.extend(labels);
                (whose, value)
            })
        };
        self.0.iter().flat_map(of_one).collect()
    }
}

/// What was counted under words, with 0 for `usual` ones that were not.
fn counted<'r>(label: &'static str, usual: &[&'static str], counts: &BTreeMap<&'static str, u64>) -> Vec<Row<'r, f64>> {
    let mut all: BTreeMap<&'static str, u64> = usual.iter().map(|word| (*word, 0)).collect();
    all.extend(counts);
    all.into_iter().map(|(word, count)| (vec![(label, word.into())], whole(count))).collect()
}

fn link(all: &All<'_>, sheet: &mut Sheet<'_, '_>) -> fmt::Result {
    let is = |pages: &Pages, state| f64::from(u8::from(pages.link.state == state));
    all.one(sheet, &LINK_CONNECTED, |pages| is(pages, LinkState::Connected))?;
    let states =
        |pages: &mut Pages| LinkState::ALL.map(|state| (vec![("state", state.word().into())], is(pages, state))).into();
    sheet.series(&LINK_STATE, all.rows(states))?;
    all.one(sheet, &LINK_SESSIONS, |pages| whole(pages.link.sessions))?;
    let ended = |pages: &mut Pages| counted("reason", &Parting::OF_SESSIONS, &pages.link.ended);
    sheet.series(&LINK_ENDED, all.rows(ended))?;
    let failed = |pages: &mut Pages| counted("reason", &Parting::OF_TRIES, &pages.link.failed);
    sheet.series(&LINK_FAILED, all.rows(failed))?;
    all.one(sheet, &LINK_AGE, |pages| pages.link.since.map_or(0.0, |since| since.elapsed().as_secs_f64()))
}

/// What an unknown command would count under is there when one has come.
fn kinds(pages: &Pages) -> Vec<Kind> {
    let of_others = &pages.commands.outcomes[Kind::Other as usize];
    let others = of_others.iter().sum::<u64>() + pages.commands.in_flight[Kind::Other as usize];
    Kind::ALL.into_iter().filter(|kind| *kind != Kind::Other || others > 0).collect()
}

fn commands(all: &All<'_>, sheet: &mut Sheet<'_, '_>) -> fmt::Result {
    let outcomes = |pages: &mut Pages| {
        let of_kind = |kind: Kind| {
            let counts = pages.commands.outcomes[kind as usize];
            Outcome::ALL.map(|outcome| {
                let labels = vec![("type", kind.word().into()), ("outcome", outcome.word().into())];
                (labels, whole(counts[outcome as usize]))
            })
        };
        kinds(pages).into_iter().flat_map(of_kind).collect()
    };
    sheet.series(&COMMANDS, all.rows(outcomes))?;
    let errors = |pages: &mut Pages| {
        let of_kind = |kind: Kind| {
            let mut rows = counted("class", &CLASSES, &pages.commands.errors[kind as usize]);
            for (labels, _) in &mut rows {
                labels.insert(0, ("type", kind.word().into()));
            }
            rows
        };
        kinds(pages).into_iter().flat_map(of_kind).collect()
    };
    sheet.series(&COMMAND_ERRORS, all.rows(errors))?;
    let took = |pages: &mut Pages| {
        let kinds = kinds(pages);
        let of_kind = |kind: Kind| (vec![("type", kind.word().into())], pages.commands.took(kind).clone());
        kinds.into_iter().map(of_kind).collect()
    };
    sheet.histograms(&COMMAND_TOOK, all.rows(took))?;
    let in_flight = |pages: &mut Pages| {
        let of_kind = |kind: Kind| (vec![("type", kind.word().into())], whole(pages.commands.in_flight[kind as usize]));
        kinds(pages).into_iter().map(of_kind).collect()
    };
    sheet.series(&COMMANDS_IN_FLIGHT, all.rows(in_flight))?;
    all.one(sheet, &COMMANDS_WAITING, |pages| whole(pages.commands.waiting))?;
    all.one(sheet, &COMMANDS_AGAIN, |pages| whole(pages.commands.again))
}

fn calls(all: &All<'_>, sheet: &mut Sheet<'_, '_>) -> fmt::Result {
    let outcomes = |pages: &mut Pages| {
        let mut rows = Vec::new();
        for (name, operation) in &pages.calls.operations {
            let mut of_one = counted("outcome", &CallOutcome::USUAL, &operation.outcomes);
            for (labels, _) in &mut of_one {
                labels.insert(0, ("operation", (*name).into()));
            }
            rows.extend(of_one);
        }
        rows
    };
    sheet.series(&CALLS, all.rows(outcomes))?;
    let took = |pages: &mut Pages| {
        let called = pages.calls.operations.iter();
        let took = called.filter_map(|(name, operation)| Some((*name, operation.took.clone()?)));
        took.map(|(name, took)| (vec![("operation", name.into())], took)).collect()
    };
    sheet.histograms(&CALL_TOOK, all.rows(took))?;
    all.one(sheet, &CALLS_WAITING, |pages| whole(pages.calls.queued))?;
    all.one(sheet, &CALLS_WAITED, |pages| pages.calls.waited.as_secs_f64())?;
    all.one(sheet, &THROTTLED, |pages| pages.calls.throttled.as_secs_f64())
}

fn buckets(all: &All<'_>, sheet: &mut Sheet<'_, '_>) -> fmt::Result {
    for (metric, of) in [(&TOKENS, 0), (&TOKENS_MOST, 1)] {
        let rows = |pages: &mut Pages| {
            let mut rows = Vec::new();
            for bucket in &pages.calls.buckets {
                let Some(tokens) = bucket.tokens.upgrade() else { continue };
                let labels = vec![
                    ("account", Cow::Owned(bucket.account.clone())),
                    ("region", Cow::Owned(bucket.region.clone())),
                ];
                let (now, most) = tokens.tokens();
                rows.push((labels, [now, most][of]));
            }
            rows
        };
        sheet.series(metric, all.rows(rows))?;
    }
    Ok(())
}

fn lists(all: &All<'_>, sheet: &mut Sheet<'_, '_>) -> fmt::Result {
    let ended = |pages: &mut Pages| counted("outcome", &List::OUTCOMES, &pages.lists.ended);
    sheet.series(&LISTS, all.rows(ended))?;
    let found: [Figure<DiscoveryStatus>; 6] = [
        (&LIST_APIS, |found| found.apis),
        (&LIST_PLANS, |found| found.plans),
        (&LIST_LEFT_OUT, |found| found.left_out),
        (&LIST_FAILED, |found| found.failed.len() as u64),
        (&LIST_CALLS, |found| found.calls),
        (&HELD_BACK, |found| found.held_back),
    ];
    for (metric, figure) in found {
        all.one(sheet, metric, |pages| pages.lists.found.as_ref().map_or(0.0, |found| whole(figure(found))))?;
    }
    all.one(sheet, &LIST_TOOK, |pages| pages.lists.took.as_secs_f64())?;
    all.one(sheet, &LIST_AT, |pages| moment(pages.lists.last))?;
    all.one(sheet, &LIST_GOOD_AT, |pages| moment(pages.lists.last_good))
}

fn jobs(all: &All<'_>, sheet: &mut Sheet<'_, '_>) -> fmt::Result {
    let ended = |pages: &mut Pages| {
        let ended = pages.jobs.ended;
        let of_one = |outcome: JobOutcome| (vec![("outcome", outcome.word().into())], whole(ended[outcome as usize]));
        JobOutcome::ALL.map(of_one).into()
    };
    sheet.series(&JOBS, all.rows(ended))?;
    all.one(sheet, &JOBS_RUNNING, |pages| whole(pages.jobs.running))?;
    all.one(sheet, &JOB_TAKEN, |pages| whole(pages.jobs.taken))?;
    let failed = |pages: &mut Pages| {
        let failed = pages.jobs.failed;
        Cause::ALL.map(|cause| (vec![("cause", cause.word().into())], whole(failed[cause as usize]))).into()
    };
    sheet.series(&JOB_FAILED, all.rows(failed))?;
    let newest: [Figure<IngestStatus>; 2] = [(&JOB_NOW, |job| job.total), (&JOB_NOW_TAKEN, |job| job.taken)];
    for (metric, figure) in newest {
        all.one(sheet, metric, |pages| pages.jobs.newest().map_or(0.0, |job| whole(figure(&job))))?;
    }
    all.one(sheet, &JOB_GOOD_AT, |pages| moment(pages.jobs.last_good))
}

fn journal(scrape: &Scrape, all: &All<'_>, sheet: &mut Sheet<'_, '_>) -> fmt::Result {
    let Some(ledger) = scrape.sampler.ledger() else { return Ok(()) };
    let read: Vec<_> = all.0.iter().map(|one| (one.integration(), scrape.sampler.read(one.integration()))).collect();
    let mut grants: Vec<Row<'_, f64>> = Vec::new();
    for (integration, read) in &read {
        for state in ledger.states() {
            let count = read.as_ref().and_then(|(census, _)| census.grants.get(state)).copied().unwrap_or_default();
            grants.push((vec![("integration", (*integration).into()), ("state", state.into())], whole(count)));
        }
    }
    sheet.series(&GRANTS, grants)?;
    let whose = |integration| vec![("integration", Cow::Borrowed(integration))];
    let bytes = |census: &crate::observe::Census| whole(census.bytes);
    let unreadable = |census: &crate::observe::Census| whole(census.unreadable);
    let of = |figure: fn(&crate::observe::Census) -> f64| {
        let read = read.iter();
        read.map(move |(whose_, read)| (whose(*whose_), read.as_ref().map_or(0.0, |(census, _)| figure(census))))
    };
    sheet.series(&JOURNAL_BYTES, of(bytes))?;
    sheet.series(&JOURNAL_UNREADABLE, of(unreadable))?;
    let read_at = read.iter().map(|(integration, read)| {
        let at = read.as_ref().map(|(_, at)| *at);
        (whose(*integration), moment(at))
    });
    sheet.series(&JOURNAL_READ_AT, read_at)?;
    sheet.one(&JOURNAL_READ_TOOK, scrape.sampler.took().as_secs_f64())?;
    sheet.one(&JOURNAL_WRITABLE, f64::from(u8::from(ledger.trouble().is_none())))
}
