//! The messages about webhooks, word for word.

use super::*;

#[test]
fn types_are_named_with_an_example() {
    expect(&[
        ("webhooks = 5", "1:12 `webhooks` must be a table such as [webhooks.my-name], found the number 5"),
        (
            "[[webhooks]]\n[[webhooks]]",
            "1:1 `webhooks` is a list of tables ([[webhooks]]), and has to be one table for each name | the name of each is in \
             its header: [webhooks.first] and [webhooks.second] instead of 2 times [[webhooks]]",
        ),
        ("[webhooks]\na = \"x\"", "2:5 `webhooks.a` must be a table such as [webhooks.my-name], found a string"),
        (
            "[network]\nhttps_only = \"true\"",
            "2:14 `https_only` must be true or false, found a string | without quotes: https_only = true",
        ),
        (
            "[network]\nallow = \"10.0.0.0/8\"",
            "2:9 `allow` must be a list such as [\"10.2.0.0/16\"], found a string | put it in brackets: allow = [\"…\"]",
        ),
        (
            "[network]\nallow = [10]",
            "2:10 `allow[]` must be a string such as \"10.2.0.0/16\", found the number 10 | write it in quotes: \"10\"",
        ),
        ("[retention]\nevents = 2026-01-01", "2:10 `events` must be a duration such as \"7d\", found a date or time"),
    ]);
    expect_webhook(&[
        (
            "timeout = 5",
            "4:11 `timeout` must be a duration such as \"5s\", found the number 5 | write the unit: \"5s\" for seconds, \"5ms\" for milliseconds",
        ),
        (
            "timeout = \"5 sec\"",
            "4:11 `timeout` is not a duration: `5 sec` | write whole numbers with ms, s, m, h or d, as in \"5s\" or \"1h30m\"",
        ),
        (
            "concurrency = \"10\"",
            "4:15 `concurrency` must be a whole number such as 10, found a string | without quotes: concurrency = 10",
        ),
        (
            "concurrency = \"${WORD}\"",
            "4:15 `concurrency` must be a whole number such as 10, found a string | what `${…}` comes to is text, never a number",
        ),
        ("concurrency = 1.5", "4:15 `concurrency` must be a whole number such as 10, found the number 1.5"),
        (
            "retry = 3",
            "4:9 `retry` must be a table such as { max_retries = 3, initial_delay = \"1s\" } or { schedule = [\"15s\", \"2m\"] }, found the number 3",
        ),
        ("retry = { jitter = \"x\" }", "4:20 `retry.jitter` must be a number such as 0.2, found a string"),
        (
            "retry_on = [429]",
            "4:13 `retry_on[]` must be a string such as \"429\", found the number 429 | write it in quotes: \"429\"",
        ),
        ("filter = \"x\"", "4:10 `filter` must be a table such as { data = { severity = \"high\" } }, found a string"),
        ("metadata = [1]", "4:12 `metadata` must be a table such as { team = \"sre\" }, found a list"),
        (
            "transform = 5",
            "4:13 `transform` must be \"slack\" or { use = \"slack\", options = { channel = \"#ops\" } }, or a list of these, found the number 5",
        ),
        (
            "signature = true",
            "4:13 `signature` must be \"standard\" or { scheme = \"sha256\", header = \"X-My-Signature\" }, or a list of these, found `true`",
        ),
        ("headers = [\"x\"]", "4:11 `headers` must be a table such as { \"X-Api-Key\" = \"${KEY}\" }, found a list"),
    ]);
    assert_eq!(
        one("[webhooks.a]\nurl = \"https://example.com/\"\nevents = \"order.*\""),
        "3:10 `events` must be a list such as [\"order.*\"], found a string | put it in brackets: events = [\"…\"]"
    );
}

