//! A path names one value of an event: `type`, `data.service`, `data.hosts.0.name`, `metadata.team`.

use std::fmt;

use serde::Deserialize;

/// Which value of an event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Path {
    Id,
    Type,
    /// The event type as words: "Circuit breaker opened".
    Title,
    Timestamp,
    Tenant,
    /// Keys into the data; none of them: all of it.
    Data(Vec<String>),
    Metadata(Vec<String>),
}

impl Path {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split('.');
        let first = parts.next().unwrap_or_default();
        let keys: Vec<String> = parts.map(str::to_owned).collect();
        if keys.iter().any(String::is_empty) {
            return Err(format!("`{text}` has an empty part: write it as `data.service`"));
        }
        match (first, keys.is_empty()) {
            ("data", _) => Ok(Self::Data(keys)),
            ("metadata", _) => Ok(Self::Metadata(keys)),
            ("id", true) => Ok(Self::Id),
            ("type", true) => Ok(Self::Type),
            ("title", true) => Ok(Self::Title),
            ("timestamp", true) => Ok(Self::Timestamp),
            ("tenant", true) => Ok(Self::Tenant),
            _ => Err(format!(
                "`{text}` names no value of an event: there are type, title, id, timestamp, tenant, data.… and metadata.…"
            )),
        }
    }

    /// The key that the value stands under.
    pub fn name(&self) -> &str {
        match self {
            Self::Id => "id",
            Self::Type => "type",
            Self::Title => "title",
            Self::Timestamp => "timestamp",
            Self::Tenant => "tenant",
            Self::Data(keys) => keys.last().map_or("data", String::as_str),
            Self::Metadata(keys) => keys.last().map_or("metadata", String::as_str),
        }
    }
}

impl TryFrom<String> for Path {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, keys): (&str, &[String]) = match self {
            Self::Data(keys) => ("data", keys),
            Self::Metadata(keys) => ("metadata", keys),
            other => (other.name(), &[]),
        };
        f.write_str(first)?;
        keys.iter().try_for_each(|key| write!(f, ".{key}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_it_is_read() {
        for text in ["id", "type", "title", "timestamp", "tenant", "data", "data.a.0.b", "metadata.team"] {
            assert_eq!(Path::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_path_into_nothing_is_refused_with_what_there_is() {
        let error = Path::parse("service").unwrap_err();
        assert_eq!(
            error,
            "`service` names no value of an event: there are type, title, id, timestamp, tenant, data.… and metadata.…"
        );
        assert_eq!(Path::parse("data..x").unwrap_err(), "`data..x` has an empty part: write it as `data.service`");
        assert!(Path::parse("id.x").is_err());
    }
}
