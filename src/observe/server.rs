//! The health surface: a small HTTP server, loopback by default.
//!
//! `/livez` says that the process can serve, whatever the plane and the gateways do, and how many tasks it has; `/readyz` says whether every
//! integration has a live session, and which has not, since when and why.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Board, METRICS_TYPE, page::PAGE};

/// Connections served at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 16;
/// How long a client may take to send its request's head.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection may live in all.
const CONNECTION: Duration = Duration::from_secs(10);
/// How long nothing is accepted after accepting failed (out of file descriptors).
const PAUSE: Duration = Duration::from_millis(100);

/// A health surface that is bound and not yet served.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Takes the address. The error is the system's: taken, not ours, not allowed.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens; the port is the one taken when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from `board` until `shutdown`.
    pub async fn serve(self, board: Board, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = async {
                // The semaphore is never closed.
                let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
                Ok::<_, io::Error>((self.listener.accept().await?.0, place))
            };
            let (stream, place) = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = accepted => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::debug!(%error, "the health surface cannot accept a connection");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            let board = board.clone();
            tokio::spawn(async move {
                let _place = place;
                let service = service_fn(async |request| Ok::<_, Infallible>(answer(&request, &board).await));
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), service);
                // A client that goes away or never ends its request is not our trouble.
                let _ = timeout(CONNECTION, connection).await;
            });
        }
    }
}

async fn answer(request: &Request<Incoming>, board: &Board) -> Response<Full<Bytes>> {
    let (status, body) = match request.uri().path() {
        "/" | "/status" | "/metrics" | "/livez" | "/readyz"
            if !matches!(*request.method(), Method::GET | Method::HEAD) =>
        {
            let mut response = json(StatusCode::METHOD_NOT_ALLOWED, &serde_json::json!({"error": "GET or HEAD only"}));
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        "/" => return page(),
        "/metrics" => return metrics(board.metrics_text().await),
        "/status" => (StatusCode::OK, serde_json::to_value(board.status()).unwrap_or_default()),
        "/livez" => (StatusCode::OK, serde_json::json!({"alive": true, "tasks": tasks()})),
        "/readyz" => {
            let report = board.report();
            let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            // A report holds nothing that JSON cannot say.
            (status, serde_json::to_value(&report).unwrap_or_default())
        }
        _ => (
            StatusCode::NOT_FOUND,
            serde_json::json!({"error": "not found", "paths": ["/", "/status", "/metrics", "/livez", "/readyz"]}),
        ),
    };
    json(status, &body)
}

fn metrics(text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
    response
}

fn page() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(PAGE.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// How many tasks the process has: a number that grows for days is a defect.
fn tasks() -> Option<usize> {
    tokio::runtime::Handle::try_current().ok().map(|runtime| runtime.metrics().num_alive_tasks())
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;
    use crate::observe::Standing;

    async fn ask(address: SocketAddr, line: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{line} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    async fn served(board: &Board) -> (SocketAddr, CancellationToken) {
        let server = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (address, shutdown) = (server.address(), CancellationToken::new());
        tokio::spawn(server.serve(board.clone(), shutdown.clone()));
        (address, shutdown)
    }

    #[tokio::test]
    async fn says_who_is_connected_and_who_is_not_since_when_and_why() {
        let board = Board::new();
        let (address, shutdown) = served(&board).await;
        assert!(ask(address, "GET /livez").await.starts_with("HTTP/1.1 200"));

        let since = SystemTime::UNIX_EPOCH;
        board.put("one", "aws-api-gateway", Standing { connected: true, since, why: None });
        board.put("two", "aws-api-gateway", Standing { connected: false, since, why: Some("no token".into()) });
        let text = ask(address, "GET /readyz").await;
        assert!(text.starts_with("HTTP/1.1 503"), "{text}");
        let body: serde_json::Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!(
            body["integrations"][1],
            serde_json::json!({"integration": "two", "provider": "aws-api-gateway", "connected": false,
                "since": "1970-01-01T00:00:00Z", "why": "no token"})
        );

        board.put("two", "aws-api-gateway", Standing { connected: true, since, why: None });
        assert!(ask(address, "GET /readyz").await.starts_with("HTTP/1.1 200"));
        let head = ask(address, "HEAD /readyz").await;
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
        shutdown.cancel();
    }

    #[tokio::test]
    async fn tells_how_many_tasks_there_are() {
        let (address, shutdown) = served(&Board::new()).await;
        let tasks = async || {
            let text = ask(address, "GET /livez").await;
            let body: serde_json::Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
            body["tasks"].as_u64().unwrap()
        };
        let before = tasks().await;
        let more: Vec<_> = (0..100).map(|_| tokio::spawn(std::future::pending::<()>())).collect();
        let after = tasks().await;
        assert!((100..110).contains(&(after - before)), "{before}, with {} more {after}", more.len());
        shutdown.cancel();
    }

    #[tokio::test]
    async fn refuses_other_paths_and_methods() {
        let (address, shutdown) = served(&Board::new()).await;
        assert!(ask(address, "GET /nothing").await.starts_with("HTTP/1.1 404"));
        let refused = ask(address, "DELETE /livez").await;
        assert!(refused.starts_with("HTTP/1.1 405") && refused.contains("allow: GET, HEAD"), "{refused}");
        shutdown.cancel();
    }

    #[tokio::test]
    async fn many_silent_clients_do_not_stop_the_surface_for_ever() {
        let (address, shutdown) = served(&Board::new()).await;
        let silent: Vec<TcpStream> =
            futures_util::future::try_join_all((0..CONNECTIONS).map(|_| TcpStream::connect(address))).await.unwrap();
        let asked = ask(address, "GET /livez");
        // They go away, their places are free.
        drop(silent);
        assert!(asked.await.starts_with("HTTP/1.1 200"));
        shutdown.cancel();
    }

    #[tokio::test]
    async fn a_taken_port_is_the_systems_error() {
        let first = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let error = Server::bind(first.address()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
