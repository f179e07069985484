//! The reference tables of docs/config.md are made of the registry: `UPDATE_DOCS=1 cargo test config::tests::docs` writes
//! them. Between `<!-- keys: NAME -->` and `<!-- end -->` nobody writes.

use std::path::Path;

use crate::config::keys::document::{NETWORK, RETENTION, ROOT, SERVER, STORAGE};
use crate::config::keys::egress::{AUTH, BASIC, OAUTH2, WEBHOOK_NETWORK, WEBHOOK_TLS};
use crate::config::keys::event_types::EVENT_TYPE;
use crate::config::keys::headers::SIGNATURE;
use crate::config::keys::key::{DefaultValue, Key, Keys, Kind};
use crate::config::keys::lane::{BATCH, BREAKER, ORDER};
use crate::config::keys::protection::{CORS, RATE_LIMIT, TLS};
use crate::config::keys::retry::RETRY;
use crate::config::keys::tokens::TOKEN;
use crate::config::keys::transform::{LIMITS, STAGE, TRANSFORMER};
use crate::config::keys::webhook::rows::{DEFAULTS, WEBHOOK};
use crate::config::schema;
use crate::routing::OPERATORS;

const TABLES: [(&str, &Keys); 22] = [
    ("top level", &ROOT),
    ("server", &SERVER),
    ("server.rate_limit", &RATE_LIMIT),
    ("server.cors", &CORS),
    ("server.tls", &TLS),
    ("tokens", &TOKEN),
    ("storage", &STORAGE),
    ("retention", &RETENTION),
    ("network", &NETWORK),
    ("webhooks", &WEBHOOK),
    ("webhook network", &WEBHOOK_NETWORK),
    ("webhook tls", &WEBHOOK_TLS),
    ("transform", &STAGE),
    ("signature", &SIGNATURE),
    ("auth", &AUTH),
    ("auth.basic", &BASIC),
    ("auth.oauth2", &OAUTH2),
    ("retry", &RETRY),
    ("batch", &BATCH),
    ("order_by", &ORDER),
    ("breaker", &BREAKER),
    ("event_types", &EVENT_TYPE),
];

fn table(keys: &Keys) -> String {
    let rows = keys.known().map(row);
    format!("| key | type | default | range | |\n|---|---|---|---|---|\n{}", rows.collect::<String>())
}

fn row(key: &Key) -> String {
    let default = match (key.required, key.default) {
        (true, _) => "required".to_owned(),
        (_, DefaultValue::Words(words)) => words.to_owned(),
        _ => key.default_toml().map_or_else(|| "none".to_owned(), |toml| format!("`{toml}`")),
    };
    let off = if key.or_false { " or `false`" } else { "" };
    let link = if key.link.is_empty() { String::new() } else { format!("; [more](#{})", key.link) };
    let cell = |text: String| text.replace('|', "\\|");
    format!(
        "| `{}` | {}{off} | {} | {} | {}{link} |\n",
        key.name,
        cell(key.kind.words()),
        cell(default),
        key.kind.range(),
        cell(key.doc.to_owned())
    )
}

fn operators() -> String {
    let mut out =
        "| operator | the field … | operand | values that it can be asked of | example |\n|---|---|---|---|---|\n".to_owned();
    for operator in OPERATORS {
        let cell = |text: &str| text.replace('|', "\\|");
        out += &format!(
            "| `{}` | {} | {} | {} | `filter.data.{}` |\n",
            operator.name,
            cell(operator.doc),
            operator.operand,
            operator.values,
            cell(operator.example)
        );
    }
    out
}

fn names(keys: impl Iterator<Item = &'static str>) -> String {
    let names: Vec<String> = keys.map(|name| format!("`{name}`")).collect();
    format!("{}.\n", names.join(", "))
}

/// Every table that has keys which this version does not have.
fn later() -> String {
    let others = [("[transformers.NAME]", &TRANSFORMER), ("limits", &LIMITS)];
    let mut out = "| where | keys |\n|---|---|\n".to_owned();
    for (_, keys) in TABLES.iter().chain(&others) {
        let later: Vec<String> = keys.keys.iter().filter(|key| key.later).map(|key| format!("`{}`", key.name)).collect();
        if !later.is_empty() {
            out += &format!("| {} | {} |\n", keys.table, later.join(", "));
        }
    }
    out
}

/// The generated part of that name.
fn section(name: &str) -> String {
    match name {
        "operators" => operators(),
        "defaults" => names(DEFAULTS.known().map(|key| key.name)),
        "later" => later(),
        "transformers" => {
            let limits: String = LIMITS.known().map(|key| row(key).replacen('`', "`limits.", 1)).collect();
            let own: String = TRANSFORMER.known().filter(|key| key.name != "limits").map(row).collect();
            format!("| key | type | default | range | |\n|---|---|---|---|---|\n{own}{limits}")
        }
        _ => {
            let found = TABLES.iter().find(|(table, _)| *table == name);
            table(found.unwrap_or_else(|| panic!("docs/config.md has a section `{name}` that nobody makes")).1)
        }
    }
}

