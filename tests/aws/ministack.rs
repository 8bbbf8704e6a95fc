//! MiniStack: an AWS of other hands, which checks signatures and policies. Started on a free port, killed at the end.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use federation_agent::{
    settings::Environment,
    standin::{Region, RestApi, UsagePlan},
};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::raw;

/// How long it may take to come up on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running one. An access key of twelve digits is the root user of that account.
pub(crate) struct MiniStack {
    address: SocketAddr,
    child: Child,
    _home: tempfile::TempDir,
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl MiniStack {
    /// Starts one with `AUTH=true`; `None`, with a word on why, when there is none on this machine.
    pub(crate) async fn start() -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("not run against MiniStack: neither $MINISTACK nor PATH names one (`make test` sets it up)");
            return None;
        };
        for _ in 0..3 {
            if let Some(running) = Self::try_start(&program).await {
                return Some(running);
            }
        }
        panic!("{} does not come up", program.display());
    }

    /// One attempt: the port that was free a moment ago may be taken by now.
    async fn try_start(program: &PathBuf) -> Option<Self> {
        let home = tempfile::tempdir().expect("a temporary directory can be made");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?.local_addr().ok()?.port();
        let child = Command::new(program)
            .env("HOME", home.path())
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("AUTH", "true")
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
            .env_remove("AWS_SESSION_TOKEN")
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("MiniStack can be started");
        let mut running = Self { address: (Ipv4Addr::LOCALHOST, port).into(), child, _home: home };
        let give_up = Instant::now() + PATIENCE;
        let mut poll = interval(Duration::from_millis(50));
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Instant::now() < give_up && running.child.try_wait().ok()?.is_none() {
            poll.tick().await;
            if let Some((200, _)) = raw::send(running.address, "GET", "/_ministack/health", &[], "").await {
                return Some(running);
            }
        }
        None
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes what the plain data says, in the account's region. REST API ids are kept, usage plan ids are its own.
    pub(crate) async fn build(&self, account: &str, region: &str, estate: &Region) {
        for api in &estate.apis {
            self.build_api(account, region, api).await;
        }
        for plan in &estate.plans {
            self.build_plan(account, region, plan).await;
        }
    }

    async fn build_api(&self, account: &str, region: &str, api: &RestApi) {
        // Its own way to choose an id.
        let mut tags = json!({ "ms-custom-id": api.id });
        for (name, value) in &api.tags {
            tags[name] = json!(value);
        }
        let made = self
            .make(
                (account, region),
                "POST",
                "/restapis",
                &json!({
                    "name": api.name,
                    "version": api.version.clone().unwrap_or_default(),
                    "description": api.description.clone().unwrap_or_default(),
                    "apiKeySource": api.api_key_source,
                    "disableExecuteApiEndpoint": api.endpoint_disabled,
                    "endpointConfiguration": { "types": [api.endpoint_type] },
                    "tags": tags,
                }),
            )
            .await;
        let root = format!("/restapis/{}/resources", api.id);
        let mut resources = vec![(String::new(), text(&made["rootResourceId"]))];
        for method in &api.methods {
            let mut path = String::new();
            for part in method.path.split('/').filter(|part| !part.is_empty()) {
                let above = path.clone();
                path = format!("{path}/{part}");
                if resources.iter().all(|(found, _)| *found != path) {
                    let parent = resources.iter().find(|(found, _)| *found == above).expect("made before").1.clone();
                    let at = format!("{root}/{parent}");
                    let made = self.make((account, region), "POST", &at, &json!({ "pathPart": part })).await;
                    resources.push((path.clone(), text(&made["id"])));
                }
            }
            let resource = &resources.iter().find(|(found, _)| *found == path).expect("made before").1;
            let at = format!("{root}/{resource}/methods/{}", method.verb);
            let what = json!({ "authorizationType": "NONE", "apiKeyRequired": method.key_required });
            self.make((account, region), "PUT", &at, &what).await;
            let backend = json!({ "type": "HTTP_PROXY", "httpMethod": "GET", "uri": "https://backend.internal/" });
            self.make((account, region), "PUT", &format!("{at}/integration"), &backend).await;
        }
        for stage in &api.stages {
            let at = format!("/restapis/{}/deployments", api.id);
            self.make((account, region), "POST", &at, &json!({ "stageName": stage.name })).await;
        }
    }

    async fn build_plan(&self, account: &str, region: &str, plan: &UsagePlan) {
        let stages: Vec<Value> =
            plan.stages.iter().map(|(api, stage)| json!({ "apiId": api, "stage": stage })).collect();
        let mut what = json!({
            "name": plan.name,
            "description": plan.description.clone().unwrap_or_default(),
            "apiStages": stages,
        });
        if let Some((rate, burst)) = plan.throttle {
            what["throttle"] = json!({ "rateLimit": rate, "burstLimit": burst });
        }
        if let Some((limit, period)) = &plan.quota {
            what["quota"] = json!({ "limit": limit, "offset": 0, "period": period });
        }
        self.make((account, region), "POST", "/usageplans", &what).await;
    }

    async fn make(&self, (account, region): (&str, &str), verb: &str, path: &str, what: &Value) -> Value {
        let signed = raw::unsigned(account, region, "apigateway");
        let headers = [("authorization", signed.as_str()), ("content-type", "application/json")];
        let answer = raw::send(self.address, verb, path, &headers, what.to_string()).await;
        let (status, body) = answer.expect("MiniStack answers");
        assert!((200..300).contains(&status), "{verb} {path}: {status} {body}");
        serde_json::from_str(&body).expect("MiniStack answers in JSON")
    }

    /// One call of IAM's query API as the account's root user; the answer is XML.
    pub(crate) async fn iam(&self, account: &str, parameters: &[(&str, &str)]) -> String {
        self.query("iam", "2010-05-08", account, parameters).await
    }

    /// One call of a query API as the account's root user; the answer is XML.
    pub(crate) async fn query(
        &self,
        service: &str,
        version: &str,
        account: &str,
        parameters: &[(&str, &str)],
    ) -> String {
        let signed = raw::unsigned(account, "us-east-1", service);
        let headers = [("authorization", signed.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("Version", version)
            .extend_pairs(parameters)
            .finish();
        let (status, body) = raw::send(self.address, "POST", "/", &headers, form).await.expect("MiniStack answers");
        assert_eq!(status, 200, "{:?}: {body}", parameters.first());
        body
    }
}

/// The program that `$MINISTACK` or the path names.
fn program() -> Option<PathBuf> {
    let environment = Environment::of_process();
    if let Some(named) = environment.get("MINISTACK").filter(|named| !named.is_empty()) {
        return Some(named.into());
    }
    std::env::split_paths(environment.get("PATH")?).map(|folder| folder.join("ministack")).find(|file| file.is_file())
}

fn text(value: &Value) -> String {
    value.as_str().expect("an id").to_owned()
}

/// What stands between an element's tags.
pub(crate) fn element(xml: &str, name: &str) -> String {
    let after = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {xml}")).1;
    after.split_once('<').expect("an end tag").0.to_owned()
}
