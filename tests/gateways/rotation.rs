//! Credentials that are replaced while the real binary runs, from every source that hands out others: the command that
//! finds the old ones refused succeeds with the new ones.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use federation_agent::standin::{ACCOUNT, Failure, Operation};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Process, Stage, soon};

const ONE: &str = "one";
const OLD: &str = "AKIAOLDOLDOLDOLDOLD0";
const NEW: &str = "AKIANEWNEWNEWNEWNEW0";

/// A stage on which the access keys [`OLD`] and [`NEW`] are two users.
async fn stage() -> Stage {
    let stage = Stage::set(&[ONE]).await;
    stage.gateway.with(|estate| {
        estate.user(ACCOUNT, "old", OLD);
        estate.user(ACCOUNT, "new", NEW);
    });
    stage
}

fn arn(user: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/{user}")
}

/// The agent, connected, without the static pair.
#[expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]
async fn agent(stage: &Stage, more: &[(&str, &str)]) -> Process {
    let directory = std::env::temp_dir();
    let mut variables = stage.environment(&[("HOME", directory.to_str().unwrap()), ("PATH", "/usr/bin:/bin")]);
    variables.retain(|(name, _)| !name.ends_with("accessKeyId") && !name.ends_with("secretAccessKey"));
    variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let agent = Process::start(&[], variables);
    soon("connected", stage.plane.connected(ONE)).await;
    agent
}

/// Discovers as the old user, has the old key refused and the source hand out the new one, and discovers again.
#[expect(clippy::unwrap_used, reason = "what fails here is the test")]
async fn is_picked_up(more: &[(&str, &str)], rotate: impl FnOnce()) {
    let stage = stage().await;
    let _agent = agent(&stage, more).await;
    soon("discover", stage.plane.discover(ONE)).await.unwrap();
    assert!(stage.gateway.requests().iter().all(|request| request.principal == arn("old")));

    rotate();
    let refused = Failure::Error(403, "ExpiredTokenException", "The security token included in the request is expired");
    stage.gateway.fault(refused.always().by(&arn("old")));
    stage.gateway.forget();
    let found = soon("discover", stage.plane.discover(ONE)).await.unwrap();
    assert_eq!(found.apis.len(), 5);
    let requests = stage.gateway.requests();
    let (old, new): (Vec<_>, Vec<_>) = requests.iter().partition(|request| request.principal == arn("old"));
    assert_eq!((old.len(), new.is_empty()), (1, false), "one refusal, then the new ones: {requests:?}");
}

/// A file that goes when the test does.
struct File(tempfile::TempDir, PathBuf);

#[expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]
impl File {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, text).unwrap();
        Self(directory, path)
    }

    fn path(&self) -> &str {
        assert!(self.1.starts_with(self.0.path()));
        self.1.to_str().unwrap()
    }

    fn rewrite(&self, text: &str) {
        fs::write(&self.1, text).unwrap();
    }
}

