//! Headless Chromium, steered over its DevTools protocol.

use std::{env, fs, path::PathBuf, process::Stdio, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

/// How long the browser may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// How its binary is called, here and there.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A browser, until it is dropped.
pub(crate) struct Browser {
    socket: WebSocketStream<TcpStream>,
    asked: u64,
    /// What the page complained of since a tab was opened: errors of scripts, what its policy forbade.
    complaints: Vec<String>,
    /// Whether the page has been read whole.
    loaded: bool,
    _process: Child,
    _profile: TempDir,
}

/// One page.
pub(crate) struct Tab<'b> {
    browser: &'b mut Browser,
    session: String,
}

impl Browser {
    /// Starts one; `None`: there is none on this machine.
    pub(crate) async fn start() -> Option<Self> {
        let binary = found()?;
        let profile = tempfile::tempdir().expect("a folder");
        let mut process = Command::new(binary)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"])
            .arg("--remote-debugging-port=0")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Chromium starts");
        let mut lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        let url = timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await.expect("text") {
                if let Some(url) = line.strip_prefix("DevTools listening on ") {
                    return url.trim().to_owned();
                }
            }
            panic!("Chromium ended before it listened");
        });
        let url = url.await.expect("Chromium listens in time");
        // Whatever else it says goes nowhere, and must go somewhere.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let host = url.trim_start_matches("ws://").split('/').next().expect("a host").to_owned();
        let stream = TcpStream::connect(host).await.expect("it listens");
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (socket, _) = client_async_with_config(url.as_str(), stream, Some(config)).await.expect("its websocket");
        Some(Self { socket, asked: 0, complaints: Vec::new(), loaded: false, _process: process, _profile: profile })
    }

    /// A new tab at `url`.
    pub(crate) async fn open(&mut self, url: &str) -> Tab<'_> {
        self.complaints.clear();
        let made = self.call(None, "Target.createTarget", json!({"url": "about:blank"})).await;
        let target = text(&made["targetId"]);
        let attached = self.call(None, "Target.attachToTarget", json!({"targetId": target, "flatten": true})).await;
        let session = text(&attached["sessionId"]);
        let mut tab = Tab { browser: self, session };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), json!({})).await;
        }
        tab.browser.loaded = false;
        tab.call("Page.navigate", json!({"url": url})).await;
        while !tab.browser.loaded {
            let event = tab.browser.next("the page").await;
            tab.browser.note(&event);
        }
        tab
    }

    async fn call(&mut self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        let mut request = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = session {
            request["sessionId"] = session.into();
        }
        self.socket.send(Message::text(request.to_string())).await.expect("the browser listens");
        loop {
            let message = self.next(method).await;
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    /// The next thing that it says, while `what` is waited for.
    async fn next(&mut self, what: &str) -> Value {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await;
            let message = message.unwrap_or_else(|_| panic!("{what} did not come in time"));
            if let Message::Text(message) = message.expect("the browser is there").expect("a frame") {
                return serde_json::from_str(&message).expect("JSON");
            }
        }
    }

    fn note(&mut self, event: &Value) {
        let said = &event["params"];
        match event["method"].as_str() {
            Some("Page.loadEventFired") => self.loaded = true,
            Some("Runtime.exceptionThrown") => self.complaints.push(said["exceptionDetails"].to_string()),
            Some("Log.entryAdded") if said["entry"]["level"] == "error" => {
                self.complaints.push(text(&said["entry"]["text"]));
            }
            _ => {}
        }
    }
}

impl Tab<'_> {
    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        let session = self.session.clone();
        self.browser.call(Some(&session), method, parameters).await
    }

    /// What `script` comes to.
    pub(crate) async fn ask(&mut self, script: &str) -> Value {
        let asked = json!({"expression": script, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", asked).await;
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until `script` is true: the page itself looks, at each of its frames.
    pub(crate) async fn until(&mut self, script: &str) {
        let waiting = format!(
            "new Promise((good, bad) => {{ const end = Date.now() + 10000;
               const look = () => {{ if ({script}) good(1); else if (Date.now() > end) bad(document.body.innerText); else setTimeout(look, 10); }};
               look(); }})"
        );
        self.ask(&waiting).await;
    }

    /// How large the window is, and which theme the person likes.
    pub(crate) async fn looks(&mut self, width: u32, height: u32, theme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!([{"name": "prefers-color-scheme", "value": theme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    pub(crate) async fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": 9}),
            )
            .await;
        }
    }

    /// Saves how it looks, where that was asked for.
    pub(crate) async fn picture(&mut self, name: &str) {
        let Some(folder) = env::var_os("PAGE_SHOTS").map(PathBuf::from) else { return };
        let shot = self.call("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": true})).await;
        let picture = BASE64_STANDARD.decode(text(&shot["data"])).expect("base64");
        fs::write(folder.join(format!("{name}.png")), picture).expect("the folder can be written");
    }

    /// What the page complained of.
    pub(crate) async fn complaints(&mut self) -> Vec<String> {
        // Events that are on their way come before this answer.
        self.ask("1").await;
        self.browser.complaints.clone()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn found() -> Option<PathBuf> {
    if let Some(named) = env::var_os("CHROMIUM").filter(|named| !named.is_empty()) {
        return Some(named.into());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).flat_map(|folder| NAMES.map(|name| folder.join(name))).find(|file| file.is_file())
}
