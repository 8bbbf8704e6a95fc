//! When a batch is full, and how it is halved. Pure.

/// Gathers items until a batch is full, by bytes or by number.
#[derive(Debug)]
pub(super) struct Batcher<T> {
    items: Vec<T>,
    bytes: usize,
    max_bytes: usize,
    max_items: usize,
}

impl<T> Batcher<T> {
    /// A batch holds at most `max_items`, and at most `max_bytes` unless a single item is longer.
    pub(super) fn new(max_bytes: usize, max_items: usize) -> Self {
        Self { items: Vec::new(), bytes: 0, max_bytes: max_bytes.max(1), max_items: max_items.max(1) }
    }

    /// Adds an item of `len` bytes. When it does not fit any more, the batch that it does not fit into comes back and
    /// the item begins the next one.
    pub(super) fn push(&mut self, item: T, len: usize) -> Option<Vec<T>> {
        let full = !self.items.is_empty() && self.bytes.saturating_add(len) > self.max_bytes;
        let ready = full.then(|| self.take());
        self.items.push(item);
        self.bytes = self.bytes.saturating_add(len);
        ready
    }

    /// Whether it should be sent now.
    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= self.max_items || self.bytes >= self.max_bytes
    }

    /// How many items it holds.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// What it holds; it is empty then.
    pub(super) fn take(&mut self) -> Vec<T> {
        self.bytes = 0;
        std::mem::take(&mut self.items)
    }
}

/// The two halves of `items`, in order; the second is empty when there is but one.
pub(super) fn halve<T>(mut items: Vec<T>) -> (Vec<T>, Vec<T>) {
    let second = items.split_off(items.len().div_ceil(2));
    (items, second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything that a batcher lets go of, as batches of lengths.
    fn batches(lens: &[usize], max_bytes: usize, max_items: usize) -> Vec<Vec<(usize, usize)>> {
        let mut batcher = Batcher::new(max_bytes, max_items);
        let mut out = Vec::new();
        for (index, len) in lens.iter().enumerate() {
            out.extend(batcher.push((index, *len), *len));
            if batcher.is_full() {
                out.push(batcher.take());
            }
        }
        if batcher.len() > 0 {
            out.push(batcher.take());
        }
        out
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_limits_hold(
            lens in proptest::collection::vec(0usize..2_000, 0..80), max_bytes in 1usize..3_000, max_items in 1usize..30,
        ) {
            let batches = batches(&lens, max_bytes, max_items);
            let all: Vec<usize> = batches.iter().flatten().map(|(index, _)| *index).collect();
            prop_assert_eq!(all, (0..lens.len()).collect::<Vec<_>>());
            for batch in &batches {
                prop_assert!(!batch.is_empty());
                prop_assert!(batch.len() <= max_items);
                let bytes: usize = batch.iter().map(|(_, len)| len).sum();
                prop_assert!(bytes <= max_bytes || batch.len() == 1, "{} bytes in {} items", bytes, batch.len());
            }
        }

        #[test]
        fn halves_keep_order_and_shrink(items in proptest::collection::vec(any::<u8>(), 0..50)) {
            let (first, second) = halve(items.clone());
            prop_assert!(first.len() - second.len() <= 1);
            prop_assert_eq!([first, second].concat(), items);
        }
    }
}
