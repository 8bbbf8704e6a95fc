//! `${NAME}` and `${NAME:default}` in the values of files, as Spring resolves them: nested, by anything that has the
//! name, and left as they are when nothing has it. `\${` is no placeholder.

/// How many placeholders one reading resolves, and how long a value may become: each may stand for two others.
const MOST: usize = 10_000;
const LONGEST: usize = 1 << 20;
/// The same of all values together: thousands of them may each stand for one long text.
const LONGEST_OF_ALL: usize = 8 << 20;
/// How deep placeholders may lie in each other, and in what they stand for.
const DEEPEST: usize = 32;

/// What was found while values were resolved.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The names that stand for nothing, of the value at hand.
    pub(super) unresolved: Vec<String>,
    /// The names whose default begins with a hyphen, as the shell's does.
    pub(super) of_the_shell: Vec<String>,
    steps: usize,
    /// The letters of all that was resolved.
    length: usize,
}

/// Why a value cannot be resolved: a sentence.
type Problem = String;

/// `text` with its placeholders resolved. `look` has the text of a name, not yet resolved itself.
pub(super) fn resolve(text: &str, look: &dyn Fn(&str) -> Option<String>, found: &mut Found) -> Result<String, Problem> {
    if found.length > LONGEST_OF_ALL {
        return Err("the values of all placeholders together are too long; write this one out".into());
    }
    let resolved = resolve_within(text, look, found, &mut Vec::new(), 0)?;
    found.length += resolved.len();
    Ok(resolved)
}

fn resolve_within(
    text: &str,
    look: &dyn Fn(&str) -> Option<String>,
    found: &mut Found,
    within: &mut Vec<String>,
    depth: usize,
) -> Result<String, Problem> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let before = &rest[..at];
        if let Some(before) = before.strip_suffix('\\') {
            resolved.push_str(before);
            resolved.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        let Some(end) = end_of(&rest[at + 2..]) else { break };
        resolved.push_str(before);
        let inner = &rest[at + 2..at + 2 + end];
        rest = &rest[at + 3 + end..];
        found.steps += 1;
        if found.steps > MOST || resolved.len() > LONGEST || depth > DEEPEST {
            return Err("its placeholders stand for more and more others; write the value out".into());
        }
        let name = resolve_within(inner, look, found, within, depth + 1)?;
        if within.contains(&name) {
            return Err(format!("${{{}}} stands for itself; write the value out", super::shown(written(inner))));
        }
        let (short, default) = match name.split_once(':') {
            Some((short, default)) => (short, Some(default)),
            None => (name.as_str(), None),
        };
        if let Some(value) = look(&name).or_else(|| default.and_then(|_| look(short))) {
            within.push(name.clone());
            resolved.push_str(&resolve_within(&value, look, found, within, depth + 1)?);
            within.pop();
        } else if let Some(default) = default {
            if default.starts_with('-') {
                found.of_the_shell.push(written(inner).to_owned());
            }
            resolved.push_str(default);
        } else {
            found.unresolved.push(written(inner).to_owned());
            resolved.push_str("${");
            resolved.push_str(&name);
            resolved.push('}');
        }
    }
    resolved.push_str(rest);
    if resolved.len() > LONGEST {
        return Err("its placeholders stand for more than a value may hold; write the value out".into());
    }
    Ok(resolved)
}

/// The name in a placeholder as it is written, which a person may see: what follows the colon may be a secret, and so may
/// be what the placeholders in it stand for.
fn written(inner: &str) -> &str {
    let mut depth = 0;
    let colon = inner.char_indices().find(|(_, letter)| {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        depth == 0 && *letter == ':'
    });
    colon.map_or(inner, |(at, _)| &inner[..at])
}

/// Where the placeholder ends whose name begins at the start of `text`.
fn end_of(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(name: &str) -> Option<String> {
        let value = match name {
            "A" => "one",
            "B" => "${A}-two",
            "EMPTY" => "",
            "WHICH" => "A",
            "LOOP" => "x${POOL}",
            "POOL" => "${LOOP}",
            "with:colon" => "whole",
            "x0" => "x",
            _ => {
                // Each stands for two of the one before.
                let n: usize = name.strip_prefix('x')?.parse().ok()?;
                return Some(format!("${{x{}}}${{x{}}}", n - 1, n - 1));
            }
        };
        Some(value.into())
    }

    #[test]
    fn as_spring_does_it() {
        for (text, expected) in [
            ("plain", "plain"),
            ("${A}", "one"),
            ("<${A}|${B}>", "<one|one-two>"),
            ("${EMPTY:x}", ""),
            ("${NO:default}", "default"),
            ("${NO:}", ""),
            ("${NO:a:b}", "a:b"),
            ("${NO:${A}}", "one"),
            ("${NO:{x}}", "{x}"),
            ("${${WHICH}}", "one"),
            ("${with:colon}", "whole"),
            ("\\${A}", "${A}"),
            ("${A", "${A"),
            ("$A {A} ${}", "$A {A} ${}"),
            ("${NO} ${A}", "${NO} one"),
        ] {
            assert_eq!(resolve(text, &look, &mut Found::default()).unwrap(), expected, "{text}");
        }
        let mut found = Found::default();
        resolve("${NO} ${NO:-x}", &look, &mut found).unwrap();
        assert_eq!((found.unresolved, found.of_the_shell), (vec!["NO".to_owned()], vec!["NO".to_owned()]));
    }

    #[test]
    fn what_has_no_end_is_refused() {
        assert!(resolve("${LOOP}", &look, &mut Found::default()).unwrap_err().contains("stands for itself"));
        assert!(resolve("${x31}", &look, &mut Found::default()).unwrap_err().contains("more and more"));
        assert!(resolve("${x9}", &look, &mut Found::default()).is_ok());
        let long = |_: &str| Some("x".repeat(LONGEST / 2));
        let mut found = Found::default();
        let good = (0..100).filter(|_| resolve("${A}", &long, &mut found).is_ok()).count();
        assert_eq!(good, 17, "8 MiB, and the one that goes over it");
        for deep in [1_000, 100_000] {
            let text = "${".repeat(deep) + &"}".repeat(deep);
            assert!(resolve(&text, &look, &mut Found::default()).unwrap_err().contains("more and more"));
        }
    }

    #[test]
    fn no_value_is_told_of_what_cannot_be_resolved() {
        let secret = |name: &str| match name {
            "SELF" => Some("${SELF:hunter2}".into()),
            "TOKEN" => Some("hunter2".into()),
            _ => None,
        };
        let mut found = Found::default();
        let says = resolve("${SELF:hunter2}", &secret, &mut found).unwrap_err();
        assert!(says.starts_with("${SELF} stands for itself"), "{says}");
        resolve("${${TOKEN}} ${${TOKEN:x}:-y}", &secret, &mut found).unwrap();
        assert_eq!((found.unresolved, found.of_the_shell), (vec!["${TOKEN}".into()], vec!["${TOKEN:x}".to_owned()]));
    }
}