#[test]
fn ranges_are_said() {
    expect(&[
        ("[server]\nmax_event_size = \"1B\"", "2:18 `max_event_size` must be 1KiB to 64MiB, found 1B"),
        ("[server]\nshutdown_grace = \"1h\"", "2:18 `shutdown_grace` must be 0s to 10m, found 1h"),
        ("[retention]\nevents = \"1s\"", "2:10 `events` must be 1m to 3650d, found 1s"),
        ("[transformers.a]\nlimits = { cpu = \"2m\" }", "2:18 `limits.cpu` must be 1ms to 1m, found 2m"),
        ("[transformers.a]\nlimits = { memory = \"1B\" }", "2:21 `limits.memory` must be 1MiB to 4GiB, found 1B"),
        ("[transformers.a]\nlimits = { log = \"2MiB\" }", "2:18 `limits.log` must be 0B to 1MiB, found 2MiB"),
        ("[transformers.a]\nlimits = { instances = 0 }", "2:24 `limits.instances` must be 1 to 1000, found 0"),
    ]);
    expect_webhook(&[
        ("timeout = \"0s\"", "4:11 `timeout` must be 1ms to 10m, found 0s"),
        ("connect_timeout = \"11m\"", "4:19 `connect_timeout` must be 1ms to 10m, found 11m"),
        ("concurrency = 0", "4:15 `concurrency` must be 1 to 1000, found 0"),
        ("concurrency = 1001", "4:15 `concurrency` must be 1 to 1000, found 1001"),
        ("retry = { max_retries = 101 }", "4:25 `retry.max_retries` must be 0 to 100, found 101"),
        ("retry = { jitter = 1.5 }", "4:20 `retry.jitter` must be 0 to 1, found 1.5"),
        ("retry = { multiplier = 0.5 }", "4:24 `retry.multiplier` must be 1 to 100, found 0.5"),
        ("retry = { multiplier = nan }", "4:24 `retry.multiplier` must be 1 to 100, found NaN"),
        ("retry = { initial_delay = \"8d\" }", "4:27 `retry.initial_delay` must be 1ms to 7d, found 8d"),
        (
            "retry = { initial_delay = \"2h\", max_delay = \"1h\" }",
            "4:45 `retry.max_delay` is shorter than `retry.initial_delay` | raise one or lower the other: no delay is longer than `max_delay`",
        ),
        ("retry = { schedule = [] }", "4:22 `retry.schedule` is empty | for no retries write retry = { max_retries = 0 }"),
        (
            "retry = { schedule = [\"1s\"], max_retries = 3 }",
            "4:30 `max_retries` and `schedule` exclude each other: a schedule lists the delays themselves (the schedule is at config.toml:4:11) | keep one of the two",
        ),
    ]);
    let long = format!("retry = {{ schedule = [{}] }}", "\"1s\", ".repeat(101));
    assert_eq!(one(&webhook(&long)), "4:22 there are 101 retries, at most 100 are allowed");
}

#[test]
fn urls_are_judged() {
    let of = |url: &str| one(&format!("[webhooks.a]\nurl = \"{url}\"\nevents = [\"*\"]"));
    const HELP: &str = "write scheme and host, as in \"https://example.com/hook\"";
    assert_eq!(of("invalid-url"), format!("2:7 `url` is not an absolute URL: `invalid-url` | {HELP}"));
    assert_eq!(of("/hook"), format!("2:7 `url` is not an absolute URL: `/…` | {HELP}"));
    assert_eq!(of("localhost:9000"), format!("2:7 `url` is not an http or https URL: `localhost:9000` | {HELP}"));
    assert_eq!(
        of("ftp://example.com/"),
        "2:7 `url` is not an http or https URL: `ftp://example.com/` | only https and http are delivered to"
    );
    assert_eq!(of("https://"), format!("2:7 `url` is not a valid URL: `https://`: empty host | {HELP}"));
    assert_eq!(of("${WORD}"), format!("2:7 `url` is not an absolute URL: what `${{…}}` comes to | {HELP}"));
}

#[test]
fn webhooks_that_miss_something_are_named() {
    assert_eq!(
        lines(&problems("[webhooks.a]")),
        [
            "1:11 the webhook `a` has no `url` | add url = \"https://…\"",
            "1:11 the webhook `a` has no `events` | add events = [\"order.*\"], or [\"*\"] for all"
        ]
    );
    assert_eq!(
        one("[webhooks.a]\nurl = \"https://example.com/\"\nevents = []"),
        "3:10 `events` is empty, so that the webhook would receive nothing | name event types, as in [\"order.*\"]; [\"*\"] is all of them"
    );
    assert_eq!(
        one("[webhooks.\"a b\"]\nurl = \"https://example.com/\"\nevents = [\"*\"]"),
        "1:11 webhook id `a b` contains ' ': use letters, digits, _ and -"
    );
    expect_webhook(&[
        ("tenant = \"\"", "4:10 `tenant` must be 1 to 100 characters, none of them a control character"),
        ("metadata = { a = inf }", "4:18 JSON has no inf"),
        (
            "transform = { options = {} }",
            "4:13 `transform` does not say which transformer to `use` | write \"slack\" or { use = \"slack\", options = { channel = \"#ops\" } }",
        ),
        (
            "transform = \"a.wasm\"",
            "4:13 `transform` is not the name of a transformer: `a.wasm` | modules are called by name: put the file into transformers/ beside config.toml, or declare [transformers.NAME] with its path",
        ),
        ("success = []", "4:11 `success` is empty, so that no answer would count as delivered | write success = [\"2xx\"]"),
        (
            "retry_on = [\"netwrk\"]",
            "4:13 `netwrk` is not a status: write a code such as 429, a class such as 5xx, or a range such as 500-503 | did you mean \"network\"?",
        ),
    ]);
    expect(&[
        ("[transformers.a]\nsha256 = \"abc\"", "2:10 `sha256` must be 64 hexadecimal digits | take it from: sha256sum FILE.wasm"),
        (
            "[transformers.\"a/b\"]",
            "1:15 `a/b` cannot be the name of a transformer | use letters, digits, _ and -, at most 100 of them",
        ),
        ("[defaults]\nurl = \"https://x\"", "2:1 `url` is not allowed in [defaults]: each webhook has its own"),
        (
            "[defaults]\nsecret = \"x\"",
            "2:1 `secret` is not allowed in [defaults]: with one secret for all, each receiver could sign for the others",
        ),
    ]);
}

