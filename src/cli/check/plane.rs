//! The way to the plane, and to whatever else is reached by a name, a proxy and a certificate.

use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::{
    super::gateways::Ready,
    QUEUE,
    round::{Round, Section},
};
use crate::{
    link::{self, Age, Certificate, Dial, Endpoint, LinkSettings, Presented, Step, Tried, roughly},
    model::Error,
    provider::{Finding, Verdict},
    settings::Connector,
};

/// How many of a certificate's names are shown.
const NAMES: usize = 6;

/// What findings about one way are called.
pub(super) struct Ids {
    pub(super) name: &'static str,
    pub(super) proxy: &'static str,
    pub(super) connection: &'static str,
    pub(super) certificate: &'static str,
}

const PLANE: Ids =
    Ids { name: "plane.name", proxy: "plane.proxy", connection: "plane.connection", certificate: "plane.certificate" };

/// An endpoint of the plane, for one integration.
pub(super) async fn walk(round: &Round<'_>, section: Section, endpoint: Endpoint, link: LinkSettings) {
    let Ready { connector, network, .. } = round.ready;
    section.heading(format!("plane {endpoint}, for integration {}", link.integration_id));
    let last = if round.greets { Step::Hello } else { Step::Upgrade };
    let way = Way {
        ids: &PLANE,
        of: String::new(),
        endpoint: &endpoint,
        dial: network.as_ref(),
        unchecked: unchecked(connector),
    };
    let (tell, mut told) = mpsc::channel::<Tried>(QUEUE);
    let hearing = async {
        let mut reached = None;
        while let Some(tried) = told.recv().await {
            if let Some(dated) = tried.seen.clock {
                round.saw_clock(format!("the plane ({})", endpoint.authority), dated);
            }
            reached = Some((tried.step, tried.outcome.is_ok()));
            match tried.step {
                Step::Name | Step::Connect | Step::Tls => way.tell(&section, &tried),
                Step::Upgrade => step(&section, "plane.upgrade", "path and token", "taken", &tried),
                Step::Hello => {
                    let says = format!("the plane takes this agent for {} as {}", link.integration_id, link.provider);
                    step(&section, "plane.hello", "integration (HELLO)", &says, &tried);
                }
            }
        }
        reached
    };
    let probing = async {
        link::probe_one(&endpoint, &link, network.as_ref(), last, &tell).await;
        drop(tell);
    };
    let ((), reached) = tokio::join!(probing, hearing);
    if let Some((failed, false)) = reached {
        way.tell_untried(&section, failed);
        for (step, id, what) in
            [(Step::Upgrade, "plane.upgrade", "path and token"), (Step::Hello, "plane.hello", "integration (HELLO)")]
        {
            if step > failed && (step != Step::Hello || round.greets) {
                section.find(id, Verdict::Untried, what, format!("not tried: {failed} failed"));
            }
        }
    }
    if !round.greets {
        let says = "not tried at a start: HELLO would show the integration as connected before it is";
        section.find("plane.hello", Verdict::Untried, "integration (HELLO)", says);
    }
}

fn step(section: &Section, id: &'static str, what: &str, good: &str, tried: &Tried) {
    let (verdict, says) = outcome(good, &tried.outcome);
    section.finding(Finding::new(id, verdict, what, says).taking(tried.took));
}

fn outcome(good: &str, outcome: &Result<(), Error>) -> (Verdict, String) {
    match outcome {
        Ok(()) => (Verdict::Good, good.to_owned()),
        Err(error) => (Verdict::Bad, error.sentence().to_owned()),
    }
}

/// What the settings leave unchecked in the plane's certificate.
fn unchecked(connector: &Connector) -> Option<&'static str> {
    if connector.tls.trust_all {
        Some("nothing of it is checked (trustAll): anybody in between can read the token")
    } else if connector.tls.skip_host_check {
        Some("its host name is not checked (verifyHost=false)")
    } else {
        None
    }
}

/// One way to one place.
pub(super) struct Way<'a> {
    pub(super) ids: &'a Ids,
    /// What stands behind each line's first words: ` (API Gateway, eu-west-1)`.
    pub(super) of: String,
    pub(super) endpoint: &'a Endpoint,
    pub(super) dial: &'a dyn Dial,
    pub(super) unchecked: Option<&'static str>,
}

