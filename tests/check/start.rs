//! The check at the start of `run`.

use federation_agent::plane::Behaviour;

use super::{
    support::{Process, Stage, soon},
    *,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn require_ends_the_start_where_something_is_broken_and_says_what() {
    let stage = Stage::set(&[ONE]).await;
    let token = format!("{WS}_headers_0_value");
    let more = [("FEDERATION_AGENT_CHECK", "require"), (token.as_str(), "bearer wrong")];
    let (status, said) = Process::start(&[], with(&stage, &more)).end().await;
    let text = said.join("\n");
    assert_eq!(status.code(), Some(1), "{text}");
    let last = said.iter().find(|line| line.starts_with("federation-agent: ")).unwrap_or_else(|| panic!("{text}"));
    for word in ["the check at the start found 1 to mend", "FEDERATION_AGENT_CHECK=require", "refused the token (401)"]
    {
        assert!(last.contains(word), "`{word}` is not in: {last}");
    }
    assert!(said.iter().any(|line| line.contains("ERROR") && line.contains("to be mended: path and token")), "{text}");
    assert_eq!(stage.plane.seen().hellos, 0, "it never connected");

    // It goes on where nothing is broken.
    let agent = stage.agent(&[("FEDERATION_AGENT_CHECK", "require")]).await;
    assert_eq!(stage.plane.seen().hellos, 1, "the check says no HELLO");
    agent.signal("TERM");
    let (status, said) = agent.end().await;
    assert_eq!(status.code(), Some(0), "{}", said.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warn_says_what_is_wrong_and_goes_on() {
    let stage = Stage::set(&[ONE]).await;
    stage.plane.behave_once(Behaviour::Answer { status: 401, headers: Vec::new() });
    let mut agent = Process::start(&[], with(&stage, &[("FEDERATION_AGENT_CHECK", "warn")]));
    let line = agent.says("to be mended: path and token").await;
    assert!(line.contains("WARN") && line.contains("check the Authorization header"), "{line}");
    let line = agent.says("checked before connecting: 1 to mend").await;
    assert!(line.contains("WARN") && line.contains("The agent goes on"), "{line}");
    soon("connected", stage.plane.connected(ONE)).await;
    agent.signal("TERM");
    assert_eq!(agent.end().await.0.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_ends_it_at_once() {
    let stage = Stage::set(&[ONE]).await;
    let silent = answering("").await;
    let (endpoint, url) = (format!("{WS}_endpoints_0"), format!("http://{silent}"));
    let more = [
        ("FEDERATION_AGENT_CHECK", "require"),
        (endpoint.as_str(), url.as_str()),
        ("FEDERATION_AGENT_HANDSHAKE", "600s"),
    ];
    let mut agent = Process::start(&[], with(&stage, &more));
    agent.says("checking everything before connecting").await;
    agent.signal("TERM");
    assert_eq!(agent.end().await.0.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_looks_at_nothing() {
    let stage = Stage::set(&[ONE]).await;
    let agent = stage.agent(&[]).await;
    agent.signal("TERM");
    let (_, said) = agent.end().await;
    assert!(!said.iter().any(|line| line.contains("before connecting")), "{}", said.join("\n"));
    assert_eq!(stage.plane.seen().upgrades, 1);
}
