//! Certificates as a person reads them: whose, by whom, for which names, until when. Read only to be shown; whether one
//! is trusted is rustls's affair.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::{extensions::GeneralName, parse_x509_certificate, time::ASN1Time};

use super::store;
use crate::{model::line, settings::Tls};

const DAY: Duration = Duration::from_hours(24);
/// From so little left on a certificate of a year is to be renewed,
const LONG: Duration = Duration::from_hours(30 * 24);
/// and one that lasts so long is one of a year.
const YEARLY: Duration = Duration::from_hours(180 * 24);
/// The same for shorter ones; those that last days only have a third of their time.
const SHORT: Duration = Duration::from_hours(14 * 24);
/// The longest name that is kept, in characters.
const NAME: usize = 200;

/// What stands in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is: `CN=plane.example`.
    pub subject: String,
    /// Who has signed it.
    pub issuer: String,
    /// The host names and addresses that it is for.
    pub names: Vec<String>,
    /// From when on it is valid.
    pub from: SystemTime,
    /// Until when.
    pub until: SystemTime,
}

/// How a certificate stands in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// It is valid, and for a while.
    Fresh {
        /// For so long.
        left: Duration,
    },
    /// It is valid, and ends soon.
    Ending {
        /// In so long.
        left: Duration,
    },
    /// It has expired.
    Expired {
        /// So long ago.
        since: Duration,
    },
    /// It is not valid yet.
    Early {
        /// It will be in so long.
        until: Duration,
    },
}

impl Certificate {
    /// Reads a certificate; `None`: it cannot be read.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, read) = parse_x509_certificate(der).ok()?;
        let names = read.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(shown).collect());
        Some(Self {
            subject: cut(&read.subject().to_string()),
            issuer: cut(&read.issuer().to_string()),
            names: names.unwrap_or_default(),
            from: moment(read.validity().not_before),
            until: moment(read.validity().not_after),
        })
    }

    /// How it stands at `now`.
    pub fn age(&self, now: SystemTime) -> Age {
        if let Ok(until) = self.from.duration_since(now)
            && !until.is_zero()
        {
            return Age::Early { until };
        }
        let Ok(left) = self.until.duration_since(now) else {
            return Age::Expired { since: now.duration_since(self.until).unwrap_or_default() };
        };
        let whole = self.until.duration_since(self.from).unwrap_or_default();
        let little = if whole >= YEARLY { LONG } else { SHORT.min(whole / 3) };
        if left < little { Age::Ending { left } } else { Age::Fresh { left } }
    }
}

/// What the other end of a TLS handshake showed.
#[derive(Debug, Clone, Default)]
pub struct Presented {
    /// The protocol's version and cipher, once they were agreed on: `TLS 1.3`.
    pub version: Option<&'static str>,
    /// Its certificate and those above it, as far as they can be read.
    pub chain: Vec<Certificate>,
}

/// Our own certificate, which `tls` names for those who ask for one; `None`: none is named, or it cannot be read, which
/// is then a fault of the settings.
pub fn own_certificate(tls: &Tls) -> Option<Certificate> {
    let (chain, _) = store::identity(tls.keystore.as_ref()?).ok()?;
    Certificate::read(chain.first()?)
}

/// The certificates of a handshake.
pub(super) fn read_all(end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Vec<Certificate> {
    std::iter::once(end_entity).chain(intermediates).filter_map(|der| Certificate::read(der)).collect()
}

/// A span of time as people say it: days, or what is shorter.
pub fn roughly(span: Duration) -> String {
    let days = span.as_secs() / DAY.as_secs();
    match (days, span.as_secs()) {
        (2.., _) => format!("{days} days"),
        (_, seconds @ 7_200..) => format!("{} hours", seconds / 3_600),
        (_, seconds @ 120..) => format!("{} minutes", seconds / 60),
        (_, seconds) => format!("{seconds} s"),
    }
}

/// What somebody else wrote, as a name in a line.
fn cut(text: &str) -> String {
    line(text.chars().take(NAME).collect::<String>())
}

fn moment(time: ASN1Time) -> SystemTime {
    let seconds = time.timestamp();
    let span = Duration::from_secs(seconds.unsigned_abs());
    let moment =
        if seconds < 0 { SystemTime::UNIX_EPOCH.checked_sub(span) } else { SystemTime::UNIX_EPOCH.checked_add(span) };
    moment.unwrap_or(SystemTime::UNIX_EPOCH)
}

fn shown(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(cut(name)),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(four) => Some(std::net::Ipv4Addr::from(four).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|six| std::net::Ipv6Addr::from(six).to_string()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_soon_depends_on_how_long_it_lasts() {
        let now = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let age = |lasts: u32, left: u32| {
            let (until, lasts) = (now + left * DAY, lasts * DAY);
            let names = Vec::new();
            Certificate { subject: String::new(), issuer: String::new(), names, from: until - lasts, until }.age(now)
        };
        for (lasts, left, ends) in
            [(365, 31, false), (365, 29, true), (90, 29, false), (90, 13, true), (7, 3, false), (7, 2, true)]
        {
            assert_eq!(matches!(age(lasts, left), Age::Ending { .. }), ends, "{lasts} {left}");
        }
        let mut one = Certificate {
            subject: String::new(),
            issuer: String::new(),
            names: Vec::new(),
            from: now + DAY,
            until: now + 3 * DAY,
        };
        assert_eq!(one.age(now), Age::Early { until: DAY });
        one.from = now - 3 * DAY;
        one.until = now - DAY;
        assert_eq!(one.age(now), Age::Expired { since: DAY });
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        for bytes in [&b""[..], b"0", &[0x30, 0x82, 0xff, 0xff]] {
            assert_eq!(Certificate::read(bytes), None);
        }
    }

    #[test]
    fn spans_are_told_in_days_and_less() {
        for (seconds, words) in
            [(0, "0 s"), (300, "5 minutes"), (7_200, "2 hours"), (90_000, "25 hours"), (864_000, "10 days")]
        {
            assert_eq!(roughly(Duration::from_secs(seconds)), words);
        }
    }
}
