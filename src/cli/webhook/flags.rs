//! Flags that are made of the registry of config.toml's keys: one for each key of a webhook whose value fits on a
//! command line as it is. Those with a form of their own (`--type`, `--header`, …) are in `keys`.

use std::sync::LazyLock;

use clap::{Arg, ArgAction, ArgMatches, Command, Error};
use serde_json::{Map, Value};

use super::keys::json_or_text;
use crate::config::{Key, Kind, webhook_keys};

/// Keys that have a flag of their own form, or that only the file may set.
const WITHOUT: [&str; 9] = ["events", "filter", "transform", "headers", "enabled", "retry", "metadata", "network", "tls"];

/// The keys that were given.
#[derive(Debug, Default)]
pub(super) struct Flags(pub(super) Map<String, Value>);

struct Flag {
    key: &'static Key,
    /// `--connect-timeout`, without the dashes.
    name: String,
    help: String,
}

static FLAGS: LazyLock<Vec<Flag>> = LazyLock::new(|| {
    let flag = |key: &'static Key| Flag { key, name: key.name.replace('_', "-"), help: help(key) };
    webhook_keys().filter(|key| !WITHOUT.contains(&key.name)).map(flag).collect()
});

fn help(key: &Key) -> String {
    let text = key.doc.replace('`', "");
    match key.default.shown() {
        Some(default) => format!("{text} [default: {}]", default.replace('`', "")),
        None => text,
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        FLAGS.iter().fold(command, |command, flag| {
            let arg = Arg::new(flag.key.name).long(flag.name.as_str()).value_name(value_name(flag.key)).help(flag.help.as_str());
            command.arg(arg.action(ArgAction::Set))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = |flag: &Flag| {
            let text = matches.get_one::<String>(flag.key.name)?;
            Some((flag.key.name.to_owned(), value(flag.key, text)))
        };
        Ok(Self(FLAGS.iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}

fn value_name(key: &Key) -> &'static str {
    match (key.name, key.kind) {
        ("url", _) => "URL",
        ("secret", _) => "SECRET",
        (_, Kind::Duration(..)) => "TIME",
        (_, Kind::Rate) => "RATE",
        (_, Kind::Integer(..)) => "N",
        (_, Kind::List(..)) => "LIST",
        (_, Kind::Table(_)) => "JSON",
        (_, Kind::Either(_)) => "VALUE|JSON",
        _ => "TEXT",
    }
}

/// Text stays text, also where it looks like a number; a list may be written with commas.
fn value(key: &Key, text: &str) -> Value {
    match key.kind {
        _ if key.or_false && text == "false" => false.into(),
        // One secret: several are for the file, or JSON by --set.
        _ if key.name == "secret" => text.into(),
        Kind::Text | Kind::Line(_) | Kind::Duration(..) | Kind::Rate | Kind::Choice(_) => text.into(),
        Kind::List(..) if !text.trim_start().starts_with('[') => text.split(',').map(str::trim).collect(),
        _ => json_or_text(text),
    }
}
