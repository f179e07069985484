//! `GET /metrics`: the page that describes it says what a server answers, and series come and go with their webhooks.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::json;

use crate::harness::{Answer, Receiver, Server, head, webhook};

const DOCS: &str = include_str!("../../docs/metrics.md");

/// What is known of a metric: its type and its labels.
#[derive(Debug, Default, PartialEq, Eq)]
struct Described {
    kind: String,
    labels: BTreeSet<String>,
}

async fn scrape(server: &Server) -> String {
    let (status, _, body) = server.http().raw("GET", "/metrics", &[], Bytes::new()).await;
    assert_eq!(status, 200);
    String::from_utf8(body.to_vec()).unwrap()
}

/// The value of a series.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// By the name that queries use: a counter's ends in `_total`, an info's in `_info`.
fn answered(text: &str) -> BTreeMap<String, Described> {
    let mut families: BTreeMap<String, Described> = BTreeMap::new();
    for line in text.lines() {
        let Some(kind) = line.strip_prefix("# TYPE ") else { continue };
        let (name, kind) = kind.split_once(' ').unwrap();
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let described = families.entry(format!("{name}{suffix}")).or_default();
        kind.clone_into(&mut described.kind);
        for sample in text.lines().filter(|line| line.starts_with(name)) {
            let Some((sample, labels)) = sample.split_once('{') else { continue };
            let own = [suffix, "_bucket", "_sum", "_count"].iter().any(|end| sample == format!("{name}{end}"));
            let labels = labels.split_once('}').unwrap().0;
            let names = labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned());
            described.labels.extend(names.filter(|name| own && name != "le"));
        }
    }
    families
}

/// The rows of the page's tables: `| name | type | labels | … |`.
fn documented() -> BTreeMap<String, Described> {
    let rows = DOCS.lines().filter_map(|line| line.strip_prefix("| `tenterhook_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[2].split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty() && label != "–").collect();
        (format!("tenterhook_{}", cells[0].trim_matches('`')), Described { kind: cells[1].to_owned(), labels })
    })
    .collect()
}

#[tokio::test]
async fn the_page_lists_every_metric_with_its_type_and_labels() {
    let receiver = Receiver::start().await;
    let config = head() + &webhook("ops", &receiver.url("/in"), r#"["a.*"]"#, "transform = \"slack\"");
    let server = Server::start(&config).await;
    let id = server.publish("a.b", "{}").await;
    server.delivery_in(&id, "succeeded").await;
    let (answered, documented) = (answered(&scrape(&server).await), documented());
    assert!(answered.len() > 20, "{answered:?}");
    for (name, described) in &answered {
        assert_eq!(documented.get(name), Some(described), "docs/metrics.md on `{name}`");
    }
    let gone: Vec<_> = documented.keys().filter(|name| !answered.contains_key(*name)).collect();
    assert!(gone.is_empty(), "docs/metrics.md lists what no server answers: {gone:?}");
    // The rules speak of metrics that there are.
    for word in DOCS.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("tenterhook_")) {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
        assert!(answered.contains_key(base) || answered.contains_key(word), "docs/metrics.md speaks of `{word}`");
    }
}

#[tokio::test]
async fn the_series_of_a_removed_webhook_end() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("kept", &receiver.url("/in"), r#"["a.*"]"#, ""))).await;
    let new = json!({"id": "passing", "url": receiver.url("/in"), "events": ["a.*"]});
    let (status, answer) = server.http().post("/v1/webhooks", new.to_string()).await;
    assert_eq!(status, 201, "{answer}");
    server.publish("a.b", "{}").await;
    receiver.wait_for("/in", 2).await;
    let has_series = async |id: &str| scrape(&server).await.contains(&format!("webhook=\"{id}\""));
    server.eventually("both have series", async || has_series("kept").await && has_series("passing").await).await;
    let (status, _) = server.http().send("DELETE", "/v1/webhooks/passing", &[], Bytes::new()).await;
    assert_eq!(status, 204);
    server.eventually("its series end", async || !has_series("passing").await).await;
    assert!(has_series("kept").await);
}

#[tokio::test]
async fn the_backlog_is_told_by_state_and_by_webhook() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/down", Answer::Status(503));
    receiver.answer_always("/hangs", Answer::Hang);
    let breaker = "breaker = { failures = 1, cool_down = \"1h\" }";
    let config = head()
        + &webhook("down", &receiver.url("/down"), r#"["a.*"]"#, breaker)
        + &webhook("hangs", &receiver.url("/hangs"), r#"["a.*"]"#, "timeout = \"60s\"");
    let server = Server::start(&config).await;
    server.publish("a.b", "{}").await;
    server
        // The breaker opens when the answer is there, the attempt is recorded after that.
        .eventually("the breaker is open and its delivery waits", async || {
            let text = scrape(&server).await;
            value(&text, r#"tenterhook_webhook_breaker_open{webhook="down"}"#) == Some(1.0)
                && value(&text, r#"tenterhook_backlog{state="retrying"}"#) == Some(1.0)
        })
        .await;
    let text = scrape(&server).await;
    for (series, expected) in [
        (r#"tenterhook_backlog{state="pending"}"#, 1.0),
        (r#"tenterhook_backlog{state="retrying"}"#, 1.0),
        (r#"tenterhook_webhook_backlog{webhook="hangs",state="pending"}"#, 1.0),
        (r#"tenterhook_webhook_backlog{webhook="down",state="retrying"}"#, 1.0),
        (r#"tenterhook_webhook_disabled{webhook="down"}"#, 0.0),
        ("tenterhook_config_last_reload_successful", 1.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
    }
    assert!(value(&text, "tenterhook_store_size_bytes").is_some_and(|size| size > 4096.0), "{text}");
    assert!(value(&text, "tenterhook_store_free_bytes").is_some_and(|free| free > 0.0), "{text}");

    let (status, _) = server.http().post("/v1/webhooks/down/disable", "{}").await;
    assert_eq!(status, 200);
    server
        .eventually("what waits is held", async || {
            value(&scrape(&server).await, r#"tenterhook_webhook_backlog{webhook="down",state="held"}"#) == Some(1.0)
        })
        .await;
    let text = scrape(&server).await;
    assert_eq!(value(&text, r#"tenterhook_backlog{state="held"}"#), Some(1.0));
    assert_eq!(value(&text, r#"tenterhook_webhook_disabled{webhook="down"}"#), Some(1.0));
}

#[tokio::test]
async fn a_refused_configuration_shows_until_it_is_fixed() {
    let receiver = Receiver::start().await;
    let good = head() + &webhook("ops", &receiver.url("/in"), r#"["a.*"]"#, "");
    let server = Server::start(&good).await;
    let successful = async || value(&scrape(&server).await, "tenterhook_config_last_reload_successful");
    assert_eq!(successful().await, Some(1.0));
    std::fs::write(server.path("config.toml"), good.clone() + "x = ").unwrap();
    server.eventually("it is refused", async || successful().await == Some(0.0)).await;
    std::fs::write(server.path("config.toml"), good).unwrap();
    server.eventually("and taken back", async || successful().await == Some(1.0)).await;
}
