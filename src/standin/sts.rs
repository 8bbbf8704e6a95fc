//! STS: who am I, and assume a role. The query protocol: a form in, XML out.

use rand::{RngExt, distr::Alphanumeric, rngs::StdRng};

use super::{
    answer::Answer,
    estate::Estate,
    identity::{Principal, partition},
    operation::Operation,
    query::Query,
};

/// Which operation a form asks for.
pub(super) fn operation(form: &Query) -> Option<Operation> {
    match form.get("Action") {
        Some("GetCallerIdentity") => Some(Operation::GetCallerIdentity),
        Some("AssumeRole") => Some(Operation::AssumeRole),
        _ => None,
    }
}

/// `GetCallerIdentity`: allowed to everybody.
pub(super) fn caller(principal: &Principal) -> Answer {
    success(
        "GetCallerIdentity",
        &format!(
            "<Arn>{}</Arn><UserId>{}</UserId><Account>{}</Account>",
            principal.arn, principal.user_id, principal.account
        ),
    )
}

/// `AssumeRole`: an unknown role, a caller that is not trusted and a wrong external id are all the same refusal.
pub(super) fn assume(
    estate: &mut Estate,
    principal: &Principal,
    region: &str,
    form: &Query,
    chance: &mut StdRng,
    now: u64,
) -> Answer {
    let (arn, session) = (form.get("RoleArn").unwrap_or_default(), form.get("RoleSessionName").unwrap_or_default());
    let named = |letter: char| letter.is_ascii_alphanumeric() || "_+=,.@-".contains(letter);
    if !(2..=64).contains(&session.len()) || !session.chars().all(named) {
        return error(400, "ValidationError", "1 validation error detected: Value at 'roleSessionName' is not valid");
    }
    let seconds = form.get("DurationSeconds").map_or(Some(3_600), |text| text.parse().ok());
    let Some(seconds) = seconds.filter(|seconds| (900_u64..=43_200).contains(seconds)) else {
        return error(400, "ValidationError", "1 validation error detected: Value at 'durationSeconds' is not valid");
    };
    // arn:aws:iam::123456789012:role/path/name
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let role = match parts.as_slice() {
        ["arn", _, "iam", "", account, resource] => resource.strip_prefix("role/").and_then(|name| {
            let role = estate.accounts.get(*account)?.roles.get(name)?;
            role.lets(principal, form.get("ExternalId")).then(|| ((*account).to_owned(), name.to_owned()))
        }),
        _ => None,
    };
    let Some((account, name)) = role else {
        let message = format!(
            "User: {} is not authorized to perform: sts:AssumeRole on resource: {}",
            principal.arn,
            escape(arn)
        );
        return error(403, "AccessDenied", &message);
    };
    let mut word = |length: usize| chance.sample_iter(Alphanumeric).take(length).map(char::from).collect::<String>();
    let (access_key_id, secret, token) = (format!("ASIA{}", word(16).to_uppercase()), word(40), word(120));
    let role_id = format!("AROA{}", word(17).to_uppercase());
    let short = name.rsplit('/').next().unwrap_or(&name);
    let assumed = Principal {
        arn: format!("arn:{}:sts::{account}:assumed-role/{short}/{session}", partition(region)),
        account,
        user_id: format!("{role_id}:{session}"),
        session_token: Some(token.clone()),
    };
    let ends = i64::try_from(now + seconds).unwrap_or(i64::MAX);
    let ends = aws_smithy_types::DateTime::from_secs(ends).fmt(aws_smithy_types::date_time::Format::DateTime);
    let answer = success(
        "AssumeRole",
        &format!(
            "<AssumedRoleUser><AssumedRoleId>{}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser>\
             <Credentials><AccessKeyId>{access_key_id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
             <SessionToken>{token}</SessionToken><Expiration>{}</Expiration></Credentials>",
            assumed.user_id,
            assumed.arn,
            ends.unwrap_or_default(),
        ),
    );
    estate.principals.insert(access_key_id, assumed);
    answer
}

/// An error as STS words it.
pub(super) fn error(status: u16, code: &str, message: &str) -> Answer {
    let xml = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>standin</RequestId></ErrorResponse>"
    );
    Answer::raw(status, "text/xml", xml)
}

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

fn success(action: &str, result: &str) -> Answer {
    let xml = format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>standin</RequestId></ResponseMetadata></{action}Response>"
    );
    Answer::raw(200, "text/xml", xml)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
