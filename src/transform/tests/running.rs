//! Pipelines, logs, and what a module's own errors look like.

use std::sync::Arc;

use super::guests::{dropping, guest, returning};
use super::{event, host, load, patient};
use crate::model::{LogLevel, LogLine};
use crate::transform::{EventInput, Host, Module, Output, Pipeline, Source};

/// Logs "text" and returns the first event with data `{}`: its words are copied from where the host put it.
async fn rewriting(host: &Host) -> Arc<Module> {
    let copies =
        (0..12).map(|word| format!("(i32.store (i32.const {}) (i32.load offset={} (local.get 0)))", 4104 + 4 * word, 4 * word));
    let body = format!(
        "(call $log (i32.const 1) (i32.const 1029) (i32.const 4))
         (i32.store (i32.const 4096) (i32.const 0)) (i32.store (i32.const 4100) (i32.const 0)) {}
         (i32.store (i32.const 4128) (i32.const 1033)) (i32.store (i32.const 4132) (i32.const 2)) (i32.const 4096)",
        copies.collect::<String>()
    );
    load(host, &guest(&body), patient()).await
}

fn stage(module: &Arc<Module>) -> (Arc<Module>, Arc<str>) {
    (Arc::clone(module), "{}".into())
}

#[tokio::test]
async fn an_event_that_a_stage_made_goes_to_the_next_one() {
    let host = host();
    let rewriting = rewriting(&host).await;
    let slack = host.load("slack", Source::Prebuilt, patient(), None).await.unwrap();
    let original = event("job.failed", r#"{"secret":"x"}"#);
    let pipeline = Pipeline { stages: vec![stage(&rewriting), stage(&slack)] };
    let done = pipeline.run(&original).await;
    let Output::Request(request) = done.result.unwrap() else { panic!("no request") };
    let body = String::from_utf8(request.body.to_vec()).unwrap();
    assert!(body.contains("Job failed") && body.contains("evt_0198") && !body.contains("secret"), "{body}");
    assert_eq!(done.log, [LogLine { level: LogLevel::Info, message: "guest: text".to_owned() }]);
}

#[tokio::test]
async fn an_event_from_the_last_stage_is_the_output() {
    let host = host();
    let original = event("job.failed", r#"{"secret":"x"}"#);
    let done = Pipeline { stages: vec![stage(&rewriting(&host).await)] }.run(&original).await;
    let Output::Event(made) = done.result.unwrap() else { panic!("no event") };
    assert_eq!(*made, crate::model::Event { data: "{}".into(), ..original });
    assert_eq!(done.log[0].message, "text");
}

#[tokio::test]
async fn a_request_before_the_last_stage_is_an_error_that_says_so() {
    let host = host();
    let slack = host.load("slack", Source::Prebuilt, patient(), None).await.unwrap();
    let pipeline = Pipeline { stages: vec![stage(&slack), stage(&rewriting(&host).await)] };
    let error = pipeline.run(&event("a.b", "{}")).await.result.unwrap_err().to_string();
    assert_eq!(
        error,
        "transformer `slack` made a request, but `guest` comes after it: only the last of a webhook's transformers can make the \
         request"
    );
}

#[tokio::test]
async fn a_drop_ends_the_pipeline_and_a_guest_s_error_is_shown() {
    let host = host();
    let dropping = load(&host, &guest(&dropping()), patient()).await;
    let pipeline = Pipeline { stages: vec![stage(&dropping), stage(&rewriting(&host).await)] };
    let batch = [Arc::new(event("a.b", "{}")), Arc::new(event("a.c", "{}"))];
    let done = pipeline.run_batch(&batch).await;
    assert_eq!(done.result.unwrap(), Output::Drop { reason: "text".to_owned() });
    // err("name")
    let failing = load(&host, &guest(&returning(&[1, 1024, 4])), patient()).await;
    let error = failing.transform(&[EventInput::from(&event("a.b", "{}"))], "{}").await.result.unwrap_err();
    assert_eq!(error.to_string(), "transformer `guest`: name");
    assert_eq!(
        Pipeline { stages: vec![] }.run(&batch[0]).await.result.unwrap_err().to_string(),
        "the webhook has no transformer to run"
    );
}

#[tokio::test]
async fn what_a_trapping_module_wrote_to_its_standard_error_is_in_the_log() {
    let host = host();
    // "text{}x" without a line break, as if the process had died amid a line.
    let body = "(call $write (call $stderr) (i32.const 1029) (i32.const 7) (i32.const 8192)) unreachable";
    let module = load(&host, &guest(body), patient()).await;
    let done = module.transform(&[EventInput::from(&event("a.b", "{}"))], "{}").await;
    assert!(done.result.unwrap_err().to_string().contains("trapped"));
    assert_eq!(done.log, [LogLine { level: LogLevel::Error, message: "text{}x".to_owned() }]);
}

#[tokio::test]
async fn a_module_says_what_it_is() {
    let host = host();
    let module = load(&host, &guest(&dropping()), patient()).await;
    let description = module.description();
    assert_eq!(
        (description.name.as_str(), description.version.as_str(), description.options_schema.as_str()),
        ("name", "1", "{}")
    );
    assert_eq!((module.name(), module.hash_hex().len(), module.limits()), ("guest", 64, patient()));
    assert!(module.size() > 100);
    module.check("{}").await.unwrap();
}

#[tokio::test]
async fn without_a_pool_everything_still_works() {
    let text = guest(&dropping());
    let host = Host::without_pool();
    let module = load(&host, &text, patient()).await;
    assert!(module.transform(&[EventInput::from(&event("a.b", "{}"))], "{}").await.result.is_ok());
}
