//! How much of an answer is taken. AWS is not the only one that may answer: a proxy, an emulator, or whoever has taken
//! its place can send megabytes where a kilobyte is due, or a small text that becomes a large thing in memory.

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyDataStream, StreamBody};
use hyper::body::Frame;

/// What a request asks for, as far as the length of its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An OpenAPI document, which is passed through as it is.
    Document,
    /// A page of a list.
    List,
    /// One thing: a key, a stage, credentials.
    Thing,
}

impl Kind {
    /// Of the request `method uri`.
    pub(super) fn of(method: &str, uri: &str) -> Self {
        let path = uri.split('?').next().unwrap_or_default();
        let lists = ["/restapis", "/usageplans", "/apikeys", "/stages", "/keys"];
        match method {
            "GET" if path.contains("/exports/") => Self::Document,
            "GET" if lists.iter().any(|list| path.ends_with(list)) => Self::List,
            _ => Self::Thing,
        }
    }
}

/// The most that is taken of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Most {
    /// In bytes.
    bytes: usize,
    /// How many objects and arrays its JSON may hold. The library makes a record of some hundred bytes of each, also
    /// of an empty one: a page of nothing but `{}` would cost hundreds of times its length.
    parts: Option<usize>,
}

impl Most {
    /// Of the answer to a `kind` with this status.
    pub(super) fn of(kind: Kind, status: u16) -> Self {
        match kind {
            // A refusal is a sentence.
            _ if status >= 300 => Self { bytes: 256 << 10, parts: Some(1 << 10) },
            // AWS writes 10 MiB at most.
            Kind::Document => Self { bytes: 12 << 20, parts: None },
            // 500 REST APIs with policies of 8 KiB; 500 usage plans with some hundred stages each.
            Kind::List => Self { bytes: 12 << 20, parts: Some(1 << 17) },
            Kind::Thing => Self { bytes: 1 << 20, parts: Some(1 << 13) },
        }
    }

    /// The same body, which breaks off where it becomes more than this.
    pub(super) fn keep(self, body: SdkBody) -> SdkBody {
        let mut taken = Taken::default();
        let parts = BodyDataStream::new(body).map(move |part| {
            let part: Bytes = part?;
            taken.take(&part, self)?;
            Ok::<_, aws_smithy_types::body::Error>(Frame::data(part))
        });
        SdkBody::from_body_1_x(StreamBody::new(parts))
    }
}

/// What was taken of an answer so far.
#[derive(Debug, Default)]
struct Taken {
    bytes: usize,
    parts: usize,
    in_text: bool,
    escaped: bool,
}

/// An answer that is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum Excess {
    #[error("the answer is longer than the {0} bytes that are taken of one")]
    Bytes(usize),
    #[error("the answer holds more than the {0} things that are taken of one")]
    Parts(usize),
}

impl Taken {
    fn take(&mut self, part: &[u8], most: Most) -> Result<(), Excess> {
        self.bytes += part.len();
        if self.bytes > most.bytes {
            return Err(Excess::Bytes(most.bytes));
        }
        let Some(parts) = most.parts else { return Ok(()) };
        for byte in part {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_text => self.escaped = true,
                b'"' => self.in_text = !self.in_text,
                b'{' | b'[' if !self.in_text => self.parts += 1,
                _ => {}
            }
        }
        if self.parts > parts { Err(Excess::Parts(parts)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_the_request_line() {
        for (method, uri, kind) in [
            ("GET", "http://x/restapis?limit=500&position=a", Kind::List),
            ("GET", "http://x/usageplans?limit=500", Kind::List),
            ("GET", "http://x/restapis/a1/stages", Kind::List),
            ("GET", "http://x/apikeys?name=n", Kind::List),
            ("GET", "http://x/restapis/a1/stages/prod/exports/oas30", Kind::Document),
            ("GET", "http://x/restapis/a1", Kind::Thing),
            ("POST", "http://x/apikeys", Kind::Thing),
            ("POST", "http://x/", Kind::Thing),
            ("GET", "http://169.254.170.2/creds", Kind::Thing),
        ] {
            assert_eq!(Kind::of(method, uri), kind, "{method} {uri}");
        }
    }

    fn taken(text: &str, most: Most, step: usize) -> Result<(), Excess> {
        let mut taken = Taken::default();
        text.as_bytes().chunks(step).try_for_each(|part| taken.take(part, most))
    }

    #[test]
    fn what_is_too_much_is_not_taken_however_it_comes() {
        let most = Most { bytes: 40, parts: Some(3) };
        for step in [1, 2, 7, 100] {
            for text in [r#"{"item":[{}]}"#, r#"{"a":"[[[[{{{{\"[[[["}"#, r#"["\\",{},[]]"#] {
                assert_eq!(taken(text, most, step), Ok(()), "{text}");
            }
            for text in [r"[{},{},{}]", r#"["\\",{},[],[]]"#, "[[[[[[[["] {
                assert_eq!(taken(text, most, step), Err(Excess::Parts(3)), "{text}");
            }
            assert_eq!(taken(&"x".repeat(41), most, step), Err(Excess::Bytes(40)));
        }
        assert_eq!(taken("[[[[[[[[", Most { bytes: 40, parts: None }, 3), Ok(()));
    }
}
