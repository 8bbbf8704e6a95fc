#!/bin/sh
# Checks everything below deploy/ that can be checked without a cluster or a cloud: every executable file beside this one, with
# the Python packages of requirements.txt. A check says by itself what did not run for want of a tool.
# PYTHON, VENV, KUBECTL, DOCKER and STATIC_BINARY (or FEDERATION_AGENT) say where these are.
set -u
here=$(cd "$(dirname "$0")" && pwd)
venv=${VENV:-$here/../../target/deploy}
list=$here/requirements.txt

if ! cmp -s "$list" "$venv/made"; then
  if ! { "${PYTHON:-python3}" -m venv "$venv" \
    && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$list"; }; then
    echo "tests/deploy: did not run: it needs python3 with venv, and the packages of requirements.txt" >&2
    [ -z "${CI:-}" ]
    exit
  fi
  cp "$list" "$venv/made"
fi
PATH=$(cd "$venv" && pwd)/bin:$PATH
PYTHONDONTWRITEBYTECODE=1
export PATH PYTHONDONTWRITEBYTECODE

passed=0
failed=0
for check in "$here"/*; do
  [ -f "$check" ] && [ -x "$check" ] && [ "$check" != "$here/run.sh" ] || continue
  echo "== ${check##*/}"
  if "$check"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "tests/deploy: ${check##*/} failed" >&2
  fi
done
echo "deploy: $passed passed, $failed failed"
[ "$failed" = 0 ]
