//! An agent's surface with nothing behind it: the page as it is served, and whatever status it is told to answer.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use federation_agent::observe::{PAGE, PAGE_POLICY, status::Status};
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

/// The surface, until it is dropped.
pub(crate) struct Agent {
    address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Answers {
    status: String,
    fails: bool,
    asked_for: BTreeSet<String>,
}

impl Agent {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let answers = Arc::new(Mutex::new(Answers::default()));
        let theirs = Arc::clone(&answers);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answers = Arc::clone(&theirs);
                let service = service_fn(move |request: http::Request<_>| {
                    let answer = answer(&answers, request.uri().path());
                    async { Ok::<_, Infallible>(answer) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, answers, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What `/status` answers from now on.
    pub(crate) fn tell(&self, status: &Status) {
        self.answers.lock().unwrap().status = serde_json::to_string(status).expect("a status");
    }

    /// Whether `/status` fails from now on.
    pub(crate) fn fails(&self, fails: bool) {
        self.answers.lock().unwrap().fails = fails;
    }

    /// Every path that was asked for.
    pub(crate) fn asked_for(&self) -> Vec<String> {
        self.answers.lock().unwrap().asked_for.iter().cloned().collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn answer(answers: &Mutex<Answers>, path: &str) -> Response<Full<Bytes>> {
    let mut answers = answers.lock().unwrap();
    answers.asked_for.insert(path.to_owned());
    let (status, kind, body) = match path {
        "/" => (StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned()),
        "/status" if answers.fails => (StatusCode::SERVICE_UNAVAILABLE, "text/plain", String::new()),
        "/status" => (StatusCode::OK, "application/json", answers.status.clone()),
        _ => (StatusCode::NOT_FOUND, "text/plain", String::new()),
    };
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .header("content-security-policy", PAGE_POLICY.as_str())
        .header("cache-control", "no-store")
        .body(Full::new(Bytes::from(body)))
        .expect("a response")
}
