//! What the allocator is told: give memory back. The agent idles for weeks between bursts of large documents, and
//! glibc, left alone, keeps what such a burst needed.

/// Told before there is a second thread. Elsewhere than on glibc there is nothing to tell.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "mallopt has no safe form; it takes two numbers and touches nothing of ours")]
pub(super) fn give_back() {
    /// One heap: two threads do not fight over it, and a heap each would keep its own holes.
    const HEAPS: i32 = 1;
    /// From this size on a block is a mapping of its own, which goes back when it is freed. Setting it also keeps
    /// glibc from raising it to the size of the largest batch.
    const OWN_MAPPING: i32 = 64 * 1024;
    /// So much may stay free at the heap's end.
    const FREE_END: i32 = 128 * 1024;
    for (option, value) in
        [(libc::M_ARENA_MAX, HEAPS), (libc::M_MMAP_THRESHOLD, OWN_MAPPING), (libc::M_TRIM_THRESHOLD, FREE_END)]
    {
        // A refusal costs memory and nothing else.
        let _ = unsafe { libc::mallopt(option, value) };
    }
}

/// Told before there is a second thread. Elsewhere than on glibc there is nothing to tell.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn give_back() {}
