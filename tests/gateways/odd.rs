//! Names that a person would not believe, on their way through the real binary: into the plane, a log, a terminal.

use federation_agent::standin::{ACCOUNT, REGION};

use crate::support::{Process, Stage, soon};

const ONE: &str = "one";

/// A name that would clear a screen, begin a line of its own, and turn the rest of the line round.
const ODD: &str = "Pet\u{1b}[2J\u{9b}1m\n2026-11-22T00:00:00Z ERROR it is all over\r\u{202e}store\u{2028}\u{2066}\0";

async fn stage() -> Stage {
    let stage = Stage::set(&[ONE]).await;
    stage.gateway.with(|estate| {
        let region = estate.region(ACCOUNT, REGION);
        for (n, api) in region.apis.iter_mut().enumerate() {
            api.name = if n % 2 == 0 { format!("{ODD} {}", api.name) } else { format!("{} {n}", "ü".repeat(10_000)) };
            api.description = Some(format!("{ODD}{}", "d".repeat(10_000)));
            *api = api.clone().tag(ODD, &"t".repeat(10_000));
        }
        for (n, plan) in region.plans.iter_mut().enumerate() {
            plan.name = if n % 2 == 0 { format!("{ODD} {}", plan.name) } else { "p".repeat(10_000) };
            // A REST API that is not there: its sentence names the plan.
            *plan = plan.clone().covers("g0neg0neg0", "prod");
        }
    });
    stage
}

fn is_plain(line: &str) -> bool {
    let odd = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !line.contains(odd)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_break_no_terminal() {
    let stage = stage().await;
    let (_, said) = Process::start(&["discover"], stage.environment(&[])).end().await;
    assert!(said.iter().any(|line| line.contains("5 APIs found")), "{}", said.join("\n"));
    for line in &said {
        assert!(is_plain(line) && !line.starts_with("2026"), "{line:?}");
        assert!(line.chars().count() < 5_000, "{} characters: {line:.200}", line.chars().count());
    }
    assert!(said.iter().any(|line| line.contains("its REST API does not exist")), "{}", said.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_break_no_log_and_no_column() {
    for format in ["text", "json"] {
        let stage = stage().await;
        let more = [("FEDERATION_AGENT_LOG_FORMAT", format), ("FEDERATION_AGENT_LOG", "debug")];
        let agent = stage.agent(&more).await;
        soon("discover", stage.plane.discover(ONE)).await.unwrap();
        let api = stage.ingested(ONE).await;
        let units = |text: &str| text.encode_utf16().count();
        for api in stage.plane.apis(ONE) {
            assert!(units(&api.name) <= 512 && is_plain(&api.name), "{}", api.name);
            assert!(api.description.as_deref().is_none_or(|text| units(text) <= 4_000 && !text.contains('\0')));
            assert!(api.plans.iter().all(|plan| units(&plan.name) <= 64 && is_plain(&plan.name)), "{:?}", api.plans);
            assert!(api.metadata.iter().all(|entry| units(&entry.name) <= 64 && units(&entry.value) <= 1_024));
        }
        soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", ODD)).await.unwrap();
        agent.signal("TERM");
        let (_, said) = agent.end().await;
        for line in &said {
            assert!(is_plain(line), "{format}: {line:?}");
            let begins = if format == "json" { line.starts_with('{') } else { line.starts_with("20") };
            assert!(begins && !line.starts_with("2026-11-22T00:00:00Z"), "{format}: {line:?}");
        }
        assert!(said.iter().any(|line| line.contains("shortened from")), "{}", said.join("\n"));
    }
}