#[test]
fn headers_that_are_not_the_users_to_set_are_refused() {
    expect_webhook(&[
        ("headers = { Host = \"x\" }", "4:13 `Host` cannot be set: it belongs to the connection, not to the message"),
        (
            "headers = { content-length = \"1\" }",
            "4:13 `content-length` cannot be set: it belongs to the connection, not to the message",
        ),
        (
            "headers = { Webhook-Id = \"x\" }",
            "4:13 `Webhook-Id` cannot be set: it is the signature's | choose what is sent with signature = \"…\", and under which name with { scheme = \"…\", header = \"…\" }",
        ),
        (
            "headers = { \"a b\" = \"x\" }",
            "4:13 `a b` is not the name of a header | letters, digits and - are safe, as in \"X-Api-Key\"",
        ),
        (
            "headers = { a = \"x\\ny\" }",
            "4:17 the value of `a` has characters that a header cannot carry | visible characters, spaces and tabs, on one line",
        ),
        (
            "headers = { a = \"x\", A = \"y\" }",
            "4:22 the header `A` is set twice: names of headers have no case (first set at config.toml:4:13)",
        ),
        (
            "headers = { X-Sig = \"x\" }\nsignature = { scheme = \"sha256\", header = \"x-sig\" }",
            "4:1 the header `x-sig` is set, and the signature goes there too | remove the header, or give the signature another one: { scheme = \"…\", header = \"…\" }",
        ),
    ]);
}

#[test]
fn signatures_that_cannot_be_sent_are_refused() {
    expect_webhook(&[
        ("signature = \"sha265\"", "4:13 unknown signature scheme `sha265` | did you mean \"sha256\"?"),
        ("signature = []", "4:13 `signature` is an empty list | to send unsigned write signature = \"none\""),
        (
            "signature = [\"none\", \"github\"]",
            "4:14 \"none\" excludes other signatures | leave it out, or write signature = \"none\"",
        ),
        (
            "signature = [\"github\", \"github\"]",
            "4:24 two signatures would be written to `x-hub-signature-256` (the other one is at config.toml:4:14) | give one of them another `header`",
        ),
        (
            "signature = { header = \"X-A\" }",
            "4:13 the signature has no `scheme` | write \"standard\" or { scheme = \"sha256\", header = \"X-My-Signature\" }",
        ),
        (
            "signature = { scheme = \"sha256\", header = \"Host\" }",
            "4:43 a signature cannot go to `host`, which has a meaning of its own",
        ),
        (
            "signature = { scheme = \"none\", header = \"X-A\" }",
            "4:32 \"none\" has no header: nothing is signed | write signature = \"none\"",
        ),
    ]);
}

/// The words are of the modules that judge; the places are ours.
#[test]
fn what_other_modules_refuse_stands_at_its_place() {
    let text = r#"
[webhooks.a]
url = "https://10.0.0.1/x"
events = ["order..x"]
secret = "whsec_abc!"
[webhooks.a.filter.data]
x = { "$gtt" = 1 }
list = ["a", { "$gt" = true }]
[webhooks.b]
url = "https://user:hunter22@example.com/"
events = ["*"]
filter = { "$or" = 5 }
"#;
    let found: Vec<String> = lines(&problems(text)).iter().map(|line| line.chars().take(34).collect()).collect();
    assert_eq!(
        found,
        [
            "3:7 `url` is refused: 10.0.0.1 is ",
            "4:11 `events`: pattern `order..x` ",
            "5:10 `secret`: the secret begins w",
            "7:7 `filter`: unknown operator `$g",
            "8:16 `filter`: $gt takes a number ",
            "10:7 `url` is refused: the URL con",
            "12:12 `filter`: $or is a list of c",
        ]
    );
}

#[test]
fn a_url_is_not_judged_by_rules_that_are_wrong_themselves() {
    assert_eq!(
        one("[network]\nallow = [\"10.0.0.0\"]\n[webhooks.a]\nurl = \"https://10.0.0.1/\"\nevents = [\"*\"]"),
        "2:10 `allow`: `10.0.0.0` is not an address range | for this address alone write \"10.0.0.0/32\""
    );
    load("[network]\nallow = [\"10.0.0.0/8\"]\n[webhooks.a]\nurl = \"http://10.0.0.1/\"\nevents = [\"*\"]");
}

#[test]
fn words_that_would_show_a_value_from_outside_are_dropped() {
    assert_eq!(
        one("[webhooks.a]\nurl = \"https://example.com/\"\nevents = [\"${WORD} x\"]"),
        "3:11 `events` is not valid; why is not said here, because that would show a value that may be secret"
    );
}
