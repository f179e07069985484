//! Tests of the module as a whole, through `load_str`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Loaded, Problems, load_str};

mod api;
mod catalogue;
mod docs;
mod egress;
mod event_types;
mod files;
mod fuzz;
mod lane;
mod messages;
mod protection;
mod schema;
mod secrets;
mod signing;
mod values;
mod webhook_messages;

fn env(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("tok-from-the-environment".to_owned()),
        "URL" => Some("https://example.com/hidden-path".to_owned()),
        "WORD" => Some("environmental".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// config.toml, and other files as `(path, text)`.
fn load_files(text: &str, others: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let others: BTreeMap<PathBuf, Vec<u8>> =
        others.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect();
    load_str(text, &others, &env)
}

#[track_caller]
fn load(text: &str) -> Loaded {
    load_files(text, &[]).unwrap_or_else(|problems| panic!("{}", problems.render(false)))
}

#[track_caller]
fn problems(text: &str) -> Problems {
    load_files(text, &[]).expect_err("this should be refused")
}

/// A webhook with the least that it needs, and more lines.
fn webhook(lines: &str) -> String {
    format!("[webhooks.a]\nurl = \"https://example.com/\"\nevents = [\"*\"]\n{lines}\n")
}

/// `line:column message | help` of each problem.
fn lines(problems: &Problems) -> Vec<String> {
    let line = |problem: &super::Problem| {
        let help = problem.help.as_ref().map_or(String::new(), |help| format!(" | {help}"));
        format!("{}:{} {}{help}", problem.line, problem.column, problem.message)
    };
    problems.problems.iter().map(line).collect()
}

/// The one problem of a file.
#[track_caller]
fn one(text: &str) -> String {
    let lines = lines(&problems(text));
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines[0].clone()
}

#[track_caller]
fn expect(cases: &[(&str, &str)]) {
    for (text, message) in cases {
        assert_eq!(&one(text), message, "{text}");
    }
}

/// As [`expect`], for lines of a webhook (the first is line 4).
#[track_caller]
fn expect_webhook(cases: &[(&str, &str)]) {
    for (text, message) in cases {
        assert_eq!(&one(&webhook(text)), message, "{text}");
    }
}
