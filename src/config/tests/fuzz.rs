//! Whatever the text: no panic, no silence, and the same verdict on its syntax as the `toml` crate.

use proptest::prelude::*;

use super::*;

const SEED: &str = include_str!("../../../config.toml");

/// Loads and shows; an error always comes with a problem in it.
fn exercise(text: &str) {
    match load_files(text, &[("webhooks.d/a.toml", text), ("secrets/everything", "x")]) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                let _ = (warning.render(true), warning.render(false));
            }
        }
        Err(problems) => {
            assert!(!problems.problems.is_empty());
            for problem in &problems.problems {
                assert!(problem.line >= 1 && problem.column >= 1);
            }
            let _ = (problems.render(true), problems.render(false), problems.to_string());
        }
    }
}

/// Pieces of TOML, good and bad, of our keys and of others.
fn piece() -> impl Strategy<Value = String> {
    let fixed = [
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
        ".",
        ",",
        "\"",
        "'",
        "\"\"\"",
        "'''",
        "#",
        "\n",
        "\r\n",
        "\r",
        " ",
        "\t",
        "\\",
        "\\q",
        "${",
        "}",
        "${TOKEN}",
        "${NOPE}",
        "$${",
        "webhooks",
        "a",
        "url",
        "\"https://example.com/\"",
        "events",
        "[\"*\"]",
        "secret",
        "headers",
        "filter",
        "transform",
        "retry",
        "schedule",
        "\"5s\"",
        "5",
        "0.5",
        "true",
        "nan",
        "2026-01-01",
        "10:30",
        "include",
        "\"*.toml\"",
        "[webhooks.a]",
        "[defaults]",
        "\u{feff}",
        "\u{1}",
        "é",
        "💥",
        "server",
        "listen",
        "signature",
        "network",
        "allow",
        "0x",
        "1_000",
        "-",
    ];
    prop_oneof![8 => prop::sample::select(fixed.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

/// The good file with parts cut out, doubled or replaced.
fn mutated() -> impl Strategy<Value = String> {
    let mutation = (any::<prop::sample::Index>(), 0..40_usize, piece());
    prop::collection::vec(mutation, 1..8).prop_map(|mutations| {
        let mut text: Vec<char> =
            SEED.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).collect::<Vec<_>>().join("\n").chars().collect();
        for (at, length, insert) in mutations {
            let from = at.index(text.len() + 1);
            let to = (from + length).min(text.len());
            text.splice(from..to, insert.chars());
        }
        text.into_iter().collect()
    })
}

/// Documents whose tables meet in every way: headers, dotted keys, inline tables, lists of tables.
fn tables() -> impl Strategy<Value = String> {
    let key = || prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|parts| parts.join("."));
    let value = prop_oneof![
        Just("1".to_owned()),
        Just("\"x\"".to_owned()),
        Just("[1, 2]".to_owned()),
        (key(), key()).prop_map(|(one, two)| format!("{{ {one} = 1, {two} = 2 }}")),
    ];
    let line = prop_oneof![
        2 => (key(), value).prop_map(|(key, value)| format!("{key} = {value}")),
        2 => key().prop_map(|key| format!("[{key}]")),
        1 => key().prop_map(|key| format!("[[{key}]]")),
    ];
    prop::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n"))
}

/// Whether our tree and the `toml` crate agree that the text is TOML.
fn same_verdict(text: &str) {
    use crate::config::text::{parse::parse, report::Report};
    let mut report = Report::default();
    let file = report.sources.add(PathBuf::from("config.toml"), zeroize::Zeroizing::new(text.to_owned()));
    parse(file, &mut report);
    let theirs = toml::de::DeTable::parse(text);
    let problems = report.finish().0;
    // TOML forbids dotted keys that reach into `[[a]]` from outside ("extend-defined-aot" of toml-test); `toml` 1.2 lets
    // some of them pass.
    let stricter = text.contains("[[") && problems.iter().all(|problem| problem.message.contains("cannot get more keys"));
    assert!(problems.is_empty() == theirs.is_ok() || stricter, "{text}\n{:?}\n{problems:?}", theirs.err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        exercise(&text);
    }

    #[test]
    fn no_sequence_of_pieces_panics(pieces in prop::collection::vec(piece(), 0..40)) {
        exercise(&pieces.concat());
    }

    #[test]
    fn no_mutation_of_a_good_file_panics(text in mutated()) {
        exercise(&text);
    }

    #[test]
    fn tables_meet_by_the_rules_of_toml(text in tables()) {
        same_verdict(&text);
    }

    #[test]
    fn no_secret_of_a_mutated_file_is_shown(text in mutated()) {
        const SECRET: &str = "hunter22hunter22";
        let text = text.replace("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &format!("whsec_{SECRET}"));
        if let Err(problems) = load_files(&text, &[]) {
            prop_assert!(!problems.render(false).contains(SECRET), "{}\n{text}", problems.render(false));
        }
    }
}

#[test]
fn every_cut_of_a_good_file_is_survived() {
    for (cut, _) in SEED.char_indices().step_by(7) {
        exercise(&SEED[..cut]);
        exercise(&SEED[cut..]);
    }
}

#[test]
fn deep_nesting_is_refused_and_not_recursed_into() {
    for text in [
        "[".repeat(100_000),
        "a = ".to_owned() + &"[".repeat(100_000),
        "a = ".to_owned() + &"{a=".repeat(100_000),
        "a.".repeat(100_000) + "a = 1",
    ] {
        assert!(load_files(&text, &[]).is_err());
    }
    let deep = format!("metadata = {{ {}x = 1 }}", "a.".repeat(14));
    load(&webhook(&deep));
}

#[test]
fn the_syntax_of_a_good_file_is_good_for_both() {
    for text in [
        SEED,
        "a = 2026-01-28T10:30:45.123Z\nb = 10:30\nc = 2026-01-01 10:30:00\nd = 10:30:05.5\ne = 2026-01-28t10:30z",
        "a = 0xff\nb = 1_000\nc = -inf\nd = 1e3",
    ] {
        same_verdict(text);
    }
}
