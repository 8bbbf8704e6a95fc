//! A Docker engine and whichever compose command is there.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Where the image has the binary.
const BINARY: &str = "/usr/local/bin/federation-agent";

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
    /// Compose files of `tests/container`, over the one that users have.
    files: &'static [&'static str],
}

impl Stack {
    /// Builds the image and names a project that nobody else has; `test` tells those of one process apart.
    pub(crate) fn build(engine: Engine, test: &str, files: &'static [&'static str]) -> Self {
        let project = format!("federation-agent-test-{test}-{}", std::process::id());
        let image = format!("{project}:test");
        let stack = Self { image, project, engine, root: env!("CARGO_MANIFEST_DIR").as_ref(), files };
        run(Command::new(stack.root.join("docker/image.sh")).arg(&stack.engine.binary).args([
            &stack.image,
            env!("CARGO_PKG_VERSION"),
            "0123456789ab",
        ]));
        stack
    }

    /// A compose command on the project: the compose file that users have, and beside it the peers.
    pub(crate) fn compose(&self, arguments: &[&str]) -> String {
        self.compose_with(&[], arguments)
    }

    /// The same with these variables in the shell.
    pub(crate) fn compose_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> String {
        run(self.compose_command(arguments).envs(variables.iter().copied()))
    }

    fn compose_command(&self, arguments: &[&str]) -> Command {
        let here = self.root.join("tests/container");
        let mut command = Command::new(&self.engine.compose[0]);
        command
            .args(&self.engine.compose[1..])
            .args(["--project-name", &self.project, "--file"])
            .arg(self.root.join("docker-compose.yaml"));
        for file in self.files {
            command.arg("--file").arg(here.join(file));
        }
        command
            .arg("--env-file")
            .arg(here.join("agent.env"))
            .args(arguments)
            // A variable of the shell would win over the file's.
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME" || name == "DOCKER_HOST"))
            .env("AGENT_IMAGE", &self.image);
        command
    }

    /// The id of a service's container, running or not.
    pub(crate) fn container(&self, service: &str) -> String {
        let project = format!("label=com.docker.compose.project={}", self.project);
        let service = format!("label=com.docker.compose.service={service}");
        // Not asked of compose, whose older one takes a second for it.
        docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &project, "--filter", &service]).trim().to_owned()
    }

    /// What `docker inspect` tells of a service's container, by a Go template.
    pub(crate) fn inspect(&self, service: &str, template: &str) -> String {
        docker(&["inspect", "--format", template, &self.container(service)]).trim().to_owned()
    }

    /// SIGKILL from the host, as the kernel short of memory sends it: to Docker, unlike `docker kill`, a death and no
    /// wish, so that the restart policy holds. Who may not send it has `docker kill`, and starts the container again.
    pub(crate) fn kill(&self, service: &str) {
        let process = self.inspect(service, "{{.State.Pid}}");
        if !succeeds(&["kill", "-KILL", &process]) {
            println!("no right to kill {service}'s process: `docker kill` and `docker start` instead");
            self.kill_for_good(service);
            docker(&["start", &self.container(service)]);
        }
    }

    /// `docker kill`: SIGKILL, and the restart policy does not hold.
    pub(crate) fn kill_for_good(&self, service: &str) {
        docker(&["kill", &self.container(service)]);
    }

    /// Takes a service's container from the project's network, without a word to anybody.
    pub(crate) fn disconnect(&self, service: &str) {
        docker(&["network", "disconnect", &self.network(), &self.container(service)]);
    }

    /// Puts it back.
    pub(crate) fn connect(&self, service: &str) {
        docker(&["network", "connect", &self.network(), &self.container(service)]);
    }

    /// The names of the volumes of all containers of the project.
    fn volumes(&self) -> Vec<String> {
        let project = format!("label=com.docker.compose.project={}", self.project);
        let template = "{{range .Mounts}}{{.Name}} {{end}}";
        let containers = Command::new("docker").args(["ps", "--all", "--quiet", "--filter", &project]).output();
        let Ok(Output { stdout: containers, .. }) = containers else { return Vec::new() };
        let containers = String::from_utf8_lossy(&containers).into_owned();
        let inspect =
            Command::new("docker").args(["inspect", "--format", template]).args(containers.split_whitespace()).output();
        let names = inspect.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&names).split_whitespace().map(str::to_owned).collect()
    }

    fn network(&self) -> String {
        format!("{}_default", self.project)
    }

    /// The image's size in bytes.
    pub(crate) fn image_size(&self) -> u64 {
        let size = docker(&["image", "inspect", "--format", "{{.Size}}", &self.image]);
        size.trim().parse().expect("a size")
    }

    /// Where a service's port is reached from here.
    pub(crate) fn address(&self, service: &str, port: u16) -> String {
        self.compose(&["port", service, &port.to_string()]).trim().to_owned()
    }

    /// Runs the binary in a running container, as HEALTHCHECK does.
    pub(crate) fn exec(&self, service: &str, arguments: &[&str]) -> String {
        docker(&[&["exec", &self.container(service), BINARY], arguments].concat())
    }

    /// Whether the agent in a running container is connected.
    pub(crate) fn is_ready(&self, service: &str) -> bool {
        succeeds(&["docker", "exec", &self.container(service), BINARY, "health", "--ready"])
    }

    /// What a service's container has logged.
    pub(crate) fn logs(&self, service: &str) -> String {
        let output = Command::new("docker").args(["logs", &self.container(service)]).output().expect("docker is there");
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
    }

    /// What was written to the container's own layer: nothing, where its root is read-only.
    pub(crate) fn layer(&self, service: &str) -> String {
        docker(&["diff", &self.container(service)])
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // All is tried, whatever fails: nothing of the test may stay behind. A volume without a name that was handed on to
        // another container is nobody's any more, to compose.
        let volumes = self.volumes();
        let _ = self.compose_command(&["down", "--volumes", "--timeout", "0"]).output();
        let _ = Command::new("docker").args(["volume", "rm", "--force"]).args(volumes).output();
        let _ = Command::new("docker").args(["image", "rm", "--force", &self.image]).output();
    }
}

fn succeeds(command: &[&str]) -> bool {
    Command::new(command[0]).args(&command[1..]).output().is_ok_and(|output| output.status.success())
}

fn docker(arguments: &[&str]) -> String {
    run(Command::new("docker").args(arguments))
}

fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("the command is there");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?} ended with {status}:\n{stdout}\n{stderr}");
    stdout.into_owned()
}
