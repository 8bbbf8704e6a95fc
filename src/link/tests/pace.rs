//! When the link tries again, which endpoint it tries, and how much it says meanwhile.

use std::io;

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::{
    exchange::{self, CommandBody, Message},
    plane::Behaviour,
};

#[tokio::test(start_paused = true)]
async fn a_plane_that_is_away_for_hours_is_tried_once_a_minute_at_most_often() {
    let mut world = World::new(settings(&["http://nowhere"]), memory([]));
    let dials = world.dialled(200).await;
    let gaps: Vec<_> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap <= MINUTE + SECOND), "{gaps:?}");
    let total: Duration = gaps.iter().sum();
    assert!(total > 75 * MINUTE && total < 125 * MINUTE, "{total:?}");
    assert!(gaps[0] <= SECOND && gaps[1] <= 2 * SECOND && gaps[2] <= 4 * SECOND, "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn of_two_endpoints_the_dead_one_is_passed_over_and_the_first_is_asked_first_again() {
    let plane = plane();
    let mut world = World::new(settings(&["http://dead", "http://plane"]), memory([("plane", at(&plane))]));
    plane.connected(ID).await;
    assert_eq!(world.connected().await.limits(), Limits::default());
    plane.cut(ID).await;
    plane.disconnected(ID).await;
    plane.connected(ID).await;
    let hosts: Vec<_> = world.dials().into_iter().map(|(_, host)| host).collect();
    assert_eq!(hosts, ["dead", "plane", "dead", "plane"]);
}

#[tokio::test(start_paused = true)]
async fn the_endpoint_that_worked_is_asked_again_first() {
    let plane = plane();
    let mut world = World::new(settings(&["http://plane", "http://dead"]), memory([("plane", at(&plane))]));
    for _ in 0..3 {
        plane.connected(ID).await;
        world.connected().await;
        plane.cut(ID).await;
        plane.disconnected(ID).await;
    }
    plane.connected(ID).await;
    assert!(world.dials().iter().all(|(_, host)| host == "plane"), "{:?}", world.dials());
}

#[tokio::test(start_paused = true)]
async fn the_slow_lane_waits_until_every_endpoint_was_asked() {
    let (refusing, good) = (plane(), plane());
    refusing.behave(Behaviour::Answer { status: 401, headers: Vec::new() });
    let peers = memory([("refusing", at(&refusing)), ("good", at(&good))]);
    let world = World::new(settings(&["http://refusing", "http://good"]), peers);
    good.connected(ID).await;
    assert!(world.memory.began.elapsed() < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_dies_young_does_not_reset_the_delay() {
    let plane = plane();
    plane.behave(Behaviour::CutAfterHello);
    let mut world = World::of(&plane);
    let dials = world.dialled(60).await;
    assert!(dials[59] - dials[0] > 15 * MINUTE, "{:?}", dials[59] - dials[0]);
}

#[tokio::test(start_paused = true)]
async fn hello_and_good_bye_in_a_circle_is_slowed_down() {
    let plane = plane();
    let mut world = World::of(&plane);
    let began = Instant::now();
    for _ in 0..20 {
        plane.connected(ID).await;
        world.connected().await;
        plane.good_bye(ID, true).await;
        plane.disconnected(ID).await;
    }
    assert!(began.elapsed() > 3 * MINUTE, "{:?}", began.elapsed());
}

/// Lines of a log.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    /// Everything that this thread logs, at every level, while the guard lives.
    pub(super) fn hear() -> (Self, tracing::subscriber::DefaultGuard) {
        let lines = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(lines.clone())
            .with_ansi(false)
            .without_time()
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).expect("UTF-8")
    }

    pub(super) fn count(&self, level: &str, word: &str) -> usize {
        let text = self.text();
        text.lines().filter(|line| line.trim_start().starts_with(level) && line.contains(word)).count()
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_hours_is_a_few_lines_and_no_line_holds_the_token() {
    let (lines, guard) = Lines::hear();
    let plane = plane();
    plane.behave(Behaviour::HangUp);
    let mut world = World::of(&plane);
    world.dialled(100).await;
    let away = world.memory.began.elapsed();
    plane.behave(Behaviour::Faithful);
    world.connected().await;
    world.shut_down().await;
    drop(guard);

    let text = lines.text();
    assert_eq!(lines.count("WARN", ": not connected: "), 1, "{text}");
    let reminders = lines.count("WARN", "still not connected");
    let expected = usize::try_from(away.as_secs() / 600).expect("few");
    assert!(reminders >= 2 && reminders <= expected, "{reminders} in {away:?}");
    assert_eq!(lines.count("INFO", "connected to the plane again"), 1, "{text}");
    assert_eq!(lines.count("INFO", "the link is closed"), 1, "{text}");
    assert!(!text.contains("plane-token"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn sessions_that_die_young_for_hours_are_a_few_lines() {
    let (lines, guard) = Lines::hear();
    let plane = plane();
    plane.behave(Behaviour::CutAfterHello);
    let mut world = World::of(&plane);
    world.dialled(200).await;
    let away = world.memory.began.elapsed();
    plane.behave(Behaviour::Faithful);
    let session = world.connected().await;
    tokio::time::sleep(2 * MINUTE).await;
    assert!(!session.is_gone());
    world.shut_down().await;
    drop(guard);

    let text = lines.text();
    let told = lines.count("INFO", "") + lines.count("WARN", "");
    let reminders = lines.count("WARN", "connected again and again, and lost each time");
    assert!(reminders >= 2 && told <= 15 + reminders, "{told} lines in {away:?}\n{text}");
    assert_eq!(lines.count("INFO", "and the session holds"), 1, "{text}");
}

#[tokio::test(start_paused = true)]
async fn another_agent_on_the_integration_is_one_line() {
    let (lines, guard) = Lines::hear();
    let plane = plane();
    let first = World::of(&plane);
    plane.connected(ID).await;
    let primary = Command { id: "p".into(), body: CommandBody::Primary { primary: false } };
    let bytes = exchange::encode(&Message::Command(primary), &Limits::default()).expect("short");
    plane.send_raw(ID, bytes).await.expect("sent");
    plane.until(|plane| plane.seen().primaries == 2).await;
    first.shut_down().await;
    drop(guard);
    assert_eq!(lines.count("INFO", "another agent is connected"), 1, "{}", lines.text());
}
