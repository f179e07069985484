//! Every message, word for word: files, syntax, keys, and everything but webhooks.

use super::*;

#[test]
fn a_problem_is_shown_in_the_manner_of_rustc() {
    let rendered = problems("[webhooks.a]\nurl = \"https://example.com/\"\nevnts = [\"*\"]\n").render(false);
    assert_eq!(
        rendered,
        "\
error: unknown key `evnts`, did you mean `events`?
 --> config.toml:3:1
  |
3 | evnts = [\"*\"]
  | ^^^^^
"
    );
}

#[test]
fn a_doubled_webhook_shows_both_places() {
    let error = load_files(
        "include = [\"webhooks.d/*.toml\"]\n[webhooks.a]\nurl = \"https://example.com/\"\nevents = [\"*\"]\n",
        &[("webhooks.d/b.toml", "\n[webhooks.a]\nurl = \"https://example.com/\"\nevents = [\"*\"]\n")],
    )
    .unwrap_err();
    assert_eq!(
        error.render(false),
        "\
error: the webhook `a` is declared twice (first declared at config.toml:2:11)
 --> webhooks.d/b.toml:2:11
  |
2 | [webhooks.a]
  |           ^
  |
 ::: config.toml:2:11
  |
2 | [webhooks.a]
  |           - first declared here
  |
  = help: keep one of the two, or give this one another name
"
    );
}

#[test]
fn colours_are_there_only_when_asked_for() {
    let problems = problems("x = 1");
    assert!(problems.render(true).contains("\u{1b}["));
    assert!(!problems.render(false).contains('\u{1b}'));
}

#[test]
fn a_problem_is_serialised_with_its_place() {
    let problems = problems("[server]\nlisten = 8080");
    let json = serde_json::to_value(&problems.problems[0]).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "file": "config.toml", "line": 2, "column": 10,
            "message": "`listen` must be an address with a port such as \"127.0.0.1:8080\", found the number 8080",
            "help": "write it as in \"127.0.0.1:8080\"",
        })
    );
    assert_eq!(
        problems.to_string(),
        "config.toml:2:10: `listen` must be an address with a port such as \"127.0.0.1:8080\", found the number 8080"
    );
}

