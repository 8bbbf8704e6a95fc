//! Who asks: the access key in the `Authorization` header, and the region that the signature is for. The signature
//! itself is not checked.

use http::{HeaderMap, header::AUTHORIZATION};

use super::estate::Estate;

/// Somebody who may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Whose account it is.
    pub account: String,
    /// Its ARN.
    pub arn: String,
    /// Its unique id.
    pub user_id: String,
    /// For temporary credentials, the token that must come with them.
    pub session_token: Option<String>,
}

/// A role that can be assumed.
#[derive(Debug, Clone, Default)]
pub struct Role {
    /// The external id that its trust policy asks for.
    pub external_id: Option<String>,
    /// The ARNs or account ids that it trusts; empty trusts everybody.
    pub trusts: Vec<String>,
}

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) access_key_id: String,
    pub(super) region: String,
    pub(super) service: String,
    pub(super) session_token: Option<String>,
}

impl Principal {
    /// An IAM user.
    pub fn user(account: &str, name: &str) -> Self {
        Self {
            account: account.to_owned(),
            arn: format!("arn:aws:iam::{account}:user/{name}"),
            user_id: format!("AIDA{}", name.to_uppercase()),
            session_token: None,
        }
    }
}

impl Role {
    /// One that everybody may assume.
    pub fn open() -> Self {
        Self::default()
    }

    /// One that asks for an external id.
    pub fn with_external_id(external_id: &str) -> Self {
        Self { external_id: Some(external_id.to_owned()), trusts: Vec::new() }
    }

    pub(super) fn lets(&self, principal: &Principal, external_id: Option<&str>) -> bool {
        let trusted =
            self.trusts.is_empty() || self.trusts.iter().any(|who| *who == principal.arn || *who == principal.account);
        trusted && self.external_id.as_deref().is_none_or(|wanted| external_id == Some(wanted))
    }
}

impl Claim {
    /// Reads `AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/apigateway/aws4_request, …`.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let rest = header.strip_prefix("AWS4-HMAC-SHA256")?;
        let credential = rest.split(',').find_map(|part| part.trim().strip_prefix("Credential="))?;
        let mut parts = credential.split('/');
        let access_key_id = parts.next()?.to_owned();
        let _day = parts.next()?;
        let region = parts.next()?.to_owned();
        let service = parts.next()?.to_owned();
        (parts.next() == Some("aws4_request") && parts.next().is_none()).then(|| Self {
            access_key_id,
            region,
            service,
            session_token: headers
                .get("x-amz-security-token")
                .and_then(|token| token.to_str().ok())
                .map(ToOwned::to_owned),
        })
    }
}

impl Estate {
    /// Who signs with that key; temporary credentials need their session token.
    pub(super) fn principal(&self, claim: &Claim) -> Option<Principal> {
        let found = match self.principals.get(&claim.access_key_id) {
            Some(principal) => principal.clone(),
            None => self.anybody.as_ref().map(|account| Principal {
                account: account.clone(),
                arn: format!("arn:{}:iam::{account}:root", partition(&claim.region)),
                user_id: account.clone(),
                session_token: None,
            })?,
        };
        (found.session_token.is_none() || found.session_token == claim.session_token).then_some(found)
    }
}

/// The partition of a region: what stands after `arn:`.
pub(super) fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// The domain of a region's host names.
pub(super) fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}
