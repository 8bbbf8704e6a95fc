# One command builds, one tests, one lints: `make help`.

CARGO   ?= cargo
PYTHON  ?= python3
DOCKER  ?= docker
IMAGE   ?= federation-agent:latest

# Nothing ties the binary to one processor: it is built for the machine that builds it.
HOST    := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
STATIC  := target/$(HOST)/release/federation-agent
VENV    := target/venv
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null)

# Fully static: glibc is linked in, and random numbers come straight from the kernel (looking up glibc's own function
# at run time needs a loader, which an empty image has not).
STATIC_FLAGS := -C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo test deploy fuzz lint fmt bench soak audit sbom docker static ministack tools

help: ## what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: ## the whole story on this machine, no account needed: discover, ingest, subscribe, call, unsubscribe
	$(CARGO) run --locked -- demo

test: ministack ## all tests; says which of them lack their peer (MiniStack, a Docker engine)
	@set -eu; \
	ministack=$${MINISTACK:-$$(command -v ministack || true)}; \
	if [ -n "$$ministack" ]; then export MINISTACK="$$ministack"; \
	else echo "make test: no MiniStack (it needs $(PYTHON) with venv and pip): the AWS suite runs against our own stand-in only"; fi; \
	if ! $(DOCKER) info >/dev/null 2>&1; then \
	  echo "make test: no Docker engine: the container test will say that it did not run"; \
	elif ! $(DOCKER) compose version >/dev/null 2>&1 && ! docker-compose version >/dev/null 2>&1; then \
	  echo "make test: no compose command: the container test will say that it did not run"; \
	elif [ "$$(uname -s)" != Linux ]; then \
	  echo "make test: a static binary is built on Linux only: the container test will say that it did not run"; \
	else \
	  $(MAKE) --no-print-directory static; export STATIC_BINARY="$(CURDIR)/$(STATIC)"; \
	fi; \
	$(CARGO) test --locked --quiet --doc; \
	if $(CARGO) nextest --version >/dev/null 2>&1; then $(CARGO) nextest run --locked; \
	else $(CARGO) test --locked --lib --bins --tests; fi; \
	$(CARGO) test --locked --quiet --features otlp --test otlp; \
	$(MAKE) --no-print-directory deploy

deploy: ministack ## what is below deploy/: rendered, validated, held to iam/, run as far as can be here
	tests/deploy/run.sh

fuzz: ## what reads bytes from outside, guided by coverage; FUZZ_SECONDS=60 for each of FUZZ_TARGETS (all)
	@CARGO="$(CARGO)" tests/fuzz/long.sh

lint: ## formatting, clippy, documentation; bans, licences and sources of dependencies where cargo-deny is there
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --quiet
	@if command -v cargo-deny >/dev/null; then cargo-deny --log-level error --all-features check --hide-inclusion-graph bans licenses sources; \
	else echo "make lint: no cargo-deny: dependencies were not checked ('make tools' or 'cargo install --locked cargo-deny')"; fi

fmt: ## formats the code
	$(CARGO) fmt --all

bench: static ## figures: memory, start, gateway calls a command costs
	STATIC_BINARY="$(CURDIR)/$(STATIC)" $(CARGO) bench --locked --profile dev --bench figures

soak: static ## an hour of mixed work among faults (SOAK_MINUTES, SOAK_SEED): memory, files, tasks flat? samples: target/soak.csv
	STATIC_BINARY="$(CURDIR)/$(STATIC)" $(CARGO) bench --locked --profile dev --bench soak

audit: ## known vulnerabilities of dependencies (fetches the advisory database)
	@if ! command -v cargo-deny >/dev/null; then \
	  echo "make audit: no cargo-deny: nothing was checked ('make tools' or 'cargo install --locked cargo-deny')"; exit 1; fi; \
	if cargo-deny --log-level error fetch db; then cargo-deny --log-level error check --disable-fetch advisories; \
	else echo "make audit: the advisory database could not be fetched: nothing was checked"; exit 1; fi

sbom: ## what is in the binary, as CycloneDX (JSON): target/federation-agent.cdx.json; builds its tool the first time
	@CARGO="$(CARGO)" docker/sbom.sh "$(HOST)" target/federation-agent.cdx.json

docker: static ## the image, from the static binary
	docker/image.sh "$(STATIC)" "$(IMAGE)" "$(VERSION)" "$(COMMIT)"

static: ## the static release binary (Linux)
	RUSTFLAGS='$(STATIC_FLAGS)' $(CARGO) build --locked --release --target $(HOST) --bin federation-agent

ministack: # the AWS emulator that the tests run against, unless there is one already; never fails: `test` says what is missing
	@if [ -z "$${MINISTACK:-}" ] && ! command -v ministack >/dev/null; then \
	  { [ -x $(VENV)/bin/pip ] || $(PYTHON) -m venv $(VENV); } >/dev/null 2>&1 \
	  && $(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt >/dev/null 2>&1 || true; fi

tools: # cargo-deny, as a prebuilt binary
	@[ -x $(VENV)/bin/pip ] || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r .ci/requirements.txt
