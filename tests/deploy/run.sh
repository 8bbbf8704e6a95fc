#!/bin/sh
# Checks everything below deploy/ that can be checked without a cluster or a cloud: every executable file beside this one, each
# with the Python packages of requirements*.txt. A check says by itself what did not run for want of a tool.
# PYTHON, VENV and KUBECTL say where these are.
set -u
here=$(cd "$(dirname "$0")" && pwd)
venv=${VENV:-$here/../../target/deploy-venv}

[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv" || exit 1
for list in "$here"/requirements*.txt; do
  [ -e "$list" ] && cmp -s "$list" "$venv/${list##*/}" && continue
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$list" || {
    echo "tests/deploy: the packages of ${list##*/} could not be installed: nothing was checked" >&2
    exit 1
  }
  cp "$list" "$venv/"
done
PATH=$venv/bin:$PATH
export PATH
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE

passed=0
failed=0
for check in "$here"/*; do
  [ -f "$check" ] && [ -x "$check" ] && [ "$check" != "$here/run.sh" ] || continue
  echo "== ${check##*/}"
  if "$check"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "tests/deploy: ${check##*/} failed" >&2; fi
done
echo "deploy: $passed passed, $failed failed"
[ "$failed" = 0 ]
