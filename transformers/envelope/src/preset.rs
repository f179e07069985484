//! Shapes of other systems' bodies, for receivers that were written for them.

use serde::Deserialize;
use tenterhook_message::{Path, Template};

use crate::time::Format;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// `{eventId, eventType, timestamp, data}`
    Flexgate,
    /// `{id, type, timestamp, gateway_node, data}`, whole seconds
    Fluxgate,
    /// `{id, event, timestamp, data, metadata}`, whole seconds
    Python,
    /// The data alone, as Svix and Convoy send it.
    Data,
}

/// A field: its name, and where its value is.
pub type Field = (String, Source);

#[derive(Debug, Clone)]
pub enum Source {
    /// Left out when it is not there.
    Path(Path),
    /// An empty object when it is not there.
    ObjectAt(Path),
    /// The first that is there, as text; else null.
    FirstOf(Vec<Path>),
    Text(Template),
    Json(String),
}

impl Preset {
    pub fn fields(self) -> Vec<Field> {
        let field = |name: &str, path: Path| (name.to_owned(), Source::Path(path));
        match self {
            Self::Flexgate => vec![
                field("eventId", Path::Id),
                field("eventType", Path::Type),
                field("timestamp", Path::Timestamp),
                field("data", Path::Data(Vec::new())),
            ],
            Self::Fluxgate => vec![
                field("id", Path::Id),
                field("type", Path::Type),
                field("timestamp", Path::Timestamp),
                (
                    "gateway_node".to_owned(),
                    Source::FirstOf(vec![Path::metadata("gateway_node"), Path::metadata("node"), Path::data("gateway_node")]),
                ),
                field("data", Path::Data(Vec::new())),
            ],
            Self::Python => vec![
                field("id", Path::Id),
                field("event", Path::Type),
                field("timestamp", Path::Timestamp),
                field("data", Path::Data(Vec::new())),
                ("metadata".to_owned(), Source::ObjectAt(Path::Metadata(Vec::new()))),
            ],
            Self::Data => vec![field("data", Path::Data(Vec::new()))],
        }
    }

    pub fn timestamp(self) -> Format {
        match self {
            Self::Flexgate | Self::Data => Format::Rfc3339,
            Self::Fluxgate | Self::Python => Format::Rfc3339Seconds,
        }
    }
}
