//! An event as the formatters read it.

use std::borrow::Cow;

use tenterhook_transformer::Event;

use crate::{Json, Kind, Path, Step, humanize, write_string};

/// An event with its payload, not copied and read once.
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
            Path::Data(_) | Path::Metadata(_) => self.find(path)?.display(),
        }
    }

    /// The JSON at a path into data or metadata.
    pub fn find(&self, path: &Path) -> Option<Json<'a>> {
        match path {
            Path::Data(steps) => match steps.split_first() {
                // Its members are read already.
                Some((first, rest)) if self.data.kind() == Kind::Object => follow(self.get(first.key()?)?, rest),
                _ => follow(self.data, steps),
            },
            Path::Metadata(steps) => follow(self.metadata?, steps),
            Path::Id | Path::Type | Path::Title | Path::Timestamp | Path::Tenant => None,
        }
    }

    /// As JSON text: data and metadata byte for byte as they were published, null included; all else as strings. `None`
    /// for what is not there.
    pub fn json(&self, path: &Path) -> Option<Cow<'a, str>> {
        let borrowed = |json: Json<'a>| Cow::Borrowed(json.text());
        match path {
            Path::Data(_) | Path::Metadata(_) => self.find(path).map(borrowed),
            Path::Id | Path::Type | Path::Title | Path::Timestamp | Path::Tenant => {
                let mut quoted = String::new();
                write_string(&mut quoted, &self.value(path)?);
                Some(Cow::Owned(quoted))
            }
        }
    }
}

fn follow<'a>(json: Json<'a>, steps: &[Step]) -> Option<Json<'a>> {
    steps.iter().try_fold(json, Json::step)
}
