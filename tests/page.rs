//! The status page as a browser shows it: headless Chromium, steered over its DevTools protocol.
//!
//! `CHROMIUM` names the browser; without it one is looked for. Where there is none, each test says that it did not run.
//! With `PAGE_SHOTS=folder` every scene is saved there as a picture, for a person to look at.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "page/browser.rs"]
mod browser;
#[path = "page/scenes.rs"]
mod scenes;
#[path = "page/server.rs"]
mod server;

use federation_agent::observe::status::Status;
use serde_json::Value;

use browser::{Browser, Tab};
use server::Agent;

/// Widths and heights of a desk and of a phone.
const DESK: (u32, u32) = (1280, 900);
const PHONE: (u32, u32) = (360, 740);

/// The contrast of every text with what lies behind it, as WCAG 2 counts it; what is below 4.5 is returned.
const PALE: &str = r"
(() => {
  const rgb = (text) => { const m = text.match(/[\d.]+/g).map(Number); return { c: m.slice(0, 3), a: m.length > 3 ? m[3] : 1 }; };
  const light = ([r, g, b]) => { const f = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const behind = (e) => { for (; e; e = e.parentElement) { const b = rgb(getComputedStyle(e).backgroundColor); if (b.a === 1) return b.c; } return [255, 255, 255]; };
  const pale = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (walk.nextNode()) {
    const text = walk.currentNode.data.trim(), e = walk.currentNode.parentElement;
    if (!text || ['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(e.tagName) || e.getClientRects().length === 0) continue;
    seen += 1;
    const [a, b] = [light(rgb(getComputedStyle(e).color).c), light(behind(e))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) pale.push(`${contrast.toFixed(2)} ${text.slice(0, 40)}`);
  }
  return { seen, pale };
})()";

/// What is wider than the window.
const WIDE: &str =
    "({ page: document.documentElement.scrollWidth, window: innerWidth, who: [...document.querySelectorAll('body *')]
  .filter((e) => getComputedStyle(e).position !== 'absolute' && e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => e.tagName + ' ' + e.textContent.slice(0, 40)) })";

/// A tab that shows `status` and has drawn it.
async fn shown<'b>(browser: &'b mut Browser, agent: &Agent, status: &Status) -> Tab<'b> {
    agent.tell(status);
    let mut tab = browser.open(&agent.url()).await;
    tab.until("document.querySelector('#main').childElementCount > 0").await;
    tab
}