#[test]
fn ten_different_problems_are_reported_at_once_and_in_order() {
    let text = r#"listn = "127.0.0.1:80"
[server]
listen = "0.0.0.0"
[tokens.a]
scopes = ["publish"] # no token: what is missing from a broken file may be what could not be read
[retention]
events = 7
[webhooks.a]
url = "invalid-url"
events = []
timeout = 5
network = 5
concurrency = 0
headers = { Host = "x" }
retry = { schedule = [] }
[webhooks.a]
[webhooks."b c"]
url = "${NOPE}"
events = ["*"
"#;
    let problems = problems(text);
    let at: Vec<usize> = problems.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(at, [1, 3, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19], "{}", problems.render(false));
}

#[test]
fn syntax_errors_do_not_hide_other_problems() {
    let text = "[server]\nlisten = 127.0.0.1:8080\nmax_event_size = 5\n[webhooks.a\nurl = \"invalid-url\"\nevents [\"*\"]\n";
    assert_eq!(
        lines(&problems(text)),
        [
            "2:15 syntax error: invalid float | if this is text, write it in quotes: \"…\"",
            "3:18 `max_event_size` must be a size such as \"1MiB\", found the number 5 | write the unit: \"5B\" for bytes",
            "4:12 syntax error: unclosed table, expected `]` | a header looks like [webhooks.my-hook]",
            "5:7 `url` is not an absolute URL: `invalid-url` | write scheme and host, as in \"https://example.com/hook\"",
            "6:8 syntax error: there is no `=` after the key | write key = value",
        ]
    );
}

#[test]
fn syntax_errors_are_said_in_words() {
    expect(&[
        ("[server]\nlisten = ", "2:10 syntax error: there is no value | write key = value"),
        ("[network]\nhttps_only = yes", "2:14 syntax error: this is no value | write true or false"),
        ("[storage]\npath = \"data", "2:13 syntax error: the string is never closed | add the closing quote"),
        ("[network]\nallow = [\"10.0.0.0/8\"", "2:9 syntax error: the list is never closed | add `]`"),
        ("[defaults]\nretry = { jitter = 0", "2:9 syntax error: the table is never closed | add `}`"),
        (
            "[storage]\npath = \"C:\\data\"",
            "2:12 syntax error: there is no such escape | for a backslash write \\\\, or put the text in single quotes",
        ),
        ("[server]\n= 5", "2:1 syntax error: a key is missing | write key = value"),
        (
            "[defaults]\nconcurrency = 99999999999999999999",
            "2:15 syntax error: the number is out of range | whole numbers go up to 9223372036854775807",
        ),
        (
            "[network]\nallow = [\"10.0.0.0/8\" \"fd00::/8\"]",
            "2:23 syntax error: missing comma between array elements, expected `,` | separate them with `,`",
        ),
    ]);
}

#[test]
fn keys_that_clash_name_both_places() {
    expect(&[
        ("[storage]\npath = \"a\"\npath = \"b\"", "3:1 `path` is set twice (first set at config.toml:2:1) | keep one of the two"),
        ("[storage]\n[storage]", "2:2 `storage` is set twice (first set at config.toml:1:2) | keep one of the two"),
        (
            "server = { listen = \"127.0.0.1:1\" }\nserver.max_event_size = \"1MiB\"",
            "2:1 `server` is a whole table already and cannot get more keys here (the table is at config.toml:1:1) | write all of its keys in one place",
        ),
        (
            "[defaults]\nconcurrency = 1\nconcurrency.x = 1",
            "3:1 `concurrency` is not a table and cannot get keys (it is set at config.toml:2:1) | keep either the value or the table",
        ),
    ]);
}

#[test]
fn unknown_keys_get_the_nearest_name() {
    expect(&[
        ("webhook = {}", "1:1 unknown key `webhook`, did you mean `webhooks`?"),
        ("listen = \"127.0.0.1:1\"", "1:1 unknown key `listen`, did you mean `listen` of [server]?"),
        (
            "[server]\nlisten_on = \"x\"",
            "2:1 unknown key `listen_on` | [server] takes `listen`, `max_event_size`, `shutdown_grace`, `rate_limit`, `cors` and `tls`",
        ),
        ("[server]\nbind = \"x\"", "2:1 unknown key `bind`, did you mean `listen`?"),
        ("[storage]\npaht = \"x\"", "2:1 unknown key `paht`, did you mean `path`?"),
        ("[retention]\nkeep = \"1d\"", "2:1 unknown key `keep` | [retention] takes `events`, `failed`, `removed` and `audit`"),
        ("[transformers.a]\nlimits = { mem = \"1MiB\" }", "2:12 unknown key `mem`, did you mean `memory`?"),
    ]);
    expect_webhook(&[
        ("time_out = \"5s\"", "4:1 unknown key `time_out`, did you mean `timeout`?"),
        ("retry = { max_attempts = 3 }", "4:11 unknown key `max_attempts`, did you mean `max_retries`?"),
        ("transform = { name = \"slack\" }", "4:15 unknown key `name`, did you mean `use`?"),
    ]);
    assert_eq!(one("[webhooks.a]\nendpoint = \"x\"\nevents = [\"*\"]"), "2:1 unknown key `endpoint`, did you mean `url`?");
}

#[test]
fn keys_of_later_versions_are_refused_by_name() {
    const HELP: &str = "remove it: a key takes effect or is refused, it is never ignored";
    for table in ["sources", "telemetry", "signing"] {
        let text = format!("{table}.github = \"x\"");
        assert_eq!(one(&text), format!("1:1 `{table}` is not available in this version | {HELP}"));
    }
    for (table, keys) in [("storage", "url max_size"), ("defaults", "max_pending overflow threshold success_if")] {
        for key in keys.split(' ') {
            let text = format!("[{table}]\n{key} = \"x\"");
            assert_eq!(one(&text), format!("2:1 `{key}` is not available in this version | {HELP}"));
        }
    }
    for (lines, column, key) in [
        ("max_pending = 5", 1, "max_pending"),
        ("overflow = \"drop_oldest\"", 1, "overflow"),
        ("threshold = { count = 10 }", 1, "threshold"),
        ("success_if = { body.ok = true }", 1, "success_if"),
        ("batch = { by = \"data.x\" }", 11, "by"),
        ("batch = { first_wait = \"0s\" }", 11, "first_wait"),
        ("transform = { use = \"slack\", on_error = \"drop\" }", 30, "on_error"),
    ] {
        assert_eq!(one(&webhook(lines)), format!("4:{column} `{key}` is not available in this version | {HELP}"));
    }
    // What is not there is off, which is what `false` says.
    load(&webhook("threshold = false\nsuccess_if = false"));
}

#[test]
fn an_open_listener_without_tokens_is_refused() {
    for listen in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80"] {
        assert_eq!(
            one(&format!("[server]\nlisten = \"{listen}\"")),
            format!(
                "2:10 {listen} can be reached from other machines, and without [tokens] anybody there could publish events and change webhooks | add a token: [tokens.admin] with token = \"${{TENTERHOOK_TOKEN}}\" and scopes = [\"manage\"]; or listen on \"127.0.0.1:8080\""
            )
        );
    }
    load("[server]\nlisten = \"[::1]:0\"");
    load("[server]\nlisten = \"0.0.0.0:80\"\n[tokens.a]\ntoken = \"${TOKEN}\"\nscopes = [\"manage\"]");
}

