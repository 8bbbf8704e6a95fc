#!/bin/sh
# Builds the image from a static binary: docker/image.sh BINARY TAG [VERSION] [COMMIT]
# The empty image gets the binary, this machine's CA certificates and nothing else. No BuildKit is needed.
set -eu
binary=$1 tag=$2 version=${3:-} commit=${4:-}
here=$(cd "$(dirname "$0")" && pwd)
DOCKER=${DOCKER:-docker}

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$binary" "$context/federation-agent"
chmod 0755 "$context/federation-agent"
mkdir -p "$context/data"

for bundle in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \
  /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
  if [ -n "$bundle" ] && [ -s "$bundle" ]; then
    cp "$bundle" "$context/ca-certificates.crt"
    chmod 0644 "$context/ca-certificates.crt"
    break
  fi
done
if [ ! -e "$context/ca-certificates.crt" ]; then
  echo "$0: no CA certificates on this machine: install the package ca-certificates, or name a bundle in SSL_CERT_FILE" >&2
  exit 1
fi

$DOCKER build --quiet --file "$here/Dockerfile.prebuilt" --tag "$tag" \
  --build-arg "VERSION=$version" --build-arg "COMMIT=$commit" "$context"
