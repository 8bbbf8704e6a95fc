use proptest::{collection::vec, option::of, prelude::*};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;
use crate::model::{
    Api, Document, DocumentKind, Metadata, MetadataFormat, Plan, PlanSecurity, Subscription, SubscriptionKind, Texts,
};

const RECORDED: &str = include_str!("../../tests/fixtures/exchange-1.9.1.json");

fn bytes(message: &Message) -> Vec<u8> {
    encode(message, &Limits::default()).unwrap()
}

fn written(message: &Message) -> String {
    String::from_utf8(bytes(message)).unwrap()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text.split_once(";;e:").unwrap().1).unwrap()
}

fn command(id: &str, body: CommandBody) -> Message {
    Message::Command(Command { id: id.into(), body })
}

fn read_command(text: &str) -> Command {
    match decode(text.as_bytes()) {
        Ok(Message::Command(command)) => command,
        other => panic!("{other:?}"),
    }
}

fn read_reply(text: &str) -> Reply {
    match decode(text.as_bytes()) {
        Ok(Message::Reply(reply)) => reply,
        other => panic!("{other:?}"),
    }
}

/// Everything that a message says, its key and its APIs too.
fn said(message: &Message) -> String {
    let more = match message {
        Message::Command(Command { body: CommandBody::Ingest { apis, .. }, .. }) => {
            format!("{:?}", apis.iter().map(|api| api.decode().unwrap()).collect::<Vec<_>>())
        }
        Message::Reply(Reply { body: ReplyBody::Subscribe(Some(made)), .. }) => {
            format!("{:?}", made.api_key.as_ref().map(ExposeSecret::expose_secret))
        }
        _ => String::new(),
    };
    format!("{message:?} {more}")
}

prop_compose! {
    fn api()(
        unique_id in text(), id in text(), name in text(), version in of(text()), description in of(text()),
        connection in texts(), plans in vec(plan(), 0..3), documents in vec(document(), 0..3),
        metadata in vec(metadata(), 0..3),
    ) -> Api {
        Api { unique_id, id, name, version, description, connection, plans, documents, metadata }
    }
}

prop_compose! {
    fn plan()(
        id in text(), name in text(), description in of(text()), characteristics in vec(text(), 0..3),
        security in prop::sample::select(vec![PlanSecurity::ApiKey, PlanSecurity::OAuth2, PlanSecurity::Jwt]),
    ) -> Plan {
        Plan { id, name, description, security, characteristics }
    }
}

prop_compose! {
    fn document()(
        content in prop_oneof![text(), (text(), 0..4000usize).prop_map(|(text, times)| text.repeat(times))],
        filename in text(),
        kind in prop::sample::select(vec![
            DocumentKind::Swagger, DocumentKind::AsyncApi, DocumentKind::Markdown, DocumentKind::MarkdownTemplate,
            DocumentKind::AsciiDoc,
        ]),
    ) -> Document {
        Document { kind, content, filename }
    }
}

prop_compose! {
    fn metadata()(
        name in text(), value in text(),
        format in prop::sample::select(vec![
            MetadataFormat::String, MetadataFormat::Numeric, MetadataFormat::Boolean, MetadataFormat::Date,
            MetadataFormat::Mail, MetadataFormat::Url,
        ]),
    ) -> Metadata {
        Metadata { name, value, format }
    }
}

prop_compose! {
    fn subscription()(
        id in text(), application_id in of(text()), application_name in of(text()), metadata in texts(),
        kind in of(prop::sample::select(vec![SubscriptionKind::ApiKey, SubscriptionKind::OAuth, SubscriptionKind::Jwt])),
    ) -> Subscription {
        Subscription { id, application_id, application_name, kind, metadata }
    }
}

/// Any text, with more semicolons and backslashes than people write.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[;\\\\\"\u{0}-\u{1f}a-ué😀 ]{0,24}", ";{0,7}", any::<String>()]
}

fn texts() -> impl Strategy<Value = Texts> {
    prop::collection::btree_map(text(), text(), 0..4)
}

