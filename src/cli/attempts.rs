//! Attempts as people read them: outcome, timing, request and response as they went over the wire. What an attempt repeats
//! of the one before is not shown again.

use serde_json::Value;

use super::output::{self, BOLD, DIM, styled, text};
use super::terminal::{as_json, indented};

/// Longer bodies are shown as they are: laid out they would fill screens.
const LAID_OUT_BYTES_MAX: usize = 64 * 1024;

/// Each behind an empty line.
pub(super) fn show_attempts(attempts: &[Value]) -> String {
    let mut out = String::new();
    for (at, attempt) in attempts.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| attempts.get(at));
        out.push('\n');
        out.push_str(&show(attempt, before));
    }
    out
}

pub(super) fn show_attempt(attempt: &Value) -> String {
    show(attempt, None)
}

fn show(attempt: &Value, before: Option<&Value>) -> String {
    let (outcome, style) = output::state(&text(&attempt["outcome"]));
    let mut out = format!(
        "{} {}  {}  {}  {}\n",
        styled(BOLD, "attempt"),
        styled(BOLD, &text(&attempt["number"])),
        styled(style, &outcome),
        attempt["status"].as_u64().map_or_else(|| text(&attempt["error_class"]), |status| status.to_string()),
        output::millis(&attempt["duration_ms"]),
    );
    out.push_str(&format!(
        "  {}\n",
        styled(DIM, &format!("{} {} {}", text(&attempt["at"]), text(&attempt["trigger"]), text(&attempt["id"])))
    ));
    if let Some(error) = attempt["error"].as_str() {
        out.push_str(&format!("  {}\n", output::one_line(error)));
    }
    out.push_str(&timings(&attempt["timings"]));
    out.push_str(&request(attempt, before));
    let response = &attempt["response"];
    if response.is_object() {
        out.push_str(&format!("  < {}\n", text(&attempt["status"])));
        out.push_str(&headers(response, "<"));
        out.push_str(&body(response, "<"));
        if response["truncated"] == true {
            out.push_str(&format!("  < {}\n", styled(DIM, "(cut: the rest is not stored)")));
        }
    }
    for line in attempt["log"].as_array().into_iter().flatten() {
        out.push_str(&format!("  {} {}\n", styled(DIM, &text(&line["level"])), text(&line["message"])));
    }
    out
}

fn request(attempt: &Value, before: Option<&Value>) -> String {
    let request = &attempt["request"];
    if !request.is_object() {
        return String::new();
    }
    let mut out = format!("  > {} {}\n", text(&request["method"]), text(&request["url"]));
    out.push_str(&headers(request, ">"));
    match before.filter(|before| before["request"]["body"].is_string() && before["request"]["body"] == request["body"]) {
        Some(before) => {
            let same = format!("(the same body as in attempt {})", text(&before["number"]));
            out.push_str(&format!("  >\n  > {}\n", styled(DIM, &same)));
        }
        None => out.push_str(&body(request, ">")),
    }
    out
}

/// Microseconds by phase.
fn timings(timings: &Value) -> String {
    let phases = timings.as_object().into_iter().flatten().filter_map(|(name, value)| Some((name, value.as_f64()?)));
    let shown: Vec<String> =
        phases.map(|(name, us)| format!("{} {}", name.trim_end_matches("_us"), output::millis(&(us / 1000.0).into()))).collect();
    if shown.is_empty() { String::new() } else { format!("  {}\n", styled(DIM, &shown.join(", "))) }
}

fn headers(message: &Value, mark: &str) -> String {
    let fields = message["headers"].as_object().into_iter().flatten();
    fields.map(|(name, value)| format!("  {mark} {}: {}\n", output::one_line(name), text(value))).collect()
}

/// JSON is laid out, every token of it as it was sent.
fn body(message: &Value, mark: &str) -> String {
    let Some(body) = message["body"].as_str().filter(|body| !body.is_empty()) else { return String::new() };
    let shown = match as_json(body.as_bytes()).filter(|json| json.len() <= LAID_OUT_BYTES_MAX && json.starts_with(['{', '['])) {
        Some(json) => indented(json, ""),
        None => output::lines(body),
    };
    let lines = shown.lines().map(|line| format!("  {mark} {line}\n"));
    std::iter::once(format!("  {mark}\n")).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn attempt(number: u64, body: &str) -> Value {
        json!({"number": number, "outcome": "failed", "status": 500, "duration_ms": 1.0,
            "request": {"method": "POST", "url": "https://a.example/", "headers": {"n": number.to_string()}, "body": body}})
    }

    #[test]
    fn a_body_is_laid_out_and_an_unchanged_one_shown_once() {
        let body = r#"{"n":1.00,"deep":{"a":[1e400]}}"#;
        let attempts = [attempt(1, body), attempt(2, body), attempt(3, "{\"n\":2}")];
        let text = anstream::adapter::strip_str(&show_attempts(&attempts)).to_string();
        assert!(text.contains("  > {\n  >   \"n\": 1.00,\n"), "{text}");
        assert!(text.contains("  > n: 2\n  >\n  > (the same body as in attempt 1)\n"), "{text}");
        assert!(text.contains("  >   \"n\": 2\n"), "{text}");
        assert_eq!(text.matches("1.00").count(), 1, "{text}");
    }
}
