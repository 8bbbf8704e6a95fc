//! A plane and a connector made of nothing but the codec, over in-memory streams with paused time.

use std::time::Duration;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    net::TcpStream,
    time::Instant,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, client::IntoClientRequest as _},
};

use super::*;
use crate::{
    exchange::{self, EncodedApi, Limits, Message, StartedIngest, Status, Subscribed},
    model::{Metadata, MetadataFormat, Plan, PlanSecurity, Texts},
};

const INTEGRATION: &str = "int-1";

/// The agent's end.
struct Connector {
    socket: WebSocketStream<DuplexStream>,
    /// What PRIMARY said last.
    primary: Option<bool>,
    /// Whether HEALTH_CHECK is answered.
    healthy: bool,
}

fn plane() -> Plane {
    let plane = Plane::new(PlaneSettings::default());
    plane.register(INTEGRATION, "aws-api-gateway");
    plane
}

async fn upgrade(plane: &Plane) -> Result<WebSocketStream<DuplexStream>, tungstenite::Error> {
    upgrade_at(plane, "/exchange/controller").await
}

async fn upgrade_at(plane: &Plane, path: &str) -> Result<WebSocketStream<DuplexStream>, tungstenite::Error> {
    let (ours, theirs) = duplex(256 * 1024);
    plane.serve_stream(theirs);
    let mut request = format!("ws://plane{path}").into_client_request().unwrap();
    let token = format!("Bearer  {}", plane.token().expose_secret());
    request.headers_mut().insert("authorization", token.parse().unwrap());
    request.headers_mut().insert("x-gravitee-exchange-protocol", "v1".parse().unwrap());
    client_async(request, ours).await.map(|(socket, _)| socket)
}

impl Connector {
    async fn new(plane: &Plane) -> Self {
        Self::at(plane, "/exchange/controller").await
    }

    async fn at(plane: &Plane, path: &str) -> Self {
        Self { socket: upgrade_at(plane, path).await.unwrap(), primary: None, healthy: true }
    }

    /// Connected as far as the console is concerned.
    async fn connected(plane: &Plane) -> Self {
        let sessions = plane.sessions();
        let mut connector = Self::new(plane).await;
        assert_eq!(connector.hello(INTEGRATION).await.status, Status::Succeeded);
        plane.until(|plane| plane.sessions() > sessions).await;
        connector
    }

    async fn hello(&mut self, target_id: &str) -> Reply {
        let hello = CommandBody::Hello { target_id: target_id.into(), provider: "aws-api-gateway".into() };
        self.ask("hello", hello).await
    }

    async fn say(&mut self, message: Message) {
        let bytes = exchange::encode(&message, &Limits::default()).unwrap();
        self.socket.send(tungstenite::Message::binary(bytes)).await.unwrap();
    }

    async fn ask(&mut self, id: &str, body: CommandBody) -> Reply {
        self.say(Message::Command(Command { id: id.into(), body })).await;
        match self.next().await {
            Some(Message::Reply(reply)) => reply,
            other => panic!("{other:?}"),
        }
    }

    /// The next message but PRIMARY and HEALTH_CHECK, which are answered; `None` when the plane has closed.
    async fn next(&mut self) -> Option<Message> {
        loop {
            let bytes = match self.socket.next().await {
                Some(Ok(tungstenite::Message::Binary(bytes))) => bytes,
                Some(Ok(tungstenite::Message::Ping(_) | tungstenite::Message::Pong(_))) => continue,
                _ => return None,
            };
            let message = exchange::decode(&bytes).unwrap();
            let Message::Command(command) = &message else { return Some(message) };
            let answer = match command.body {
                CommandBody::Primary { primary } => {
                    self.primary = Some(primary);
                    ReplyBody::Primary
                }
                CommandBody::HealthCheck if self.healthy => ReplyBody::HealthCheck { healthy: true, detail: None },
                CommandBody::HealthCheck => continue,
                _ => return Some(message),
            };
            self.say(Message::Reply(command.succeed(answer))).await;
        }
    }

    /// Nothing comes for so long that is not answered here.
    async fn quiet(&mut self, wait: Duration) {
        assert!(tokio::time::timeout(wait, self.next()).await.is_err());
    }

    async fn command(&mut self) -> Command {
        match self.next().await {
            Some(Message::Command(command)) => command,
            other => panic!("{other:?}"),
        }
    }

    async fn succeed(&mut self, command: &Command, body: ReplyBody) {
        self.say(Message::Reply(command.succeed(body))).await;
    }

