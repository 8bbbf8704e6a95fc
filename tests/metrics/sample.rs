//! An exposition, asked for as a scraper does, and read as strictly as the format says.

#![expect(clippy::unwrap_used, reason = "an exposition that cannot be read fails its test")]

use std::collections::{BTreeMap, BTreeSet};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::soon;

/// What `GET http://address/path` answers: its head and its body.
pub(crate) async fn ask(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // 1.0: the answer comes in one piece.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// An exposition.
pub(crate) struct Exposition {
    pub(crate) text: String,
    /// By name and labels, as it is written.
    series: BTreeMap<String, f64>,
    /// The names that are described.
    pub(crate) names: BTreeSet<String>,
}

impl Exposition {
    /// Scrapes `address`.
    pub(crate) async fn of(address: &str) -> Self {
        let (head, text) = ask(address, "/metrics").await;
        assert!(head.starts_with("HTTP/1") && head.contains(" 200 "), "{head}");
        assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
        Self::read(text)
    }

    /// Scrapes until it is as wanted: what the log or the plane says may be a moment ahead.
    pub(crate) async fn until(address: &str, name: &str, holds: impl Fn(&Self) -> bool) -> Self {
        let asked = async {
            loop {
                let exposition = Self::of(address).await;
                if holds(&exposition) {
                    return exposition;
                }
            }
        };
        soon(name, asked).await
    }

    /// Every series stands under its description, once; every description has a help and a series.
    fn read(text: String) -> Self {
        let (mut series, mut names) = (BTreeMap::new(), BTreeSet::new());
        let (mut helped, mut now) = (String::new(), (String::new(), String::new()));
        for line in text.lines() {
            if let Some(described) = line.strip_prefix("# HELP ") {
                let (name, help) = described.split_once(' ').unwrap();
                assert!(help.ends_with('.') && names.insert(name.to_owned()), "{line}");
                name.clone_into(&mut helped);
                continue;
            }
            if let Some(described) = line.strip_prefix("# TYPE ") {
                let (name, sort) = described.split_once(' ').unwrap();
                assert_eq!(name, helped, "{line}");
                assert_eq!(sort == "counter", name.ends_with("_total"), "{line}");
                now = (name.to_owned(), sort.to_owned());
                continue;
            }
            assert!(!line.starts_with('#') && !line.is_empty(), "`{line}`");
            let (key, value) = line.rsplit_once(' ').unwrap();
            let name = key.split('{').next().unwrap();
            let whose = match name.strip_prefix(&now.0) {
                Some("") => now.1 != "histogram",
                Some("_bucket" | "_sum" | "_count") => now.1 == "histogram",
                _ => false,
            };
            assert!(whose, "{line} stands under {now:?}");
            assert!(series.insert(key.to_owned(), value.parse().unwrap()).is_none(), "twice: {key}");
        }
        Self { text, series, names }
    }

    /// How many series there are.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// The sum of the series of that name that have these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let matching = self.series.iter().filter(|(key, _)| {
            let (of, labels) = key.split_once('{').unwrap_or((key, ""));
            of == name && wanted.iter().all(|wanted| labels.contains(wanted))
        });
        let values: Vec<f64> = matching.map(|(_, value)| *value).collect();
        assert!(!values.is_empty(), "no {name} with {labels:?} in\n{}", self.text);
        values.iter().sum()
    }

    /// The same as a whole number.
    #[expect(clippy::cast_possible_truncation, reason = "counts of a test are small")]
    pub(crate) fn count(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        self.sum(name, labels) as i64
    }
}
