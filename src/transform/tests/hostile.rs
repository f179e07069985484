//! Every way that a module can misbehave fails that call with its sentence, and leaves the host as it was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::guests::{dropping, guest, guest_with, returning};
use super::{event, host, load, patient, try_load};
use crate::model::Limits;
use crate::transform::{EventInput, Host, HostOptions, Module, Output};

async fn error_of(module: &Module) -> String {
    let event = event("a.b", "{}");
    module.transform(&[EventInput::from(&event)], "{}").await.result.unwrap_err().to_string()
}

/// Runs the body and then a good guest on the same host.
async fn fails_with(host: &Host, text: &str, limits: Limits) -> String {
    let error = error_of(&*load(host, text, limits).await).await;
    assert_works(host).await;
    error
}

async fn assert_works(host: &Host) {
    let good = load(host, &guest(&dropping()), patient()).await;
    let event = event("a.b", "{}");
    let output = good.transform(&[EventInput::from(&event)], "{}").await.result.unwrap();
    assert_eq!(output, Output::Drop { reason: "text".to_owned() });
}

#[tokio::test]
async fn traps_are_named_with_their_cause_and_place() {
    let host = host();
    let load = "(i32.load (i32.const -1))";
    for (body, cause) in [("unreachable", "wasm `unreachable` instruction executed"), (load, "out of bounds memory access")] {
        let error = fails_with(&host, &guest(body), patient()).await;
        assert_eq!(error, format!("transformer `guest` trapped: {cause} in `transform`"));
    }
    let endless = guest_with("(func $f (result i32) (i32.add (call $f) (call $f)))", "(call $f)");
    let error = fails_with(&host, &endless, patient()).await;
    assert_eq!(error, "transformer `guest` trapped: call stack exhausted in `transform`");
}

#[tokio::test]
async fn memory_is_bounded_over_one_memory_and_over_many() {
    let host = host();
    let limits = Limits { memory: 8 << 20, ..patient() };
    let grow = |memory: &str| format!("(if (i32.eq (memory.grow {memory} (i32.const 64)) (i32.const -1)) (then unreachable))");
    let one = guest(&format!("(loop {} (br 0)) unreachable", grow("0")));
    let memories = "(memory $a 1) (memory $b 1) (memory $c 1)";
    let many = guest_with(memories, &(["$a", "$b", "$c"].map(grow).join(" ") + &dropping()));
    let sentence = "transformer `guest` used more than its 8 MiB of memory";
    assert_eq!(fails_with(&host, &one, limits).await, sentence);
    // Three times 4 MiB: each of them would be within the limit.
    assert_eq!(fails_with(&host, &many, limits).await, sentence);
    let large = guest_with("(memory $a 129)", &dropping());
    let error = try_load(&host, &large, limits).await.unwrap_err().to_string();
    assert_eq!(error, format!("cannot load: {sentence}"));
    // And what it took is free again: the same, many times over.
    let module = load(&host, &one, limits).await;
    for _ in 0..50 {
        assert_eq!(error_of(&module).await, sentence);
    }
}

#[tokio::test]
async fn an_endless_loop_ends_at_its_limit_while_others_go_on() {
    let host = host();
    let limits = Limits { cpu: Duration::from_millis(200), ..Limits::default() };
    let endless = load(&host, &guest("(loop (br 0)) unreachable"), limits).await;
    let good = load(&host, &guest(&dropping()), patient()).await;
    let started = Instant::now();
    let looping = async {
        let error = error_of(&endless).await;
        (error, started.elapsed())
    };
    let others = async {
        let event = event("a.b", "{}");
        let mut done = 0;
        while started.elapsed() < Duration::from_millis(150) {
            good.transform(&[EventInput::from(&event)], "{}").await.result.unwrap();
            done += 1;
            tokio::task::yield_now().await;
        }
        done
    };
    // One thread for both: the loop must give way by itself.
    let ((error, elapsed), done) = tokio::join!(looping, others);
    assert_eq!(error, "transformer `guest` did not finish within 200 ms");
    assert!(elapsed < 10 * limits.cpu, "{elapsed:?}");
    assert!(done >= 3, "{done} other calls");
}

