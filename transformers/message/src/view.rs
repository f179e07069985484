//! An event as the formatters look at it.

use std::borrow::Cow;

use tenterhook_transformer::Event;

use crate::{Json, Kind, Path, humanize, write_string};

/// An event with its payload at hand, not copied, and looked through once.
#[derive(Debug, Clone)]
pub struct View<'a> {
    pub event: &'a Event,
    pub data: Json<'a>,
    /// Of the data, in its order; none if it is no object.
    pub members: Vec<Member<'a>>,
    pub metadata: Option<Json<'a>>,
}

#[derive(Debug, Clone)]
pub struct Member<'a> {
    pub key: Cow<'a, str>,
    /// With its quotes and escapes.
    pub raw_key: &'a str,
    pub value: Json<'a>,
}

impl<'a> View<'a> {
    pub fn new(event: &'a Event) -> Self {
        let data = Json::new(&event.data);
        let member = |(raw_key, value)| Member { key: Json::new(raw_key).as_string().unwrap_or_default(), raw_key, value };
        let members = data.raw_members().map(member).collect();
        Self { event, data, members, metadata: event.metadata.as_deref().map(Json::new) }
    }

    /// The last member of the data of that name.
    pub fn get(&self, key: &str) -> Option<Json<'a>> {
        self.members.iter().rev().find(|member| member.key == key).map(|member| member.value)
    }

    /// `None` for what is not there, and for null.
    pub fn value(&self, path: &Path) -> Option<Cow<'a, str>> {
        match path {
            Path::Id => Some(Cow::Borrowed(&self.event.id)),
            Path::Type => Some(Cow::Borrowed(&self.event.type_)),
            Path::Title => Some(Cow::Owned(humanize(&self.event.type_))),
            Path::Timestamp => Some(Cow::Borrowed(&self.event.timestamp)),
            Path::Tenant => self.event.tenant.as_deref().map(Cow::Borrowed),
            Path::Data(keys) => match keys.split_first() {
                Some((first, rest)) if self.data.kind() == Kind::Object => dig(self.get(first)?, rest)?.display(),
                _ => dig(self.data, keys)?.display(),
            },
            Path::Metadata(keys) => dig(self.metadata?, keys)?.display(),
        }
    }

    /// As JSON text: data and metadata byte for byte as they were published, null included; all else as strings. `None`
    /// for what is not there.
    pub fn json(&self, path: &Path) -> Option<Cow<'a, str>> {
        let borrowed = |json: Json<'a>| Cow::Borrowed(json.text());
        match path {
            Path::Data(keys) => dig(self.data, keys).map(borrowed),
            Path::Metadata(keys) => dig(self.metadata?, keys).map(borrowed),
            Path::Id | Path::Type | Path::Title | Path::Timestamp | Path::Tenant => {
                let mut quoted = String::new();
                write_string(&mut quoted, &self.value(path)?);
                Some(Cow::Owned(quoted))
            }
        }
    }
}

fn dig<'a>(json: Json<'a>, keys: &[String]) -> Option<Json<'a>> {
    keys.iter().try_fold(json, |json, key| json.get(key))
}
