//! A YAML text as properties: flattened as Spring's `YamlProcessor` does it, each with its line.
//!
//! A map's keys are joined with dots, a list's entries are `[n]`, an empty list and nothing at all are an empty text, an
//! empty map is no property. A value is the text as it is written: where SnakeYAML would make 83 of `0123`, a `Date` of
//! `2026-01-01` and 1000.0 of `1e3`, a person means what stands there.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

/// How deep maps and lists may lie in each other, also by aliases.
const DEEPEST: usize = 64;
/// How many values one file may come to, also by aliases: what a few lines of aliases of aliases unfold to has no end.
const MOST: usize = 10_000;

/// A property and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) property: String,
    pub(super) value: String,
    /// From 1.
    pub(super) line: usize,
}

/// Why a text cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// From 1.
    pub(super) line: usize,
    /// From 1; `None` when it is the whole line.
    pub(super) column: Option<usize>,
    pub(super) says: String,
}

impl Problem {
    fn at(line: usize, says: impl Into<String>) -> Self {
        Self { line, column: None, says: says.into() }
    }
}

struct Node {
    line: usize,
    kind: Kind,
}

enum Kind {
    Scalar { text: String, plain: bool },
    List(Vec<usize>),
    Map(Vec<(usize, usize)>),
}

/// A map or list that is being read.
struct Open {
    anchor: usize,
    line: usize,
    is_map: bool,
    children: Vec<usize>,
}

/// The properties of all documents of `text`, in their order: of two with the same name, the later one counts.
///
/// # Errors
/// Everything that is wrong when the text is YAML; else the first place where it is not.
pub(super) fn leaves(text: &str) -> Result<Vec<Leaf>, Vec<Problem>> {
    let (nodes, documents) = compose(text).map_err(|problem| vec![problem])?;
    let mut flat = Flat { nodes: &nodes, visited: 0, leaves: Vec::new(), problems: Vec::new() };
    for root in documents {
        match &nodes[root].kind {
            Kind::Map(_) => flat.value("", root, nodes[root].line, 0),
            Kind::Scalar { text, plain: true } if is_null(text) => {}
            _ => flat.problems.push(Problem::at(
                nodes[root].line,
                "names with values are accepted here, like `integration:` and what lies below it",
            )),
        }
    }
    if flat.problems.is_empty() { Ok(flat.leaves) } else { Err(flat.problems) }
}

/// All nodes, and which of them are the documents.
fn compose(text: &str) -> Result<(Vec<Node>, Vec<usize>), Problem> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: BTreeMap<usize, usize> = BTreeMap::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let tab = text.lines().nth(error.marker().line().saturating_sub(1)).is_some_and(|line| line.contains('\t'));
            Problem {
                line: error.marker().line(),
                column: Some(error.marker().col() + 1),
                says: format!(
                    "this is not YAML: {}; {}",
                    error.info(),
                    if tab {
                        "there is a tab in the line: indent with blanks"
                    } else {
                        "look at this line's indentation and quotation marks, and at those of the line before"
                    }
                ),
            }
        })?;
        let line = span.start.line();
        let node = match event {
            Event::Scalar(text, style, anchor, tag) => {
                check_tag(tag.as_deref(), line)?;
                let plain = style == ScalarStyle::Plain && tag.is_none();
                nodes.push(Node { line, kind: Kind::Scalar { text: text.into_owned(), plain } });
                if anchor > 0 {
                    anchors.insert(anchor, nodes.len() - 1);
                }
                nodes.len() - 1
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), line)?;
                open.push(Open { anchor, line, is_map: false, children: Vec::new() });
                check_depth(open.len(), line)?;
                continue;
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), line)?;
                open.push(Open { anchor, line, is_map: true, children: Vec::new() });
                check_depth(open.len(), line)?;
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(done) = open.pop() else { continue };
                let kind = if done.is_map {
                    Kind::Map(done.children.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
                } else {
                    Kind::List(done.children)
                };
                nodes.push(Node { line: done.line, kind });
                if done.anchor > 0 {
                    anchors.insert(done.anchor, nodes.len() - 1);
                }
                nodes.len() - 1
            }
            Event::Alias(anchor) => *anchors
                .get(&anchor)
                .ok_or_else(|| Problem::at(line, "this alias stands in what it stands for; write the value out"))?,
            _ => continue,
        };
        if nodes.len() > MOST {
            return Err(too_many(line));
        }
        match open.last_mut() {
            Some(parent) => parent.children.push(node),
            None => documents.push(node),
        }
    }
    Ok((nodes, documents))
}

fn check_depth(depth: usize, line: usize) -> Result<(), Problem> {
    if depth > DEEPEST {
        return Err(Problem::at(
            line,
            format!("values lie more than {DEEPEST} levels deep here, which no setting does"),
        ));
    }
    Ok(())
}

