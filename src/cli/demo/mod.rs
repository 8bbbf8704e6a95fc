//! `demo`: the whole of it on one machine, as a story; and its two peers, each alone.

mod caller;
mod gateway;
mod plane;
mod story;

use super::{
    arguments::Peer,
    exit::{Exit, Stop},
    start::{self, Habit},
    terminal::Terminal,
};
use crate::settings::{self, Environment};

pub(super) fn demo(environment: &Environment, peer: Option<&Peer>) -> Result<Exit, Stop> {
    start::log(&settings::process(environment)?, environment, Habit::Quiet)?;
    let runtime = start::runtime()?;
    let exit = runtime.block_on(async {
        match peer {
            None => story::tell(Terminal::of_stdout(environment), &start::cancelled_by_signal()?).await,
            Some(Peer::Gateway { listen }) => gateway::serve(*listen).await,
            Some(Peer::Plane { listen, integration, provider, token }) => {
                plane::serve(*listen, integration, provider, token).await
            }
        }
    });
    runtime.shutdown_background();
    exit
}
