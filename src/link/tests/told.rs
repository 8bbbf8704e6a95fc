//! What the recorder is told of a link's life.

use super::*;
use crate::{
    exchange::CommandBody,
    observe::{Board, Recorder},
};

/// A link to `plane`, and the board that shows what it tells.
fn recorded(plane: &Plane) -> (World, Board) {
    let (board, recorder) = (Board::new(), Recorder::new(ID, PROVIDER));
    board.enlist(recorder.clone());
    let memory = memory([("plane", at(plane))]);
    (World::with(settings(&["http://plane"]), memory, |link| link.recording(recorder)), board)
}

/// Whether every series has its value; a person is shown the whole when one has not.
async fn holds(board: &Board, wanted: &[(&str, u32)]) {
    let text = board.metrics_text().await;
    for (series, value) in wanted {
        let line = format!("federation_agent_link_{series} {value}.0");
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_session_counts_by_why_it_ended() {
    let plane = plane();
    let (mut world, board) = recorded(&plane);
    plane.connected(ID).await;
    world.connected().await;
    tokio::time::sleep(SECOND).await;
    holds(
        &board,
        &[
            (r#"connected{integration="int-1"}"#, 1),
            (r#"state{integration="int-1",state="connected"}"#, 1),
            (r#"sessions_total{integration="int-1"}"#, 1),
        ],
    )
    .await;
    assert_eq!(board.status().integrations[0].endpoint.as_deref(), Some("http://plane"));

    plane.good_bye(ID, true).await;
    world.dialled(2).await;
    world.connected().await;
    plane.connected(ID).await;
    let good_bye = r#"sessions_ended_total{integration="int-1",reason="good-bye"}"#;
    holds(&board, &[(good_bye, 1), (r#"sessions_total{integration="int-1"}"#, 2)]).await;
    assert_eq!(board.status().integrations[0].sessions_lost, 1);

    plane.good_bye(ID, false).await;
    world.until(|state| matches!(state, State::Away { .. }).then_some(())).await;
    holds(
        &board,
        &[
            (r#"state{integration="int-1",state="away"}"#, 1),
            (r#"sessions_ended_total{integration="int-1",reason="good-bye-for-good"}"#, 1),
        ],
    )
    .await;
    world.shut_down().await;
    holds(&board, &[(r#"state{integration="int-1",state="closed"}"#, 1)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_command_that_the_link_refuses_is_told_under_one_name() {
    let plane = plane();
    let (_world, board) = recorded(&plane);
    plane.connected(ID).await;
    for kind in ["FOO", "BAR"] {
        plane.send(ID, CommandBody::Unknown { kind: kind.into(), fault: None }).await.expect("a reply");
    }
    let text = board.metrics_text().await;
    let line = r#"federation_agent_commands_total{integration="int-1",type="other",outcome="turned-away"} 2.0"#;
    assert!(text.lines().any(|found| found == line), "{text}");
    let shown = &board.status().integrations[0].commands[0];
    assert_eq!((shown.kind.as_str(), shown.outcome.as_str()), ("BAR", "turned away"));
    assert!(shown.note.contains("does not know the command 'BAR'"), "{}", shown.note);
}
