//! `make fuzz`: libFuzzer around the targets of `tests/fuzz`. One program; FUZZ_TARGET names the target. Built without
//! libFuzzer it gives a target the files that it is told: `cargo run --example fuzz -- gateway FILE…`.

#![cfg_attr(libfuzzer, no_main)]

#[path = "targets/mod.rs"]
mod targets;

#[cfg(libfuzzer)]
static TARGET: std::sync::LazyLock<&targets::Target> = std::sync::LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    targets::TARGETS.iter().find(|target| target.name == name).expect("FUZZ_TARGET names a target")
});

#[cfg(libfuzzer)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));

#[cfg(not(libfuzzer))]
fn main() {
    let mut told = std::env::args().skip(1);
    let name = told.next().unwrap_or_default();
    let Some(target) = targets::TARGETS.iter().find(|target| target.name == name) else {
        let names: Vec<&str> = targets::TARGETS.iter().map(|target| target.name).collect();
        println!("`make fuzz` fuzzes; this gives a target (one of {}) the files behind its name", names.join(", "));
        return;
    };
    for file in told {
        println!("{file}");
        (target.run)(&std::fs::read(&file).expect("a file that can be read"));
    }
}
