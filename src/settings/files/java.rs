//! Options for a Java machine, as Gravitee's chart and images hand them over: which of them mean something here.

use crate::settings::Environment;

/// The variables that hold options, in the order in which a Java machine takes them: a later one wins.
const VARIABLES: [&str; 3] = ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "JAVA_OPTS"];

/// A system property: `-Dname=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) value: String,
    /// The variable that has it.
    pub(super) variable: &'static str,
}

impl Property {
    /// As faults and warnings name it.
    pub(super) fn label(&self) -> String {
        format!("{}: -D{}", self.variable, self.name)
    }
}

/// What the options say.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// The system properties; each name once.
    pub(super) properties: Vec<Property>,
    /// What means nothing here, without its value, by variable.
    pub(super) ignored: Vec<(&'static str, Vec<String>)>,
    /// Variables with a quotation mark that nothing closes.
    pub(super) unclosed: Vec<&'static str>,
}

impl Options {
    pub(super) fn of(environment: &Environment) -> Self {
        let mut options = Self::default();
        for variable in VARIABLES {
            let Some(text) = environment.get(variable).filter(|text| !text.trim().is_empty()) else { continue };
            let Some(words) = words(text) else {
                options.unclosed.push(variable);
                continue;
            };
            let mut ignored: Vec<String> = Vec::new();
            for word in words {
                match word.strip_prefix("-D") {
                    Some(property) if !property.is_empty() => {
                        let (name, value) = property.split_once('=').unwrap_or((property, ""));
                        options.properties.retain(|known| known.name != name);
                        let (name, value) = (name.to_owned(), value.to_owned());
                        options.properties.push(Property { name, value, variable });
                    }
                    // A value may be a secret.
                    _ => ignored.push(word.split('=').next().unwrap_or_default().to_owned()),
                }
            }
            if !ignored.is_empty() {
                options.ignored.push((variable, ignored));
            }
        }
        options
    }

    /// Takes the property `name` out.
    pub(super) fn take(&mut self, name: &str) -> Option<Property> {
        let at = self.properties.iter().position(|property| property.name == name)?;
        Some(self.properties.remove(at))
    }
}

/// The words of `text` by the launcher's rules: blanks part them, quotation marks of either kind hold what is between
/// them together and fall away, and nothing escapes anything. `None` when a mark is never closed.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut mark = None;
    for letter in text.chars() {
        match (mark, letter) {
            (Some(open), _) if open == letter => mark = None,
            (None, '"' | '\'') => {
                mark = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    mark.is_none().then_some(words)
}

/// `http.nonProxyHosts` in the form of `NO_PROXY`, and the patterns that have none.
pub(super) fn no_proxy(hosts: &str) -> (String, Vec<String>) {
    let mut entries: Vec<String> = Vec::new();
    let mut odd = Vec::new();
    for host in hosts.split(['|', ',']).map(str::trim).filter(|host| !host.is_empty()) {
        let plain = host.trim_matches('*');
        let bare = plain.trim_matches(['[', ']']);
        let numbers: Vec<&str> = plain.trim_end_matches('.').split('.').collect();
        let is_network = host.ends_with(".*") && numbers.len() < 4 && numbers.iter().all(|n| n.parse::<u8>().is_ok());
        match () {
            () if host == "*" => entries.push("*".into()),
            () if plain.contains('*') || plain.is_empty() => odd.push(host.to_owned()),
            () if is_network => {
                let bits = numbers.len() * 8;
                let rest = vec!["0"; 4 - numbers.len()];
                entries.push(format!("{}/{bits}", [numbers, rest].concat().join(".")));
            }
            () if host.ends_with('*') => odd.push(host.to_owned()),
            // Of a name, what lies below it is meant by NO_PROXY too.
            () => entries.push(bare.to_owned()),
        }
    }
    (entries.join(","), odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_as_the_launcher_does() {
        let of = |text| words(text).map(|words| words.join("|"));
        assert_eq!(of("-Xmx1g  -Da=b\n\t-Dc"), Some("-Xmx1g|-Da=b|-Dc".into()));
        assert_eq!(of(r#"-Da="x y" '-Db=c "d' -De=''"#), Some(r#"-Da=x y|-Db=c "d|-De="#.into()));
        assert_eq!(of(r"-Da=C:\x\y"), Some(r"-Da=C:\x\y".into()));
        assert_eq!(of("''"), Some(String::new()));
        assert_eq!(of("-Da='x"), None);
    }

    #[test]
    fn a_later_variable_wins_and_no_value_of_what_is_ignored_is_kept() {
        let environment: Environment = [
            ("JDK_JAVA_OPTIONS", "-Da=2 -Db=1 -XX:MaxRAM=5 @file"),
            ("JAVA_TOOL_OPTIONS", "-Da=1 -javaagent:x=hunter2"),
            ("JAVA_OPTS", "-Dc='"),
        ]
        .into_iter()
        .collect();
        let mut options = Options::of(&environment);
        assert_eq!(options.take("a").map(|property| property.label()).as_deref(), Some("JDK_JAVA_OPTIONS: -Da"));
        assert_eq!(options.take("b").map(|property| property.value).as_deref(), Some("1"));
        assert_eq!(options.unclosed, ["JAVA_OPTS"]);
        assert_eq!(
            options.ignored,
            [
                ("JAVA_TOOL_OPTIONS", vec!["-javaagent:x".to_owned()]),
                ("JDK_JAVA_OPTIONS", vec!["-XX:MaxRAM".into(), "@file".into()])
            ]
        );
    }

    #[test]
    fn hosts_without_a_proxy_become_no_proxy() {
        let (no, odd) = no_proxy("localhost|127.*|*.example.com|10.0.*|*corp|[::1]|host*|a*b|192.168.1.7");
        assert_eq!(no, "localhost,127.0.0.0/8,.example.com,10.0.0.0/16,corp,::1,192.168.1.7");
        assert_eq!(odd, ["host*", "a*b"]);
        assert_eq!(no_proxy("*").0, "*");
    }
}
