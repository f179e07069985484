//! The registry's types: a key of config.toml with its name, words, kind, range and default. The parser's list of known
//! keys, its suggestions, the JSON Schema, the API document, flags of the command line and the reference tables of
//! docs/config.md all follow from it. Refuses to read a value.

use std::time::Duration;

#[cfg(test)]
use crate::config::text::units::{show_duration, show_size};

/// One key of a table.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    /// One sentence without a full stop, as editors, the API document and the command line show it.
    pub doc: &'static str,
    pub kind: Kind,
    pub default: DefaultValue,
    /// Whether the table is useless without it.
    pub required: bool,
    /// Whether `false` is allowed: none, even if `[defaults]` has one.
    pub or_false: bool,
    /// Names that other systems have for it: it is suggested for them.
    pub aliases: &'static [&'static str],
    /// The section of docs/config.md that explains it; empty: the table's row is all.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the generated tables of docs/config.md link to sections"))]
    pub link: &'static str,
    /// What messages show as an example; empty: the default, or one for the kind.
    example: &'static str,
    /// A part of the product that this version does not have: refused by name, but for `false`.
    pub later: bool,
}

/// What a key is without being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    Absent,
    /// As it would be written: strings without their quotes.
    Value(&'static str),
    /// In words.
    Words(&'static str),
}

impl DefaultValue {
    pub fn shown(self) -> Option<&'static str> {
        match self {
            Self::Absent => None,
            Self::Value(text) | Self::Words(text) => Some(text),
        }
    }
}

/// What can be written for a key.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Text,
    /// Text of at least one character, and at most this many.
    Line(usize),
    Boolean,
    Integer(i64, i64),
    Number(f64, f64),
    Duration(Duration, Duration),
    Size(u64, u64),
    /// `50/s`, or the name of a service's own rate.
    Rate,
    /// `5000/s`: how often a client may ask.
    Quota,
    /// `429`, `5xx`, `500-503`.
    Status,
    /// `order.*`.
    Pattern,
    /// Relative to the file that names it.
    Path,
    /// One of these texts.
    Choice(&'static [&'static str]),
    Table(&'static Keys),
    /// Tables of one kind, by names of the user's choice: `[webhooks.ID]`.
    Named(&'static Keys),
    /// A preset of `catalogue`.
    Preset,
    /// A table of texts, by names of the user's choice.
    Texts(usize),
    /// A table whose keys are the user's.
    Free,
    /// A filter: docs/config.md has its language.
    Filter,
    List(&'static Kind, usize, usize),
    Either(&'static [Kind]),
    /// `true`, for a table whose defaults are meant.
    True,
}

/// The keys of one kind of table.
#[derive(Debug)]
pub struct Keys {
    /// How messages call the table: `a webhook`, `[server]`.
    pub table: &'static str,
    pub keys: &'static [Key],
    /// Other tables, for a key that is simply in the wrong one.
    pub elsewhere: &'static [&'static Keys],
    /// Keys of related tables that are refused here, and why.
    pub refused: &'static [(&'static str, &'static str)],
}

impl Key {
    pub const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            name,
            doc,
            kind,
            default: DefaultValue::Absent,
            required: false,
            or_false: false,
            aliases: &[],
            link: "",
            example: "",
            later: false,
        }
    }

    /// A key that this version does not have.
    pub const fn later(name: &'static str) -> Self {
        Self { later: true, ..Self::new(name, Kind::Free, "") }
    }

    pub const fn default(self, value: &'static str) -> Self {
        Self { default: DefaultValue::Value(value), ..self }
    }

    pub const fn default_words(self, words: &'static str) -> Self {
        Self { default: DefaultValue::Words(words), ..self }
    }

    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub const fn or_false(self) -> Self {
        Self { or_false: true, ..self }
    }

    pub const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    pub const fn link(self, link: &'static str) -> Self {
        Self { link, ..self }
    }

    pub const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    /// What messages show: `5s`, `1MiB`, `10`.
    pub fn shown_example(&self) -> &'static str {
        match (self.example, self.default, self.kind) {
            ("", DefaultValue::Value(value), _) if !value.is_empty() => value,
            ("", _, Kind::Duration(..)) => "30s",
            ("", _, Kind::Size(..)) => "1MiB",
            ("", _, Kind::Integer(..) | Kind::Number(..)) => "1",
            ("", _, _) => "text",
            (example, ..) => example,
        }
    }

    /// The same key where `false` does not occur.
    pub fn without_false(self) -> Self {
        Self { or_false: false, ..self }
    }

    /// The default as TOML writes it, for docs/config.md.
    #[cfg(test)]
    pub fn default_toml(&self) -> Option<String> {
        let DefaultValue::Value(value) = self.default else { return None };
        Some(if self.kind.is_text(value) { format!("{value:?}") } else { value.to_owned() })
    }
}

