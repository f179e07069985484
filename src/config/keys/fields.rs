//! Reading by the registry: which keys a table may have, and the value of each by its kind. Owns the words for unknown
//! keys; refuses to know a key by name.

use std::time::Duration;

use super::key::{Key, Keys, Kind};
use super::read::{self, list, nearest};
use crate::config::text::report::{Report, quote};
use crate::config::text::tree::{Entry, Node, Table, Value};

/// Keys of the top level that are no tables: written below a header, they have become keys of that table.
const TOP_LEVEL: [&str; 2] = ["catalogue", "include"];

/// Reports every key that is not known; returns those that were probably meant, so that they are not reported as missing too.
pub(crate) fn check_keys(table: &Table, keys: &Keys, report: &mut Report) -> Vec<&'static str> {
    let mut meant = Vec::new();
    for Entry { key, node } in table.entries() {
        let name = key.name.as_str();
        let shown = quote(name);
        match keys.get(name) {
            Some(known) if !known.later => continue,
            // What is not there is off.
            Some(later) if later.or_false && matches!(node.value, Value::Boolean(false)) => continue,
            Some(_) => {
                report
                    .error(key.span, format!("{shown} is not available in this version"))
                    .help("remove it: a key takes effect or is refused, it is never ignored");
                continue;
            }
            None => {}
        }
        if TOP_LEVEL.contains(&name) {
            report
                .error(key.span, format!("{shown} is in {}, but belongs to the top level", keys.table))
                .help("write it above the first [table] of the file");
            continue;
        }
        if let Some((_, why)) = keys.refused.iter().find(|(refused, _)| *refused == name) {
            report.error(key.span, format!("{shown} is not allowed in {}: {why}", keys.table));
            continue;
        }
        let names = keys.names();
        let elsewhere = || keys.elsewhere.iter().find_map(|other| Some((other.table, nearest(name, &other.names())?)));
        if let Some(known) = keys.alias(name).or_else(|| nearest(name, &names)) {
            meant.push(known);
            report.error(key.span, format!("unknown key {shown}, did you mean `{known}`?"));
        } else if let Some((table, known)) = elsewhere() {
            report.error(key.span, format!("unknown key {shown}, did you mean `{known}` of {table}?"));
        } else {
            report.error(key.span, format!("unknown key {shown}")).help(format!("{} takes {}", keys.table, list(&names)));
        }
    }
    meant
}

/// The value of one key, by what the registry says of it. `shown` is how messages call the key: `batch.max_events`.
impl Key {
    pub(crate) fn duration(&self, shown: &str, node: &Node, report: &mut Report) -> Option<Duration> {
        match self.kind {
            Kind::Duration(from, to) => read::duration(node, shown, from..=to, self.shown_example(), report),
            _ => self.is_not("a duration"),
        }
    }

    pub(crate) fn size(&self, shown: &str, node: &Node, report: &mut Report) -> Option<usize> {
        match self.kind {
            Kind::Size(from, to) => read::size(node, shown, from..=to, self.shown_example(), report),
            _ => self.is_not("a size"),
        }
    }

    pub(crate) fn integer(&self, shown: &str, node: &Node, report: &mut Report) -> Option<i64> {
        match self.kind {
            Kind::Integer(from, to) => read::integer(node, shown, from..=to, self.shown_example(), report),
            _ => self.is_not("an integer"),
        }
    }

    pub(crate) fn number(&self, shown: &str, node: &Node, report: &mut Report) -> Option<f64> {
        match self.kind {
            Kind::Number(from, to) => read::number(node, shown, from..=to, self.shown_example(), report),
            _ => self.is_not("a number"),
        }
    }

    /// One of the words of a [`Kind::Choice`]; `else_help` says more than their list where that is too little.
    pub(crate) fn choice(&self, shown: &str, else_help: &str, node: &Node, report: &mut Report) -> Option<&'static str> {
        let Kind::Choice(names) = self.kind else { return self.is_not("a choice") };
        let text = read::string(node, shown, self.shown_example(), report)?;
        if let Some(name) = names.iter().find(|name| **name == text.value()) {
            return Some(name);
        }
        let help = match nearest(text.value(), names).filter(|_| text.expanded.is_none()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None if else_help.is_empty() => format!("there are {}", list(names)),
            None => else_help.to_owned(),
        };
        report.error_about(node.span, [node], &format!("`{shown}` cannot be"), &quote(text.value())).help(help);
        None
    }

    /// Only a mistake in this program comes here: a reader that asks for another kind than the registry has.
    fn is_not<T>(&self, what: &str) -> Option<T> {
        debug_assert!(false, "`{}` is not {what} in the registry", self.name);
        None
    }
}

/// A table while it is being read: each value goes where the caller keeps it, when it is good.
pub(crate) struct Fields<'t> {
    table: &'t Table,
    keys: &'static Keys,
    /// Before a key's name in messages: `batch.`.
    prefix: &'static str,
    /// Keys that are misspelt in the table: they are not missing.
    pub(crate) meant: Vec<&'static str>,
    /// Whether every value was good so far.
    pub(crate) good: bool,
}

impl<'t> Fields<'t> {
    pub(crate) fn new(table: &'t Table, keys: &'static Keys, prefix: &'static str, report: &mut Report) -> Self {
        let meant = check_keys(table, keys, report);
        let good = meant.is_empty();
        Self { table, keys, prefix, meant, good }
    }

    pub(crate) fn duration(&mut self, name: &str, slot: &mut Duration, report: &mut Report) {
        self.with(name, slot, report, Key::duration);
    }

    pub(crate) fn size(&mut self, name: &str, slot: &mut usize, report: &mut Report) {
        self.with(name, slot, report, Key::size);
    }

    pub(crate) fn number(&mut self, name: &str, slot: &mut f64, report: &mut Report) {
        self.with(name, slot, report, Key::number);
    }

    /// The registry's range fits the slot's type.
    pub(crate) fn integer<T: TryFrom<i64>>(&mut self, name: &str, slot: &mut T, report: &mut Report) {
        self.with(name, slot, report, |key, shown, node, report| T::try_from(key.integer(shown, node, report)?).ok());
    }

    /// With a reader for what is no plain value.
    pub(crate) fn with<T>(
        &mut self,
        name: &str,
        slot: &mut T,
        report: &mut Report,
        read: impl FnOnce(&Key, &str, &'t Node, &mut Report) -> Option<T>,
    ) {
        let Some(key) = self.keys.get(name) else {
            debug_assert!(false, "`{name}` is not in the registry");
            return;
        };
        let Some(entry) = self.table.get(name) else { return };
        match read(key, &format!("{}{name}", self.prefix), &entry.node, report) {
            Some(value) => *slot = value,
            None => self.good = false,
        }
    }
}
