//! The rights to write, tried by requests that name nothing there is.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Finding, Found, Haste, NOTHING, Trial, plain};
use crate::{
    model::{Class, Error},
    provider::{
        Verdict,
        aws::{
            call::{Operation, Repeats},
            failure::Failure,
            subscribe,
        },
    },
};

/// A key's value that is too short to be taken.
const TOO_SHORT: &str = "check";

fn once(name: &'static str, verb: &'static str, path: String) -> Operation {
    Operation { name, verb, path, repeats: Repeats::Never, haste: Haste::Urgent }
}

impl Trial<'_> {
    pub(super) async fn writes(&mut self) {
        let (target, call) = (self.target, self.step());
        let begun = Instant::now();
        let operation = once("CreateApiKey", "POST", "/apikeys".into());
        let send = || target.client.create_api_key().name(NOTHING).value(TOO_SHORT).send();
        match target.ask(&call, &operation, send).await {
            Err(failure) => self.tell_write(&operation, "/apikeys", &failure, begun),
            Ok(answer) => {
                // No gateway should take so short a value. This one did: it must not keep it.
                let removed = match answer.id {
                    Some(id) => subscribe::delete(target, &call, &id).await.is_ok(),
                    None => false,
                };
                let says = if removed {
                    "allowed; a key was made in spite of its forbidden value, and deleted again"
                } else {
                    "allowed; a key named federationagentcheck0 was made in spite of its forbidden value: delete it by hand"
                };
                self.tell(Verdict::Doubtful, "POST", "/apikeys", says, begun);
            }
        }

        let begun = Instant::now();
        let operation = once("CreateUsagePlanKey", "POST", format!("/usageplans/{NOTHING}/keys"));
        let send =
            || target.client.create_usage_plan_key().usage_plan_id(NOTHING).key_id(NOTHING).key_type("API_KEY").send();
        match target.ask(&self.step(), &operation, send).await {
            Err(failure) => self.tell_write(&operation, "/usageplans/*/keys", &failure, begun),
            Ok(_) => self.tell(Verdict::Good, "POST", "/usageplans/*/keys", "allowed", begun),
        }

        let begun = Instant::now();
        let operation = once("DeleteApiKey", "DELETE", format!("/apikeys/{NOTHING}"));
        let send = || target.client.delete_api_key().api_key(NOTHING).send();
        match target.ask(&self.step(), &operation, send).await {
            Err(failure) => self.tell_write(&operation, "/apikeys/*", &failure, begun),
            Ok(_) => self.tell(Verdict::Good, "DELETE", "/apikeys/*", "allowed", begun),
        }
    }

    /// Beside roles the agent's own identity is asked too for keys that no role has: those that another agent made with
    /// it. The least policy leaves that right out.
    pub(super) async fn base_deletes(&mut self) {
        let access = &self.inner.access;
        let is_first = access.accounts.first().is_some_and(|first| Arc::ptr_eq(first, &self.target.account))
            && self.target.account.config.regions.first() == Some(&self.target.region);
        if !is_first || access.accounts.iter().any(|account| Arc::ptr_eq(account, &access.base)) {
            return;
        }
        let target = access.target(&access.base, &self.target.region).await;
        let begun = Instant::now();
        let operation = once("DeleteApiKey", "DELETE", format!("/apikeys/{NOTHING}"));
        let send = || target.client.delete_api_key().api_key(NOTHING).send();
        let (verdict, says) = match target.ask(&self.step(), &operation, send).await {
            Ok(_) => (Verdict::Good, "allowed to the agent's own identity too".to_owned()),
            Err(failure) => match failure.class() {
                Class::NotFound | Class::Invalid | Class::Conflict => {
                    (Verdict::Good, "allowed to the agent's own identity too".to_owned())
                }
                Class::Denied => (
                    Verdict::Good,
                    "not allowed to the agent's own identity; that is needed only for keys which another agent made \
                     in its account without a role"
                        .to_owned(),
                ),
                _ => (Verdict::Doubtful, plain(failure.error.sentence(), &target.place).to_owned()),
            },
        };
        self.tell_at(&target, verdict, ("DELETE", "/apikeys/*"), says, begun);
    }

    fn tell_write(&mut self, operation: &Operation, path: &str, failure: &Failure, begun: Instant) {
        match failure.class() {
            Class::NotFound | Class::Invalid | Class::Conflict => {
                let what = format!("{} {path} ({})", operation.verb, self.target.place);
                let finding = Finding::new("gateway.right", Verdict::Good, what, "allowed");
                self.all.push(Found::Write(finding.taking(begun.elapsed())));
            }
            Class::Denied => {
                let error = Error::denied(failure.error.sentence().replace(&operation.path, path));
                self.tell_failure(operation.verb, path, &error, begun);
            }
            _ => self.tell_failure(operation.verb, path, &failure.error, begun),
        }
    }
}
