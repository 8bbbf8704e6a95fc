//! One GET.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A connection that is kept.
pub(crate) struct Client {
    sender: hyper::client::conn::http1::SendRequest<Empty<Bytes>>,
    host: String,
}

impl Client {
    /// Connects to the host of `url`.
    pub(crate) async fn connect(url: &str) -> io::Result<Self> {
        let url = url::Url::parse(url).map_err(io::Error::other)?;
        let host = format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
        let stream = TcpStream::connect(&host).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self { sender, host })
    }

    /// The body that `path` answers with, when that is a 200.
    pub(crate) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<Bytes> {
        let mut request = http::Request::get(path).header("host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::new()).map_err(io::Error::other)?;
        self.sender.ready().await.map_err(io::Error::other)?;
        let response = self.sender.send_request(request).await.map_err(io::Error::other)?;
        if response.status() != http::StatusCode::OK {
            return Err(io::Error::other(format!("{path} answered {}", response.status())));
        }
        Ok(response.into_body().collect().await.map_err(io::Error::other)?.to_bytes())
    }
}

/// One GET on a connection of its own.
pub(crate) async fn get(url: &str, headers: &[(&str, &str)]) -> io::Result<Bytes> {
    let path = url::Url::parse(url).map_err(io::Error::other)?.path().to_owned();
    Client::connect(url).await?.get(&path, headers).await
}