/// A browser, or the line that says that there is none.
async fn browser(test: &str) -> Option<Browser> {
    let started = Browser::start().await;
    if started.is_none() {
        println!("{test} did not run: there is no Chromium (Debian's package `chromium`, or CHROMIUM=path)");
    }
    started
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scene_is_readable_in_both_themes_on_a_desk_and_on_a_phone() {
    let Some(mut browser) = browser("the page's scenes").await else { return };
    let agent = Agent::start().await;
    for (name, status, headline) in scenes::all() {
        let mut tab = shown(&mut browser, &agent, &status).await;
        for (width, height) in [DESK, PHONE] {
            for theme in ["light", "dark"] {
                tab.looks(width, height, theme).await;
                let look = format!("{name}-{width}-{theme}");
                assert_eq!(
                    tab.ask("document.querySelector('#headline').textContent").await,
                    Value::from(headline),
                    "{look}"
                );
                let contrast = tab.ask(PALE).await;
                assert!(contrast["seen"].as_u64() > Some(15), "{look}: {contrast}");
                assert_eq!(contrast["pale"], Value::Array(Vec::new()), "{look}");
                let width = tab.ask(WIDE).await;
                assert_eq!((&width["page"], &width["who"]), (&width["window"], &Value::Array(Vec::new())), "{look}");
                tab.picture(&look).await;
            }
        }
        let title = tab.ask("document.title").await;
        assert_eq!(title, Value::from(format!("{headline} – federation agent")), "{name}");
        assert_eq!(tab.complaints().await, Vec::<String>::new(), "{name}");
    }
    assert_eq!(agent.asked_for(), ["/", "/status"], "something else was asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_tells_what_a_person_must_know() {
    let Some(mut browser) = browser("the page's sentences").await else { return };
    let agent = Agent::start().await;
    let tell = [
        (
            scenes::fresh(),
            vec!["None has come from the plane yet.", "None yet: press Discover", "None since the start."],
        ),
        (
            scenes::trouble(),
            vec![
                "the token was refused (401)",
                "Not connected for",
                "✗ AccessDenied",
                "! 2 stuck",
                "federation-agent grants",
                "3 APIs held back",
                "account 210987654321, us-east-1",
                "✗ error",
                "(12 times)",
                "No space left on device",
            ],
        ),
        (
            scenes::ingesting(),
            vec!["Ingest in progress", "1,200 of 2,000 APIs taken", "3 APIs not handed over: unavailable 3"],
        ),
        (scenes::well(), vec!["12 APIs, 3 plans", "Connected for 2 h 5 min", "✓ succeeded", "2 settings set"]),
    ];
    for (status, sentences) in tell {
        let mut tab = shown(&mut browser, &agent, &status).await;
        let text = tab.ask("document.body.innerText").await;
        let text = text.as_str().unwrap();
        for sentence in sentences {
            assert!(text.contains(sentence), "{sentence}: {text}");
        }
    }
    let mut tab = shown(&mut browser, &agent, &scenes::ingesting()).await;
    let bar = tab.ask("(() => { const p = document.querySelector('progress'); return [p.value, p.max]; })()").await;
    assert_eq!(bar, serde_json::json!([1203, 2000]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_call_their_things_never_becomes_markup() {
    let Some(mut browser) = browser("the page among hostile names").await else { return };
    let agent = Agent::start().await;
    let mut tab = shown(&mut browser, &agent, &scenes::hostile()).await;
    tab.until("document.body.innerText.includes('<img src=x')").await;
    assert_eq!(tab.ask("document.querySelectorAll('img, iframe, #main script, #main a').length").await, Value::from(0));
    assert_eq!(tab.ask("String(window.taken)").await, Value::from("undefined"));
    assert_eq!(tab.complaints().await, Vec::<String>::new());
}

/// What a person has opened, marked, or stands on stays so while the page refreshes itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_takes_nothing_away_from_whoever_reads() {
    let Some(mut browser) = browser("the page's refresh").await else { return };
    let agent = Agent::start().await;
    let mut tab = shown(&mut browser, &agent, &scenes::well()).await;
    tab.ask(
        "window.first = document.querySelector('article'); window.opened = [...document.querySelectorAll('details')]; window.opened.forEach((d) => d.open = true);
         document.querySelector('details summary').focus(); getSelection().selectAllChildren(document.querySelector('h2')); 1",
    )
    .await;
    let more = scenes::more_commands();
    agent.tell(&more);
    tab.ask("document.querySelector('#again').click(); 1").await;
    tab.until(
        "document.body.innerText.includes('SUBSCRIBE') && document.querySelectorAll('article tbody tr').length > 10",
    )
    .await;
    let kept = tab
        .ask(
            "[document.querySelector('article') === window.first, window.opened.length === 2 && window.opened.every((d) => d.open && d.isConnected),
              document.activeElement.tagName, getSelection().toString()]",
        )
        .await;
    assert_eq!(kept, serde_json::json!([true, true, "SUMMARY", "AWS API Gateway"]));
    // An integration that comes to stand before the others takes nothing away either.
    let mut turned = more.clone();
    turned.integrations.reverse();
    agent.tell(&turned);
    tab.ask("document.querySelector('#again').click(); 1").await;
    tab.until("document.querySelector('article') !== window.first").await;
    assert_eq!(tab.ask("document.querySelectorAll('article')[1] === window.first").await, Value::Bool(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_does_not_answer_is_told_of_and_comes_back() {
    let Some(mut browser) = browser("the page without its agent").await else { return };
    let agent = Agent::start().await;
    let mut tab = shown(&mut browser, &agent, &scenes::well()).await;
    agent.fails(true);
    tab.ask("document.querySelector('#again').click(); 1").await;
    tab.until("document.querySelector('#headline').textContent.includes('has not answered since')").await;
    let text = tab.ask("document.body.innerText").await;
    assert!(
        text.as_str().unwrap().contains("what follows is old") && text.as_str().unwrap().contains("12 APIs"),
        "{text}"
    );
    agent.fails(false);
    tab.ask("document.querySelector('#again').click(); 1").await;
    tab.until("document.querySelector('#headline').textContent.includes('are connected')").await;
    // A person may stop it.
    tab.ask("document.querySelector('#auto').click(); 1").await;
    assert_eq!(tab.ask("document.querySelector('#auto').checked").await, Value::Bool(false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyboard_reaches_everything_and_shows_where_it_is() {
    let Some(mut browser) = browser("the page by keyboard").await else { return };
    let agent = Agent::start().await;
    let mut tab = shown(&mut browser, &agent, &scenes::well()).await;
    let wanted = tab.ask("document.querySelectorAll('input, button, summary, a').length").await.as_u64().unwrap();
    let mut reached = Vec::new();
    for _ in 0..wanted {
        tab.press("Tab").await;
        let on = tab
            .ask(
                "(() => { const e = document.activeElement; return [e.tagName + (e.id || e.textContent.slice(0, 20)),
                  getComputedStyle(e).outlineStyle, parseFloat(getComputedStyle(e).outlineWidth)]; })()",
            )
            .await;
        assert_eq!((on[1].as_str(), on[2].as_f64()), (Some("solid"), Some(3.0)), "{on}");
        reached.push(on[0].as_str().unwrap().to_owned());
    }
    reached.dedup();
    assert_eq!(reached.len() as u64, wanted, "{reached:?}");
    let order = tab.ask("[...document.querySelectorAll('h1, h2, h3')].map((e) => +e.tagName[1])").await;
    let levels: Vec<u64> = order.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    assert!(levels.windows(2).all(|two| two[1] <= two[0] + 1) && levels[0] == 1, "{levels:?}");
}