/// The text with every generated part made again, and the names of these parts.
fn remade(text: &str) -> (String, Vec<String>) {
    let (mut out, mut names) = (String::new(), Vec::new());
    let mut parts = text.split("<!-- keys: ");
    out += parts.next().unwrap();
    for part in parts {
        let (name, rest) = part.split_once(" -->\n").expect("a marker ends its line");
        let (_, after) = rest.split_once("<!-- end -->").unwrap_or_else(|| panic!("`{name}` has no end"));
        out += &format!("<!-- keys: {name} -->\n{}<!-- end -->{after}", section(name));
        names.push(name.to_owned());
    }
    (out, names)
}

#[test]
fn the_reference_tables_are_those_of_the_registry() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (remade, names) = remade(&text);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &remade).unwrap();
    } else {
        for (line, (is, should)) in text.lines().zip(remade.lines()).enumerate() {
            assert_eq!(is, should, "docs/config.md:{}: run UPDATE_DOCS=1 cargo test config::tests::docs", line + 1);
        }
        assert_eq!(text, remade);
    }
    for (table, _) in TABLES {
        assert!(names.iter().any(|name| name == table), "docs/config.md has no table of `{table}`");
    }
    for table in ["operators", "defaults", "later", "transformers"] {
        assert!(names.iter().any(|name| name == table), "docs/config.md has no part `{table}`");
    }
}

#[test]
fn every_link_of_a_table_leads_to_a_heading() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.md");
    let text = std::fs::read_to_string(path).unwrap();
    let anchor = |line: &str| -> String {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c)).collect::<String>().replace(' ', "-")
    };
    let anchors: Vec<String> = text.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    for link in text.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(anchors.iter().any(|anchor| anchor == link), "#{link} is none of {anchors:?}");
    }
}

/// What a default says is what a file without the key has.
#[test]
fn every_default_is_the_one_that_holds() {
    let loaded = |text: &str| super::load(text).settings;
    let tables = [("server", &SERVER), ("retention", &RETENTION), ("network", &NETWORK), ("storage", &STORAGE)];
    for (name, keys) in tables {
        for key in keys.known() {
            let Some(default) = key.default_toml() else { continue };
            assert_eq!(loaded(&format!("[{name}]\n{} = {default}", key.name)), loaded(""), "[{name}] {}", key.name);
        }
    }
    let policy = |lines: &str| {
        let loaded = super::load(&super::webhook(lines));
        let webhook = loaded.settings.webhooks.values().next().unwrap();
        (webhook.policy.clone(), webhook.url.clone(), webhook.tenant.clone())
    };
    for key in WEBHOOK.known() {
        let Some(default) = key.default_toml() else { continue };
        assert_eq!(policy(&format!("{} = {default}", key.name)), policy(""), "{}", key.name);
    }
    let inner: [(&str, &str, &Keys); 3] = [("retry", "", &RETRY), ("batch", "", &BATCH), ("breaker", "", &BREAKER)];
    for (name, _, keys) in inner {
        for key in keys.known() {
            let Some(default) = key.default_toml() else { continue };
            let (with, without) = (format!("{name} = {{ {} = {default} }}", key.name), format!("{name} = {{}}"));
            assert_eq!(policy(&with), policy(&without), "{name}.{}", key.name);
        }
    }
    for key in LIMITS.known() {
        let Some(default) = key.default_toml() else { continue };
        let limits = |text: &str| loaded(text).transformers["a"].limits;
        let with = limits(&format!("[transformers.a]\nlimits.{} = {default}", key.name));
        assert_eq!(with, limits("[transformers.a]"), "limits.{}", key.name);
    }
}

/// A range is what the parser takes: its ends are good, and what is outside of them is not.
#[test]
fn every_range_is_the_one_that_the_parser_has() {
    let mut checked = 0;
    for key in WEBHOOK.known() {
        let Kind::Duration(from, to) = key.kind else { continue };
        let show = crate::config::text::units::show_duration;
        for (value, good) in [(from, true), (to, true), (to + std::time::Duration::from_millis(1), false)] {
            let text = super::webhook(&format!("{} = \"{}\"", key.name, show(value)));
            assert_eq!(super::load_files(&text, &[]).is_ok(), good, "{} = {value:?}", key.name);
            checked += 1;
        }
    }
    assert!(checked >= 12, "{checked}");
}

/// What the parser knows, an editor completes, and the other way round.
#[test]
fn the_schema_has_the_keys_of_the_registry() {
    let schema = schema();
    let completed = |pointer: &str| -> Vec<String> {
        let properties = schema.pointer(&format!("{pointer}/properties")).and_then(serde_json::Value::as_object);
        properties.unwrap_or_else(|| panic!("{pointer}")).keys().cloned().collect()
    };
    let known = |keys: &Keys| -> Vec<String> {
        let mut names: Vec<String> = keys.names().into_iter().map(str::to_owned).collect();
        names.extend(keys.keys.iter().filter(|key| key.later && key.or_false).map(|key| key.name.to_owned()));
        names.sort();
        names
    };
    assert_eq!(completed(""), known(&ROOT));
    assert_eq!(completed("/properties/server"), known(&SERVER));
    assert_eq!(completed("/properties/defaults"), known(&DEFAULTS));
    let webhook = "/properties/webhooks/patternProperties/^[A-Za-z0-9_-]{1,100}$";
    assert_eq!(completed(webhook), known(&WEBHOOK));
}
