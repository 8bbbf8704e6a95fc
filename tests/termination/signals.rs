//! More than one integration, more than one signal, other signals.

use std::{os::unix::process::ExitStatusExt, process::Stdio, time::Duration};

use federation_agent::standin::{Failure, Operation, Request};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    ONE,
    support::{Stage, soon},
    work::Work,
};

/// How long ending at once may take on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(4);
/// A drain that nobody sits out.
const FOR_EVER: (&str, &str) = ("FEDERATION_AGENT_DRAIN", "600s");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_signal_ends_it_at_once_whichever_it_is() {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("INT", "TERM"), ("HUP", "HUP")] {
        let stage = Stage::set(&[ONE]).await;
        let mut agent = stage.agent(&[FOR_EVER]).await;
        let begun = Work::Binding.begin(&stage).await;
        agent.signal(first);
        agent.says("a second signal ends at once").await;
        let at = Instant::now();
        agent.signal(second);
        let (status, said) = agent.end().await;
        let text = said.join("\n");
        assert_eq!(status.code(), Some(1), "{first}, {second}: {text}");
        assert!(at.elapsed() < AT_ONCE, "{:?}: {text}", at.elapsed());
        assert!(text.contains(&format!("SIG{second}, the second signal")), "{text}");
        assert!(begun.reply().await.starts_with("ERROR: the connection ended"));
        // Bound to nothing: the plane's ERROR is true, and the key opens nothing.
        assert_eq!(stage.gateway.with(|estate| estate.key_counts()), (1, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_wait_for_the_one_that_drains_longest_and_the_others_serve_meanwhile() {
    let stage = Stage::set(&[ONE, "two"]).await;
    let mut agent = stage.agent(&[FOR_EVER]).await;
    let api = stage.ingested(ONE).await;
    stage.ingested("two").await;
    let release = CancellationToken::new();
    stage.gateway.fault(Failure::Held(release.clone()).on(Operation::CreateUsagePlanKey).times(1));
    let (plane, long) = (stage.plane.clone(), api.clone());
    let held = tokio::spawn(async move { plane.subscribe("two", &long, "g0ld77", "shop").await });
    let asked =
        |requests: &[Request]| requests.iter().any(|request| request.operation == Some(Operation::CreateUsagePlanKey));
    soon("CreateUsagePlanKey", stage.gateway.until(asked)).await;
    agent.signal("TERM");
    agent.says("finishing what is under way").await;

    let made = soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "other")).await;
    let made = made.expect("an integration that has nothing left to do still serves");
    assert!(stage.plane.is_connected("two"), "it is not done");
    release.cancel();
    let held = soon("the one that took long", held).await.expect("no panic").expect("it is carried out");
    let (status, said) = agent.end().await;
    assert_eq!(status.code(), Some(0), "{}", said.join("\n"));
    soon("both closes", stage.plane.until(|plane| plane.endings().len() == 2)).await;
    assert!(stage.plane.endings().iter().all(|ending| ending.code == Some(1000)), "{:?}", stage.plane.endings());
    assert!(made.api_key.is_some() && held.api_key.is_some());
    assert_eq!(stage.gateway.with(|estate| estate.key_counts()), (2, 2));
}

/// What cannot be undone either is named, and the exit code says that something was left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_deleted_in_time_is_named_and_the_exit_code_is_1() {
    let stage = Stage::set(&[ONE]).await;
    let agent = stage.agent(&[("FEDERATION_AGENT_DRAIN", "300ms")]).await;
    let begun = Work::Bound.begin(&stage).await;
    stage.gateway.fault(Failure::Held(CancellationToken::new()).on(Operation::DeleteApiKey));
    let at = Instant::now();
    agent.signal("TERM");
    let (status, said) = agent.end().await;
    let text = said.join("\n");
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(at.elapsed() < Duration::from_millis(300) + AT_ONCE, "{:?}: {text}", at.elapsed());
    assert!(text.contains("not everything could be ended or undone in time"), "{text}");
    assert!(begun.reply().await.starts_with("ERROR"));
    let left = stage.gateway.with(|estate| estate.keys().map(|key| key.name.clone()).collect::<Vec<_>>());
    let [Some(name)] = left.as_slice() else { panic!("one key is left: {left:?}") };
    let subscription = name.strip_prefix("gravitee-one-").expect("its name");
    assert!(text.contains(subscription), "the subscription {subscription} is not in the log:\n{text}");
}

/// Closing the terminal that it runs in ends it as SIGTERM does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_drains_too() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent = stage.agent(&[FOR_EVER]).await;
    let begun = Work::Late.begin(&stage).await;
    agent.signal("HUP");
    agent.says("SIGHUP: finishing what is under way").await;
    begun.release.cancel();
    let (status, said) = agent.end().await;
    assert_eq!(status.code(), Some(0), "{}", said.join("\n"));
    assert_eq!(begun.reply().await, "SUCCEEDED");
    assert_eq!(stage.gateway.with(|estate| estate.key_counts()), (1, 1));
}

/// Started by `nohup`, it outlives the terminal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_that_is_ignored_stays_so() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent = std::process::Command::new("sh")
        .args([
            "-c",
            "trap '' HUP; exec \"$0\"",
            assert_cmd::cargo::cargo_bin!("federation-agent").to_str().expect("a name"),
        ])
        .env_clear()
        .envs(stage.environment(&[]))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the agent starts");
    soon("connected", stage.plane.connected(ONE)).await;
    let send = |name: &str| {
        let sent = std::process::Command::new("kill").args([name, &agent.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    };
    send("-HUP");
    assert_eq!(soon("discover", stage.plane.discover(ONE)).await.expect("it answers").apis.len(), 5);
    send("-TERM");
    assert_eq!(agent.wait().expect("its end").code(), Some(0));
}

/// SIGQUIT is for who wants it gone, with a core where the system keeps them: it is left as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quit_is_the_systems() {
    let stage = Stage::set(&[ONE]).await;
    let agent = stage.agent(&[FOR_EVER]).await;
    agent.signal("QUIT");
    let (status, _) = agent.end().await;
    assert_eq!(status.signal(), Some(3), "{status:?}");
}

/// SIGPIPE does nothing: a reader that goes away is no reason to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_pipe_does_not_end_it() {
    let stage = Stage::set(&[ONE]).await;
    let agent = stage.agent(&[]).await;
    agent.signal("PIPE");
    assert_eq!(soon("discover", stage.plane.discover(ONE)).await.expect("it answers").apis.len(), 5);
    agent.signal("TERM");
    assert_eq!(agent.end().await.0.code(), Some(0));
}
