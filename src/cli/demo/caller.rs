//! Somebody who calls an API of the gateway, with a key or without.

use bytes::Bytes;
use http::{Request, StatusCode, header::HOST};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use url::Url;

use super::super::exit::Stop;

/// What `GET url` answers, with `key` in `x-api-key` when there is one.
pub(super) async fn get(url: &str, key: Option<&SecretString>) -> Result<StatusCode, Stop> {
    try_get(url, key).await.map_err(|error| Stop::failed(format_args!("GET {url}: {error}")))
}

async fn try_get(url: &str, key: Option<&SecretString>) -> Result<StatusCode, Box<dyn std::error::Error>> {
    let url = Url::parse(url)?;
    let address = url.socket_addrs(|| None)?.into_iter().next().ok_or("no address")?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    tokio::spawn(connection);
    let mut request = Request::get(url.path()).header(HOST, address.to_string());
    if let Some(key) = key {
        request = request.header("x-api-key", key.expose_secret());
    }
    Ok(sender.send_request(request.body(Empty::<Bytes>::new())?).await?.status())
}
