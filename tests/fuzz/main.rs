//! Every reader of bytes from outside, fed with its corpus and with what chance makes of it: the short run, on any
//! toolchain. `make fuzz` is the long one, guided by coverage.

mod targets;

use std::{cell::Cell, fmt, fs, panic, path::PathBuf, sync::Once};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{TestError, TestRunner},
};

/// What inputs are grown by: where formats turn.
const WORDS: &[&str] = &[
    ";;",
    "e:",
    "{",
    "}",
    "[",
    "]",
    "null",
    "\"",
    "\\u0000",
    "\\ud800",
    "-1",
    "1e999",
    "\r\n",
    "\r\n\r\n",
    "\n----\n",
    "\u{0}",
    "\u{fffd}",
    "=",
    ":",
    "/",
    "_",
    "://",
    "@",
    "200",
    "429",
    "<",
    ">",
    "\u{1b}[2J",
];

/// One change to an input.
#[derive(Debug, Clone)]
enum Edit {
    Set(Index, u8),
    Cut(Index, usize),
    Insert(Index, Vec<u8>),
    Repeat(Index, usize, usize),
    Splice(Index, Vec<u8>),
}

impl Edit {
    fn apply(self, bytes: &mut Vec<u8>) {
        let at = |index: Index, bytes: &[u8]| index.index(bytes.len() + 1);
        match self {
            Self::Set(index, byte) => {
                let at = at(index, bytes);
                if let Some(old) = bytes.get_mut(at) {
                    *old = byte;
                }
            }
            Self::Cut(index, len) => {
                let at = at(index, bytes);
                bytes.drain(at..(at + len).min(bytes.len()));
            }
            Self::Insert(index, more) => {
                let at = at(index, bytes);
                bytes.splice(at..at, more);
            }
            Self::Repeat(index, len, times) => {
                let at = at(index, bytes);
                let piece = bytes[at..(at + len).min(bytes.len())].repeat(times);
                bytes.splice(at..at, piece);
            }
            Self::Splice(index, other) => {
                let at = at(index, bytes);
                bytes.truncate(at);
                bytes.extend(other);
            }
        }
    }
}

/// An input, shown so that it can be put into the corpus (`printf`).
#[derive(Clone)]
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "fuzz", "corpus", target].iter().collect();
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<_> = files
        .map(|file| file.expect("a file"))
        .map(|file| (file.file_name().display().to_string(), fs::read(file.path()).expect("a seed")))
        .collect();
    seeds.sort();
    seeds
}

fn any_input(seeds: &[Vec<u8>]) -> impl Strategy<Value = Input> + use<> {
    let piece = || {
        (any::<Index>(), select(seeds.to_vec())).prop_map(|(from, seed)| seed[from.index(seed.len() + 1)..].to_vec())
    };
    let edit = prop_oneof![
        3 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        2 => (any::<Index>(), 1..24_usize).prop_map(|(at, len)| Edit::Cut(at, len)),
        3 => (any::<Index>(), select(WORDS)).prop_map(|(at, word)| Edit::Insert(at, word.as_bytes().to_vec())),
        1 => (any::<Index>(), vec(any::<u8>(), 1..8)).prop_map(|(at, more)| Edit::Insert(at, more)),
        1 => (any::<Index>(), 1..16_usize, 1..200_usize).prop_map(|(at, len, times)| Edit::Repeat(at, len, times)),
        1 => (any::<Index>(), piece()).prop_map(|(at, other)| Edit::Splice(at, other)),
    ];
    (select(seeds.to_vec()), vec(edit, 0..6)).prop_map(|(mut bytes, edits)| {
        for edit in edits {
            edit.apply(&mut bytes);
        }
        Input(bytes)
    })
}

thread_local! {
    /// Whether this thread looks for a shorter input: what breaks with each is not worth a line.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

fn hush(quiet: bool) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    QUIET.set(quiet);
}

fn short_run(name: &str, cases: u32) {
    let target = targets::TARGETS.iter().find(|target| target.name == name).expect("a target");
    let seeds = corpus(name);
    assert!(seeds.len() >= 3, "the corpus of {name} is gone");
    for (seed, bytes) in &seeds {
        println!("{name}/{seed}");
        (target.run)(bytes);
    }
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let seeds: Vec<Vec<u8>> = seeds.into_iter().map(|(_, bytes)| bytes).collect();
    hush(true);
    let outcome = TestRunner::new(config).run(&any_input(&seeds), |Input(bytes)| {
        (target.run)(&bytes);
        Ok(())
    });
    hush(false);
    if let Err(TestError::Fail(why, input)) = outcome {
        panic!(
            "{why}\nthe shortest input found: {input:?}\nput it into tests/fuzz/corpus/{name} and mend what it breaks"
        );
    }
    outcome.expect("an input for every case");
}

macro_rules! short_runs {
    ($($name:ident: $cases:literal,)+) => {
        $(#[test]
        fn $name() {
            short_run(stringify!($name), $cases);
        })+

        #[test]
        fn every_target_has_its_short_run() {
            let here = [$(stringify!($name)),+];
            assert!(targets::TARGETS.iter().map(|target| target.name).eq(here));
        }
    };
}

// How many inputs chance makes of a target's corpus: a second or two each.
short_runs! {
    exchange: 2_000,
    frames: 300,
    upgrade: 300,
    tunnel: 1_000,
    stores: 500,
    settings: 20,
    places: 2_000,
    gateway: 30,
    journal: 2_000,
}