fn profile(key: &str) -> String {
    format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_credentials_file_that_is_rewritten() {
    let file = File::new(&profile(OLD));
    is_picked_up(&[("AWS_SHARED_CREDENTIALS_FILE", file.path())], || file.rewrite(&profile(NEW))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_gives_others() {
    let of = |key: &str| format!(r#"{{"Version":1,"AccessKeyId":"{key}","SecretAccessKey":"secret"}}"#);
    let answer = File::new(&of(OLD));
    let config = File::new(&format!("[default]\ncredential_process = cat {}\n", answer.path()));
    is_picked_up(&[("AWS_CONFIG_FILE", config.path())], || answer.rewrite(&of(NEW))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_containers_credentials() {
    let source = Source::serve().await;
    let url = format!("{}/container", source.url);
    is_picked_up(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)], || source.hand_out(NEW)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instances_role() {
    let source = Source::serve().await;
    is_picked_up(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &source.url)], || source.hand_out(NEW)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_identity_token_that_is_rewritten() {
    let (source, token) = (Source::serve().await, File::new(OLD));
    let more = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.path()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/web"),
        ("AWS_ENDPOINT_URL_STS", source.url.as_str()),
    ];
    is_picked_up(&more, || token.rewrite(NEW)).await;
}

/// Also a role's: STS takes the old ones no more when the role is assumed again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_with_which_a_role_is_assumed() {
    let stage = stage().await;
    stage.gateway.with(|estate| {
        estate.account(ACCOUNT).roles.insert("federation".into(), federation_agent::standin::Role::open());
    });
    let role = format!("arn:aws:iam::{ACCOUNT}:role/federation");
    let file = File::new(&profile(OLD));
    let key = "gravitee_integration_providers_0_configuration_roleArn";
    let _agent = agent(&stage, &[("AWS_SHARED_CREDENTIALS_FILE", file.path()), (key, &role)]).await;
    soon("discover", stage.plane.discover(ONE)).await.unwrap();
    stage.gateway.forget();

    file.rewrite(&profile(NEW));
    let refused = |code| Failure::Error(403, code, "It is not taken any more");
    stage.gateway.fault(refused("InvalidClientTokenId").always().by(&arn("old")));
    // The session has ended as well.
    stage.gateway.fault(refused("ExpiredTokenException").on(Operation::GetUsagePlans).times(1));
    let found = soon("discover", stage.plane.discover(ONE)).await.unwrap();
    assert_eq!(found.apis.len(), 5);
    let assumed: Vec<_> =
        stage.gateway.requests().into_iter().filter(|r| r.operation == Some(Operation::AssumeRole)).collect();
    assert_eq!(assumed.iter().map(|r| r.principal.as_str()).collect::<Vec<_>>(), [arn("old"), arn("new")]);
}

/// Nobody has refused them yet: they are renewed before their end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_end() {
    let source = Source::serve().await;
    *source.lasts.lock().unwrap() = Duration::from_secs(1);
    let url = format!("{}/container", source.url);
    let stage = stage().await;
    let _agent = agent(&stage, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]).await;
    soon("discover", stage.plane.discover(ONE)).await.unwrap();
    source.hand_out(NEW);
    let renewed = async {
        while stage.gateway.requests().iter().all(|request| request.principal != arn("new")) {
            stage.plane.discover(ONE).await.unwrap();
        }
    };
    soon("the new ones", renewed).await;
    assert!(stage.gateway.requests().iter().all(|request| request.status == Some(200)));
}

/// Those of the settings cannot change: the sentence says what to do, and AWS is not asked over and over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_pair_that_is_refused_says_restart() {
    let stage = stage().await;
    let _agent = stage.agent(&[]).await;
    soon("discover", stage.plane.discover(ONE)).await.unwrap();
    stage.gateway.forget();
    stage.gateway.fault(Failure::Error(403, "InvalidClientTokenId", "It is not taken any more").always());
    let error = soon("discover", stage.plane.discover(ONE)).await.unwrap_err().to_string();
    assert!(error.contains("does not know the credentials") && error.contains("and restart"), "{error}");
    assert_eq!(stage.gateway.requests().len(), 1, "{:?}", stage.gateway.requests());
}

/// Something that hands out credentials: a container's endpoint, an instance's metadata, and STS for web identities.
struct Source {
    url: String,
    key: Arc<Mutex<&'static str>>,
    lasts: Arc<Mutex<Duration>>,
}

#[expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]
impl Source {
    async fn serve() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let source = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            key: Arc::new(Mutex::new(OLD)),
            lasts: Arc::new(Mutex::new(Duration::from_hours(6))),
        };
        let (key, lasts) = (Arc::clone(&source.key), Arc::clone(&source.lasts));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (key, lasts) = (Arc::clone(&key), Arc::clone(&lasts));
                tokio::spawn(async move {
                    let mut request = vec![0; 1 << 16];
                    let mut len = 0;
                    // A form may come in a packet of its own.
                    while !(request[..len].ends_with(b"\r\n\r\n") || memmem(&request[..len], b"WebIdentityToken=")) {
                        match stream.read(&mut request[len..]).await {
                            Ok(0) | Err(_) => return,
                            Ok(read) => len += read,
                        }
                    }
                    let request = String::from_utf8_lossy(&request[..len]).into_owned();
                    let (key, lasts) = (*key.lock().unwrap(), *lasts.lock().unwrap());
                    let (status, body) = answer(&request, key, lasts);
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\nContent-Length: {}\r\n\
                         Connection: close\r\n\r\n{body}",
                        body.len()
                    );
                    let _gone = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        source
    }

    fn hand_out(&self, key: &'static str) {
        *self.key.lock().unwrap() = key;
    }
}

fn memmem(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn answer(request: &str, key: &str, lasts: Duration) -> (u16, String) {
    let expiry = humantime::format_rfc3339_seconds(SystemTime::now() + lasts);
    let json = format!(
        r#"{{"Code":"Success","Type":"AWS-HMAC","LastUpdated":"2026-01-01T00:00:00Z","AccessKeyId":"{key}",
        "SecretAccessKey":"secret","Token":"token","Expiration":"{expiry}"}}"#
    );
    match request.split(' ').nth(1).unwrap_or_default() {
        "/latest/api/token" => (200, "metadata-token".into()),
        "/latest/meta-data/iam/security-credentials/" => (200, "the-role".into()),
        "/container" | "/latest/meta-data/iam/security-credentials/the-role" => (200, json),
        "/" => {
            let key = if request.contains(NEW) { NEW } else { OLD };
            let xml = format!(
                "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                 <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{key}</AccessKeyId>\
                 <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>\
                 <Expiration>{expiry}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
                 </AssumeRoleWithWebIdentityResponse>"
            );
            (200, xml)
        }
        _ => (404, String::new()),
    }
}