#[test]
fn addresses_get_their_correction() {
    const EXAMPLE: &str = "write an IP address and a port, as in \"127.0.0.1:8080\" or \"[::1]:8080\"";
    for (listen, help) in [
        (":8080", "write the address too: \"127.0.0.1:8080\" for this machine alone, \"0.0.0.0:8080\" for every interface"),
        ("localhost:8080", "write \"127.0.0.1:8080\""),
        ("::1", "add a port: \"[::1]:8080\""),
        ("here", EXAMPLE),
    ] {
        let message = format!("2:10 `listen` is not an address with a port: `{listen}` | {help}");
        assert_eq!(one(&format!("[server]\nlisten = \"{listen}\"")), message);
    }
    expect(&[
        (
            "[network]\nallow = [\"10.2.3.4\"]",
            "2:10 `allow`: `10.2.3.4` is not an address range | for this address alone write \"10.2.3.4/32\"",
        ),
        (
            "[network]\nallow = [\"10.2.3.4/16\"]",
            "2:10 `allow`: `10.2.3.4/16` is not an address range | 10.2.3.4 lies within a range of that size: write \"10.2.0.0/16\"",
        ),
        (
            "[network]\nallow = [\"lan\"]",
            "2:10 `allow`: `lan` is not an address range | write a network and its prefix length, as in \"10.2.0.0/16\" or \"fd00::/8\"",
        ),
    ]);
}

#[test]
fn tokens_are_checked() {
    let of = |lines: &str| one(&format!("[tokens.a]\n{lines}"));
    const MAKE: &str = "make one: openssl rand -hex 32";
    assert_eq!(of("scopes = [\"read\"]"), "1:9 the token `a` has no `token` | add token = \"${NAME_OF_A_VARIABLE}\"");
    assert_eq!(
        of("token = \"${TOKEN}\""),
        "1:9 the token `a` has no `scopes` | add scopes = [\"publish\"], or \"read\", or \"manage\" which implies the others"
    );
    assert_eq!(of("token = \"\"\nscopes = [\"read\"]"), format!("2:9 `token` is empty | {MAKE}"));
    assert_eq!(of("token = \"${TOKEN}\"\nscopes = [\"raed\"]"), "3:11 unknown scope `raed` | did you mean \"read\"?");
    assert_eq!(
        of("token = \"${TOKEN}\"\nscopes = [\"admin\"]"),
        "3:11 unknown scope `admin` | there are `publish`, `read` and `manage`; `manage` is the highest and implies the others"
    );
    assert_eq!(
        of("token = \"${TOKEN}\"\nscopes = []"),
        "3:10 `scopes` is empty, so that the token may do nothing | there are `publish`, `read` and `manage`"
    );
    assert_eq!(
        of("token = \"${TOKEN}\"\nscopes = [\"read\"]\n[tokens.b]\ntoken = \"${TOKEN}\"\nscopes = [\"read\"]"),
        "5:9 two names have the same token, so that it is not clear what it may do (the other one is at config.toml:2:9) | make one for each: openssl rand -hex 32"
    );
    assert!(
        of("token = \"with space\"\nscopes = [\"read\"]")
            .starts_with("2:9 `token` must be at most 1000 visible ASCII characters")
    );
}

