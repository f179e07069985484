//! An event as the formatters look at it.

use std::borrow::Cow;

use tenterhook_transformer::Event;

use crate::{Json, Path, humanize};

/// An event with its payload at hand, nothing copied.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub event: &'a Event,
    pub data: Json<'a>,
    pub metadata: Option<Json<'a>>,
}

impl<'a> View<'a> {
    pub fn new(event: &'a Event) -> Self {
        Self { event, data: Json::new(&event.data), metadata: event.metadata.as_deref().map(Json::new) }
    }

    /// `None` for what is not there, and for null.
    pub fn value(&self, path: &Path) -> Option<Cow<'a, str>> {
        match path {
            Path::Id => Some(Cow::Borrowed(&self.event.id)),
            Path::Type => Some(Cow::Borrowed(&self.event.type_)),
            Path::Title => Some(Cow::Owned(humanize(&self.event.type_))),
            Path::Timestamp => Some(Cow::Borrowed(&self.event.timestamp)),
            Path::Tenant => self.event.tenant.as_deref().map(Cow::Borrowed),
            Path::Data(keys) => dig(self.data, keys)?.display(),
            Path::Metadata(keys) => dig(self.metadata?, keys)?.display(),
        }
    }
}

fn dig<'a>(json: Json<'a>, keys: &[String]) -> Option<Json<'a>> {
    keys.iter().try_fold(json, |json, key| json.get(key))
}
