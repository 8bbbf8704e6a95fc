//! Memory that is given back. The agent idles for weeks between bursts of large documents, and glibc, left alone, keeps what
//! such a burst needed; and most of the program's code is needed by its start, by a check, or never.

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

/// Lets go of the program's code, as far as it is in memory: the kernel brings back what is called, from the file, and what
/// only the start or an ingest needed stays away. Told when the start is over, and now and then; on Linux.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "madvise has no safe form; the pages are the file's own, never written, and come back by themselves"
)]
pub(super) fn let_go_of_code() {
    let here = let_go_of_code as *const () as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let Some((from, to)) = maps.lines().find_map(|line| code_around(line, here)) else { return };
    // A refusal costs memory and nothing else.
    let _ = unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_DONTNEED) };
}

/// Nothing of the kind elsewhere.
#[cfg(not(target_os = "linux"))]
pub(super) fn let_go_of_code() {}

/// From where to where the mapping of `line` is, when it is code that nobody can have written to, with `address` in it.
#[cfg(target_os = "linux")]
fn code_around(line: &str, address: usize) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let (from, to) = (usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?);
    (words.next()? == "r-xp" && (from..to).contains(&address)).then_some((from, to))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_let_go() {
        let line = |rights| format!("1000-3000 {rights} 002f9000 fe:00 5366510   /usr/local/bin/federation-agent");
        assert_eq!(code_around(&line("r-xp"), 0x2fff), Some((0x1000, 0x3000)));
        assert_eq!(code_around(&line("r-xp"), 0x3000), None);
        for rights in ["rw-p", "r--p", "rwxp", "r-xs"] {
            assert_eq!(code_around(&line(rights), 0x2000), None, "{rights}");
        }
        assert_eq!(code_around("", 0x2000), None);
    }

    /// What was let go comes back: everything after this line is called from it.
    #[test]
    fn the_program_goes_on() {
        let resident = || {
            let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
            // The third number: pages of files.
            statm.split(' ').nth(2).and_then(|pages| pages.parse::<usize>().ok()).expect("a number")
        };
        let before = resident();
        let_go_of_code();
        let after = resident();
        assert!(after < before, "{before} pages before, {after} after");
    }
}
