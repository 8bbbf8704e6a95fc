//! What may be said on the command line. Help texts are read by people in a hurry: what it does, what it needs, how it
//! ends, an example.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::config;
use crate::journal::State;

/// The version and, when it is known, the commit.
pub(super) const VERSION: &str = env!("FEDERATION_AGENT_VERSION");

const EXIT_CODES: &str = "\
Exit codes:
  0  good
  1  something failed; stderr says what, and what to do
  2  the settings or the arguments are wrong; stderr names every fault";

/// Shows and governs the APIs of your gateway in your Gravitee API Management.
///
/// The agent runs beside an API gateway (today: AWS API Gateway), opens one outbound websocket to the management
/// plane's integration controller and waits there: it discovers the gateway's APIs, hands over their OpenAPI documents
/// and plans, and makes and removes real API keys when subscriptions are accepted and closed. Without a command it
/// runs (`federation-agent run`).
///
/// Settings come from the environment, by the names that Gravitee's own agents read
/// (gravitee_integration_connector_ws_..., gravitee_integration_providers_0_...) and a few of our own
/// (FEDERATION_AGENT_...). `federation-agent config` lists every one of them.
#[derive(Debug, Parser)]
#[command(
    name = "federation-agent",
    version = VERSION,
    max_term_width = 110,
    disable_help_subcommand = true,
    after_help = "New here? `federation-agent demo` shows everything on this machine, without an account anywhere.",
    after_long_help = format!(
        "New here? `federation-agent demo` shows everything on this machine, without an account anywhere.\n\
         Next: `federation-agent config`, then `check`, then `run`.\n\n{EXIT_CODES}"
    )
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the agent until SIGTERM or SIGINT (also without any command)
    ///
    /// Connects every configured integration and reconnects for as long as it runs: a plane or a gateway that is away
    /// never ends it. At the first SIGTERM or SIGINT an idle agent leaves at once; a busy one finishes what it can
    /// within FEDERATION_AGENT_DRAIN and undoes the rest; the exit code is 1 when something was left undone, which the
    /// log then names. A second signal ends it at once, with exit code 1.
    #[command(after_long_help = EXIT_CODES)]
    Run,

    /// List the APIs that the plane would be shown; needs no plane
    ///
    /// Asks the gateway what there is and prints one line an API (in AWS: one a stage), what was left out and why, and
    /// which accounts or regions could not be read. Reads only; the exit code is 1 when a source could not be read.
    #[command(after_long_help = "\
Examples:
  federation-agent discover
  federation-agent discover --output json | jq -r '.integrations[].apis[].uniqueId'
  federation-agent discover --integration 0    only the first of several providers")]
    Discover {
        /// How the result is printed: for people or for machines
        #[arg(short, long, value_enum, default_value_t = TableOutput::Table)]
        output: TableOutput,
        /// Only this one: N of gravitee_integration_providers_N, or its integration id
        #[arg(short, long, value_name = "N|ID")]
        integration: Option<String>,
    },

    /// Try everything the agent needs, from the settings to each right in the gateway
    ///
    /// In this order: the settings; for each endpoint of the plane its name, proxy, port and certificate, the token, and
    /// the integration (a real HELLO; the session is left in the same step, so that the plane has no time to give it a
    /// command); for each gateway the same way there, then credentials, identity, each right, and how far the quota of
    /// calls reaches; then this machine: the data folder, grants that wait for somebody, limits, and the clock, compared
    /// with the plane's and the gateway's. Rights to write are tried by requests that cannot succeed, so nothing is made
    /// in the gateway and nothing is removed. One line a step: ✓ good, ! look at it, ✗ broken and what to do, · not tried
    /// and why. What does not answer costs seconds; in all it takes two minutes at most.
    ///
    /// `run` makes the same check at its start when FEDERATION_AGENT_CHECK says so. docs/check.md tells more.
    #[command(after_long_help = "\
Examples:
  federation-agent check
  federation-agent check --output json | jq '.findings[] | select(.verdict == \"bad\")'
  federation-agent check --output report > report.md    to be pasted into an issue: no secret, no names of yours
  docker exec agent federation-agent check
  FEDERATION_AGENT_CHECK=require federation-agent       at the start of the agent itself

