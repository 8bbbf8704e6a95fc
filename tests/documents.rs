//! What the documents say is there: the log lines that are explained, and the files that are linked to.

#![expect(clippy::unwrap_used, reason = "a document that cannot be read fails its test")]

use std::{fs, path::Path};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn gather(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// All source, with the line breaks inside texts taken out, as the compiler does.
fn source() -> String {
    let mut text = String::new();
    gather(&root().join("src"), &mut text);
    let mut joined = String::new();
    let mut pieces = text.split("\\\n");
    joined.push_str(pieces.next().unwrap_or_default());
    pieces.for_each(|piece| joined.push_str(piece.trim_start()));
    joined
}

#[test]
fn every_log_line_that_is_explained_can_be_logged() {
    let guide = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, readme) = readme.split_once("\n## Troubleshooting\n").unwrap();
    let (readme, _) = readme.split_once("\n## ").unwrap();
    let source = source();
    let lines = guide.lines().chain(readme.lines());
    let lines: Vec<&str> = lines.filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let missing: Vec<&&str> = lines.iter().filter(|line| !source.contains(**line)).collect();
    assert!(lines.len() > 20 && missing.is_empty(), "explained, and never logged: {missing:#?}");
}

/// The text of each `warn!` and `error!` in `source`: the last one between its brackets, line breaks taken out.
fn warnings(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in ["warn!(", "error!("] {
        for (at, _) in source.match_indices(name) {
            let (mut depth, mut texts, mut letters) = (1, Vec::new(), source[at + name.len()..].chars());
            while let Some(letter) = letters.next() {
                match letter {
                    '(' => depth += 1,
                    ')' if depth == 1 => break,
                    ')' => depth -= 1,
                    '"' => {
                        let mut text = String::new();
                        while let Some(letter) = letters.next().filter(|letter| *letter != '"') {
                            text.push(if letter == '\\' { letters.next().unwrap() } else { letter });
                        }
                        texts.push(text);
                    }
                    _ => {}
                }
            }
            // What joins names (`"; "`) is no message.
            found.extend(texts.into_iter().rfind(|text| text.len() > 3));
        }
    }
    found
}

#[test]
fn every_warning_that_can_be_logged_is_explained() {
    /// Sentences that are made elsewhere: commands' and faults' own words, settings' warnings, findings of `check`.
    const MADE_ELSEWHERE: [&str; 6] =
        ["{kind}: {note}", "{warning}", "{line}", "{error}", "to be mended: {sentence}", "doubtful: {sentence}"];
    let guide = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let explained: Vec<&str> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|line| line.len() > 10)
        .collect();
    let mut files = Vec::new();
    gather_files(&root().join("src"), &mut files);
    let mut all = Vec::new();
    for text in files {
        let mut joined = String::new();
        // Tests say what they like.
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for (n, piece) in text.split("\\\n").enumerate() {
            joined.push_str(if n == 0 { piece } else { piece.trim_start() });
        }
        all.extend(warnings(&joined));
    }
    let is_explained = |line: &String| explained.iter().any(|part| line.contains(part));
    let missing: Vec<&String> =
        all.iter().filter(|line| !MADE_ELSEWHERE.contains(&line.as_str()) && !is_explained(line)).collect();
    assert!(all.len() > 40 && missing.is_empty(), "logged, and explained nowhere: {missing:#?}");
}

/// All files below `folder` whose lines an operator can see: neither tests nor the peers of the demo.
fn gather_files(folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && !["tests", "plane", "standin"].contains(&&*name) {
            gather_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
            into.push(fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_file_that_is_linked_to_is_there() {
    for document in [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "docs/architecture.md",
        "docs/security.md",
        "docs/reliability.md",
        "docs/grants.md",
        "docs/check.md",
        "docs/deploy.md",
        "docs/files.md",
        "docs/logs.md",
        "docs/metrics.md",
        "docs/observing.md",
        "docs/troubleshooting.md",
        "deploy/helm/federation-agent/README.md",
        "deploy/kubernetes/README.md",
        "deploy/terraform/README.md",
        "iam/README.md",
    ] {
        let path = root().join(document);
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !link.contains("://") && !file.is_empty() {
                assert!(path.parent().unwrap().join(file).exists(), "{document} links to {link}, which is not there");
            }
        }
    }
}

#[test]
fn every_test_and_file_that_a_promise_rests_on_is_there() {
    let of = |document: &str| fs::read_to_string(root().join("docs").join(document)).unwrap();
    let model = [of("security.md"), of("reliability.md")].join("`.`");
    let mut all = source();
    gather(&root().join("tests"), &mut all);
    let mut tests = 0;
    for word in model.split('`').skip(1).step_by(2) {
        if word.matches('_').count() >= 3 && word.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()) {
            assert!(all.contains(&format!("fn {word}(")), "there is no test {word}");
            tests += 1;
        } else if ["src/", "tests/", "docker/", ".ci/"].iter().any(|folder| word.starts_with(folder)) {
            assert!(root().join(word).exists(), "there is no {word}");
        }
    }
    assert!(tests > 20, "threats and promises name their tests");
}

#[test]
fn the_compose_file_hands_over_every_name_of_its_environment_file() {
    let compose = fs::read_to_string(root().join("docker-compose.yaml")).unwrap();
    for name in federation_agent::settings::COMPOSE {
        let Some(variable) = name.variable else { continue };
        let (start, mark) = (format!("- {variable}="), format!("${{{}", name.name));
        let handed = compose.lines().map(str::trim).any(|line| line.starts_with(&start) && line.contains(&mark));
        assert!(handed, "docker-compose.yaml does not make {variable} of {}", name.name);
    }
}

#[test]
fn the_compose_file_hands_over_every_setting_of_the_agent_itself() {
    let compose = fs::read_to_string(root().join("docker-compose.yaml")).unwrap();
    for key in federation_agent::settings::PROCESS_KEYS {
        let line = format!("- {}{}", federation_agent::settings::PROCESS_PREFIX, key.name);
        assert!(compose.lines().any(|found| found.trim() == line), "docker-compose.yaml does not list `{line}`");
    }
}

/// What follows the empty image is the same, whoever compiled the binary; and the version is the crate's.
#[test]
fn both_images_are_the_same() {
    let image = |path: &str| {
        let text = fs::read_to_string(root().join(path)).unwrap();
        let image = text.split_once("\nFROM scratch\n").unwrap().1.replace("--from=build ", "").replace("/image/", "");
        image.lines().filter(|line| !line.starts_with("ARG VERSION")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(image("Dockerfile"), image("docker/Dockerfile.prebuilt"));
    let compiled = fs::read_to_string(root().join("Dockerfile")).unwrap();
    assert!(compiled.contains(concat!("\nARG VERSION=", env!("CARGO_PKG_VERSION"), "\n")));
}
