//! How a plane is, and what can go wrong with what it is asked.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;

use crate::exchange::Limits;

/// How a plane is. The default is Gravitee's, release 1.9.1 of its exchange, but for the token and `;;`.
#[derive(Debug, Clone)]
pub struct PlaneSettings {
    /// The path before `/exchange/controller`, such as `/integration-controller`; empty for none.
    pub prefix: String,
    /// What must follow `bearer` in the upgrade's `Authorization` header.
    pub token: SecretString,
    /// What it takes, and keeps to.
    pub limits: Limits,
    /// Cut messages at a `;;` in their JSON, as controllers before exchange 2.0.2 do.
    pub splits_double_semicolon: bool,
    /// How long after the HELLO reply the connection becomes a channel.
    pub registration: Duration,
    /// How long after a refused HELLO its GOOD_BYE comes.
    pub refusal_good_bye: Duration,
    /// How often the connector's health is asked.
    pub health_check: Duration,
    /// How often a ping is sent.
    pub ping: Duration,
    /// How long a reply is waited for.
    pub reply_wait: Duration,
    /// How long after the reply to START_INGEST the job exists; an INGEST that comes earlier is dropped.
    pub job_delay: Duration,
    /// A job that hears nothing for so long is given up.
    pub job_deadline: Duration,
    /// Speak TLS on the listener. A stream given to `Plane::serve_stream` is taken as it is.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

impl Default for PlaneSettings {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            token: "plane-token".into(),
            limits: Limits::default(),
            splits_double_semicolon: false,
            registration: Duration::from_millis(50),
            refusal_good_bye: Duration::from_secs(2),
            health_check: Duration::from_secs(30),
            ping: Duration::from_secs(5),
            reply_wait: Duration::from_mins(1),
            job_delay: Duration::from_millis(100),
            job_deadline: Duration::from_mins(5),
            tls: None,
        }
    }
}

/// Why a plane did not get what it asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaneError {
    /// No agent has a channel for the integration.
    #[error("no agent is connected for the integration {0}")]
    NotConnected(String),
    /// No reply came in time.
    #[error("no reply in {0:?}")]
    Silence(Duration),
    /// The connection ended while a reply was waited for.
    #[error("the connection ended before the reply")]
    ChannelClosed,
    /// The agent's ERROR, in its words.
    #[error("{0}")]
    Failed(String),
    /// The plane does not know it.
    #[error("the plane does not know {0}")]
    NotFound(String),
    /// The reply is of another kind than the command.
    #[error("the reply to {0} is of another kind, or empty")]
    Strange(&'static str),
    /// The message cannot be sent.
    #[error("{0}")]
    TooLong(String),
}
