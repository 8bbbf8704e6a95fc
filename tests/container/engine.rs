//! A Docker engine and whichever compose command is there.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// What is needed, or why it is not there.
pub(crate) struct Engine {
    compose: Vec<String>,
    /// The static binary.
    pub(crate) binary: PathBuf,
}

impl Engine {
    pub(crate) fn find() -> Result<Self, String> {
        let Some(binary) = std::env::vars_os().find_map(|(name, value)| (name == "STATIC_BINARY").then_some(value))
        else {
            return Err("STATIC_BINARY names no static binary (`make test` builds one and names it)".into());
        };
        if !succeeds(&["docker", "info"]) {
            return Err("no Docker engine answers".into());
        }
        let known: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
        let Some(compose) = known.into_iter().find(|command| succeeds(&[command, &["version"][..]].concat())) else {
            return Err("neither `docker compose` nor `docker-compose` is there".into());
        };
        Ok(Self { compose: compose.iter().map(ToString::to_string).collect(), binary: binary.into() })
    }
}

/// Containers of one compose project, and their image; all gone when it is dropped.
pub(crate) struct Stack {
    engine: Engine,
    project: String,
    image: String,
    root: &'static Path,
}

impl Stack {
    /// Builds the image and names a project that nobody else has.
    pub(crate) fn build(engine: Engine) -> Self {
        let project = format!("federation-agent-test-{}", std::process::id());
        let stack =
            Self { image: format!("{project}:test"), project, engine, root: env!("CARGO_MANIFEST_DIR").as_ref() };
        run(Command::new(stack.root.join("docker/image.sh")).arg(&stack.engine.binary).args([
            &stack.image,
            env!("CARGO_PKG_VERSION"),
            "0123456789ab",
        ]));
        stack
    }

    /// A compose command on the project: the compose file that users have, and beside it the peers.
    pub(crate) fn compose(&self, arguments: &[&str]) -> String {
        run(&mut self.compose_command(arguments))
    }

    fn compose_command(&self, arguments: &[&str]) -> Command {
        let here = self.root.join("tests/container");
        let mut command = Command::new(&self.engine.compose[0]);
        command
            .args(&self.engine.compose[1..])
            .args(["--project-name", &self.project, "--file"])
            .arg(self.root.join("docker-compose.yaml"))
            .arg("--file")
            .arg(here.join("peers.yaml"))
            .arg("--env-file")
            .arg(here.join("agent.env"))
            .args(arguments)
            // A variable of the shell would win over the file's.
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME" || name == "DOCKER_HOST"))
            .env("AGENT_IMAGE", &self.image);
        command
    }

    /// The id of a service's container.
    pub(crate) fn container(&self, service: &str) -> String {
        self.compose(&["ps", "-q", service]).trim().to_owned()
    }

    /// What `docker inspect` tells of a service's container, by a Go template.
    pub(crate) fn inspect(&self, service: &str, template: &str) -> String {
        run(Command::new("docker").args(["inspect", "--format", template, &self.container(service)])).trim().to_owned()
    }

    /// The image's size in bytes.
    pub(crate) fn image_size(&self) -> u64 {
        let size = run(Command::new("docker").args(["image", "inspect", "--format", "{{.Size}}", &self.image]));
        size.trim().parse().expect("a size")
    }

    /// Where a service's port is reached from here.
    pub(crate) fn address(&self, service: &str, port: u16) -> String {
        self.compose(&["port", service, &port.to_string()]).trim().to_owned()
    }

    /// Runs the binary in a running container, as HEALTHCHECK does.
    pub(crate) fn exec(&self, service: &str, arguments: &[&str]) -> String {
        let container = self.container(service);
        run(Command::new("docker").args(["exec", &container, "/usr/local/bin/federation-agent"]).args(arguments))
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // All is tried, whatever fails: nothing of the test may stay behind.
        let _ = self.compose_command(&["down", "--volumes", "--timeout", "0"]).output();
        let _ = Command::new("docker").args(["image", "rm", "--force", &self.image]).output();
    }
}

fn succeeds(command: &[&str]) -> bool {
    Command::new(command[0]).args(&command[1..]).output().is_ok_and(|output| output.status.success())
}

fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("the command is there");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?} ended with {status}:\n{stdout}\n{stderr}");
    stdout.into_owned()
}
