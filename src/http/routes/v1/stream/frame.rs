//! The text of server-sent events: one `event`, one `id`, and JSON in as many `data` lines as it has.

use bytes::Bytes;
use serde::Serialize;

use crate::http::middleware::auth::Caller;
use crate::http::routes::v1::events::hide_others;
use crate::http::shapes::{EventShape, FeedAttemptShape};
use crate::store::{FeedItem, Position};

/// Browsers wait so long before they connect again.
const RETRY_MS: u32 = 2000;

/// An `id` alone is no event, but the position that a reconnect goes on from.
pub(super) fn hello(position: Position) -> Bytes {
    format!("retry: {RETRY_MS}\nid: {position}\n\n").into()
}

pub(super) fn heartbeat(position: Position) -> Bytes {
    format!(": still here\nid: {position}\n\n").into()
}

pub(super) fn goodbye(reason: &str) -> Bytes {
    let mut out = Vec::new();
    lines(&mut out, "event: end", &serde_json::json!({"reason": reason}));
    out.into()
}

pub(super) fn write(out: &mut Vec<u8>, position: Position, item: FeedItem, caller: &Caller) {
    match item {
        FeedItem::Event(mut record) => {
            hide_others(caller, &mut record);
            lines(out, &format!("id: {position}\nevent: event"), &EventShape::of(&record));
        }
        FeedItem::Attempt(attempt) => {
            lines(out, &format!("id: {position}\nevent: attempt"), &FeedAttemptShape::of(&attempt));
        }
    }
}

/// JSON as it was published may have line breaks between its values, never within them: split there, it stays the same.
fn lines(out: &mut Vec<u8>, head: &str, body: &impl Serialize) {
    let body = serde_json::to_vec(body).unwrap_or_else(|_| b"null".to_vec());
    out.extend_from_slice(head.as_bytes());
    out.push(b'\n');
    for line in body.split(|byte| matches!(byte, b'\n' | b'\r')) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    #[test]
    fn json_with_line_breaks_stays_one_event() {
        let raw: Box<RawValue> = serde_json::from_str("{\"a\":\r\n1,\n\"b\":\"x\\n\"}").unwrap();
        let mut out = Vec::new();
        lines(&mut out, "event: event", &raw);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "event: event\ndata: {\"a\":\ndata: \ndata: 1,\ndata: \"b\":\"x\\n\"}\n\n");
        let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&data.join("\n")).unwrap(), serde_json::json!({"a": 1, "b": "x\n"}));
    }

    #[test]
    fn the_last_word_is_an_event_of_its_own() {
        assert_eq!(goodbye("why"), "event: end\ndata: {\"reason\":\"why\"}\n\n");
    }
}