/// For the tables of docs/config.md, which a test writes and compares.
#[cfg(test)]
impl Kind {
    /// Whether this value is written in quotes.
    fn is_text(&self, value: &str) -> bool {
        match self {
            Self::Boolean | Self::Integer(..) | Self::Number(..) => false,
            Self::Table(_) | Self::Named(_) | Self::Texts(_) | Self::Free | Self::Filter | Self::List(..) | Self::True => false,
            Self::Either(_) => !value.starts_with(['[', '{']) && !matches!(value, "true" | "false"),
            _ => true,
        }
    }

    /// As docs name it: `duration`, `list of patterns`.
    pub fn words(&self) -> String {
        match self {
            Self::Text | Self::Line(_) => "string".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Integer(..) => "integer".to_owned(),
            Self::Number(..) => "number".to_owned(),
            Self::Duration(..) => "duration".to_owned(),
            Self::Size(..) => "size".to_owned(),
            Self::Rate | Self::Quota => "rate".to_owned(),
            Self::Status => "status".to_owned(),
            Self::Pattern => "pattern".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Preset => "name".to_owned(),
            Self::Choice(names) => names.iter().map(|name| format!("`\"{name}\"`")).collect::<Vec<_>>().join(", "),
            Self::Table(_) | Self::Named(_) | Self::Texts(_) | Self::Free | Self::Filter => "table".to_owned(),
            Self::List(of, ..) => match of {
                Self::Status => "list of statuses".to_owned(),
                Self::Choice(_) | Self::Either(_) => "list".to_owned(),
                of => format!("list of {}s", of.words()),
            },
            Self::Either(kinds) => {
                let mut words: Vec<String> = kinds.iter().map(Self::words).collect();
                words.dedup();
                words.join(" or ")
            }
            Self::True => "`true`".to_owned(),
        }
    }

    /// As docs write it: `1 to 1,000`, `1ms to 10m`; empty without one.
    pub fn range(&self) -> String {
        match self {
            Self::Line(max) => format!("1 to {} characters", thousands(*max as u64)),
            Self::Integer(from, to) => format!("{} to {}", thousands(from.unsigned_abs()), thousands(to.unsigned_abs())),
            Self::Number(from, to) => format!("{from} to {to}"),
            Self::Duration(from, to) => format!("{} to {}", show_duration(*from), show_duration(*to)),
            Self::Size(from, to) => format!("{} to {}", show_size(*from), show_size(*to)),
            Self::Texts(max) => format!("at most {} entries", thousands(*max as u64)),
            Self::List(_, 0, max) => format!("at most {} entries", thousands(*max as u64)),
            Self::List(_, min, max) => format!("{min} to {} entries", thousands(*max as u64)),
            Self::Either(kinds) => kinds.iter().map(Self::range).find(|range| !range.is_empty()).unwrap_or_default(),
            _ => String::new(),
        }
    }
}

/// `1,000`.
#[cfg(test)]
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl Keys {
    pub const fn new(table: &'static str, keys: &'static [Key]) -> Self {
        Self { table, keys, elsewhere: &[], refused: &[] }
    }

    pub const fn refusing(self, refused: &'static [(&'static str, &'static str)]) -> Self {
        Self { refused, ..self }
    }

    pub const fn elsewhere(self, elsewhere: &'static [&'static Self]) -> Self {
        Self { elsewhere, ..self }
    }

    /// Those that this version has.
    pub fn known(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.keys.iter().filter(|key| !key.later)
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.known().map(|key| key.name).collect()
    }

    pub fn get(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The key that this other name means.
    pub fn alias(&self, name: &str) -> Option<&'static str> {
        self.known().find(|key| key.aliases.contains(&name)).map(|key| key.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_words_and_ranges() {
        let minute = Duration::from_secs(60);
        assert_eq!(
            (Kind::Duration(minute, minute * 60).words(), Kind::Duration(minute, minute * 60).range()),
            ("duration".into(), "1m to 1h".into())
        );
        assert_eq!(Kind::Integer(1, 1_000_000).range(), "1 to 1,000,000");
        assert_eq!(Kind::List(&Kind::Pattern, 1, 1_000).words(), "list of patterns");
        assert_eq!(Kind::List(&Kind::Pattern, 1, 1_000).range(), "1 to 1,000 entries");
        assert_eq!(Kind::Either(&[Kind::Text, Kind::Free]).words(), "string or table");
    }

    #[test]
    fn a_default_is_written_as_toml_writes_it() {
        let key = |kind, value| Key::new("x", kind, "").default(value).default_toml();
        assert_eq!(key(Kind::Size(0, 1), "1MiB").as_deref(), Some("\"1MiB\""));
        assert_eq!(key(Kind::Integer(0, 1), "10").as_deref(), Some("10"));
        assert_eq!(key(Kind::Either(&[Kind::Text, Kind::Free]), "{ a = 1 }").as_deref(), Some("{ a = 1 }"));
        assert_eq!(Key::new("x", Kind::Text, "").default_toml(), None);
    }
}
