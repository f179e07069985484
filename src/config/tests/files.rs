//! Several files: include, `${file:…}`, paths, what is to be watched.

use std::path::Path;

use super::*;
use crate::config;
use crate::model::WebhookId;

const WEBHOOK: &str = "[webhooks.NAME]\nurl = \"https://example.com/\"\nevents = [\"*\"]\n";

fn named(name: &str) -> String {
    WEBHOOK.replace("NAME", name)
}

fn ids(loaded: &Loaded) -> Vec<&str> {
    loaded.settings.webhooks.keys().map(WebhookId::as_str).collect()
}

#[test]
fn included_files_are_merged_and_read_once() {
    let loaded = load_files(
        "include = [\"webhooks.d/*.toml\", \"webhooks.d/b.toml\", \"more.toml\"]\n[server]\nlisten = \"127.0.0.1:1\"",
        &[
            ("webhooks.d/a.toml", &named("a")),
            ("webhooks.d/b.toml", &(named("b") + "[defaults]\ntimeout = \"1s\"\n")),
            ("webhooks.d/c.toml~", "not read"),
            ("webhooks.d/.hidden.toml", "not read"),
            ("webhooks.d/deeper/d.toml", "not read"),
            // Includes its includer, and has another key of a table that the first has too.
            ("more.toml", "include = \"config.toml\"\n[server]\nshutdown_grace = \"1s\"\n"),
        ],
    )
    .unwrap();
    assert_eq!(ids(&loaded), ["a", "b"]);
    assert!(loaded.settings.webhooks.values().all(|webhook| webhook.timeout.as_secs() == 1));
    assert_eq!(loaded.settings.server.listen.port(), 1);
    assert_eq!(loaded.settings.server.shutdown_grace.as_secs(), 1);
    assert_eq!(loaded.files, ["config.toml", "webhooks.d/a.toml", "webhooks.d/b.toml", "more.toml"].map(PathBuf::from));
    assert_eq!(loaded.include_dirs, [PathBuf::from("webhooks.d")]);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn paths_are_relative_to_the_file_that_names_them() {
    let loaded = load_files(
        "include = \"conf/more.toml\"\n[storage]\npath = \"store\"",
        &[
            ("conf/more.toml", "include = \"d/*.toml\"\n[transformers.x]\npath = \"x.wasm\"\n"),
            ("conf/d/a.toml", &(named("a") + "secret = \"${file:../key}\"\n")),
            ("conf/d/../key", " the-secret-of-a\n"),
        ],
    )
    .unwrap();
    assert_eq!(loaded.settings.storage.path, Path::new("store"));
    assert_eq!(loaded.settings.transformers["x"].path.as_deref(), Some(Path::new("conf/x.wasm")));
    let webhook = loaded.settings.webhooks.values().next().unwrap();
    assert_eq!(webhook.secret.as_ref().unwrap().expose(), "the-secret-of-a");
    assert_eq!(*webhook.place.file, *Path::new("conf/d/a.toml"));
    assert_eq!(loaded.files, ["config.toml", "conf/more.toml", "conf/d/a.toml", "conf/d/../key"].map(PathBuf::from));
}

#[test]
fn what_cannot_be_included_is_named() {
    for (include, message) in [
        ("nope.toml", "1:11 the included file `nope.toml` cannot be read: there is no such file"),
        (
            "*/a.toml",
            "1:11 `include` can match file names only: `*/a.toml` | `*` is allowed in the last part, as in \"webhooks.d/*.toml\"",
        ),
        (
            "a/**",
            "1:11 `include` can match file names only: `a/**` | `*` is allowed in the last part, as in \"webhooks.d/*.toml\"",
        ),
        ("a/", "1:11 `include` names no file: `a/` | name files relative to this one, as in \"webhooks.d/*.toml\""),
    ] {
        assert_eq!(lines(&problems(&format!("include = \"{include}\""))), [message]);
    }
    assert_eq!(
        lines(&problems("include = 5")),
        ["1:11 `include` must be a list such as [\"webhooks.d/*.toml\"], found the number 5"]
    );
}

#[test]
fn an_include_that_matches_nothing_is_a_warning() {
    let loaded = load("include = \"webhooks.d/*.toml\"");
    assert_eq!(loaded.warnings[0].message, "nothing is included: no file of that name is there");
    assert_eq!(loaded.include_dirs, [PathBuf::from("webhooks.d")]);
}

#[test]
fn problems_of_all_files_come_in_the_order_of_reading() {
    let error = load_files("include = \"b.toml\"\nx = 1", &[("b.toml", "y = 1\n= 2"), ("a.toml", "z = 1")]).unwrap_err();
    let places: Vec<String> =
        error.problems.iter().map(|problem| format!("{}:{}", problem.file.display(), problem.line)).collect();
    assert_eq!(places, ["config.toml:2", "b.toml:1", "b.toml:2"]);
    assert_eq!(error.files, ["config.toml", "b.toml"].map(PathBuf::from));
}

#[test]
fn a_failed_load_says_what_to_watch() {
    let error = load_files("include = [\"d/*.toml\", \"nope.toml\"]\n[storage]\npath = \"${file:key}\"", &[]).unwrap_err();
    assert_eq!(error.files, ["config.toml", "nope.toml", "key"].map(PathBuf::from));
    assert_eq!(error.include_dirs, [PathBuf::from("d")]);
}

#[test]
fn keys_set_in_two_files_name_both() {
    let error = load_files(
        "include = \"b.toml\"\n[server]\nlisten = \"127.0.0.1:1\"",
        &[("b.toml", "[server]\nlisten = \"127.0.0.1:2\"")],
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "b.toml:2:1: `listen` of [server] is set twice (first declared at config.toml:3:1)");
}

#[test]
fn the_fingerprint_follows_every_input() {
    let of = |text: &str, key: &str, word: &str| {
        let files = BTreeMap::from([(PathBuf::from("key"), key.as_bytes().to_vec())]);
        load_str(text, &files, &|_| Some(word.to_owned())).unwrap().fingerprint
    };
    let text = "[storage]\npath = \"${file:key}${WORD}\"\n";
    let first = of(text, "a", "b");
    assert_eq!(first.len(), 16);
    assert_eq!(first, of(text, "a", "b"));
    let others = [of(text, "c", "b"), of(text, "a", "c"), of(&format!("{text}\n"), "a", "b")];
    assert!(others.iter().all(|other| *other != first));
}

#[test]
fn files_come_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("d")).unwrap();
    std::fs::write(dir.path().join("d/a.toml"), named("a")).unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, "include = \"d/*.toml\"").unwrap();
    let loaded = config::load(&path, &env).unwrap();
    assert_eq!(ids(&loaded), ["a"]);
    assert_eq!(loaded.settings.storage.path, dir.path().join("data"));
    assert_eq!(loaded.files, [path, dir.path().join("d/a.toml")]);
}

