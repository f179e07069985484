//! What filters and order keys see of an event: read at most once, and only when one of them asks.

use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::{Mismatch, lenient};
use crate::model::Event;

/// One event, for the filters of all its webhooks.
pub struct FilterInput<'a> {
    event: &'a Event,
    read: OnceLock<Result<Value, Mismatch>>,
}

impl<'a> FilterInput<'a> {
    /// Costs nothing until a filter asks.
    pub fn new(event: &'a Event) -> Self {
        Self { event, read: OnceLock::new() }
    }

    pub(super) fn value(&self) -> Result<&Value, Mismatch> {
        self.read.get_or_init(|| read(self.event)).as_ref().map_err(Clone::clone)
    }
}

/// Absent fields stay absent, so that `$exist` can tell.
fn read(event: &Event) -> Result<Value, Mismatch> {
    let mut root = Map::new();
    root.insert("id".to_owned(), event.id.as_str().into());
    root.insert("type".to_owned(), event.kind.as_str().into());
    root.insert("timestamp".to_owned(), event.timestamp.to_string().into());
    root.insert("data".to_owned(), read_json("data", &event.data)?);
    if let Some(metadata) = &event.metadata {
        root.insert("metadata".to_owned(), read_json("metadata", metadata)?);
    }
    if let Some(tenant) = &event.tenant {
        root.insert("tenant".to_owned(), (&**tenant).into());
    }
    Ok(Value::Object(root))
}

fn read_json(field: &str, text: &[u8]) -> Result<Value, Mismatch> {
    match serde_json::from_slice(text) {
        Ok(value) => Ok(value),
        // Stored by an older version, which accepted more than a `Value` can hold: what can be read of it is read.
        Err(error) => lenient::read(text).ok_or_else(|| Mismatch::new(field, format!("filters cannot read it: {error}"))),
    }
}
