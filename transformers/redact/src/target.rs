//! Which values are redacted: those at a path into the event (`data.card.number`, `data.users.*.email`, or as a JSON Pointer
//! `/data/card/number`), or those of a key of this name at any depth (`password`). Refuses what looks like a path and is
//! none: it would load, and redact nothing.

use std::fmt;

use serde::Deserialize;
use tenterhook_message::{FieldPath, Step};

/// As it was written, and what it means.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Target {
    text: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Its steps, `data` or `metadata` first.
    Path(Vec<Step>),
    /// In lower case, without `_` and `-`.
    Key(String),
    /// A key that was quoted: exactly this one.
    ExactKey(String),
}

impl Target {
    pub fn parse(text: &str) -> Result<Self, String> {
        let kind = if text.starts_with('/') {
            pointer(text)?
        } else if is_path(text) {
            Kind::Path(FieldPath::parse_pattern(text)?.steps().to_vec())
        } else {
            key(text)?
        };
        Ok(Self { text: text.to_owned(), kind })
    }
}

fn pointer(text: &str) -> Result<Kind, String> {
    let path = FieldPath::parse_pointer(text)?;
    if !matches!(path.field(), "data" | "metadata") {
        return Err(format!("the pointer `{text}` must begin with /data or /metadata, as in `/data{text}`"));
    }
    Ok(Kind::Path(path.steps().to_vec()))
}

/// Whether it begins with a part of the event that can be redacted, and goes on.
fn is_path(text: &str) -> bool {
    let text = text.strip_prefix("$.").unwrap_or(text);
    ["data", "metadata"].iter().any(|field| text.strip_prefix(field).is_some_and(|rest| rest.starts_with(['.', '['])))
}

fn key(text: &str) -> Result<Kind, String> {
    if text.starts_with(['"', '\'']) {
        // As one step of a path: the quotes are TOML's.
        let quoted = FieldPath::parse(&format!("data.{text}"))?;
        return match quoted.steps() {
            [_, step] => Ok(Kind::ExactKey(step.key().unwrap_or_default().to_owned())),
            _ => Err(format!("`{text}` is no single key: write a path as `data.{text}`")),
        };
    }
    if text.contains('/') {
        return Err(format!("`{text}` is neither a key nor a pointer: a pointer begins with `/`, as in `/data/{text}`"));
    }
    if text.contains(['.', '[', ']']) {
        return Err(format!(
            "`{text}` is no single key: write `data.{text}` for the value at that path, or `\"{text}\"` in quotes for a key of that name at any depth"
        ));
    }
    match plain(text) {
        key if key.is_empty() => Err("a key without letters or digits would match nothing".to_owned()),
        key => Ok(Kind::Key(key)),
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `creditCard`, `credit_card` and `Credit-Card` are one.
pub fn plain(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Kind {
        Target::parse(text).unwrap().kind
    }

    #[test]
    fn paths_and_keys_are_told_apart() {
        let path = |text: &str| Kind::Path(FieldPath::parse_pattern(text).unwrap().steps().to_vec());
        assert_eq!(kind("/data/a~1b/*"), path("data.'a/b'.*"));
        assert_eq!(kind("data.card.number"), path("data.card.number"));
        assert_eq!(kind("$.data.card"), path("data.card"));
        assert_eq!(kind("metadata[\"a.b\"]"), path("metadata.'a.b'"));
        assert_eq!(kind("Credit_Card"), Kind::Key("creditcard".to_owned()));
        assert_eq!(kind("data"), Kind::Key("data".to_owned()));
        assert_eq!(kind("\"card.number\""), Kind::ExactKey("card.number".to_owned()));
        assert_eq!(kind("'Data.x'"), Kind::ExactKey("Data.x".to_owned()));
    }

    #[test]
    fn what_would_match_nothing_is_refused_with_a_suggestion() {
        let error = |text: &str| Target::parse(text).unwrap_err();
        assert_eq!(error("/card"), "the pointer `/card` must begin with /data or /metadata, as in `/data/card`");
        assert!(error("a/b").contains("as in `/data/a/b`"));
        assert_eq!(
            error("card.number"),
            "`card.number` is no single key: write `data.card.number` for the value at that path, or `\"card.number\"` in quotes for a key of that name at any depth"
        );
        assert!(error("cards[0]").contains("write `data.cards[0]`"));
        assert!(error("\"a\".b").contains("write a path as `data.\"a\".b`"));
        assert!(error("data..x").contains("has an empty part"));
        assert!(Target::parse("_").is_err());
    }
}