#[test]
fn what_cannot_be_filled_in_is_named() {
    expect(&[
        (
            "[storage]\npath = \"a/${NOPE}\"",
            "2:11 the environment variable `NOPE` is not set | set it, or give a value to use without it: ${NOPE:-default}",
        ),
        (
            "[storage]\npath = \"${file:no/where}\"",
            "2:9 the file `no/where` cannot be read: there is no such file | the path is `no/where`",
        ),
        (
            "[storage]\npath = \"${NOPE\"",
            "2:9 `${` is never closed by `}` | write ${NAME}, ${NAME:-default} or ${file:path}; $${ stands for a plain ${",
        ),
        (
            "[storage]\npath = \"${NO-PE}\"",
            "2:9 this is not the name of an environment variable: letters, digits and _ only | write ${NAME}, ${NAME:-default} or ${file:path}; $${ stands for a plain ${",
        ),
    ]);
}

#[test]
fn no_secret_is_ever_shown() {
    let text = r#"
[tokens.a]
token = "hunter22-hunter22" oops
scopes = "hunter22"
[webhooks.a]
url = "hooks.slack.com/services/hunter22"
events = ["${TOKEN}", 5]
secret = ["hunter22"]
timeout = "${TOKEN}"
retry_on = ["${TOKEN}"]
signature = "${TOKEN}"
concurrency = "${TOKEN}"
headers = { Authorization = "Bearer hunter22\n", "a b" = "hunter22" }
filter = { "$gtt" = "${TOKEN}" }
[webhooks.b]
url = "ftp://${TOKEN}/x"
secert = "hunter22"
[webhooks.c]
url = "https://user:hunter22@example.com/?key=hunter22"
events = "hunter22"
transform = { use = "${TOKEN}", options = { routing_key = "hunter22", x = nan } }
[server]
listen = "${TOKEN}"
"#;
    let problems = problems(text);
    let json = serde_json::to_string(&problems.problems).unwrap();
    for shown in [problems.render(false), problems.render(true), json, problems.to_string()] {
        let shown = shown.replace("scopes = \"hunter22\"", "").replace("events = \"hunter22\"", "");
        assert!(!shown.contains("hunter22"), "{shown}");
        assert!(!shown.contains("tok-from"), "{shown}");
        assert!(!shown.contains("environment"), "{shown}");
    }
    assert!(problems.problems.len() >= 12, "{}", problems.render(false));
}

#[test]
fn no_secret_of_the_wrong_shape_is_ever_shown() {
    let hook = |lines: &str| webhook(lines);
    for text in [
        hook("auth = \"Bearer hunter22\""),
        hook("auth = [\"Bearer hunter22\"]"),
        hook("auth = { basic = \"me:hunter22\" }"),
        hook("auth = { api_token = \"hunter22\" }"),
        hook("auth = { basic = { username = \"me\", pw = \"hunter22\" } }"),
        hook("auth.oauth2.params = {k = \"hunter22\"}"),
        hook("auth = { oauth2 = { params = {k = \"hunter22\"}, token_url = \"login.example/hunter22\" } }"),
        hook("[webhooks.a.auth.oauth2]\nclientsecret = \"hunter22\"\nparams = \"hunter22\""),
        hook("headers = \"hunter22\""),
        hook("secret = { a = \"hunter22\" }"),
        hook("tls = \"hunter22\""),
        "[network]\nproxy = \"u:hunter22@h:1\"".to_owned(),
        "[network]\nproxy = \"ftp://u:hunter22@h:1\"".to_owned(),
        "[webhooks.a]\nurl = \"ftp://h/hunter22\"\nevents = [\"*\"]".to_owned(),
        "[storage]\nkey = [\"hunter22\"]".to_owned(),
        "storage = \"hunter22\"".to_owned(),
        "[tokens]\nurl = \"hunter22\"".to_owned(),
        "tokens = \"hunter22\"".to_owned(),
    ] {
        let problems = problems(&text);
        let json = serde_json::to_string(&problems.problems).unwrap();
        for shown in [problems.render(false), json, problems.to_string()] {
            assert!(!shown.contains("hunter22"), "{text}\n{shown}");
        }
    }
}

#[test]
fn the_column_is_the_files_even_when_something_before_it_is_hidden() {
    let text = webhook("transform = { use = \"x\", options = { token = \"hunter22-hunter22\", a = nan } }");
    let rendered = problems(&text).render(false);
    assert!(rendered.contains("--> config.toml:4:71\n"), "{rendered}");
    assert!(rendered.contains("token = \"…\", a = nan"), "{rendered}");
}
