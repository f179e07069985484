//! Log lines on standard error: short and coloured on a terminal, one JSON object a line otherwise.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The variable with the filter's directives: `info`, `debug`, `tenterhook::dispatch=debug,info`.
pub const FILTER_VARIABLE: &str = "TENTERHOOK_LOG";

const FILTER_DEFAULT: &str = "info";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people: one short line, colours.
    Terminal,
    /// For collectors: one JSON object a line.
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    #[error("{FILTER_VARIABLE}=`{filter}` is not a log filter: {reason}; write a level such as debug, or tenterhook=debug,info")]
    Filter { filter: String, reason: String },
    #[error("logging is already set up: {0}")]
    Twice(#[from] TryInitError),
}

impl Format {
    /// By what standard error is.
    pub fn detect() -> Self {
        if io::stderr().is_terminal() { Self::Terminal } else { Self::Json }
    }
}

/// Sets logging up for the whole process, once, filtered by [`FILTER_VARIABLE`].
///
/// # Errors
/// The variable is no filter; something has set logging up before.
pub fn init(format: Format) -> Result<(), LogsError> {
    let filter = std::env::var(FILTER_VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let filter = parse_filter(filter.as_deref().unwrap_or(FILTER_DEFAULT))?;
    Ok(subscriber(format, filter, io::stderr).try_init()?)
}

fn parse_filter(text: &str) -> Result<EnvFilter, LogsError> {
    EnvFilter::builder()
        .parse(text)
        .map_err(|error| LogsError::Filter { filter: text.escape_debug().to_string(), reason: error.to_string() })
}

fn subscriber<W>(format: Format, filter: EnvFilter, writer: W) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // A line that cannot be written (a full disk, a closed pipe) is lost: to complain of it on the same standard error
    // would panic the caller.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    match format {
        Format::Terminal => Box::new(builder.with_target(false).compact().finish()),
        Format::Json => Box::new(builder.with_ansi(false).json().flatten_event(true).with_span_list(false).finish()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn off_a_terminal_each_line_is_an_object_with_its_fields_on_top() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(Format::Json, parse_filter("info").unwrap(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("not shown");
            tracing::info!(webhook = "ops-slack", attempts = 3, "delivered");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["message"], "delivered");
        assert_eq!(line["webhook"], "ops-slack");
        assert_eq!(line["attempts"], 3);
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn a_bad_filter_is_named_with_an_example() {
        let error = parse_filter("tenterhook=loud").unwrap_err().to_string();
        assert!(error.starts_with("TENTERHOOK_LOG=`tenterhook=loud` is not a log filter: "), "{error}");
        assert!(error.ends_with("write a level such as debug, or tenterhook=debug,info"), "{error}");
    }
}
