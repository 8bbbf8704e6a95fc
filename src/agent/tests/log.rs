//! What was logged.

use super::*;

/// Everything that is logged on this thread while it lives.
pub(super) struct Log {
    lines: Lines,
    _guard: tracing::subscriber::DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(super) fn new() -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let style = crate::observe::Style::Text { colours: false };
        let subscriber = crate::observe::subscriber(style, move || writer.clone());
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines, at INFO and above, that hold `part`.
    pub(super) fn with(&self, part: &str) -> Vec<String> {
        let text = self.text();
        let lines = text.lines().filter(|line| !line.contains("DEBUG") && !line.contains("TRACE"));
        lines.filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}