#[tokio::test]
async fn a_sleep_in_wasi_ends_at_the_limit_too() {
    let host = host();
    let limits = Limits { cpu: Duration::from_millis(100), ..Limits::default() };
    let hour = guest("(call $block (call $sleep (i64.const 3600000000000))) unreachable");
    let started = Instant::now();
    assert_eq!(fails_with(&host, &hour, limits).await, "transformer `guest` did not finish within 100 ms");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn waiting_for_a_free_instance_does_not_count_as_time() {
    let host = Host::new(crate::transform::HostOptions { cache_dir: None, instances_max: 1 }).unwrap();
    let limits = Limits { cpu: Duration::from_millis(150), ..Limits::default() };
    let endless = load(&host, &guest("(loop (br 0)) unreachable"), limits).await;
    let good = load(&host, &guest(&dropping()), Limits { cpu: Duration::from_millis(140), ..Limits::default() }).await;
    let event = event("a.b", "{}");
    let inputs = [EventInput::from(&event)];
    let (_, waited) = tokio::join!(error_of(&endless), good.transform(&inputs, "{}"));
    assert!(waited.result.is_ok(), "{:?}", waited.result);
    assert!(waited.duration < Duration::from_millis(140));
}

#[tokio::test]
async fn waiting_for_a_free_instance_ends_and_says_why() {
    let host = Host::new(HostOptions { cache_dir: None, instances_max: 1 }).unwrap();
    let good = load(&host, &guest(&dropping()), patient()).await;
    let taken = host.permits().clone().acquire_owned().await.unwrap();
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    let error = error_of(&good).await;
    assert!(error.starts_with("transformer `guest` was not called: no instance came free within 30 s;"), "{error}");
    assert_eq!(started.elapsed().as_secs(), 30);
    tokio::time::resume();
    drop(taken);
    assert_works(&host).await;
}

#[tokio::test]
async fn an_instance_whose_caller_has_gone_is_not_free_before_it_has_ended() {
    // One instance, and a pool of one: a second beside it could not be made.
    let host = Host::new(HostOptions { cache_dir: None, instances_max: 1 }).unwrap();
    let endless = load(&host, &guest("(loop (br 0)) unreachable"), patient()).await;
    let good = load(&host, &guest(&dropping()), patient()).await;
    let event = event("a.b", "{}");
    let inputs = [EventInput::from(&event)];
    for _ in 0..10 {
        // Gives way once it has moved to threads of its own, and is dropped there.
        tokio::select! {
            biased;
            ended = endless.transform(&inputs, "{}") => panic!("{:?}", ended.result),
            () = tokio::task::yield_now() => {}
        }
        let done = good.transform(&inputs, "{}").await;
        assert!(done.result.is_ok(), "{:?}", done.result);
    }
}

#[tokio::test]
async fn output_is_bounded() {
    let host = host();
    let limits = Limits { output: 64 << 10, ..patient() };
    // ok(request(text(from 0, 100,000 bytes), no headers, none, none))
    let large = guest(&returning(&[0, 1, 0, 16_384, 40_000, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert!(load(&host, &large, limits).await.transform(&[EventInput::from(&event("a.b", "{}"))], "{}").await.result.is_ok());
    let words = returning(&[0, 1, 0, 131_072, 100_000, 0, 0, 0, 0, 0, 0, 0, 0]);
    let larger = guest(&format!("(drop (memory.grow (i32.const 2))) {words}"));
    let error = fails_with(&host, &larger, limits).await;
    assert_eq!(error, "transformer `guest` returned a request of 100000 bytes, more than its 64 KiB of output");
    // 60 MB: refused before they are copied.
    let words = returning(&[0, 1, 0, 16_384, 60_000_000, 0, 0, 0, 0, 0, 0, 0, 0]);
    let giant = guest(&format!("(drop (memory.grow (i32.const 960))) {words}"));
    let error = fails_with(&host, &giant, limits).await;
    assert!(error.starts_with("transformer `guest` failed in `transform`: too much data"), "{error}");
}

#[tokio::test]
async fn headers_that_split_the_request_are_refused() {
    let host = host();
    // One header at 8192: the name `x\r\ny` at 1035, the value "1".
    let words = returning(&[0, 1, 0, 0x405, 4, 8192, 1, 0, 0, 0, 0, 0, 0]);
    let header = [1035, 4, 1028, 1]
        .iter()
        .enumerate()
        .map(|(index, word)| format!("(i32.store (i32.const {}) (i32.const {word}))", 8192 + 4 * index));
    let body = header.collect::<String>() + &words;
    let error = fails_with(&host, &guest(&body), patient()).await;
    assert_eq!(error, "transformer `guest` returned a header with the name \"x\\r\\ny\", which HTTP does not allow");
}

#[tokio::test]
async fn a_hundred_thousand_headers_are_refused() {
    let host = host();
    // Names and values of no bytes, from memory that is all zero.
    let words = returning(&[0, 1, 0, 0x405, 4, 131_072, 100_000, 0, 0, 0, 0, 0, 0]);
    let many = guest(&format!("(drop (memory.grow (i32.const 30))) {words}"));
    let error = fails_with(&host, &many, patient()).await;
    assert!(error.contains("100000 headers, 100 are allowed") || error.contains("too much data"), "{error}");
}

#[tokio::test]
async fn lies_about_memory_fail_the_call() {
    let host = host();
    for words in [&[0, 2, 0x7fff_ffff, 4][..], &[7, 0, 0, 0], &[0, 9, 0, 0]] {
        let error = fails_with(&host, &guest(&returning(words)), patient()).await;
        assert!(error.starts_with("transformer `guest` failed in `transform`: "), "{error}");
    }
    // A drop with a reason that is no UTF-8.
    let body = format!("(i32.store (i32.const 512) (i32.const -1)) {}", returning(&[0, 2, 512, 4]));
    let error = fails_with(&host, &guest(&body), patient()).await;
    assert!(error.contains("failed in `transform`"), "{error}");
}

#[tokio::test]
async fn a_log_without_end_is_bounded() {
    let host = host();
    let lines = "(local $n i32)
        (loop (call $log (i32.const 2) (i32.const 16384) (i32.const 40000))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if 0 (i32.lt_u (local.get $n) (i32.const 150))))";
    let module = load(&host, &guest(&format!("{lines} {}", dropping())), patient()).await;
    let done = module.transform(&[EventInput::from(&event("a.b", "{}"))], "{}").await;
    assert!(done.result.is_ok(), "{:?}", done.result);
    assert_eq!(done.log.len(), 100);
    assert!(done.log.iter().all(|line| line.message.len() <= 1024));
    assert_eq!(done.log[99].message, "… and 51 more lines");
}

#[tokio::test]
async fn what_is_no_transformer_is_refused_with_how_to_make_one() {
    let host = host();
    let error = |text: &'static str| {
        let host = host.clone();
        async move { try_load(&host, text, patient()).await.unwrap_err().to_string() }
    };
    let core = error("(module)").await;
    assert!(core.starts_with("transformer `guest` is a core module and cannot be made a component: "), "{core}");
    assert!(core.contains("Build it for the target wasm32-wasip2"));
    let empty = error("(component)").await;
    assert!(
        empty.starts_with("transformer `guest` exports no `describe`: it must be built for the world `transformer`"),
        "{empty}"
    );
    let stranger = guest(&dropping()).replacen(
        "(component",
        "(component (import \"acme:db/query@1.0.0\" (instance (export \"q\" (func))))",
        1,
    );
    let error_of_import = try_load(&host, &stranger, patient()).await.unwrap_err().to_string();
    assert_eq!(
        error_of_import,
        "transformer `guest` imports `acme:db/query@1.0.0`, which is not served: only `host` of tenterhook:transformer and WASI 0.2 \
         can be imported; see docs/transformers.md"
    );
    let http = guest(&dropping()).replacen(
        "(component",
        "(component (import \"wasi:http/outgoing-handler@0.2.0\" (instance (export \"handle\" (func))))",
        1,
    );
    let error_of_http = try_load(&host, &http, patient()).await.unwrap_err().to_string();
    assert!(
        error_of_http.contains("imports `wasi:http/outgoing-handler@0.2.0`")
            && error_of_http.contains("--backend-qjs-disable-async")
    );
    let newer = guest(&dropping()).replace("transformer/types@1.0.0", "transformer/types@2.3.0");
    let error = try_load(&host, &newer, patient()).await.unwrap_err().to_string();
    assert_eq!(error, "transformer `guest` was built for `tenterhook:transformer@2.3.0`; this Tenterhook speaks 1.0.0, 1.1.0");
}

#[tokio::test]
async fn a_module_that_hangs_when_asked_what_it_is_is_not_loaded() {
    let host = host();
    let text = guest(&dropping()).replacen("(result i32) (i32.const 2048)", "(result i32) (loop (br 0)) unreachable", 1);
    let limits = Limits { cpu: Duration::from_millis(50), ..Limits::default() };
    let error = try_load(&host, &text, limits).await.unwrap_err().to_string();
    assert_eq!(error, "cannot load: transformer `guest` did not finish within 50 ms");
    assert_works(&host).await;
}

#[tokio::test]
async fn a_check_that_hangs_fails_at_its_limit() {
    let host = host();
    let text = guest(&dropping()).replacen("(result i32) (i32.const 3072)", "(result i32) (loop (br 0)) unreachable", 1);
    let limits = Limits { cpu: Duration::from_millis(50), ..Limits::default() };
    let module = load(&host, &text, limits).await;
    let error = module.check("{}").await.unwrap_err().to_string();
    assert_eq!(error, "transformer `guest` did not finish within 50 ms");
    assert_works(&host).await;
}

#[tokio::test]
async fn a_description_that_lies_or_is_no_schema_is_refused_or_harmless() {
    let host = host();
    // The schema's two bytes, "{}", become something else.
    let with_schema = |bytes: &str| guest(&dropping()).replacen("name1text{}x", &format!("name1text{bytes}x"), 1);
    for (bytes, part) in [("42", "it is 42, not a schema"), ("[]", "it is [], not a schema"), ("{x", "key must be a string")] {
        let error = try_load(&host, &with_schema(bytes), patient()).await.unwrap_err().to_string();
        assert!(
            error.starts_with("transformer `guest` describes its options with something that is no JSON Schema: "),
            "{error}"
        );
        assert!(error.contains(part), "{error}");
    }
    // It calls itself `name`; it is configured, and reported, under its file's.
    let module = load(&host, &guest("unreachable"), patient()).await;
    assert_eq!((module.name(), module.description().name.as_str()), ("guest", "name"));
    assert!(error_of(&module).await.starts_with("transformer `guest` trapped"));
}

#[tokio::test]
async fn one_module_never_takes_all_instances() {
    let host = Host::new(HostOptions { cache_dir: None, instances_max: 4 }).unwrap();
    let limits = Limits { cpu: Duration::from_secs(2), ..Limits::default() };
    let endless = load(&host, &guest("(loop (br 0)) unreachable"), limits).await;
    assert_eq!(endless.instances_max(), 1);
    let good = load(&host, &guest(&dropping()), patient()).await;
    // Ten deliveries of the bad webhook wait for each other, and nobody else for them.
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let endless = Arc::clone(&endless);
        waiting.spawn(async move { error_of(&endless).await });
    }
    tokio::task::yield_now().await;
    let event = event("a.b", "{}");
    for _ in 0..20 {
        good.transform(&[EventInput::from(&event)], "{}").await.result.unwrap();
    }
    assert!(waiting.try_join_next().is_none(), "the good calls were done before the first bad one ended");
    waiting.abort_all();
    assert_eq!(endless.usage().calls, 0);
    assert_eq!((good.usage().calls, good.usage().errors), (20, 0));
}

#[tokio::test]
async fn many_modules_that_loop_do_not_stop_the_runtime_s_clock() {
    let host = Host::new(HostOptions { cache_dir: None, instances_max: 8 }).unwrap();
    let limits = Limits { cpu: Duration::from_secs(600), ..Limits::default() };
    let endless = load(&host, &guest("(loop (br 0)) unreachable"), limits).await;
    let mut looping = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let endless = Arc::clone(&endless);
        looping.spawn(async move { error_of(&endless).await });
    }
    // This test's only thread: both loops leave it at their first tick and never come back.
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    let started = Instant::now();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    looping.abort_all();
}
