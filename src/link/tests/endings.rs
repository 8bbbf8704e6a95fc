//! How sessions and tries end, what is said of it, and what comes after.

use super::*;
use crate::{
    exchange::CommandBody,
    link::{AskError, Step, Tried, probe},
    plane::Behaviour,
};

#[tokio::test(start_paused = true)]
async fn a_good_bye_with_reconnect_is_closed_with_1013_and_followed_at_once() {
    let plane = plane();
    let mut world = World::of(&plane);
    plane.connected(ID).await;
    let before = Instant::now();
    plane.good_bye(ID, true).await;
    let dials = world.dialled(2).await;
    assert!(dials[1] - before <= SECOND, "{:?}", dials[1] - before);
    plane.connected(ID).await;
    assert_eq!(plane.endings()[0].code, Some(1013));
}

#[tokio::test(start_paused = true)]
async fn a_good_bye_for_good_is_closed_with_1000_and_obeyed() {
    let plane = plane();
    let mut world = World::of(&plane);
    plane.connected(ID).await;
    plane.good_bye(ID, false).await;
    world.until(|state| matches!(state, State::Away { .. }).then_some(())).await;
    assert_eq!(plane.endings()[0].code, Some(1000));
    tokio::time::advance(10 * 60 * MINUTE).await;
    assert_eq!(plane.seen().upgrades, 1);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn with_auto_reconnect_a_good_bye_for_good_is_not_for_good() {
    let plane = plane();
    let mut settings = settings(&["http://plane"]);
    settings.connector.auto_reconnect = true;
    let mut world = World::new(settings, memory([("plane", at(&plane))]));
    plane.connected(ID).await;
    plane.good_bye(ID, false).await;
    world.dialled(2).await;
    plane.connected(ID).await;
    assert_eq!(plane.endings()[0].code, Some(1000));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_integration_is_explained_and_the_slow_lane_wins_over_the_good_bye() {
    let plane = Plane::new(PlaneSettings::default());
    let mut world = World::of(&plane);
    let why = world.waiting().await;
    assert!(why.contains("integrationId") && why.contains("all four") && why.contains("not found"), "{why}");
    let dials = world.dialled(3).await;
    for pair in dials.windows(2) {
        assert!(pair[1] - pair[0] >= 4 * MINUTE, "{dials:?}");
    }
    assert_eq!(plane.endings()[0].code, Some(1000));
    // Once the console knows it, it is found without a restart.
    plane.register(ID, PROVIDER);
    plane.connected(ID).await;
}

#[tokio::test(start_paused = true)]
async fn another_providers_integration_is_named() {
    let plane = Plane::new(PlaneSettings::default());
    plane.register(ID, "solace");
    let mut world = World::of(&plane);
    let why = world.waiting().await;
    assert!(why.contains("one for `solace`") && why.contains(PROVIDER), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_goes_to_the_slow_lane_and_is_taken_when_it_is_mended() {
    let plane = plane();
    plane.behave_once(Behaviour::Answer { status: 401, headers: Vec::new() });
    plane.behave_once(Behaviour::Answer { status: 403, headers: Vec::new() });
    let mut world = World::of(&plane);
    let why = world.waiting().await;
    assert!(why.contains("401") && why.contains("all four") && why.contains("licence"), "{why}");
    assert!(!why.contains("plane-token"));
    let dials = world.dialled(3).await;
    for pair in dials.windows(2) {
        assert!(pair[1] - pair[0] >= 4 * MINUTE && pair[1] - pair[0] <= 6 * MINUTE, "{dials:?}");
    }
    plane.connected(ID).await;
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_in_seconds_and_as_a_date() {
    let plane = plane();
    let headers = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    plane.behave_once(Behaviour::Answer { status: 503, headers: headers(&[("retry-after", "120")]) });
    plane.behave_once(Behaviour::Answer {
        status: 429,
        headers: headers(&[
            ("date", "Sun, 22 Nov 2026 10:00:00 GMT"),
            ("retry-after", "Sun, 22 Nov 2026 10:05:00 GMT"),
        ]),
    });
    let mut world = World::of(&plane);
    assert!(world.waiting().await.contains("asks to wait 2m"));
    let dials = world.dialled(3).await;
    assert!(dials[1] - dials[0] >= 2 * MINUTE && dials[1] - dials[0] <= 3 * MINUTE, "{dials:?}");
    assert!(dials[2] - dials[1] >= 5 * MINUTE && dials[2] - dials[1] <= 6 * MINUTE, "{dials:?}");
    plane.connected(ID).await;
}

#[tokio::test(start_paused = true)]
async fn every_refusal_says_what_it_is() {
    let answer = |status, headers: &[(&str, &str)]| Behaviour::Answer {
        status,
        headers: headers.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
    };
    for (behaviour, word) in [
        (answer(404, &[]), "/integration-controller"),
        (answer(410, &[]), "stopping"),
        (answer(500, &[]), "(500)"),
        (answer(502, &[]), "(502)"),
        (answer(302, &[("location", "https://plane/x?token=secret")]), "redirect (302) to https://plane/x;"),
        (answer(200, &[]), "not the controller"),
        (answer(407, &[]), "proxy"),
        (answer(418, &[]), "418"),
        (Behaviour::HangUp, "without an answer"),
        (Behaviour::NoAnswer, "the upgrade took longer than 10s"),
        (Behaviour::Close(1011), "closed the session (1011)"),
        (Behaviour::Drop, "cut without a close frame"),
        (Behaviour::IgnoreHello, "did not answer HELLO within 10s"),
        (Behaviour::Mute, "did not answer HELLO within 10s"),
        (Behaviour::MuteAfterHello, "silent for 15s"),
        (Behaviour::CutAfterHello, "cut without a close frame"),
        (Behaviour::RefuseHello("No licence".into()), "No licence"),
    ] {
        let plane = plane();
        plane.behave_once(behaviour.clone());
        let mut world = World::of(&plane);
        let why = world.waiting().await;
        assert!(why.contains(word), "{behaviour:?}: {why}");
        // Whatever it was: in ten minutes at most it is connected.
        tokio::time::timeout(10 * MINUTE, plane.connected(ID)).await.expect("connected again");
        assert!(why.len() < 420, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_on_a_session_that_is_cut_is_told() {
    let plane = plane();
    let mut world = World::of(&plane);
    let session = world.connected().await;
    plane.connected(ID).await;
    plane.behave(Behaviour::NoAnswer);
    plane.cut(ID).await;
    session.gone().await;
    let command = Command { id: "1".into(), body: CommandBody::Discover };
    assert!(matches!(session.ask(command, MINUTE).await, Err(AskError::Gone(_))));
}

#[tokio::test(start_paused = true)]
async fn a_silent_plane_is_given_up_after_fifteen_seconds() {
    let plane = plane();
    let mut world = World::of(&plane);
    let session = world.connected().await;
    plane.connected(ID).await;
    tokio::time::sleep(3 * MINUTE).await;
    assert!(!session.is_gone());
    plane.mute(ID).await;
    let before = Instant::now();
    session.gone().await;
    let took = before.elapsed();
    assert!(took > 9 * SECOND && took <= 15 * SECOND, "{took:?}");
    // The session had lived for minutes: the way back is short.
    plane.connected(ID).await;
    assert!(before.elapsed() <= 17 * SECOND, "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_every_stand() {
    for behaviour in [Behaviour::Faithful, Behaviour::NoAnswer, Behaviour::IgnoreHello, Behaviour::HangUp] {
        let plane = plane();
        plane.behave(behaviour);
        let mut world = World::of(&plane);
        world.dialled(1).await;
        tokio::time::sleep(SECOND / 2).await;
        let before = Instant::now();
        world.shut_down().await;
        assert!(before.elapsed() <= SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_walks_in_and_leaves_before_it_is_a_channel() {
    let plane = plane();
    let memory = memory([("plane", at(&plane))]);
    let walk = async |settings: LinkSettings| -> Vec<Tried> {
        let (tell, mut told) = mpsc::channel(1);
        let all = async {
            let mut all = Vec::new();
            while let Some(tried) = told.recv().await {
                all.push(tried);
            }
            all
        };
        tokio::join!(probe(&settings, &*memory, tell), all).1
    };
    let tried = walk(settings(&["http://plane", "https://plane/", "http://nowhere"])).await;
    let steps: Vec<_> = tried.iter().map(|tried| (tried.step, tried.outcome.is_ok())).collect();
    assert_eq!(
        steps,
        [
            (Step::Connect, true),
            (Step::Upgrade, true),
            (Step::Hello, true),
            (Step::Connect, true),
            (Step::Tls, true),
            (Step::Upgrade, true),
            (Step::Hello, true),
            (Step::Connect, false),
        ]
    );
    assert!(plane.endings().iter().all(|ending| ending.code == Some(1000)));
    assert_eq!(plane.seen().primaries, 0);
    assert_eq!(plane.sessions(), 0);

    plane.register(ID, "solace");
    let tried = walk(settings(&["http://plane"])).await;
    let fault = tried.last().expect("a step").outcome.as_ref().expect_err("refused");
    assert!(fault.sentence().contains("solace"));
}