    /// Answers START_INGEST; the job's id.
    async fn start(&mut self, total: u32) -> String {
        let command = self.command().await;
        let CommandBody::StartIngest { job_id, .. } = &command.body else { panic!("{command:?}") };
        let started = StartedIngest { job_id: job_id.clone(), total };
        self.succeed(&command, ReplyBody::StartIngest(Some(started))).await;
        job_id.clone()
    }

    async fn ingest(&mut self, job_id: &str, apis: &[Api], done: bool) -> Reply {
        let apis = apis.iter().map(EncodedApi::new).collect();
        self.ask("ingest", CommandBody::Ingest { job_id: job_id.into(), apis, done }).await
    }
}

fn api(id: &str, plans: &[&str]) -> Api {
    let plan = |id: &&str| Plan {
        id: (*id).into(),
        name: (*id).into(),
        description: None,
        security: PlanSecurity::ApiKey,
        characteristics: vec![],
    };
    let entry = |name: &str| Metadata { name: name.into(), value: name.into(), format: MetadataFormat::String };
    Api {
        unique_id: format!("unique {id}"),
        id: id.into(),
        name: id.into(),
        version: None,
        description: None,
        connection: Texts::from([("url".into(), "https://a".into()), ("planId".into(), "not this".into())]),
        plans: plans.iter().map(plan).collect(),
        documents: vec![],
        metadata: vec![entry("tags"), entry("my-aws-api-gateway-id")],
    }
}

/// A plane that has ingested `apis`, and a connector.
async fn ingested(apis: &[Api]) -> (Plane, Connector) {
    let plane = plane();
    let mut connector = Connector::connected(&plane).await;
    ingest_all(&plane, &mut connector, apis).await;
    (plane, connector)
}

async fn ingest_all(plane: &Plane, connector: &mut Connector, apis: &[Api]) {
    let (job, job_id) = tokio::join!(plane.ingest(INTEGRATION, [""; 0]), connector.start(1));
    let mut job = job.unwrap();
    while job.state().phase == Phase::Starting {
        job.changed().await;
    }
    assert_eq!(connector.ingest(&job_id, apis, true).await.status, Status::Succeeded);
    assert_eq!(job.ended().await.phase, Phase::Done);
}

