# The image, compiled inside: `docker build -t federation-agent .`
# From a binary that is there already: `make docker` (docker/Dockerfile.prebuilt). Both end in the same image; what follows
# `FROM scratch` is the same in both, and no BuildKit is needed for either.
FROM rust:1.95-slim-bookworm AS build

RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /build
COPY . .

# Fully static, for the processor that builds it. Random numbers come straight from the kernel: looking up glibc's own
# function at run time needs a loader, which an empty image has not.
ARG COMMIT
RUN host="$(rustc -vV | sed -n 's/^host: //p')" \
 && FEDERATION_AGENT_COMMIT="${COMMIT}" \
    RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"' \
    cargo build --locked --release --target "${host}" --bin federation-agent \
 && mkdir -p /image/data \
 && cp "target/${host}/release/federation-agent" /etc/ssl/certs/ca-certificates.crt /image/

FROM scratch

ARG VERSION=0.1.0
ARG COMMIT
LABEL org.opencontainers.image.title="federation-agent" \
      org.opencontainers.image.description="Federates an API gateway with a management plane over one outbound websocket" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"

COPY --from=build /image/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /image/federation-agent /usr/local/bin/federation-agent
COPY --from=build --chown=65532:65532 /image/data /var/lib/federation-agent
# The journal of grants outlives the container: compose hands an unnamed volume on to the next one.
VOLUME /var/lib/federation-agent

USER 65532:65532
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --retries=3 CMD ["/usr/local/bin/federation-agent", "health"]
ENTRYPOINT ["/usr/local/bin/federation-agent"]
