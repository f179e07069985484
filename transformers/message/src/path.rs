//! A path names one value of an event: `type`, `data.service`, `data.hosts[0].name`, `data.labels."a.b/c"`, `metadata.team`.

use std::fmt;

use serde::Deserialize;

use crate::{FieldPath, Step};

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
    /// Steps into the data; without steps, all of it.
    Data(Vec<Step>),
    Metadata(Vec<Step>),
}

impl Path {
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = FieldPath::parse(text)?;
        let rest = path.steps().get(1..).unwrap_or_default().to_vec();
        match (path.field(), rest.is_empty()) {
            ("data", _) => Ok(Self::Data(rest)),
            ("metadata", _) => Ok(Self::Metadata(rest)),
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

    /// The member of the data with this key.
    pub fn data(key: &str) -> Self {
        Self::Data(vec![Step::quoted(key)])
    }

    /// The member of the metadata with this key.
    pub fn metadata(key: &str) -> Self {
        Self::Metadata(vec![Step::quoted(key)])
    }

    /// The last key of the path.
    pub fn name(&self) -> &str {
        match self {
            Self::Id => "id",
            Self::Type => "type",
            Self::Title => "title",
            Self::Timestamp => "timestamp",
            Self::Tenant => "tenant",
            Self::Data(steps) => steps.last().and_then(Step::key).unwrap_or("data"),
            Self::Metadata(steps) => steps.last().and_then(Step::key).unwrap_or("metadata"),
        }
    }

    /// Whether it is the member of the data with this key.
    pub fn is_member(&self, key: &str) -> bool {
        matches!(self, Self::Data(steps) if matches!(steps.as_slice(), [step] if step.key() == Some(key)))
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
        match self {
            Self::Data(steps) => write!(f, "{}", FieldPath::under("data", steps)),
            Self::Metadata(steps) => write!(f, "{}", FieldPath::under("metadata", steps)),
            Self::Id | Self::Type | Self::Title | Self::Timestamp | Self::Tenant => f.write_str(self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_it_is_read() {
        for text in
            ["id", "type", "title", "timestamp", "tenant", "data", "data.a.0.b", "metadata.team", "data.labels.\"a.b/c\".\"0\""]
        {
            assert_eq!(Path::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Path::parse("data[\"a.b\"][0]").unwrap().to_string(), "data.\"a.b\".0");
    }

    #[test]
    fn a_path_into_nothing_is_refused_with_what_there_is() {
        let error = Path::parse("service").unwrap_err();
        assert_eq!(
            error,
            "`service` names no value of an event: there are type, title, id, timestamp, tenant, data.… and metadata.…"
        );
        assert!(
            Path::parse("data..x").unwrap_err().starts_with("`data..x` has an empty part: write a path such as data.service")
        );
        assert!(Path::parse("id.x").is_err());
    }
}