fn check_tag(tag: Option<&Tag>, line: usize) -> Result<(), Problem> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() || tag.handle.is_empty() && tag.suffix == "!") => Err(Problem::at(
            line,
            "tags of one's own (`!…`) are not read; a value that begins with `!` needs quotation marks",
        )),
        _ => Ok(()),
    }
}

fn too_many(line: usize) -> Problem {
    Problem::at(
        line,
        format!("the file comes to more than {MOST} values, which no settings do; are there aliases of aliases?"),
    )
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

struct Flat<'n> {
    nodes: &'n [Node],
    visited: usize,
    leaves: Vec<Leaf>,
    problems: Vec<Problem>,
}

/// A map's entry: its key as a part of a property, where the key stands, its value.
struct Entry {
    part: String,
    line: usize,
    value: usize,
}

impl Flat<'_> {
    /// Adds what `node` comes to below `path`. `line` is where a text counts as standing.
    fn value(&mut self, path: &str, node: usize, line: usize, depth: usize) {
        if !self.may_go_on(line, depth) {
            return;
        }
        let nodes = self.nodes;
        let mut leaf =
            |value: &str| self.leaves.push(Leaf { property: path.to_owned(), value: value.to_owned(), line });
        match &nodes[node].kind {
            Kind::Scalar { text, plain } => leaf(if *plain && is_null(text) { "" } else { text }),
            Kind::List(entries) if entries.is_empty() => leaf(""),
            Kind::List(entries) => {
                for (n, entry) in entries.iter().enumerate() {
                    self.value(&format!("{path}[{n}]"), *entry, nodes[*entry].line, depth + 1);
                }
            }
            Kind::Map(_) => {
                for Entry { part, line, value } in self.entries(node, depth) {
                    let below = match () {
                        () if path.is_empty() => part,
                        () if part.starts_with('[') => format!("{path}{part}"),
                        () => format!("{path}.{part}"),
                    };
                    self.value(&below, value, line, depth + 1);
                }
            }
        }
    }

    /// The entries of a map, with those that `<<` takes over from others, which its own go before.
    fn entries(&mut self, node: usize, depth: usize) -> Vec<Entry> {
        let nodes = self.nodes;
        let Kind::Map(pairs) = &nodes[node].kind else { return Vec::new() };
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged = Vec::new();
        for &(key, value) in pairs {
            let line = nodes[key].line;
            let Kind::Scalar { text, plain } = &nodes[key].kind else {
                self.problems.push(Problem::at(line, "a name is accepted before the colon, not a map or a list"));
                continue;
            };
            if *plain && text == "<<" {
                match &nodes[value].kind {
                    Kind::Map(_) => merged.push(value),
                    Kind::List(maps) if maps.iter().all(|map| matches!(nodes[*map].kind, Kind::Map(_))) => {
                        merged.extend(maps);
                    }
                    _ => self.problems.push(Problem::at(line, "`<<` takes over a map, or a list of maps, by an alias")),
                }
                continue;
            }
            // What is no text to Spring is an index.
            let is_number = *plain && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let part = if is_number { format!("[{text}]") } else { text.clone() };
            if let Some(first) = entries.iter().find(|entry| entry.part == part) {
                let says = format!("`{text}` stands here a second time, the first is in line {}; keep one", first.line);
                self.problems.push(Problem::at(line, says));
                continue;
            }
            entries.push(Entry { part, line, value });
        }
        for map in merged {
            if !self.may_go_on(nodes[node].line, depth) {
                break;
            }
            for entry in self.entries(map, depth + 1) {
                if !entries.iter().any(|known| known.part == entry.part) {
                    entries.push(entry);
                }
            }
        }
        entries
    }

    /// Whether there may be more; says so once when not.
    fn may_go_on(&mut self, line: usize, depth: usize) -> bool {
        self.visited += 1;
        if self.visited == MOST + 1 {
            self.problems.push(too_many(line));
        }
        if depth == DEEPEST + 1 && self.visited <= MOST {
            self.problems.extend(check_depth(depth, line).err());
            self.visited = MOST + 1;
        }
        self.visited <= MOST
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn flat(text: &str) -> Vec<(String, String, usize)> {
        leaves(text).unwrap().into_iter().map(|leaf| (leaf.property, leaf.value, leaf.line)).collect()
    }

    fn problems(text: &str) -> Vec<String> {
        leaves(text)
            .unwrap_err()
            .into_iter()
            .map(|problem| {
                format!(
                    "{}:{}: {}",
                    problem.line,
                    problem.column.map(|c| c.to_string()).unwrap_or_default(),
                    problem.says
                )
            })
            .collect()
    }

    fn all(pairs: &[(&str, &str, usize)]) -> Vec<(String, String, usize)> {
        pairs.iter().map(|(property, value, line)| ((*property).into(), (*value).into(), *line)).collect()
    }

    #[test]
    fn maps_lists_and_names_with_dots_become_properties() {
        let text = "a:\n  b.c: 1\n  'd e': two\n  list:\n    - x\n    - y: z\n      w:\n        - v\nempty: []\nmap: {}\nnothing:\n\
                    tilde: ~\n0: zero\ndeep: {0: a, '1': b}\n";
        let expected = [
            ("a.b.c", "1", 2),
            ("a.d e", "two", 3),
            ("a.list[0]", "x", 5),
            ("a.list[1].y", "z", 6),
            ("a.list[1].w[0]", "v", 8),
            ("empty", "", 9),
            ("nothing", "", 11),
            ("tilde", "", 12),
            ("[0]", "zero", 13),
            ("deep[0]", "a", 14),
            ("deep.1", "b", 14),
        ];
        assert_eq!(flat(text), all(&expected));
    }

    #[test]
    fn a_value_is_the_text_as_it_is_written() {
        for text in ["yes", "NO", "0123", "1e3", "0x1F", "1_000", "2026-01-01", "12:30:45", "True", ".5", "1.10"] {
            assert_eq!(flat(&format!("a: {text}")), all(&[("a", text, 1)]), "{text}");
        }
        assert_eq!(flat("a: 'null'\nb: \"\"\nc: !!str ~\n"), all(&[("a", "null", 1), ("b", "", 2), ("c", "~", 3)]));
        assert_eq!(
            flat("a: |\n  one\n  two\nb: >-\n  one\n  two\n"),
            all(&[("a", "one\ntwo\n", 1), ("b", "one two", 4)])
        );
    }

    #[test]
    fn anchors_aliases_and_merge_keys_are_resolved() {
        let text = "base: &base\n  region: eu\n  burst: 4\none:\n  <<: *base\n  burst: 9\ntwo:\n  <<: [{x: 1}, *base]\nname: &n v\nsame: *n\n";
        let expected = [
            ("base.region", "eu", 2),
            ("base.burst", "4", 3),
            ("one.burst", "9", 6),
            ("one.region", "eu", 2),
            ("two.x", "1", 8),
            ("two.region", "eu", 2),
            ("two.burst", "4", 3),
            ("name", "v", 9),
            ("same", "v", 10),
        ];
        assert_eq!(flat(text), all(&expected));
    }

    #[test]
    fn documents_follow_each_other_and_an_empty_one_is_nothing() {
        assert_eq!(flat("a: 1\n---\na: 2\n---\n"), all(&[("a", "1", 1), ("a", "2", 3)]));
        assert_eq!(flat(""), []);
        assert_eq!(flat("# nothing\n"), []);
        assert_eq!(flat("\u{feff}a: 1\r\nb: 2\r\n"), all(&[("a", "1", 1), ("b", "2", 2)]));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let two = problems("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n");
        assert_eq!(
            two,
            [
                "5:: `a` stands here a second time, the first is in line 1; keep one",
                "4:: `c` stands here a second time, the first is in line 3; keep one"
            ]
        );
        for (text, start, word) in [
            ("a:\n\tb: 1\n", "2:", "tab"),
            ("a: [1, 2\n", "", "not YAML"),
            ("a: 1\n b: 2\n", "2:", "indentation"),
            ("a: \"x\n", "", "not YAML"),
            ("a: *nobody\n", "1:", "not YAML"),
            ("a: &a [*a]\n", "1:", "stands in what it stands for"),
            ("- a\n", "1:", "names with values"),
            ("text\n", "1:", "names with values"),
            ("a: !vault x\n", "1:", "tags"),
            ("? [a]\n: b\n", "1:", "not a map or a list"),
            ("a:\n  <<: 1\n", "2:", "takes over a map"),
        ] {
            let found = problems(text).join("\n");
            assert!(found.starts_with(start) && found.contains(word), "{text:?}: {found}");
        }
    }

    #[test]
    fn a_billion_laughs_end_soon() {
        let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (before, name) in ('a'..='z').zip('b'..='z') {
            writeln!(text, "{name}: &{name} [{}]", vec![format!("*{before}"); 9].join(", ")).unwrap();
        }
        assert!(problems(&text).join("").contains("aliases of aliases"));
        let mut text = "a: &a {x: 1}\n".to_owned();
        for (before, name) in ('a'..='z').zip('b'..='z') {
            writeln!(text, "{name}: &{name} {{<<: [{}]}}", vec![format!("*{before}"); 9].join(", ")).unwrap();
        }
        assert!(problems(&text).join("").contains("aliases of aliases"));
        let deep = format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(problems(&deep).len(), 1);
        let long = "- x\n".repeat(20_000);
        assert!(problems(&format!("a:\n{long}")).join("").contains("more than 10000 values"));
    }
}
