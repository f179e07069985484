//! `[tokens.NAME]`: who may do what over the API. Refuses two names for one token, and to show one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::check_name;
use super::fields::check_keys;
use super::key::{Key, Keys, Kind};
use super::read::{self, list, nearest};
use super::secret::{self, Slips};
use crate::config::settings::{Scope, TokenSettings};
use crate::config::text::report::{Report, quote};
use crate::config::text::tree::{Entry, Node, Span, Table, Value};
use crate::model::TENANT_CHARS_MAX;
use crate::signing::{Secret, slip};

pub(crate) static TOKEN: Keys = Keys::new(
    "a token",
    &[
        Key::new("token", Kind::Text, "Visible ASCII without spaces, at most 1,000 characters; fewer than 16 get a warning")
            .required()
            .aliases(&["secret"]),
        Key::new("scopes", Kind::List(&Kind::Choice(&SCOPES), 1, 3), "`publish`, `read`, `manage` (implies the others)")
            .required()
            .aliases(&["scope"]),
        Key::new(
            "tenant",
            Kind::Line(TENANT_CHARS_MAX),
            "It sees and manages only what is this tenant's, and publishes as this tenant",
        )
        .aliases(&["tenant_id"]),
    ],
);

const SCOPES: [&str; 3] = ["publish", "read", "manage"];

const TOKENS_MAX: usize = 1_000;

/// Shorter tokens are guessed; longer ones do not fit into a header line.
const TOKEN_CHARS_GOOD: usize = 16;
const TOKEN_CHARS_MAX: usize = 1_000;

pub(crate) fn tokens(named: &[(&Entry, &Table)], report: &mut Report) -> Vec<TokenSettings> {
    let mut first: BTreeMap<&str, Span> = BTreeMap::new();
    let mut tokens = Vec::new();
    for (entry, table) in named {
        let settings = token(entry, table, report);
        if let Some(Entry { node: Node { span, value: Value::String(text) }, .. }) = table.get("token") {
            match first.get(secret::text_of(text)) {
                Some(first) => {
                    report
                        .error(*span, "two names have the same token, so that it is not clear what it may do")
                        .also(*first, "the other one is")
                        .help("make one for each: openssl rand -hex 32");
                }
                None => {
                    first.insert(secret::text_of(text), *span);
                }
            }
        }
        tokens.extend(settings);
    }
    if named.len() > TOKENS_MAX {
        report.error(named[TOKENS_MAX].0.key.span, format!("more than {TOKENS_MAX} tokens"));
    }
    tokens
}

fn token(entry: &Entry, table: &Table, report: &mut Report) -> Option<TokenSettings> {
    let meant = check_keys(table, &TOKEN, report);
    let good_name = check_name(entry, "token", report);
    let missing = |key: &'static str, report: &mut Report, help: &str| {
        if !meant.contains(&key) && !report.sources.is_broken(entry.key.span.file) {
            report.error(entry.key.span, format!("the token {} has no `{key}`", quote(&entry.key.name))).help(help);
        }
    };
    let secret = match table.get("token") {
        Some(entry) => token_secret(&entry.node, report),
        None => {
            missing("token", report, "add token = \"${NAME_OF_A_VARIABLE}\"");
            None
        }
    };
    let scopes = match table.get("scopes") {
        Some(entry) => scopes(&entry.node, report),
        None => {
            missing("scopes", report, "add scopes = [\"publish\"], or \"read\", or \"manage\" which implies the others");
            None
        }
    };
    let tenant = table.get("tenant").map(|entry| tenant(&entry.node, report));
    let place = report.sources.place(entry.key.span);
    let tenant = match tenant {
        None => None,
        // A token whose tenant cannot be read must not become one for everything.
        Some(tenant) => Some(tenant?),
    };
    (good_name).then_some(TokenSettings { name: entry.key.name.clone(), token: secret?, scopes: scopes?, tenant, place })
}

fn tenant(node: &Node, report: &mut Report) -> Option<Arc<str>> {
    let text = read::string(node, "tenant", "acme", report)?.value();
    let good = !text.trim().is_empty() && text.chars().count() <= TENANT_CHARS_MAX && !text.chars().any(char::is_control);
    if !good {
        report.error(
            node.span,
            format!("`tenant` must be 1 to {TENANT_CHARS_MAX} characters, none of them a control character: as events name it"),
        );
    }
    good.then(|| text.into())
}

fn token_secret(node: &Node, report: &mut Report) -> Option<Secret> {
    const MAKE: &str = "make one: openssl rand -hex 32";
    let value = secret::text_of(read::string(node, "token", "${TENTERHOOK_TOKEN}", report)?);
    if value.is_empty() {
        report.error(node.span, "`token` is empty").help(MAKE);
        return None;
    }
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) || value.len() > TOKEN_CHARS_MAX {
        let rule = format!("must be at most {TOKEN_CHARS_MAX} visible ASCII characters, without spaces: it travels in a header");
        let problem = slip(value).map_or(rule, |(slip, _)| slip.to_string());
        report.error(node.span, format!("`token` {problem}")).help(MAKE);
        return None;
    }
    if !secret::check(value, "token", Slips::InFile, node, report) {
        return None;
    }
    match Secret::parse(value) {
        Ok(secret) => {
            if value.len() < TOKEN_CHARS_GOOD {
                report
                    .warning(node.span, format!("`token` has fewer than {TOKEN_CHARS_GOOD} characters and can be guessed"))
                    .help(MAKE);
            }
            Some(secret)
        }
        Err(_) => {
            // The parser's words may hold the secret.
            report.error(node.span, "`token` cannot be used").help(MAKE);
            None
        }
    }
}

fn scopes(node: &Node, report: &mut Report) -> Option<Vec<Scope>> {
    let texts = read::strings(node, "scopes", "publish", report)?;
    let mut scopes = Vec::new();
    let mut whole = true;
    for (text, node) in texts {
        let scope = match text.value() {
            "publish" => Scope::Publish,
            "read" => Scope::Read,
            "manage" => Scope::Manage,
            other => {
                whole = false;
                let help = match nearest(other, &SCOPES).filter(|_| text.expanded.is_none()) {
                    Some(scope) => format!("did you mean \"{scope}\"?"),
                    None => format!("there are {}; `manage` is the highest and implies the others", list(&SCOPES)),
                };
                report.error_about(node.span, [node], "unknown scope", &quote(other)).help(help);
                continue;
            }
        };
        scopes.push(scope);
    }
    scopes.sort();
    scopes.dedup();
    if scopes.is_empty() && whole {
        report
            .error(node.span, "`scopes` is empty, so that the token may do nothing")
            .help(format!("there are {}", list(&SCOPES)));
        return None;
    }
    whole.then_some(scopes)
}
