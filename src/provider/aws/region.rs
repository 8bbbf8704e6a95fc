//! Where things are: partitions, regions and role ARNs, by their written form alone.

use std::fmt;

/// One of AWS's separate worlds: other ARNs, other host names, other credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partition {
    /// As ARNs name it.
    pub(super) name: &'static str,
    /// What its host names end in.
    pub(super) suffix: &'static str,
    /// What its regions begin with; empty for the rest.
    prefix: &'static str,
}

/// Every partition; the first has all regions that no other claims.
const PARTITIONS: &[Partition] = &[
    Partition { name: "aws", suffix: "amazonaws.com", prefix: "" },
    Partition { name: "aws-cn", suffix: "amazonaws.com.cn", prefix: "cn-" },
    Partition { name: "aws-us-gov", suffix: "amazonaws.com", prefix: "us-gov-" },
    Partition { name: "aws-eusc", suffix: "amazonaws.eu", prefix: "eusc-" },
    Partition { name: "aws-iso", suffix: "c2s.ic.gov", prefix: "us-iso-" },
    Partition { name: "aws-iso-b", suffix: "sc2s.sgov.gov", prefix: "us-isob-" },
    Partition { name: "aws-iso-e", suffix: "cloud.adc-e.uk", prefix: "eu-isoe-" },
    Partition { name: "aws-iso-f", suffix: "csp.hci.ic.gov", prefix: "us-isof-" },
];

impl Partition {
    /// The partition that `region` belongs to.
    pub(super) fn of_region(region: &str) -> Self {
        PARTITIONS
            .iter()
            .copied()
            .find(|partition| !partition.prefix.is_empty() && region.starts_with(partition.prefix))
            .unwrap_or(PARTITIONS[0])
    }

    fn of_name(name: &str) -> Option<Self> {
        PARTITIONS.iter().copied().find(|partition| partition.name == name)
    }

    /// Whether `host` is one of AWS's own names, in any partition.
    pub(super) fn owns_host(host: &str) -> bool {
        PARTITIONS.iter().any(|partition| {
            host.strip_suffix(partition.suffix).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
    }
}

/// Whether `text` has the form of a region's name: `eu-west-1`, `us-gov-east-1`, `eusc-de-east-1`.
pub(super) fn is_region(text: &str) -> bool {
    let mut parts: Vec<&str> = text.split('-').collect();
    let Some(number) = parts.pop() else { return false };
    parts.len() >= 2
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && parts.iter().all(|part| part.len() >= 2 && part.bytes().all(|byte| byte.is_ascii_lowercase()))
}

/// Whether `text` can be a stage's name.
pub(super) fn is_stage(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Whether `text` is an account's number.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A role's ARN, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RoleArn {
    /// As it was written.
    pub(super) text: String,
    /// Its partition.
    pub(super) partition: Partition,
    /// The account's number.
    pub(super) account: String,
}

impl RoleArn {
    /// Takes `arn:{partition}:iam::{account}:role/{path and name}` apart; the error says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "a role's ARN is accepted, such as arn:aws:iam::123456789012:role/Name";
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", partition, "iam", "", account, role] = parts.as_slice() else { return Err(FORM.into()) };
        let partition = Partition::of_name(partition).ok_or_else(|| {
            let names: Vec<&str> = PARTITIONS.iter().map(|partition| partition.name).collect();
            format!("`{partition}` is no partition of AWS: {} are", names.join(", "))
        })?;
        if !is_account(account) {
            return Err(format!("`{account}` is no account number: twelve digits are accepted"));
        }
        let name = role.strip_prefix("role/").ok_or(FORM)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-/".contains(c);
        if name.is_empty() || name.ends_with('/') || name.starts_with('/') || !name.chars().all(allowed) {
            return Err(FORM.into());
        }
        Ok(Self { text: text.to_owned(), partition, account: account.to_owned() })
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_tell_their_partition() {
        for (region, partition, suffix) in [
            ("eu-west-1", "aws", "amazonaws.com"),
            ("us-east-1", "aws", "amazonaws.com"),
            ("us-isolated-1", "aws", "amazonaws.com"),
            ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
            ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
            ("eusc-de-east-1", "aws-eusc", "amazonaws.eu"),
            ("us-iso-east-1", "aws-iso", "c2s.ic.gov"),
            ("us-isob-east-1", "aws-iso-b", "sc2s.sgov.gov"),
            ("eu-isoe-west-1", "aws-iso-e", "cloud.adc-e.uk"),
            ("us-isof-south-1", "aws-iso-f", "csp.hci.ic.gov"),
        ] {
            let found = Partition::of_region(region);
            assert_eq!((found.name, found.suffix), (partition, suffix), "{region}");
            assert!(is_region(region), "{region}");
        }
    }

    #[test]
    fn what_is_no_region() {
        for text in ["", "eu", "eu-west", "euwest1", "eu-west-1a", "EU-WEST-1", "eu-west-1,us-east-1", "eu--1", "-1"] {
            assert!(!is_region(text), "{text}");
        }
    }

    #[test]
    fn roles_are_taken_apart() {
        let role = RoleArn::parse("arn:aws-cn:iam::123456789012:role/team/a/GFTR-123456789012").unwrap();
        assert_eq!((role.partition.name, role.account.as_str()), ("aws-cn", "123456789012"));
        for text in [
            "",
            "GraviteeRole",
            "arn:aws:iam::12345678901:role/x",
            "arn:aws:iam::123456789012:user/x",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/a b",
            "arn:azure:iam::123456789012:role/x",
            "arn:aws:sts::123456789012:assumed-role/x/y",
            "arn:aws:iam:eu-west-1:123456789012:role/x",
        ] {
            assert!(RoleArn::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_of_aws_are_known() {
        assert!(Partition::owns_host("vpce-1.apigateway.eu-west-1.vpce.amazonaws.com"));
        assert!(Partition::owns_host("apigateway.cn-north-1.amazonaws.com.cn"));
        assert!(!Partition::owns_host("localhost"));
        assert!(!Partition::owns_host("notamazonaws.com"));
    }
}
