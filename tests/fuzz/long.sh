#!/usr/bin/env bash
# The long run: libFuzzer around each target, guided by coverage, on the stable toolchain.
#
#   FUZZ_SECONDS  how long each target is fuzzed (60)
#   FUZZ_TARGETS  which ones (all)
#
# What grows of the corpus stays in target/fuzz/corpus. What breaks a target is written beside the seeds, into
# tests/fuzz/corpus: mend what it breaks and commit it, so that `make test` tries it for ever.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${FUZZ_SECONDS:-60}
case $seconds in '' | *[!0-9]* | 0) echo "make fuzz: FUZZ_SECONDS is a whole number of seconds, not '$seconds'" >&2; exit 2 ;; esac
targets=${FUZZ_TARGETS:-$(ls tests/fuzz/corpus)}
for target in $targets; do
  [ -d "tests/fuzz/corpus/$target" ] || { echo "make fuzz: there is no target '$target'; there are: $(ls -x -w 0 tests/fuzz/corpus)" >&2; exit 2; }
done
command -v c++ >/dev/null || { echo "make fuzz: libFuzzer is built by a C++ compiler, and there is none: nothing was fuzzed" >&2; exit 1; }

# The compiler's own coverage pass, by options that every toolchain takes. No sanitizer: those need a nightly, and the
# agent's own code has no `unsafe`.
export RUSTFLAGS="--cfg libfuzzer -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
-C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
-C llvm-args=-sanitizer-coverage-trace-compares"
host=$(rustc -vV | sed -n 's/^host: //p')
${CARGO:-cargo} build --locked --profile fuzz --target "$host" --target-dir target/fuzz --example fuzz
program=target/fuzz/$host/fuzz/examples/fuzz

failed=0
printf '%-10s %12s %9s %9s  %s\n' target executions 'a second' covered outcome
for target in $targets; do
  grown=target/fuzz/corpus/$target log=target/fuzz/$target.log
  mkdir -p "$grown"
  outcome='nothing found'
  FUZZ_TARGET=$target "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=16384 \
    -print_final_stats=1 -artifact_prefix="tests/fuzz/corpus/$target/" "$grown" "tests/fuzz/corpus/$target" >"$log" 2>&1 ||
    { failed=1; outcome="BROKEN: $(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1) (see $log)"; }
  printf '%-10s %12s %9s %9s  %s\n' "$target" \
    "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")" \
    "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)" "$outcome"
done
exit $failed
