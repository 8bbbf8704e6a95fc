//! What goes wrong: the link is cut, the plane restarts, the gateway throttles, fails and loses answers.

use std::{collections::BTreeMap, time::Duration};

use federation_agent::{
    plane::Plane,
    standin::{Failure, Fault, Gateway, Operation},
};
use rand::{RngExt, rngs::StdRng};
use tokio_util::sync::CancellationToken;

use crate::{INTEGRATION, stage::Door};

/// How many times what was done.
pub(crate) type Ended = BTreeMap<&'static str, u64>;

/// How often the gateway's faults are dealt anew.
const DEAL: Duration = Duration::from_secs(1);
/// The link is left alone for so many seconds, at least and at most.
const CALM: (u64, u64) = (4, 20);
/// The operations that fail.
const OPERATIONS: [Operation; 7] = [
    Operation::CreateApiKey,
    Operation::CreateUsagePlanKey,
    Operation::DeleteApiKey,
    Operation::GetExport,
    Operation::GetStages,
    Operation::GetRestApis,
    Operation::GetUsagePlans,
];

/// Makes trouble until `stop`, by `chance`.
pub(crate) async fn make(
    plane: Plane,
    gateway: Gateway,
    door: Door,
    mut chance: StdRng,
    stop: CancellationToken,
) -> Ended {
    let mut done = Ended::new();
    let mut calm = 0;
    while stop.run_until_cancelled(tokio::time::sleep(DEAL)).await.is_some() {
        gateway.heal();
        for _ in 0..chance.random_range(0..4) {
            let (name, fault) = fault(&mut chance);
            *done.entry(name).or_default() += 1;
            gateway.fault(fault);
        }
        if calm > 0 {
            calm -= 1;
            continue;
        }
        calm = chance.random_range(CALM.0..CALM.1);
        let name = disturb(&plane, &door, &mut chance).await;
        *done.entry(name).or_default() += 1;
    }
    gateway.heal();
    door.open();
    done
}

/// What the gateway does wrong once or a few times within the next second.
fn fault(chance: &mut StdRng) -> (&'static str, Fault) {
    let operation = OPERATIONS[chance.random_range(0..OPERATIONS.len())];
    let (name, failure) = match chance.random_range(0..10) {
        0 => ("gateway: throttled for a second", Failure::Throttled(Some(1))),
        1 | 2 => ("gateway: throttled", Failure::Throttled(None)),
        3 => ("gateway: 500", Failure::Error(500, "InternalServerErrorException", "Internal error")),
        4 => ("gateway: 503", Failure::Error(503, "ServiceUnavailableException", "Try again")),
        5 => ("gateway: cut before it was done", Failure::CutBefore),
        6 => ("gateway: done, answer lost", Failure::CutAfter),
        7 => ("gateway: done, answer cut", Failure::CutAmid),
        8 => ("gateway: done, answer is no JSON", Failure::Garbage),
        _ => ("gateway: slow", Failure::Slow(Duration::from_millis(chance.random_range(50..800)))),
    };
    (name, failure.on(operation).after(chance.random_range(0..10)).times(chance.random_range(1..4)))
}

/// What happens to the link.
async fn disturb(plane: &Plane, door: &Door, chance: &mut StdRng) -> &'static str {
    match chance.random_range(0..8) {
        0..=1 => {
            plane.cut(INTEGRATION).await;
            "link: cut"
        }
        2 => {
            plane.cut_in_frame(INTEGRATION).await;
            "link: cut in a frame"
        }
        3 => {
            plane.close(INTEGRATION, 1001).await;
            "link: closed with 1001"
        }
        4 => {
            plane.good_bye(INTEGRATION, true).await;
            "link: GOOD_BYE"
        }
        5 => {
            plane.mute(INTEGRATION).await;
            "link: silence"
        }
        _ => {
            door.close();
            plane.cut(INTEGRATION).await;
            tokio::time::sleep(Duration::from_millis(chance.random_range(100..3_000))).await;
            door.open();
            "plane: restarted"
        }
    }
}

pub(crate) fn print(done: &Ended) {
    println!("\n{:<44} {:>10}", "what went wrong on purpose", "times");
    for (name, times) in done {
        println!("{name:<44} {times:>10}");
    }
}