#[test]
fn a_missing_configuration_is_one_problem() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let error = config::load(&path, &env).unwrap_err();
    let shown = path.display();
    assert_eq!(error.problems[0].message, format!("the configuration file `{shown}` cannot be read: there is no such file"));
    assert_eq!(error.files, std::slice::from_ref(&path));
    assert!(error.render(false).contains("help: give the path of your config.toml"));
}

#[test]
fn a_second_look_tells_whether_anything_has_changed() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    std::fs::create_dir(directory.path().join("webhooks.d")).unwrap();
    write("config.toml", "include = [\"webhooks.d/*.toml\", \"late.toml\"]\n");
    write("late.toml", "");
    write("webhooks.d/a.toml", &(named("a") + "secret = \"${file:../key}\"\n"));
    write("key", "a secret that is long enough");
    let load = || config::load(&directory.path().join("config.toml"), &env).unwrap();
    let loaded = load();
    assert!(loaded.is_on_disk() && loaded.is_on_disk());
    write("beside.toml", "nobody asked for it");
    assert!(loaded.is_on_disk());
    for (name, text) in [
        ("key", "another one, as long as that"),
        ("late.toml", "[defaults]\ntimeout = \"1s\"\n"),
        ("webhooks.d/b.toml", &named("b")),
        ("webhooks.d/a.toml", &named("c")),
    ] {
        let loaded = load();
        assert!(loaded.is_on_disk());
        write(name, text);
        assert!(!loaded.is_on_disk(), "{name} has changed");
    }
    let loaded = load().without_texts();
    std::fs::remove_file(directory.path().join("webhooks.d/b.toml")).unwrap();
    assert!(!loaded.is_on_disk(), "also when its texts are gone");
}

#[test]
fn webhooks_that_are_alike_share_what_is_alike() {
    let text = named("a") + "secret = \"the secret of a\"\n" + &named("b") + &named("c") + "timeout = \"1s\"\n" + &named("d");
    let loaded = load(&text);
    let policy = |id: &str| &loaded.settings.webhooks[&WebhookId::parse(id).unwrap()].policy;
    assert!(std::sync::Arc::ptr_eq(policy("a"), policy("b")) && std::sync::Arc::ptr_eq(policy("a"), policy("d")));
    assert_eq!((policy("a").timeout.as_secs(), policy("c").timeout.as_secs()), (5, 1));
}

#[test]
fn a_place_leads_back_to_what_is_underlined_there() {
    let loaded =
        load("# ä\n[webhooks.\"ops\"]\nurl = \"https://example.com/\"\nevents = [\"*\"]\ntransform = [\"slack\", \"nope\"]\n");
    let place = loaded.settings.webhooks.values().next().unwrap().transform_places[1].clone();
    let shown = loaded.problem_at(&place, "is not there".to_owned(), None).render(false);
    assert!(shown.contains("  |                       ^^^^^^\n"), "{shown}");
    let bare = loaded.without_texts().problem_at(&place, "is not there".to_owned(), None);
    assert_eq!((bare.line, bare.column, bare.excerpts.len()), (5, 23, 0));
}
