//! `tenterhook test`: sends a sample event to one webhook and shows the whole attempt.

use http::Method;
use serde_json::{Map, Value, json};

use super::attempts::show_attempt;
use super::client::{Client, Server, segment};
use super::output::{self, DIM, YELLOW, styled, text};
use super::{Failed, Global};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook test ops-slack
  tenterhook test ops-slack --type circuit_breaker.opened \\
      --data '{\"routeId\":\"api\",\"errorRate\":0.75}'
  tenterhook test orders --data @order.json --json | jq .attempt.response

Exits with 0 only when the endpoint accepted it.")]
pub(crate) struct Args {
    #[arg(value_name = "WEBHOOK")]
    id: String,
    /// The sample's event type [default: a declared type that the webhook's patterns match]
    #[arg(short, long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Its data: JSON, @file, or - for standard input
    #[arg(short, long, value_name = "JSON|@FILE|-")]
    data: Option<String>,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let mut body = Map::new();
    if let Some(kind) = &args.kind {
        body.insert("type".to_owned(), json!(kind));
    }
    if let Some(data) = &args.data {
        body.insert("data".to_owned(), super::send::read_json("data", data)?);
    }
    let client = Client::new(global, &args.server)?;
    let path = format!("/v1/webhooks/{}/test", segment(&args.id));
    let answer = client.send(Method::POST, &path, Some(&Value::Object(body))).await?;
    output::answer(global, &answer, || show(&answer))?;
    if answer["attempt"]["outcome"] == "succeeded" { Ok(()) } else { Err(Failed.into()) }
}

fn show(answer: &Value) -> String {
    let mut out = String::new();
    out.push_str(&format!(
        "{} to {}  {}\n",
        text(&answer["event_type"]),
        text(&answer["webhook"]),
        styled(DIM, &text(&answer["delivery_id"]))
    ));
    if answer["would_match"] == false {
        let reason = text(&answer["unmatched_reason"]);
        out.push_str(&styled(YELLOW, &format!("published, it would not have matched: {reason}")));
        out.push('\n');
    }
    if let Some(detail) = answer["detail"].as_str() {
        out.push_str(&format!("{}\n", output::one_line(detail)));
    }
    if answer["attempt"].is_object() {
        out.push_str(&show_attempt(&answer["attempt"]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_shows_the_attempt_and_whether_the_event_would_match() {
        let answer = json!({"webhook": "w", "event_type": "a.b", "delivery_id": "dlv_1", "would_match": false,
            "unmatched_reason": "the filter", "attempt": {"number": 1, "outcome": "succeeded", "status": 200, "duration_ms": 3.0}});
        let text = anstream::adapter::strip_str(&show(&answer)).to_string();
        assert!(
            text.starts_with("a.b to w  dlv_1\npublished, it would not have matched: the filter\nattempt 1  succeeded  200"),
            "{text}"
        );
    }
}