#[tokio::test(start_paused = true)]
async fn an_ingest_before_its_job_exists_is_dropped_and_answered_as_if_not() {
    let plane = plane();
    let mut connector = Connector::connected(&plane).await;
    let (job, job_id) = tokio::join!(plane.ingest(INTEGRATION, ["a"]), connector.start(2));
    let mut job = job.unwrap();
    assert_eq!((job.state().phase, job.state().total), (Phase::Starting, 2));
    assert_eq!(connector.ingest(&job_id, &[api("a", &[])], false).await.status, Status::Succeeded);
    assert_eq!((job.state().dropped, plane.apis(INTEGRATION).len()), (1, 0));

    while job.state().phase == Phase::Starting {
        job.changed().await;
    }
    connector.ingest(&job_id, &[api("a", &[])], false).await;
    connector.ingest(&job_id, &[api("b", &[])], true).await;
    let state = job.ended().await;
    assert_eq!((state.phase, state.received, state.batches), (Phase::Done, 2, 2));
    assert_eq!(plane.apis(INTEGRATION), [api("a", &[]), api("b", &[])]);
    assert_eq!(plane.last_job(INTEGRATION), Some(state));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_hears_nothing_for_five_minutes_is_given_up() {
    let plane = plane();
    let mut connector = Connector::connected(&plane).await;
    let (job, job_id) = tokio::join!(plane.ingest(INTEGRATION, ["a"]), connector.start(2));
    let job = job.unwrap();
    connector.quiet(Duration::from_secs(200)).await;
    connector.ingest(&job_id, &[], false).await;
    let heard = Instant::now();
    let (state, ()) = tokio::join!(job.ended(), connector.quiet(Duration::from_secs(301)));
    assert_eq!(state.phase, Phase::TimedOut);
    assert!(heard.elapsed() >= Duration::from_mins(5));
    connector.ingest(&job_id, &[api("a", &[])], true).await;
    assert_eq!((job.state().dropped, plane.apis(INTEGRATION).len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_ingest_of_nothing_is_over_at_once() {
    let plane = plane();
    let mut connector = Connector::connected(&plane).await;
    let (job, _) = tokio::join!(plane.ingest(INTEGRATION, [""; 0]), connector.start(0));
    assert_eq!(job.unwrap().ended().await.phase, Phase::Done);
}

#[tokio::test(start_paused = true)]
async fn metadata_goes_round_by_gravitees_rules() {
    let (plane, mut connector) = ingested(&[api("a", &["p1", "p2"])]).await;
    let texts = |pairs: &[(&str, &str)]| -> Texts { pairs.iter().map(|&(k, v)| (k.into(), v.into())).collect() };

    let (made, ()) = tokio::join!(plane.subscribe(INTEGRATION, "a", "p1", "Shop"), async {
        let command = connector.command().await;
        let CommandBody::Subscribe { api_id, subscription } = &command.body else { panic!("{command:?}") };
        assert_eq!(api_id, "a");
        assert_eq!(subscription.kind, Some(SubscriptionKind::ApiKey));
        let wanted = [("my-aws-api-gateway-id", "my-aws-api-gateway-id"), ("planId", "p1"), ("url", "https://a")];
        assert_eq!(subscription.metadata, texts(&wanted));
        let made = Subscribed {
            subscription_id: subscription.id.clone(),
            api_key: Some("the-key".into()),
            metadata: texts(&[("aws-api-key-id", "k9"), ("url", "mine")]),
        };
        connector.succeed(&command, ReplyBody::Subscribe(Some(made))).await;
    });
    let made = made.unwrap();
    assert_eq!(made.api_key.as_ref().map(ExposeSecret::expose_secret), Some("the-key"));

    let (refused, ()) = tokio::join!(plane.unsubscribe(&made.id), async {
        let command = connector.command().await;
        let CommandBody::Unsubscribe { api_id, subscription } = &command.body else { panic!("{command:?}") };
        assert_eq!((api_id.as_str(), &subscription.id, &subscription.kind), ("a", &made.id, &None));
        let wanted = [("aws-api-key-id", "k9"), ("planId", "not this"), ("url", "mine")];
        assert_eq!(subscription.metadata, texts(&wanted));
        connector.say(Message::Reply(command.fail("not now"))).await;
    });
    assert_eq!(refused, Err(PlaneError::Failed("not now".into())));
    assert_eq!(plane.subscriptions(INTEGRATION).len(), 1);

    // A plan that is not listed any more takes its subscriptions along, while the INGEST waits for its reply.
    let (job, job_id) = tokio::join!(plane.ingest(INTEGRATION, ["a"]), connector.start(1));
    let mut job = job.unwrap();
    while job.state().phase == Phase::Starting {
        job.changed().await;
    }
    let ingest = CommandBody::Ingest { job_id, apis: vec![EncodedApi::new(&api("a", &["p2"]))], done: true };
    connector.say(Message::Command(Command { id: "i".into(), body: ingest })).await;
    let command = connector.command().await;
    assert!(matches!(command.body, CommandBody::Unsubscribe { .. }));
    connector.succeed(&command, ReplyBody::Unsubscribe).await;
    assert!(matches!(connector.next().await, Some(Message::Reply(Reply { body: ReplyBody::Ingest, .. }))));
    assert_eq!((plane.subscriptions(INTEGRATION).len(), plane.apis(INTEGRATION)[0].plans.len()), (0, 1));

    let unknown = plane.subscribe(INTEGRATION, "a", "p1", "Shop").await.unwrap_err();
    assert!(matches!(unknown, PlaneError::NotFound(_)));
}

#[tokio::test(start_paused = true)]
async fn a_reply_is_waited_for_sixty_seconds_or_until_the_connection_ends() {
    let plane = plane();
    assert_eq!(plane.discover(INTEGRATION).await, Err(PlaneError::NotConnected(INTEGRATION.into())));
    let mut connector = Connector::connected(&plane).await;
    let began = Instant::now();
    let (found, _) = tokio::join!(
        plane.discover(INTEGRATION),
        tokio::time::timeout(Duration::from_secs(61), async { while connector.next().await.is_some() {} })
    );
    assert_eq!(found, Err(PlaneError::Silence(Duration::from_mins(1))));
    assert!(began.elapsed() >= Duration::from_mins(1));

    let (found, ()) = tokio::join!(plane.discover(INTEGRATION), async {
        connector.command().await;
        plane.cut(INTEGRATION).await;
    });
    assert_eq!(found, Err(PlaneError::ChannelClosed));
    assert!(connector.next().await.is_none());
    assert_eq!(plane.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_same_command_can_be_sent_twice() {
    let plane = plane();
    let mut connector = Connector::connected(&plane).await;
    let (first, second, ()) = tokio::join!(
        plane.send_as(INTEGRATION, "twice", CommandBody::Discover),
        plane.send_as(INTEGRATION, "twice", CommandBody::Discover),
        async {
            for text in ["one", "two"] {
                let command = connector.command().await;
                assert_eq!(command.id, "twice");
                connector.say(Message::Reply(command.fail(text))).await;
            }
        }
    );
    assert_eq!((first.unwrap().error.unwrap(), second.unwrap().error.unwrap()), ("one".into(), "two".into()));
}

#[tokio::test(start_paused = true)]
async fn one_channel_is_primary_and_another_inherits() {
    let plane = plane();
    let first = Connector::connected(&plane).await;
    let mut second = Connector::connected(&plane).await;
    drop(first);
    let primaries = async {
        let mut told = Vec::new();
        while told.last() != Some(&Some(true)) {
            _ = tokio::time::timeout(Duration::from_secs(1), second.next()).await;
            told.push(second.primary);
        }
        told
    };
    assert_eq!(primaries.await.last(), Some(&Some(true)));
    plane.until(|plane| plane.sessions() == 1).await;
    assert_eq!(plane.endings(), [Ending { integration: Some(INTEGRATION.into()), code: None }]);
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_does_not_answer_a_health_check_is_thrown_out() {
    let plane = plane();
    let mut connector = Connector::connected(&plane).await;
    connector.healthy = false;
    let began = Instant::now();
    let command = connector.command().await;
    assert!(matches!(command.body, CommandBody::GoodBye { target_id: Some(_), reconnect: true }), "{command:?}");
    assert!(began.elapsed() >= Duration::from_secs(89));
    assert!(!plane.is_connected(INTEGRATION));
    connector.socket.close(None).await.unwrap();
    plane.until(|plane| !plane.endings().is_empty()).await;
    assert_eq!(plane.endings()[0].code, Some(1005));
}

#[tokio::test(start_paused = true)]
async fn it_says_good_bye_and_leaves_the_closing_to_the_connector() {
    let plane = plane();
    let mut connector = Connector::connected(&plane).await;
    plane.good_bye(INTEGRATION, false).await;
    let command = connector.command().await;
    assert!(matches!(command.body, CommandBody::GoodBye { target_id: Some(_), reconnect: false }), "{command:?}");
    assert!(tokio::time::timeout(Duration::from_mins(10), connector.next()).await.is_err());
    assert!(!plane.is_connected(INTEGRATION));
}

#[tokio::test(start_paused = true)]
async fn a_message_above_the_frame_limit_goes_in_several_frames() {
    let plane = plane();
    let mut connector = Connector::connected(&plane).await;
    let ids: Vec<String> = (0..20_000).map(|n| format!("api-é-{n}")).collect();
    let start = CommandBody::StartIngest { job_id: "j".into(), api_ids: ids.clone() };
    let (_, ()) = tokio::join!(plane.send(INTEGRATION, start), async {
        let command = connector.command().await;
        let CommandBody::StartIngest { api_ids, .. } = &command.body else { panic!("{command:?}") };
        assert_eq!(*api_ids, ids);
        connector.say(Message::Reply(command.fail("too many"))).await;
    });
}

#[tokio::test(start_paused = true)]
async fn it_misbehaves_when_told_to() {
    let plane = plane();
    let busy = Behaviour::Answer { status: 503, headers: vec![("Retry-After".into(), "7".into())] };
    plane.behave_once(busy);
    let Err(tungstenite::Error::Http(response)) = upgrade(&plane).await else { panic!("upgraded") };
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"7".parse().unwrap()));

    plane.behave_once(Behaviour::HangUp);
    assert!(upgrade(&plane).await.is_err());

    plane.behave_once(Behaviour::NoAnswer);
    assert!(tokio::time::timeout(Duration::from_mins(10), upgrade(&plane)).await.is_err());

    plane.behave_once(Behaviour::IgnoreHello);
    let mut deaf = Connector::new(&plane).await;
    assert!(tokio::time::timeout(Duration::from_mins(10), deaf.hello(INTEGRATION)).await.is_err());
    deaf.socket.send(tungstenite::Message::Ping("x".into())).await.unwrap();
    assert!(matches!(deaf.socket.next().await, Some(Ok(tungstenite::Message::Pong(_)))));

    plane.behave_once(Behaviour::RefuseHello("no".into()));
    let mut refused = Connector::new(&plane).await;
    assert_eq!(refused.hello(INTEGRATION).await.error.as_deref(), Some("no"));
    let bye = refused.command().await.body;
    assert!(matches!(bye, CommandBody::GoodBye { target_id: None, reconnect: true }));

    plane.behave_once(Behaviour::Close(1011));
    let mut closed = Connector::new(&plane).await;
    let Some(Ok(tungstenite::Message::Close(Some(frame)))) = closed.socket.next().await else { panic!("not closed") };
    assert_eq!(u16::from(frame.code), 1011);

    plane.behave_once(Behaviour::Drop);
    assert!(matches!(Connector::new(&plane).await.socket.next().await, Some(Err(_)) | None));

    plane.behave_once(Behaviour::CutAfterHello);
    let mut cut = Connector::new(&plane).await;
    assert_eq!(cut.hello(INTEGRATION).await.status, Status::Succeeded);
    assert!(matches!(cut.socket.next().await, Some(Err(_))));

    plane.behave_once(Behaviour::MuteAfterHello);
    let mut mute = Connector::connected(&plane).await;
    mute.socket.send(tungstenite::Message::Ping("x".into())).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_mins(10), mute.socket.next()).await.is_err());
    drop(mute);
    plane.disconnected(INTEGRATION).await;
    assert_eq!(plane.seen().upgrades, 9);
}

#[tokio::test(start_paused = true)]
async fn it_stops_with_its_last_handle() {
    let plane = plane();
    let mut connector = Connector::connected(&plane).await;
    let other = plane.clone();
    drop(plane);
    assert!(connector.next().now_or_never().is_none());
    drop(other);
    while connector.next().await.is_some() {}
}

#[tokio::test]
async fn it_speaks_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let settings = PlaneSettings { tls: Some(Arc::new(server)), ..PlaneSettings::default() };
    let plane = Plane::bind("127.0.0.1:0", settings).await.unwrap();
    assert!(plane.url().starts_with("https://localhost:"));

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(plane.address().unwrap()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let refused = client_async("wss://localhost/exchange/controller", stream).await;
    let Err(tungstenite::Error::Http(response)) = refused else { panic!("not refused") };
    assert_eq!((response.status().as_u16(), plane.seen().upgrades), (401, 1));
}

#[tokio::test]
async fn it_is_steered_by_plain_http() {
    let settings = PlaneSettings { prefix: "/integration-controller/".into(), ..PlaneSettings::default() };
    let plane = Plane::bind("127.0.0.1:0", settings).await.unwrap();
    plane.register(INTEGRATION, "aws-api-gateway");
    let address = plane.address().unwrap();
    assert_eq!(plane.url(), format!("http://{address}/integration-controller"));
    let ask = async |request: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nhost: plane\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].to_owned(), serde_json::from_str(body).unwrap_or(serde_json::Value::Null))
    };
    let (status, state) = ask("GET /plane/state").await;
    assert_eq!((status.as_str(), &state["integrations"][0]["connected"]), ("200", &false.into()));
    let (status, answer) = ask("POST /plane/int-1/discover").await;
    assert_eq!(status, "503");
    assert_eq!(answer["error"], "no agent is connected for the integration int-1");
    assert_eq!(ask("POST /plane/int-1/subscribe?api=a").await.0, "400");
    assert_eq!(ask("POST /plane/int-1/unsubscribe?id=a").await.0, "404");
    assert_eq!(ask("POST /plane/int-1/nothing").await.0, "404");
    assert_eq!(ask("GET /integration-controller/exchange/controller").await.0, "426");
    assert_eq!(ask("GET /exchange/controller").await.0, "404");

    // A stream that is accepted elsewhere is served beside the listener's own.
    let mut connector = Connector::at(&plane, "/integration-controller/exchange/controller").await;
    connector.hello(INTEGRATION).await;
    let agent = async {
        ingest_all(&plane, &mut connector, &[api("a", &["p1"])]).await;
        let command = connector.command().await;
        let made = Subscribed { subscription_id: "s".into(), api_key: Some("the-key".into()), metadata: Texts::new() };
        connector.succeed(&command, ReplyBody::Subscribe(Some(made))).await;
        connector
    };
    let person = async {
        assert_eq!(ask("POST /plane/int-1/connected").await.0, "200");
        plane.until(|plane| !plane.apis(INTEGRATION).is_empty()).await;
        ask("POST /plane/int-1/subscribe?api=a&plan=p1&application=The%20shop").await
    };
    plane.until(|plane| plane.is_connected(INTEGRATION)).await;
    let (_connector, (status, made)) = tokio::join!(agent, person);
    assert_eq!(
        (status.as_str(), &made["apiKey"], &made["application"]),
        ("200", &"the-key".into(), &"The shop".into())
    );
    let (_, state) = ask("GET /plane/state").await;
    assert_eq!(state["integrations"][0]["lastJob"]["done"], true);
    assert_eq!(state["integrations"][0]["subscriptions"][0]["id"], made["id"]);
    assert!(!state.to_string().contains("the-key"));
}
