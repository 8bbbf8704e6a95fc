//! START_INGEST: what is to be handed over is listed, one document of each source is tried, and the plane is told how
//! many APIs will come.

use std::sync::Arc;

use super::{
    Agent,
    command::{Done, Effect, Outcome},
    guard,
    job::Seat,
    scout::{Pace, Read, Scout, Step, names},
    shutting_down,
};
use crate::{
    exchange::{Limits, ReplyBody, StartedIngest},
    link::State,
    model::{Class, Error},
    observe::JobOutcome,
    provider::Call,
};

/// A job that begins when its START_INGEST has been answered.
pub(super) struct Prepared {
    pub(super) job_id: String,
    /// What the plane was told.
    pub(super) total: u32,
    pub(super) scout: Scout,
    /// What was read before the reply.
    pub(super) reads: Vec<Read>,
    pub(super) seat: Seat,
}

/// What trying one document of each source has shown so far.
#[derive(Default)]
struct Probes {
    reads: Vec<Read>,
    /// A source let us read, or failed for a passing reason.
    allowed: bool,
}

impl Agent {
    pub(super) async fn start_ingest(self: &Arc<Self>, call: &Call, job_id: &str, api_ids: &[String]) -> Outcome {
        if self.draining.is_cancelled() {
            return Err(shutting_down());
        }
        // From here on an older job ends: it sends its `done` while this one looks for its APIs.
        let seat = self.jobs.take(&self.draining);
        let view = self.settings.guard.view(self.integration()).await;
        let mut scout = Scout::begin(self, view, job_id, api_ids, self.give_up.child_token(), self.limits().message);
        let mut probes = Probes::default();
        let total = tokio::select! {
            biased;
            total = survey(&mut scout, &mut probes, call) => total?,
            () = self.draining.cancelled() => return Err(shutting_down()),
            () = call.cancel.cancelled() => return Err(Error::unavailable("nobody waits for this START_INGEST any more")),
            () = seat.end.cancelled() => return Err(Error::unavailable("a newer START_INGEST has taken its place")),
        };
        let started = StartedIngest { job_id: job_id.to_owned(), total };
        let note = format!(
            "job {job_id} of {total} APIs{}{}{}{}",
            if scout.is_listing() { "; out of time, the list goes on" } else { "" },
            if scout.counts.missing.is_empty() {
                String::new()
            } else {
                format!("; {} that were asked for do not exist", scout.counts.missing.len())
            },
            match scout.counts.held.len() {
                0 => String::new(),
                held => format!("; {held} are held back"),
            },
            match scout.counts.let_go.len() {
                0 => String::new(),
                let_go => format!("; {let_go} lose plans and are let go: {}", names(&scout.counts.let_go)),
            }
        );
        let effect = if total == 0 {
            // No job comes of it, and whoever looks for the last one is to find this.
            self.settings.recorder.job(job_id, 0).ended(JobOutcome::Done);
            Effect::None
        } else {
            let prepared = Prepared { job_id: job_id.to_owned(), total, scout, reads: probes.reads, seat };
            Effect::Job(Box::new(prepared))
        };
        Ok(Done { body: ReplyBody::StartIngest(Some(started)), effect, note })
    }

    /// What the controller of the live session takes.
    pub(super) fn limits(&self) -> Limits {
        match &*self.sessions.borrow() {
            State::Connected { session, .. } => session.limits(),
            _ => Limits::default(),
        }
    }
}

/// Lists, and tries one document of each source, until both are done or the time is over; how many APIs will come.
async fn survey(scout: &mut Scout, probes: &mut Probes, call: &Call) -> Result<u32, Error> {
    let time_is_over = tokio::time::sleep_until(call.deadline);
    tokio::pin!(time_is_over);
    while scout.is_listing() || (!probes.allowed && scout.is_probing()) {
        // One source that lets us read is enough to know that the job makes sense.
        let pace = if probes.allowed { Pace::Hold } else { Pace::Probe };
        tokio::select! {
            biased;
            // First: a list that always has something must not keep the reply back.
            () = &mut time_is_over => break,
            step = scout.step(pace) => match step {
                Step::Listed | Step::Nothing | Step::ListEnded(Ok(())) => {}
                Step::ListEnded(Err(error)) => return Err(error),
                Step::Read(read) => {
                    probes.allowed |= !matches!(read, Read::Denied(..));
                    probes.reads.push(read);
                }
            },
        }
    }
    let found = u32::try_from(scout.counts.matched).unwrap_or(u32::MAX);
    if scout.is_listing() {
        return Ok(found.max(1));
    }
    if found == 0 && !scout.counts.held.is_empty() {
        // A total of zero would be shown as an ingest that went well.
        return Err(Error::new(Class::Conflict, guard::held_back(&scout.counts.held)));
    }
    if found == 0 && !scout.counts.failed.is_empty() {
        return Err(Error::unavailable(format!(
            "none of the APIs asked for was found, and not every source could be listed: {}",
            names(&scout.counts.failed)
        )));
    }
    if found > 0 && !probes.allowed && !scout.is_probing() {
        return Err(denied(&probes.reads));
    }
    Ok(found)
}

/// No source lets its documents be read: the sentences, each once.
fn denied(reads: &[Read]) -> Error {
    let mut sentences: Vec<String> = Vec::new();
    for read in reads {
        if let Read::Denied(_, error) = read
            && !sentences.iter().any(|sentence| sentence == error.sentence())
        {
            sentences.push(error.sentence().to_owned());
        }
    }
    Error::denied(format!("no API's document may be read: {}", names(&sentences)))
}