impl Way<'_> {
    /// Tells a step of it.
    pub(super) fn tell(&self, section: &Section, tried: &Tried) {
        let Self { ids, of, endpoint, dial, .. } = self;
        let proxy = dial.through(endpoint);
        let what = |word: &str| format!("{word}{of}");
        match tried.step {
            Step::Name => {
                let (verdict, says) = match (&tried.outcome, &tried.seen.name) {
                    (Err(error), _) => (Verdict::Bad, error.sentence().to_owned()),
                    (Ok(()), None) => (Verdict::Good, "resolved".to_owned()),
                    (Ok(()), Some(found)) => {
                        let addresses: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
                        let addresses = addresses.join(", ");
                        let says = match proxy {
                            None => format!("{} is {addresses}", found.name),
                            Some(_) => {
                                format!("the proxy {} is {addresses}; it looks up {} itself", found.name, endpoint.host)
                            }
                        };
                        (Verdict::Good, says)
                    }
                };
                section.finding(Finding::new(ids.name, verdict, what("name"), says).taking(tried.took));
            }
            Step::Connect => {
                match (&proxy, &tried.outcome) {
                    (None, _) => {
                        let says = format!("none: {}", dial.why_straight(endpoint));
                        section.finding(Finding::new(ids.proxy, Verdict::Good, what("proxy"), says));
                    }
                    (Some(proxy), Ok(())) => {
                        section.finding(Finding::new(ids.proxy, Verdict::Good, what("proxy"), proxy.clone()));
                    }
                    // The sentence is about the proxy.
                    (Some(_), Err(error)) => {
                        let finding = Finding::new(ids.proxy, Verdict::Bad, what("proxy"), error.sentence());
                        section.finding(finding.taking(tried.took));
                        let says = "not tried: the proxy failed";
                        section.finding(Finding::new(ids.connection, Verdict::Untried, what("connection"), says));
                        return;
                    }
                }
                let good = match &proxy {
                    None => format!("port {} is open", endpoint.port),
                    Some(_) => format!("the proxy made a tunnel to {}", endpoint.host_and_port()),
                };
                let (verdict, says) = outcome(&good, &tried.outcome);
                section.finding(Finding::new(ids.connection, verdict, what("connection"), says).taking(tried.took));
            }
            Step::Tls => {
                let shown = tried.seen.tls.as_ref();
                let (verdict, says) = certificate(shown, &tried.outcome, self.unchecked, SystemTime::now());
                section.finding(Finding::new(ids.certificate, verdict, what("certificate"), says).taking(tried.took));
            }
            Step::Upgrade | Step::Hello => {}
        }
    }

    /// Tells the steps that were not tried, since `failed` did.
    pub(super) fn tell_untried(&self, section: &Section, failed: Step) {
        let says = format!("not tried: {failed} failed");
        let what = |word: &str| format!("{word}{}", self.of);
        if failed < Step::Connect {
            section.find(self.ids.connection, Verdict::Untried, &what("connection"), says.clone());
        }
        if failed < Step::Tls && self.endpoint.secure {
            section.find(self.ids.certificate, Verdict::Untried, &what("certificate"), says);
        }
    }
}

/// What is to be said of a handshake's certificates.
fn certificate(
    shown: Option<&Presented>,
    outcome: &Result<(), Error>,
    unchecked: Option<&str>,
    now: SystemTime,
) -> (Verdict, String) {
    let own = shown.and_then(|shown| shown.chain.first());
    let about = own.map(|own| described(own, now)).unwrap_or_default();
    if let Err(error) = outcome {
        let about = if about.is_empty() { about } else { format!(". It is {about}") };
        return (Verdict::Bad, format!("{}{about}", error.sentence()));
    }
    let version = shown.and_then(|shown| shown.version).unwrap_or("TLS");
    let mut verdict = Verdict::Good;
    let mut says = format!("trusted, {version}; {about}");
    if let Some(unchecked) = unchecked {
        verdict = Verdict::Doubtful;
        says = format!("{unchecked}; {version}; {about}");
    }
    for (nth, one) in shown.iter().flat_map(|shown| &shown.chain).enumerate() {
        let whose = if nth == 0 { "it".to_owned() } else { format!("the certificate above it (`{}`)", one.subject) };
        let worry = match one.age(now) {
            Age::Fresh { .. } => continue,
            Age::Ending { left } => format!("{whose} expires in {}: renew it", roughly(left)),
            Age::Expired { since } => format!("{whose} expired {} ago: renew it", roughly(since)),
            Age::Early { until } => format!("{whose} is not valid yet, but in {}", roughly(until)),
        };
        verdict = Verdict::Doubtful;
        says = format!("{worry}. {says}");
    }
    (verdict, says)
}

/// A certificate in some words.
fn described(one: &Certificate, now: SystemTime) -> String {
    let Certificate { subject, issuer, names, .. } = one;
    let more = if names.len() > NAMES { format!(" and {} more", names.len() - NAMES) } else { String::new() };
    let names = if names.is_empty() {
        "for no host name".to_owned()
    } else {
        format!("for {}{more}", names.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", "))
    };
    let (from, until) = (day(one.from), day(one.until));
    let valid = match one.age(now) {
        Age::Fresh { left } | Age::Ending { left } => format!("valid until {until} ({})", roughly(left)),
        Age::Expired { .. } => format!("valid until {until}"),
        Age::Early { .. } => format!("valid from {from}"),
    };
    format!("`{subject}`, {names}, by `{issuer}`, {valid}")
}

fn day(moment: SystemTime) -> String {
    // What lies before 1970 or after 9999 is nonsense, and is not told.
    let far = Duration::from_hours(24 * 365 * 8_000);
    let sound = moment.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since < far);
    let text = if sound { humantime::format_rfc3339_seconds(moment).to_string() } else { String::new() };
    text.get(..10).unwrap_or("an impossible day").to_owned()
}

/// Our own certificate, where one is named.
pub(super) fn own_certificate(connector: &Connector) -> Option<Finding> {
    let one = link::own_certificate(&connector.tls)?;
    let now = SystemTime::now();
    let about = described(&one, now);
    let (verdict, says) = match one.age(now) {
        Age::Fresh { .. } => (Verdict::Good, about),
        Age::Ending { left } => {
            (Verdict::Doubtful, format!("it expires in {}: renew it in the keystore. {about}", roughly(left)))
        }
        Age::Expired { since } => {
            (Verdict::Bad, format!("it expired {} ago: renew it in the keystore. {about}", roughly(since)))
        }
        Age::Early { until } => {
            let says =
                format!("it is not valid yet, but in {}; is this machine's clock right? {about}", roughly(until));
            (Verdict::Bad, says)
        }
    };
    Some(Finding::new("plane.client-certificate", verdict, "our own certificate (keystore)", says))
}