fn command_body() -> impl Strategy<Value = CommandBody> {
    prop_oneof![
        (text(), text()).prop_map(|(target_id, provider)| CommandBody::Hello { target_id, provider }),
        Just(CommandBody::HealthCheck),
        any::<bool>().prop_map(|primary| CommandBody::Primary { primary }),
        (of(text()), any::<bool>()).prop_map(|(target_id, reconnect)| CommandBody::GoodBye { target_id, reconnect }),
        Just(CommandBody::Discover),
        (text(), vec(text(), 0..5)).prop_map(|(job_id, api_ids)| CommandBody::StartIngest { job_id, api_ids }),
        (text(), vec(api(), 0..4), any::<bool>()).prop_map(|(job_id, apis, done)| CommandBody::Ingest {
            job_id,
            apis: apis.iter().map(EncodedApi::new).collect(),
            done
        }),
        (text(), subscription()).prop_map(|(api_id, subscription)| CommandBody::Subscribe { api_id, subscription }),
        (text(), subscription()).prop_map(|(api_id, subscription)| CommandBody::Unsubscribe { api_id, subscription }),
        text().prop_map(|kind| CommandBody::Unknown { kind: format!("NEW {kind}"), fault: None }),
    ]
}

fn reply_body() -> impl Strategy<Value = ReplyBody> {
    let discovered = (vec(api(), 0..4), any::<bool>()).prop_map(|(apis, partial)| Discovered { apis, partial });
    let started = (text(), any::<u32>()).prop_map(|(job_id, total)| StartedIngest { job_id, total });
    let subscribed = (text(), of(text()), texts()).prop_map(|(subscription_id, api_key, metadata)| Subscribed {
        subscription_id,
        api_key: api_key.map(Into::into),
        metadata,
    });
    prop_oneof![
        of(text()).prop_map(ReplyBody::Hello),
        (any::<bool>(), of(text())).prop_map(|(healthy, detail)| ReplyBody::HealthCheck { healthy, detail }),
        Just(ReplyBody::Primary),
        of(discovered).prop_map(ReplyBody::Discover),
        of(started).prop_map(ReplyBody::StartIngest),
        Just(ReplyBody::Ingest),
        of(subscribed).prop_map(ReplyBody::Subscribe),
        Just(ReplyBody::Unsubscribe),
        Just(ReplyBody::NoReply),
        Just(ReplyBody::Unknown { kind: "UNKNOWN".into() }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let status = prop::sample::select(vec![Status::Pending, Status::InProgress, Status::Succeeded, Status::Error]);
    prop_oneof![
        (text(), command_body()).prop_map(|(id, body)| Message::Command(Command { id, body })),
        (text(), status, of(text()), reply_body())
            .prop_map(|(command_id, status, error, body)| Message::Reply(Reply { command_id, status, error, body })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_message_comes_back_as_it_was(message in message(), frame in 1..5000usize) {
        let limits = Limits { frame, ..Limits::default() };
        let encoded = encode(&message, &limits).unwrap();
        let cut: Vec<&[u8]> = frames(&encoded, &limits).collect();
        prop_assert!(cut.iter().all(|payload| payload.len() <= frame));
        let read = decode(&cut.concat()).unwrap();
        prop_assert_eq!(said(&read), said(&message));
        prop_assert_eq!(bytes(&read), encoded);
    }

    #[test]
    fn no_json_holds_two_semicolons_side_by_side(message in message()) {
        let encoded = bytes(&message);
        let json = encoded.windows(4).position(|part| part == b";;e:").unwrap() + 4;
        prop_assert!(!encoded[json..].windows(2).any(|pair| pair == b";;"));
    }

    #[test]
    fn an_encoded_api_takes_just_its_length(api in api()) {
        let encoded = EncodedApi::new(&api);
        let ingest = |apis| bytes(&command("1", CommandBody::Ingest { job_id: "j".into(), apis, done: true }));
        prop_assert_eq!(ingest(vec![encoded.clone()]).len(), ingest(Vec::new()).len() + encoded.len());
        prop_assert_eq!(ingest(vec![encoded.clone(); 2]).len(), ingest(Vec::new()).len() + 2 * encoded.len() + 1);
        prop_assert_eq!(encoded.decode().unwrap(), api);
    }

    #[test]
    fn no_bytes_make_it_panic(garbage in vec(any::<u8>(), 0..300)) {
        _ = decode(&garbage);
        _ = decode(&[b"t:COMMAND;;et:INGEST;;e:".as_slice(), &garbage].concat());
        _ = decode(&[b"t:REPLY;;et:DISCOVER;;e:{\"payload\":".as_slice(), &garbage, b"}"].concat());
    }

    #[test]
    fn no_damage_makes_it_panic(message in message(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut encoded = bytes(&message);
        let at = at.index(encoded.len());
        _ = decode(&encoded[..at]);
        encoded[at] = byte;
        _ = decode(&encoded);
        encoded.remove(at);
        _ = decode(&encoded);
    }

    #[test]
    fn a_command_keeps_its_id_whatever_its_payload(
        kind in prop::sample::select(vec!["HELLO", "PRIMARY", "START_INGEST", "SUBSCRIBE", "UNSUBSCRIBE", "FOO"]),
        payload in prop::sample::select(vec![
            "null", "[]", "7", "\"x\"", "{\"subscription\":[]}", "{\"primary\":{}}", "{\"metadata\":5}", "{}",
        ]),
    ) {
        let json = format!("{{\"payload\":{payload},\"type\":\"{kind}\",\"id\":\"c-1\"}}");
        prop_assert_eq!(read_command(&format!("t:COMMAND;;et:{kind};;e:{json}")).id, "c-1");
    }
}

#[test]
fn what_the_recorded_controller_wrote_is_read_and_written_the_same() {
    let cases: Value = serde_json::from_str(RECORDED).unwrap();
    let mut count = 0;
    for step in cases.as_array().unwrap().iter().flat_map(|case| case["steps"].as_array().unwrap()) {
        let Some(text) = step["recv"].as_str() else { continue };
        let message = decode(text.as_bytes()).unwrap();
        if let Message::Command(Command { body: CommandBody::Unknown { .. }, .. }) = &message {
            panic!("{text}");
        }
        let again = written(&message);
        assert_eq!(again.split_once(";;e:").unwrap().0, text.split_once(";;e:").unwrap().0);
        assert_eq!(json_of(&again), json_of(text));
        count += 1;
    }
    assert!(count > 40);
}

#[test]
fn the_longest_message_is_measured_encoded() {
    let hello = command("1", CommandBody::Hello { target_id: ";;".into(), provider: "é".into() });
    let len = bytes(&hello).len();
    let limits = |message| Limits { message, ..Limits::default() };
    assert!(encode(&hello, &limits(len)).is_ok());
    let EncodeError::TooLong { len: told, limit } = encode(&hello, &limits(len - 1)).unwrap_err();
    assert_eq!((told, limit), (len, len - 1));
    assert!(written(&hello).contains(r#""targetId":";\u003b""#));
}

#[test]
fn frames_end_at_their_limit_and_inside_characters() {
    let limits = Limits::default();
    let text = "é".repeat(limits.frame);
    let cut: Vec<&[u8]> = frames(&text.as_bytes()[1..], &limits).collect();
    assert_eq!(cut.iter().map(|payload| payload.len()).collect::<Vec<_>>(), [65_536, 65_535]);
    assert!(std::str::from_utf8(cut[1]).is_err());
    assert_eq!(frames(b"", &limits).count(), 1);
    assert_eq!(frames(&vec![0; 65_536], &limits).count(), 1);
    assert_eq!(frames(&vec![0; 65_537], &limits).count(), 2);
}

#[test]
fn an_api_is_written_with_gravitees_names_and_empty_lists() {
    let api = Api {
        unique_id: "eu-west-1:abc:prod".into(),
        id: "eu-west-1:abc:prod".into(),
        name: "Petstore".into(),
        version: None,
        description: None,
        connection: Texts::from([("url".into(), "https://abc".into())]),
        plans: vec![],
        documents: vec![],
        metadata: vec![],
    };
    let encoded = EncodedApi::new(&api);
    let wanted = json!({
        "uniqueId": "eu-west-1:abc:prod", "id": "eu-west-1:abc:prod", "name": "Petstore",
        "connectionDetails": { "url": "https://abc" }, "type": "PROXY", "pages": [], "plans": [], "metadata": [],
    });
    let ingest = command("1", CommandBody::Ingest { job_id: "j".into(), apis: vec![encoded], done: false });
    assert_eq!(json_of(&written(&ingest))["payload"]["apis"][0], wanted);
}

#[test]
fn replies_are_written_as_gravitees_connector_writes_them() {
    let discover = Command { id: "c".into(), body: CommandBody::Discover };
    assert_eq!(
        written(&Message::Reply(discover.fail("AWS refused"))),
        r#"t:REPLY;;et:DISCOVER;;e:{"commandId":"c","type":"DISCOVER","commandStatus":"ERROR","errorDetails":"AWS refused"}"#
    );
    let found = ReplyBody::Discover(Some(Discovered { apis: vec![], partial: false }));
    assert_eq!(
        written(&Message::Reply(discover.succeed(found))),
        r#"t:REPLY;;et:DISCOVER;;e:{"commandId":"c","type":"DISCOVER","commandStatus":"SUCCEEDED","payload":{"apis":[],"isPartialDiscovery":false}}"#
    );
    let check = Command { id: "c".into(), body: CommandBody::HealthCheck };
    assert_eq!(
        written(&Message::Reply(check.succeed(ReplyBody::HealthCheck { healthy: true, detail: None }))),
        r#"t:REPLY;;et:HEALTH_CHECK;;e:{"commandId":"c","type":"HEALTH_CHECK","commandStatus":"SUCCEEDED","payload":{"healthy":true}}"#
    );
    let strange = read_command(r#"t:COMMAND;;et:NEW;;THING;;e:{"id":"c","type":"NEW;;THING"}"#);
    assert_eq!(
        written(&Message::Reply(strange.fail("Command unknown"))),
        r#"t:REPLY;;et:UNKNOWN;;e:{"commandId":"c","type":"UNKNOWN","commandStatus":"ERROR","errorDetails":"Command unknown","payload":{}}"#
    );
}

#[test]
fn a_value_that_is_not_listed_is_never_written() {
    let subscription = Subscription {
        id: "s".into(),
        application_id: None,
        application_name: None,
        kind: Some(SubscriptionKind::Other("MTLS".into())),
        metadata: Texts::new(),
    };
    let subscribe = command("1", CommandBody::Subscribe { api_id: "a".into(), subscription });
    assert_eq!(json_of(&written(&subscribe))["payload"]["subscription"].get("type"), None);
    let odd = Reply {
        command_id: "1".into(),
        status: Status::Other("HALF".into()),
        error: None,
        body: ReplyBody::Unknown { kind: "HALF".into() },
    };
    let odd = json_of(&written(&Message::Reply(odd)));
    assert_eq!((&odd["commandStatus"], &odd["type"]), (&json!("ERROR"), &json!("UNKNOWN")));
}

#[test]
fn what_is_raw_null_unknown_or_missing_is_read() {
    let read = read_command(
        r#"x:1;;et:SUBSCRIBE;;t:COMMAND;;e:{"new":[1],"type":"SUBSCRIBE","id":17,"payload":{"apiId":"a;;b","later":null,"subscription":{"graviteeSubscriptionId":"s","graviteeApplicationName":null,"type":"MTLS","metadata":{"n":5,"t":true,"gone":null,"text":";;;"}}}}"#,
    );
    assert_eq!(read.id, "17");
    let CommandBody::Subscribe { api_id, subscription } = read.body else { panic!("{read:?}") };
    assert_eq!(api_id, "a;;b");
    assert_eq!(subscription.kind, Some(SubscriptionKind::Other("MTLS".into())));
    assert_eq!(subscription.application_name, None);
    let metadata = [("n", "5"), ("t", "true"), ("text", ";;;")].map(|(name, text)| (name.into(), text.into()));
    assert_eq!(subscription.metadata, Texts::from(metadata));

    let all = read_command(r#"t:COMMAND;;et:START_INGEST;;e:{"id":"1","payload":{"ingestJobId":"j","apiIds":null}}"#);
    assert!(matches!(all.body, CommandBody::StartIngest { api_ids, .. } if api_ids.is_empty()));
    let bye = read_command(r#"t:COMMAND;;et:GOOD_BYE;;e:{"id":"1","type":"GOOD_BYE","payload":{"reconnect":false}}"#);
    assert!(matches!(bye.body, CommandBody::GoodBye { target_id: None, reconnect: false }));
    let bye = read_command(r#"t:COMMAND;;et:GOOD_BYE;;e:{"id":"1","type":"GOOD_BYE"}"#);
    assert!(matches!(bye.body, CommandBody::GoodBye { reconnect: true, .. }));
}

#[test]
fn a_payload_that_is_not_understood_says_why() {
    let read = read_command(r#"t:COMMAND;;et:SUBSCRIBE;;e:{"id":"1","type":"SUBSCRIBE","payload":{"apiId":"a"}}"#);
    let CommandBody::Unknown { kind, fault } = read.body else { panic!("{read:?}") };
    assert_eq!((kind.as_str(), fault.as_deref()), ("SUBSCRIBE", Some("the field subscription is missing")));
}

#[test]
fn a_reply_is_read_generously_where_the_agent_reads_it() {
    let read =
        read_reply(r#"t:REPLY;;et:INGEST;;e:{"commandId":"i","type":"INGEST","commandStatus":"HALF","payload":7}"#);
    assert_eq!(read.status, Status::Other("HALF".into()));
    assert!(matches!(read.body, ReplyBody::Ingest));
    let read = read_reply(r#"t:REPLY;;et:LATER;;e:{"commandId":"i","type":"LATER","errorDetails":{"why":1}}"#);
    assert_eq!(read.error.as_deref(), Some(r#"{"why":1}"#));
    assert!(matches!(read.body, ReplyBody::Unknown { kind } if kind == "LATER"));
}

#[test]
fn one_enum_value_that_is_not_listed_costs_the_plane_the_reply() {
    let reply = |security: &str| {
        format!(
            r#"t:REPLY;;et:DISCOVER;;e:{{"commandId":"d","type":"DISCOVER","commandStatus":"SUCCEEDED","payload":{{"apis":[{{"id":"a","plans":[{{"id":"p","planSecurityType":"{security}"}}]}}]}}}}"#
        )
    };
    assert!(decode(reply("API_KEY").as_bytes()).is_ok());
    assert!(matches!(decode(reply("KEY").as_bytes()), Err(DecodeError::Json(_))));
}

#[test]
fn what_is_no_message_is_told_from_what_is_cut() {
    for text in ["", "nonsense", "t:NOPE;;et:HELLO;;e:{}", "e:{}", "et:HELLO;;e:{\"t\":\"COMMAND\"}", ";;;;"] {
        assert!(matches!(decode(text.as_bytes()), Err(DecodeError::NotAMessage)), "{text}");
    }
    for text in
        ["t:COMMAND", "t:COMMAND;;et:INGEST;;e:{\"id\":\"5\"", "t:REPLY;;e:", "t:COMMAND;;e:[1]", "t:COMMAND;;e:null"]
    {
        assert!(matches!(decode(text.as_bytes()), Err(DecodeError::Json(_))), "{text}");
    }
}

#[test]
fn a_key_is_written_and_never_shown() {
    let made = Subscribed { subscription_id: "s".into(), api_key: Some("the-key".into()), metadata: Texts::new() };
    let subscribe = Command { id: "1".into(), body: CommandBody::Discover };
    let reply = Message::Reply(subscribe.succeed(ReplyBody::Subscribe(Some(made))));
    assert!(written(&reply).contains(r#""apiKey":"the-key""#));
    assert!(!format!("{reply:?}").contains("the-key"));
}