Exit codes: 0 nothing is broken, 1 something is, 2 the settings are wrong")]
    Check {
        /// How the findings are printed: for people, for machines, or to be pasted into an issue (Markdown)
        #[arg(short, long, value_enum, default_value_t = CheckOutput::Text)]
        output: CheckOutput,
        /// With --output report: leave host names, addresses, account numbers and ids as they are
        #[arg(long)]
        with_names: bool,
    },

    /// Show every setting: its value, where it comes from, its default; secrets are masked
    ///
    /// Also what is doubtful and what is wrong, all at once. Asks nobody but the environment.
    #[command(after_long_help = "\
Examples:
  federation-agent config
  federation-agent config --output env > .env.example

Exit codes: 0 nothing is wrong, 2 something is")]
    Config {
        /// How the settings are printed: as they stand (text, json), or as documents without values (markdown, env)
        #[arg(short, long, value_enum, default_value_t = config::Format::Text)]
        output: config::Format,
    },

    /// Print the least policy that the configured gateway access needs (AWS: IAM JSON)
    ///
    /// The policy follows the settings: discovery and subscriptions, and the right to assume the configured roles.
    #[command(after_long_help = "\
Examples:
  federation-agent iam > policy.json
  aws iam put-user-policy --user-name federation-agent --policy-name federation \\
      --policy-document file://policy.json")]
    Iam {
        /// Only this one: N of gravitee_integration_providers_N, or its integration id
        #[arg(short, long, value_name = "N|ID")]
        integration: Option<String>,
    },

    /// List the keys that subscriptions have; compare them with the gateway and the plane
    ///
    /// Alone it reads the journal in FEDERATION_AGENT_DATA_DIR and asks nobody, also beside a running agent. With
    /// --orphans it asks the gateways for the keys that bear this integration's name or stand in the journal, and says
    /// where the two differ. With --subscriptions it adds what the plane has accepted: a key without a subscription, a
    /// subscription without a key, a key of a subscription that is paused or has expired. It changes nothing;
    /// `grants revoke` does, one key at a time.
    #[command(args_conflicts_with_subcommands = true, after_long_help = GRANTS)]
    Grants(Box<Grants>),

    /// Show the whole of it on this machine: a plane, a gateway, and the agent between them
    ///
    /// Starts a management plane and an AWS API Gateway stand-in on loopback ports, puts the real agent between them
    /// (a real websocket, the real AWS SDK), and tells as a story what happens: connect, discover, ingest, subscribe,
    /// a call with the new key and one without, unsubscribe. Needs no account, no network and no settings.
    #[command(args_conflicts_with_subcommands = true)]
    Demo {
        #[command(subcommand)]
        peer: Option<Peer>,
    },

    /// Ask the running agent whether it is alive; for HEALTHCHECK and probes
    ///
    /// Asks /livez where FEDERATION_AGENT_LISTEN (or gravitee_services_core_http_…) says that the agent listens, with TLS
    /// where it is secured. Exit code 0 when it is well, 1 when not.
    Health {
        /// Ask /readyz instead: whether every integration is connected to the plane
        #[arg(long)]
        ready: bool,
    },

    /// Print completions for a shell
    #[command(
        after_long_help = "Example:\n  federation-agent completions bash > /etc/bash_completion.d/federation-agent"
    )]
    Completions {
        /// For which shell
        shell: Shell,
    },
}

const GRANTS: &str = "\
Examples:
  federation-agent grants
  federation-agent grants --output json | jq -r '.[] | select(.state == \"unconfirmed\").keyId'
  federation-agent grants --state stuck,leftover
  federation-agent grants --orphans
  federation-agent grants --subscriptions subscriptions.json      docs/grants.md: how to make it
  ./subscriptions.sh | federation-agent grants --subscriptions -
  docker exec agent federation-agent grants

Exit codes:
  0  everything was read; with --orphans or --subscriptions: and nothing is amiss
  1  something could not be read, or is amiss; the output says what
  2  the settings, the arguments or the export are wrong; stderr says what";

