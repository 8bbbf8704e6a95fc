#!/usr/bin/env bash
# Everything under deploy/ but Kubernetes, held to iam/ and to the agent. CLOUDS_VENV is where its Python packages go.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${CLOUDS_VENV:-target/clouds}
requirements=tests/deploy/requirements-clouds.txt
if ! cmp -s "$requirements" "$venv/made"; then
  if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"; }; then
    echo "tests/deploy/clouds.sh did not run: it needs python3 with venv, and the packages of $requirements"
    [ -z "${CI:-}" ]
    exit
  fi
  cp "$requirements" "$venv/made"
fi
if [ -z "${MINISTACK:-}" ] && [ -x target/venv/bin/ministack ]; then export MINISTACK="$PWD/target/venv/bin/ministack"; fi
export PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" tests/deploy/clouds
