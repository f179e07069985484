//! The forms of a timestamp.

use std::borrow::Cow;

use serde::Deserialize;
use tenterhook_message::{unix_millis, write_string};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `"2026-01-28T10:30:45.123Z"`
    #[default]
    Rfc3339,
    /// `"2026-01-28T10:30:45Z"`
    #[serde(rename = "rfc3339-seconds")]
    Rfc3339Seconds,
    /// `1769596245`
    Seconds,
    /// `1769596245123`
    Millis,
}

impl Format {
    /// As JSON; what is no time stays the text that it is.
    pub fn write(self, out: &mut String, timestamp: &str) {
        match (self, unix_millis(timestamp)) {
            (Self::Seconds, Some(millis)) => out.push_str(&millis.div_euclid(1_000).to_string()),
            (Self::Millis, Some(millis)) => out.push_str(&millis.to_string()),
            (Self::Rfc3339Seconds, Some(_)) => write_string(out, &whole_seconds(timestamp)),
            _ => write_string(out, timestamp),
        }
    }
}

fn whole_seconds(timestamp: &str) -> Cow<'_, str> {
    timestamp.split_once('.').map_or(Cow::Borrowed(timestamp), |(seconds, _)| Cow::Owned(format!("{seconds}Z")))
}