/// What `grants` looks at, or does.
#[derive(Debug, Args)]
pub(super) struct Grants {
    #[command(subcommand)]
    pub(super) action: Option<GrantsAction>,
    /// How the result is printed: for people or for machines
    #[arg(short, long, value_enum, default_value_t = TableOutput::Table)]
    pub(super) output: TableOutput,
    /// Only this one: N of gravitee_integration_providers_N, or its integration id
    #[arg(short, long, value_name = "N|ID")]
    pub(super) integration: Option<String>,
    /// Only grants in one of these states
    #[arg(
        short, long, value_name = "STATE", value_delimiter = ',', value_parser = state,
        conflicts_with_all = ["orphans", "subscriptions"]
    )]
    pub(super) state: Vec<State>,
    /// Compare the journal with the gateway; needs its settings and a right of its own (AWS: iam/find-leftovers.json)
    #[arg(long)]
    pub(super) orphans: bool,
    /// Compare journal and gateway with this export of the plane's subscriptions (`-`: stdin); may be given several times
    #[arg(long, value_name = "FILE")]
    pub(super) subscriptions: Vec<PathBuf>,
}

/// What `grants` does.
#[derive(Debug, Subcommand)]
pub(super) enum GrantsAction {
    /// Remove one credential from the gateway, and say what was done
    ///
    /// For what waits for a person: a grant that is stuck, left over or unconfirmed, and a key that bears this
    /// integration's name and is not in the journal. Holds the grant's page of the journal meanwhile, so that no running
    /// agent works on the same. The plane is not told: a grant that it still shows as accepted is better ended there, by
    /// closing the subscription. Keys that are not this integration's are refused.
    #[command(after_long_help = "\
Examples:
  federation-agent grants revoke --dry-run 7k3b9x2m1q
  federation-agent grants revoke 7k3b9x2m1q
  federation-agent grants revoke 0f4c9a52-6a3e-4b5d-9d0e-2f1f3f6f7a11      by the subscription, when it has one grant

Exit codes:
  0  it is gone, or was not there any more
  1  it is not, and stderr says why
  2  it was refused, or the settings or the arguments are wrong; nothing was done")]
    Revoke {
        /// The key's id in the gateway, the subscription's id in the plane, or the grant's id in the journal
        #[arg(value_name = "KEY|SUBSCRIPTION")]
        which: String,
        /// Only in this one: N of gravitee_integration_providers_N, or its integration id
        #[arg(short, long, value_name = "N|ID")]
        integration: Option<String>,
        /// Also when an application may be using it: it is live, or opens a plan and is not in the journal
        #[arg(long)]
        live: bool,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

/// A state by its word.
fn state(word: &str) -> Result<State, String> {
    let known = State::ALL.iter().filter(|state| **state != State::Gone);
    known
        .clone()
        .find(|state| state.word() == word)
        .copied()
        .ok_or_else(|| format!("there is: {}", known.map(|state| state.word()).collect::<Vec<_>>().join(", ")))
}

/// One of the demo's peers, alone.
#[derive(Debug, Subcommand)]
pub(super) enum Peer {
    /// Run only the plane, until SIGTERM
    ///
    /// Prints the settings with which an agent reaches it, and how it is steered: by plain HTTP on the same port, where
    /// it discovers, ingests, subscribes and unsubscribes when asked to. It asks nobody who they are: keep it on
    /// loopback or in a network of its own.
    #[command(after_long_help = "\
Examples, with an agent connected:
  curl -X POST http://127.0.0.1:8072/plane/demo/discover
  curl -X POST 'http://127.0.0.1:8072/plane/demo/ingest?wait=true'
  curl http://127.0.0.1:8072/plane/state")]
    Plane {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:8072", value_name = "ADDRESS:PORT")]
        listen: SocketAddr,
        /// The integration that it knows; may be given several times
        #[arg(long, default_value = "demo", value_name = "ID")]
        integration: Vec<String>,
        /// The type of its integrations
        #[arg(long, default_value = "aws-api-gateway", value_name = "TYPE")]
        provider: String,
        /// The token that agents must send
        #[arg(long, default_value = "demo-token", value_name = "TOKEN")]
        token: String,
    },
    /// Run only the AWS API Gateway stand-in, until SIGTERM
    ///
    /// Prints the settings with which an agent, or the AWS command line, reaches it.
    Gateway {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:4566", value_name = "ADDRESS:PORT")]
        listen: SocketAddr,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TableOutput {
    /// A table and a few sentences
    Table,
    /// One JSON document
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CheckOutput {
    /// Lines
    Text,
    /// One JSON document
    Json,
    /// Markdown: versions, findings and the masked settings
    Report,
}
