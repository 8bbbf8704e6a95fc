//! What happens in one integration, told by whoever does it: its link, its agent, its provider.

use std::sync::Arc;

/// Takes down what happens in one integration, for the metrics and the status page. Cheap to clone; all clones write
/// the same book. The default one belongs to no integration, and what it takes down is shown nowhere.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    book: Arc<Book>,
}

/// What is taken down of one integration.
#[derive(Debug, Default)]
struct Book {
    integration: String,
    provider: String,
}

impl Recorder {
    /// One for the integration `id`, whose gateway is a `provider`.
    pub fn new(id: &str, provider: &str) -> Self {
        Self { book: Arc::new(Book { integration: id.to_owned(), provider: provider.to_owned() }) }
    }

    /// The plane's id of the integration; empty for the default one.
    pub fn integration(&self) -> &str {
        &self.book.integration
    }

    /// The provider's type.
    pub fn provider(&self) -> &str {
        &self.book.provider
    }
}
