//! `[tokens.NAME]`: who may do what over the API. Refuses two names for one token, and to show one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::check_name;
use super::read::{self, Keys, check_keys, list, nearest};
use super::report::{Report, quote};
use super::settings::{Scope, TokenSettings};
use super::tree::{Entry, Node, Span, Table, Value};
use crate::model::TENANT_CHARS_MAX;
use crate::signing::Secret;

pub(super) const TOKEN: Keys = Keys {
    table: "a token",
    known: &["token", "scopes", "tenant"],
    later: &[],
    elsewhere: &[],
    refused: &[],
    aliases: &[("secret", "token"), ("scope", "scopes"), ("tenant_id", "tenant")],
};

const TOKENS_MAX: usize = 1_000;

/// Shorter tokens are guessed; longer ones do not fit into a header line.
const TOKEN_CHARS_GOOD: usize = 16;
const TOKEN_CHARS_MAX: usize = 1_000;

pub(super) fn tokens(named: &[(&Entry, &Table)], report: &mut Report) -> Vec<TokenSettings> {
    let mut first: BTreeMap<&str, Span> = BTreeMap::new();
    let mut tokens = Vec::new();
    for (entry, table) in named {
        let settings = token(entry, table, report);
        if let Some(Entry { node: Node { span, value: Value::String(text) }, .. }) = table.get("token") {
            match first.get(text.value()) {
                Some(first) => {
                    report
                        .error(*span, "two names have the same token, so that it would not be clear what it may do")
                        .also(*first, "the other one is")
                        .help("make one for each: openssl rand -hex 32");
                }
                None => {
                    first.insert(text.value(), *span);
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
    let text = read::string(node, "token", "${TENTERHOOK_TOKEN}", report)?;
    let value = text.value();
    if value.is_empty() {
        report.error(node.span, "`token` is empty").help(MAKE);
        return None;
    }
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) || value.len() > TOKEN_CHARS_MAX {
        let message =
            format!("`token` must be at most {TOKEN_CHARS_MAX} visible ASCII characters, without spaces: it travels in a header");
        report.error(node.span, message).help(MAKE);
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
    const NAMES: [&str; 3] = ["publish", "read", "manage"];
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
                let help = match nearest(other, &NAMES).filter(|_| text.expanded.is_none()) {
                    Some(scope) => format!("did you mean \"{scope}\"?"),
                    None => format!("there are {}", list(&NAMES)),
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
            .error(node.span, "`scopes` is empty, so that the token would be good for nothing")
            .help(format!("there are {}", list(&NAMES)));
        return None;
    }
    whole.then_some(scopes)
}
