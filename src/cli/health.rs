//! `health`: asks the running agent whether it is alive.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header::HOST};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::Builder,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    exit::{Exit, Stop},
    terminal,
};
use crate::{
    link::tls_to_ourselves,
    settings::{self, Environment},
};

/// How long an answer may take: less than any probe's own patience.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest answer that is read.
const ANSWER: usize = 64 * 1024;

pub(super) fn health(environment: &Environment, ready: bool) -> Result<Exit, Stop> {
    let process = settings::reachable(environment)?;
    let Some(address) = process.listen else {
        return Err(Stop::failed(
            "the health surface is off (FEDERATION_AGENT_LISTEN, or gravitee_services_core_http_enabled): nobody can be \
             asked; set it to an address, or drop this probe",
        ));
    };
    let secured = process.http.keystore.is_some();
    let scheme = if secured { "https" } else { "http" };
    let path = if ready { "/readyz" } else { "/livez" };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::failed(format_args!("the system gave no threads: {error}")))?;
    let (status, body) = runtime
        .block_on(async { timeout(PATIENCE, ask(reachable(address), path, secured)).await })
        .map_err(|_| Stop::failed(format_args!("{scheme}://{address}{path} did not answer in {PATIENCE:?}")))?
        .map_err(|error| {
            Stop::failed(format_args!("{scheme}://{address}{path} cannot be asked: {error}; is the agent running?"))
        })?;
    terminal::say(body.trim_end());
    Ok(if status == StatusCode::OK { Exit::Good } else { Exit::Failed })
}

/// An agent that listens on every address is asked on this machine's own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(
    address: SocketAddr,
    path: &str,
    secured: bool,
) -> Result<(StatusCode, String), Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(address).await?;
    if secured {
        let stream = TlsConnector::from(tls_to_ourselves()).connect(address.ip().into(), stream).await?;
        return get(stream, address, path).await;
    }
    get(stream, address, path).await
}

async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    path: &str,
) -> Result<(StatusCode, String), Box<dyn std::error::Error>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body =
        Limited::new(response.into_body(), ANSWER).collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io, path::Path, sync::Arc};

    use super::*;
    use crate::settings::{SecretName, Secrets};

    struct Unreachable;

    impl Secrets for Unreachable {
        fn read(&self, _: &Environment, asked: &SecretName) -> Result<BTreeMap<String, Vec<u8>>, String> {
            panic!("a probe asks the Kubernetes API for {asked:?}")
        }
    }

    #[test]
    fn a_probe_waits_for_no_secret() {
        let environment: Environment = [
            ("gravitee_services_core_http_authentication_users_admin", "secret://kubernetes/users:admin"),
            ("gravitee_services_core_http_secured", "true"),
            ("gravitee_services_core_http_ssl_keystore_type", "pem"),
            ("gravitee_services_core_http_ssl_keystore_certificates_0_cert", "/tls/tls.crt"),
            ("gravitee_services_core_http_ssl_keystore_certificates_0_key", "/tls/tls.key"),
            ("gravitee_services_core_http_ssl_keystore_password", "secret://kubernetes/tls:password"),
            // Nobody listens there.
            ("FEDERATION_AGENT_LISTEN", "127.0.0.1:1"),
        ]
        .into_iter()
        .collect();
        let files = |path: &Path| {
            if path.starts_with("/tls") { Ok(b"pem".to_vec()) } else { Err(io::ErrorKind::NotFound.into()) }
        };
        let environment = environment.with_files(files).with_secrets(Arc::new(Unreachable));
        let stopped = format!("{:?}", health(&environment, false).unwrap_err());
        assert!(stopped.contains("https://127.0.0.1:1/livez cannot be asked"), "{stopped}");
    }

    #[test]
    fn an_agent_that_listens_everywhere_is_asked_here() {
        assert_eq!(reachable(([0, 0, 0, 0], 80).into()), ([127, 0, 0, 1], 80).into());
        assert_eq!(reachable("[::]:80".parse().unwrap()), "[::1]:80".parse().unwrap());
        assert_eq!(reachable(([10, 0, 0, 1], 80).into()), ([10, 0, 0, 1], 80).into());
    }
}
