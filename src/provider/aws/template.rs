//! How an API is named in the plane: a text with places for what AWS knows of it.

/// What can stand in a template.
const PLACES: &[&str] = &["name", "stage", "region", "account", "id"];

/// A checked template: `{name} ({stage})`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NameTemplate {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(&'static str),
}

/// What a template is filled with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    /// The REST API's name.
    pub(super) name: &'a str,
    /// The stage's name.
    pub(super) stage: &'a str,
    /// The region's name.
    pub(super) region: &'a str,
    /// The account's number, when it is known.
    pub(super) account: Option<&'a str>,
    /// The REST API's id.
    pub(super) id: &'a str,
}

impl NameTemplate {
    /// Takes a template apart; the error says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let accepted = || {
            let places: Vec<String> = PLACES.iter().map(|place| format!("{{{place}}}")).collect();
            format!("a text with {} is accepted", places.join(", "))
        };
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((place, after)) = after.split_once('}') else {
                return Err(format!("has a `{{` without its `}}`: {}", accepted()));
            };
            let Some(place) = PLACES.iter().find(|known| **known == place) else {
                return Err(format!("`{{{place}}}` is not known: {}", accepted()));
            };
            if before.contains('}') {
                return Err(format!("has a `}}` without its `{{`: {}", accepted()));
            }
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Place(place));
            rest = after;
        }
        if rest.contains('}') {
            return Err(format!("has a `}}` without its `{{`: {}", accepted()));
        }
        pieces.push(Piece::Text(rest.to_owned()));
        if !pieces.iter().any(|piece| matches!(piece, Piece::Place("name" | "id"))) {
            return Err("needs {name} or {id}: else every API has the same name".into());
        }
        Ok(Self { pieces })
    }

    /// The name of what `named` tells of; an account that is not known is written `-`.
    pub(super) fn fill(&self, named: &Named<'_>) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Place("name") => named.name,
                Piece::Place("stage") => named.stage,
                Piece::Place("region") => named.region,
                Piece::Place("account") => named.account.unwrap_or("-"),
                Piece::Place(_) => named.id,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: Named<'_> =
        Named { name: "Orders", stage: "prod", region: "eu-west-1", account: Some("123456789012"), id: "a1b2" };

    #[test]
    fn names_are_pinned() {
        for (template, name) in [
            ("{name} ({stage})", "Orders (prod)"),
            ("{account}/{region}/{id}:{stage} {name}!", "123456789012/eu-west-1/a1b2:prod Orders!"),
            ("{name}", "Orders"),
        ] {
            assert_eq!(NameTemplate::parse(template).unwrap().fill(&NAMED), name);
        }
        let unknown = Named { account: None, ..NAMED };
        assert_eq!(NameTemplate::parse("{account} {name}").unwrap().fill(&unknown), "- Orders");
    }

    #[test]
    fn what_is_no_template() {
        for template in ["", "API", "{stage}", "{name", "name}", "{name} {what}", "}{name}", "{{name}}"] {
            assert!(NameTemplate::parse(template).is_err(), "{template}");
        }
    }
}
