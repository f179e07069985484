//! Where a value is: a JSON Pointer into the event (`/data/card/number`, with `*` for any key or index), or the name of a key
//! at any depth (`password`).

use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Place {
    /// Its parts, `data` or `metadata` first; `None` is any.
    Pointer(Vec<Option<String>>),
    /// In lower case, without `_` and `-`.
    Key(String),
}

impl Place {
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            if text.contains('/') {
                return Err(format!("`{text}` is neither a key nor a pointer: a pointer begins with `/`, as in `/data/{text}`"));
            }
            let key = plain(text);
            if key.is_empty() {
                return Err("a key without letters or digits would match nothing".to_owned());
            }
            return Ok(Self::Key(key));
        };
        let part = |part: &str| (part != "*").then(|| part.replace("~1", "/").replace("~0", "~"));
        let parts: Vec<Option<String>> = rest.split('/').map(part).collect();
        match parts.first() {
            Some(Some(first)) if first == "data" || first == "metadata" => Ok(Self::Pointer(parts)),
            _ => Err(format!("the pointer `{text}` must begin with /data or /metadata, as in `/data{text}`")),
        }
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

/// `creditCard`, `credit_card` and `Credit-Card` are one.
pub fn plain(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_keys_are_told_apart() {
        let part = |text: &str| Some(text.to_owned());
        assert_eq!(Place::parse("/data/a~1b/*").unwrap(), Place::Pointer(vec![part("data"), part("a/b"), None]));
        assert_eq!(Place::parse("Credit_Card").unwrap(), Place::Key("creditcard".to_owned()));
        assert_eq!(
            Place::parse("/card").unwrap_err(),
            "the pointer `/card` must begin with /data or /metadata, as in `/data/card`"
        );
        assert!(Place::parse("a/b").unwrap_err().contains("as in `/data/a/b`"));
        assert!(Place::parse("_").is_err());
    }
}
