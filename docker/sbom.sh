#!/usr/bin/env bash
# Writes what is in the binary as a CycloneDX document: docker/sbom.sh TARGET FILE
# Every crate that is compiled for TARGET and not only to build: its version, licence, checksum and source. The document is
# held against what Cargo itself says. Nothing is asked of a network but the crates' registry.
set -euo pipefail
target=$1 file=$2
version=0.5.9 tools=target/tools
cargo=${CARGO:-cargo}
tool=$tools/bin/cargo-cyclonedx

if [ "$("$tool" cyclonedx --version 2>/dev/null)" != "cargo-cyclonedx-cyclonedx $version" ]; then
  echo "make sbom: building cargo-cyclonedx $version into $tools (once, some minutes)"
  "$cargo" install --quiet --locked --root "$tools" --version "$version" cargo-cyclonedx || {
    echo "make sbom: cargo-cyclonedx could not be had: nothing was written. On a machine that reaches the crates' registry:" >&2
    echo "  cargo install --locked --root $tools --version $version cargo-cyclonedx" >&2
    echo "It is one program; copy it to $tool here. Without it, \`cargo tree --locked -e normal\` lists the same crates." >&2
    exit 1
  }
fi

# The tool writes beside the manifest. With the time of the commit, two runs for one commit are equal to the byte.
made=federation-agent_bin.cdx.json
trap 'rm -f "$made"' EXIT
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)} \
  "$tool" cyclonedx --quiet --format json --describe binaries --spec-version 1.5 --target "$target" --no-build-deps
mkdir -p "$(dirname "$file")"
# Where the sources lie on this machine is nobody's business.
sed "s|path+file://$PWD|path+file://.|g" "$made" >"$file"

told=$(grep -o '"purl": "pkg:cargo/[^"?]*"' "$file" | sed 's|.*pkg:cargo/||; s|"$||' | sort -u)
there=$("$cargo" tree --locked -e normal --target "$target" --prefix none --no-dedupe --format '{p}' |
  awk '$1 != "federation-agent" && NF { sub(/^v/, "", $2); print $1 "@" $2 }' | sort -u)
if ! missing=$(diff <(echo "$told") <(echo "$there")); then
  printf 'make sbom: the document (<) and `cargo tree` (>) differ:\n%s\n' "$missing" >&2
  exit 1
fi
echo "$file: $(wc -l <<<"$there") crates, as \`cargo tree\` has them"
