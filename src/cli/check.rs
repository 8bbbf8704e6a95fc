//! `check`: tries everything that the agent needs, in the order in which it needs it.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    arguments::TextOutput,
    exit::{Exit, Stop},
    gateways::{self, Gateway, Ready},
    start::{self, Habit},
    terminal::{self, Mark, Terminal},
    wiring,
};
use crate::{
    link::{self, Step, Tried},
    provider::{Call, Finding, Provider, Verdict},
    settings::{Environment, Integration},
};

/// How long the tries on one gateway may take in all.
const PATIENCE: Duration = Duration::from_mins(2);
/// Findings that may wait to be printed.
const QUEUE: usize = 16;

/// Tells findings as they come: for people at once, for machines at the end.
struct Teller {
    output: TextOutput,
    terminal: Terminal,
    told: Vec<serde_json::Value>,
    bad: usize,
    doubtful: usize,
}

pub(super) fn check(environment: &Environment, output: TextOutput) -> Result<Exit, Stop> {
    let Ready { process, connector, network, gateways, warnings, .. } = gateways::ready(environment)?;
    // What could be warned of is among the findings.
    start::log(&process, environment, Habit::Silent)?;
    let mut teller =
        Teller { output, terminal: Terminal::of_stdout(environment), told: Vec::new(), bad: 0, doubtful: 0 };
    teller.finding(
        "settings",
        &Finding {
            verdict: Verdict::Good,
            what: "settings".into(),
            says: format!("read and complete; integrations: {}", gateways.len()),
        },
    );
    for warning in warnings {
        teller.finding("settings", &Finding { verdict: Verdict::Doubtful, what: "settings".into(), says: warning });
    }
    let runtime = start::runtime()?;
    let tried = runtime.block_on(async {
        let cancel = start::cancelled_by_signal()?;
        for Gateway { integration, .. } in &gateways {
            let link = wiring::link_settings(&connector, &process, integration);
            let (steps, mut received) = mpsc::channel::<Tried>(QUEUE);
            let tell = async {
                let mut place = String::new();
                while let Some(step) = received.recv().await {
                    if step.endpoint != place {
                        place.clone_from(&step.endpoint);
                        teller.heading(&format!("plane {place}, for integration {}", integration.id));
                    }
                    teller.step(integration, &step);
                }
            };
            tokio::select! {
                _ = async { tokio::join!(link::probe(&link, network.as_ref(), steps), tell) } => {}
                () = cancel.cancelled() => return Err(interrupted()),
            }
        }
        for Gateway { integration, provider, .. } in &gateways {
            teller.heading(&format!("gateway of integration {} ({})", integration.id, integration.kind));
            ask_gateway(&mut teller, &integration.id, provider, &cancel).await;
            if cancel.is_cancelled() {
                return Err(interrupted());
            }
        }
        Ok(())
    });
    runtime.shutdown_background();
    tried?;
    Ok(teller.end())
}

fn interrupted() -> Stop {
    Stop::failed("stopped by a signal before everything was tried")
}

/// What a good step has shown, for a person.
fn shown(step: Step, integration: &Integration) -> String {
    match step {
        Step::Connect => "reached".into(),
        Step::Tls => "trusted".into(),
        Step::Upgrade => "right".into(),
        Step::Hello => format!("the plane takes this agent for {} as {}", integration.id, integration.kind),
    }
}

async fn ask_gateway(teller: &mut Teller, id: &str, provider: &Arc<dyn Provider>, cancel: &CancellationToken) {
    let call = Call { id: "check".into(), deadline: Instant::now() + PATIENCE, cancel: cancel.clone() };
    let (findings, received) = mpsc::channel(QUEUE);
    tokio::join!(provider.check(&call, findings), teller.all(id, received, cancel));
}

impl Teller {
    fn heading(&self, what: &str) {
        if self.output == TextOutput::Text {
            terminal::say(format_args!("\n{}", self.terminal.strong(what)));
        }
    }

    /// Tells all that come in about `about`, until a signal cuts off what would only fail for that.
    async fn all(&mut self, about: &str, mut findings: mpsc::Receiver<Finding>, cancel: &CancellationToken) {
        while let Some(finding) = findings.recv().await {
            if !cancel.is_cancelled() {
                self.finding(about, &finding);
            }
        }
    }

    /// Tells a step of the way to the plane. People read its endpoint in the heading, machines with the step.
    fn step(&mut self, integration: &Integration, tried: &Tried) {
        let step = match tried.step {
            Step::Connect => "name and port",
            Step::Tls => "certificate",
            Step::Upgrade => "path and token",
            Step::Hello => "integration (HELLO)",
        };
        let what = match self.output {
            TextOutput::Text => step.to_owned(),
            TextOutput::Json => format!("{}: {step}", tried.endpoint),
        };
        let (verdict, says) = match &tried.outcome {
            Ok(()) => (Verdict::Good, format!("{}, {} ms", shown(tried.step, integration), tried.took.as_millis())),
            Err(error) => (Verdict::Bad, error.sentence().to_owned()),
        };
        self.finding(&integration.id, &Finding { verdict, what, says });
    }

    fn finding(&mut self, about: &str, finding: &Finding) {
        let (mark, word) = match finding.verdict {
            Verdict::Good => (Mark::Good, "good"),
            Verdict::Doubtful => (Mark::Doubtful, "doubtful"),
            Verdict::Bad => (Mark::Bad, "bad"),
        };
        self.doubtful += usize::from(finding.verdict == Verdict::Doubtful);
        self.bad += usize::from(finding.verdict == Verdict::Bad);
        match self.output {
            TextOutput::Text => {
                let Finding { what, says, .. } = finding;
                let colon = if says.is_empty() { "" } else { ": " };
                terminal::say(format_args!("{} {what}{colon}{says}", self.terminal.mark(mark)));
            }
            TextOutput::Json => self.told.push(json!({
                "about": about, "verdict": word, "what": finding.what, "says": finding.says,
            })),
        }
    }

    /// The last words.
    fn end(self) -> Exit {
        match self.output {
            TextOutput::Json => {
                terminal::say(format_args!("{:#}", json!({ "good": self.bad == 0, "findings": self.told })));
            }
            TextOutput::Text if self.bad > 0 => {
                terminal::say(format_args!("\n{} to mend, {} to look at.", self.bad, self.doubtful));
            }
            TextOutput::Text if self.doubtful > 0 => {
                terminal::say(format_args!("\nNothing is broken; {} to look at.", self.doubtful));
            }
            TextOutput::Text => terminal::say("\nAll is well."),
        }
        if self.bad == 0 { Exit::Good } else { Exit::Failed }
    }
}
