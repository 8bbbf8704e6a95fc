//! The operations that the stand-in knows, and which one a request line asks for.

use std::fmt;

/// An operation by AWS's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `GET /restapis`
    GetRestApis,
    /// `GET /restapis/{id}`
    GetRestApi,
    /// `GET /restapis/{id}/stages`
    GetStages,
    /// `GET /restapis/{id}/stages/{stage}`
    GetStage,
    /// `GET /restapis/{id}/stages/{stage}/exports/{type}`
    GetExport,
    /// `GET /usageplans`
    GetUsagePlans,
    /// `GET /usageplans/{id}`
    GetUsagePlan,
    /// `GET /usageplans/{id}/keys`
    GetUsagePlanKeys,
    /// `POST /usageplans/{id}/keys`
    CreateUsagePlanKey,
    /// `DELETE /usageplans/{id}/keys/{key}`
    DeleteUsagePlanKey,
    /// `GET /apikeys`
    GetApiKeys,
    /// `GET /apikeys/{id}`
    GetApiKey,
    /// `POST /apikeys`
    CreateApiKey,
    /// `DELETE /apikeys/{id}`
    DeleteApiKey,
    /// STS: `Action=GetCallerIdentity`
    GetCallerIdentity,
    /// STS: `Action=AssumeRole`
    AssumeRole,
}

impl Operation {
    /// AWS's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::GetRestApis => "GetRestApis",
            Self::GetRestApi => "GetRestApi",
            Self::GetStages => "GetStages",
            Self::GetStage => "GetStage",
            Self::GetExport => "GetExport",
            Self::GetUsagePlans => "GetUsagePlans",
            Self::GetUsagePlan => "GetUsagePlan",
            Self::GetUsagePlanKeys => "GetUsagePlanKeys",
            Self::CreateUsagePlanKey => "CreateUsagePlanKey",
            Self::DeleteUsagePlanKey => "DeleteUsagePlanKey",
            Self::GetApiKeys => "GetApiKeys",
            Self::GetApiKey => "GetApiKey",
            Self::CreateApiKey => "CreateApiKey",
            Self::DeleteApiKey => "DeleteApiKey",
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::AssumeRole => "AssumeRole",
        }
    }

    /// Whether it is one of STS.
    pub fn is_sts(self) -> bool {
        matches!(self, Self::GetCallerIdentity | Self::AssumeRole)
    }

    /// The API Gateway operation of a request line, with the path's variable parts.
    pub(super) fn of<'a>(verb: &str, parts: &[&'a str]) -> Option<(Self, Vec<&'a str>)> {
        Some(match (verb, parts) {
            ("GET", ["restapis"]) => (Self::GetRestApis, vec![]),
            ("GET", ["restapis", api]) => (Self::GetRestApi, vec![api]),
            ("GET", ["restapis", api, "stages"]) => (Self::GetStages, vec![api]),
            ("GET", ["restapis", api, "stages", stage]) => (Self::GetStage, vec![api, stage]),
            ("GET", ["restapis", api, "stages", stage, "exports", kind]) => (Self::GetExport, vec![api, stage, kind]),
            ("GET", ["usageplans"]) => (Self::GetUsagePlans, vec![]),
            ("GET", ["usageplans", plan]) => (Self::GetUsagePlan, vec![plan]),
            ("GET", ["usageplans", plan, "keys"]) => (Self::GetUsagePlanKeys, vec![plan]),
            ("POST", ["usageplans", plan, "keys"]) => (Self::CreateUsagePlanKey, vec![plan]),
            ("DELETE", ["usageplans", plan, "keys", key]) => (Self::DeleteUsagePlanKey, vec![plan, key]),
            ("GET", ["apikeys"]) => (Self::GetApiKeys, vec![]),
            ("GET", ["apikeys", key]) => (Self::GetApiKey, vec![key]),
            ("POST", ["apikeys"]) => (Self::CreateApiKey, vec![]),
            ("DELETE", ["apikeys", key]) => (Self::DeleteApiKey, vec![key]),
            _ => return None,
        })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
