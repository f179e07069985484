//! From flags to the keys of a webhook, as config.toml and the API have them. Pure except for files that flags name.

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::flags::Flags;

/// The keys of a webhook: those with a form of their own on the command line, and [`Flags`] for the others.
#[derive(clap::Args, Default, Debug)]
pub(super) struct Keys {
    /// Event types; * is one part of a dotted name, ** any number, a bare * all; repeated or with commas
    #[arg(short, long = "type", visible_alias = "event", value_name = "PATTERN", value_delimiter = ',')]
    types: Vec<String>,
    #[command(flatten)]
    flags: Flags,
    /// Only events that match: JSON or @FILE, such as '{"data":{"errorRate":{"$gt":0.5}}}'
    #[arg(long, value_name = "JSON|@FILE")]
    filter: Option<String>,
    /// A transformer: a name, name=JSON with options, or JSON; repeated for a pipeline
    #[arg(long, value_name = "NAME[=OPTIONS]")]
    transform: Vec<String>,
    /// A header of every request; may be repeated
    #[arg(short = 'H', long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Retries after the first attempt
    #[arg(long, value_name = "N", conflicts_with = "retry_schedule")]
    max_retries: Option<u32>,
    /// Before the first retry; each further delay is twice the one before
    #[arg(long, value_name = "TIME", conflicts_with = "retry_schedule")]
    initial_delay: Option<String>,
    /// One retry after each of these delays: 15s,2m,10m,1h
    #[arg(long, value_name = "TIMES", value_delimiter = ',')]
    retry_schedule: Vec<String>,
    /// Shown, never sent; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// Any key of config.toml, also within a table, its value as JSON or text: --set retry.jitter=0.1 --set batch.max_events=100
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Keys {
    /// The keys that are given.
    pub(super) fn to_json(&self) -> anyhow::Result<Map<String, Value>> {
        let mut keys = self.flags.0.clone();
        if !self.types.is_empty() {
            keys.insert("events".to_owned(), json!(self.types));
        }
        if let Some(text) = &self.filter {
            keys.insert("filter".to_owned(), json_or_file(text).context("--filter")?);
        }
        if !self.transform.is_empty() {
            let stages = self.transform.iter().map(|text| stage(text)).collect::<anyhow::Result<Vec<_>>>()?;
            keys.insert("transform".to_owned(), stages.into());
        }
        if !self.header.is_empty() {
            let headers = self.header.iter().map(|text| header(text)).collect::<anyhow::Result<Map<_, _>>>()?;
            keys.insert("headers".to_owned(), headers.into());
        }
        if let Some(retry) = self.retry() {
            keys.insert("retry".to_owned(), retry);
        }
        if !self.metadata.is_empty() {
            let pairs = self.metadata.iter().map(|text| pair(text, "--metadata")).collect::<anyhow::Result<Map<_, _>>>()?;
            keys.insert("metadata".to_owned(), pairs.into());
        }
        for text in &self.set {
            let (path, value) = pair(text, "--set")?;
            insert(&mut keys, &path, value)?;
        }
        Ok(keys)
    }

    fn retry(&self) -> Option<Value> {
        let mut retry = Map::new();
        if !self.retry_schedule.is_empty() {
            retry.insert("schedule".to_owned(), json!(self.retry_schedule));
        }
        if let Some(number) = self.max_retries {
            retry.insert("max_retries".to_owned(), number.into());
        }
        if let Some(delay) = &self.initial_delay {
            retry.insert("initial_delay".to_owned(), json!(delay));
        }
        (!retry.is_empty()).then_some(Value::Object(retry))
    }
}

/// `retry.max_retries` goes into the table `retry`.
fn insert(keys: &mut Map<String, Value>, path: &str, value: Value) -> anyhow::Result<()> {
    match path.split_once('.') {
        None => {
            keys.insert(path.to_owned(), value);
            Ok(())
        }
        Some((first, rest)) => {
            let inner = keys.entry(first.to_owned()).or_insert_with(|| json!({}));
            match inner {
                Value::Object(fields) => insert(fields, rest, value),
                _ => bail!("--set {path}: `{first}` has a value already, and no table"),
            }
        }
    }
}

fn json_or_file(text: &str) -> anyhow::Result<Value> {
    let text = match text.strip_prefix('@') {
        Some(file) => &std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?,
        None => text,
    };
    serde_json::from_str(text).context("this is not JSON")
}

/// Objects, lists, quoted strings, numbers, true, false and null are JSON; everything else is text.
pub(super) fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

fn pair(text: &str, flag: &str) -> anyhow::Result<(String, Value)> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), json_or_text(value))),
        _ => bail!("{flag} takes KEY=VALUE, not `{text}`"),
    }
}

/// `slack`, `slack={"channel":"#ops"}`, `{"use":"slack"}`.
fn stage(text: &str) -> anyhow::Result<Value> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).with_context(|| format!("--transform {text} is not JSON"));
    }
    match text.split_once('=') {
        None => Ok(json!(text)),
        Some((name, options)) => {
            let options = json_or_file(options).with_context(|| format!("the options of --transform {name}"))?;
            Ok(json!({"use": name, "options": options}))
        }
    }
}

fn header(text: &str) -> anyhow::Result<(String, Value)> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().into())),
        // The value may be a credential.
        _ => bail!("--header takes 'NAME: VALUE'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, FromArgMatches as _};

    fn keys(args: &[&str]) -> anyhow::Result<Value> {
        let command = Keys::augment_args(clap::Command::new("create").no_binary_name(true));
        let matches = command.try_get_matches_from(args)?;
        Ok(Value::Object(Keys::from_arg_matches(&matches)?.to_json()?))
    }

    #[test]
    fn flags_become_the_keys_of_the_file() {
        let args = [
            "--type",
            "route.error,route.down",
            "--event",
            "order.*",
            "--url",
            "https://a.example/",
            "--secret",
            "sk_live_1",
            "--timeout",
            "3s",
            "--filter",
            r#"{"data":{"n":{"$gt":1}}}"#,
            "--transform",
            "redact",
            "--transform",
            r##"slack={"channel":"#ops"}"##,
            "-H",
            "X-Api-Key: abc: d",
            "--signature",
            "sha256",
            "--concurrency",
            "5",
            "--max-retries",
            "7",
            "--initial-delay",
            "2s",
            "--metadata",
            "team=sre",
            "--metadata",
            "tier=1",
            "--set",
            r#"batch={"max_events":100}"#,
            "--set",
            "retry.jitter=0.1",
            "--disable-after",
            "2d",
            "--expire-after",
            "false",
            "--success",
            "2xx, 304",
            "--tenant",
            "17",
        ];
        assert_eq!(
            keys(&args).unwrap(),
            json!({
                "events": ["route.error", "route.down", "order.*"], "url": "https://a.example/", "secret": "sk_live_1", "timeout": "3s",
                "filter": {"data": {"n": {"$gt": 1}}}, "transform": ["redact", {"use": "slack", "options": {"channel": "#ops"}}],
                "headers": {"X-Api-Key": "abc: d"}, "signature": "sha256", "concurrency": 5,
                "retry": {"max_retries": 7, "initial_delay": "2s", "jitter": 0.1}, "metadata": {"team": "sre", "tier": 1},
                "batch": {"max_events": 100}, "disable_after": "2d", "expire_after": false, "success": ["2xx", "304"], "tenant": "17",
            })
        );
        assert_eq!(keys(&["--retry-schedule", "15s,2m"]).unwrap(), json!({"retry": {"schedule": ["15s", "2m"]}}));
        assert_eq!(keys(&[]).unwrap(), json!({}));
    }

    #[test]
    fn an_unreadable_flag_is_named() {
        for (args, words) in [
            (["--filter", "{"], "--filter"),
            (["--header", "s3cr3t"], "takes 'NAME: VALUE'"),
            (["--set", "x"], "takes KEY=VALUE"),
            (["--transform", "slack={"], "options of --transform slack"),
            (["--filter", "@/nowhere/at.all"], "--filter"),
        ] {
            let error = format!("{:#}", keys(&args).unwrap_err());
            assert!(error.contains(words) && !error.contains("s3cr3t"), "{args:?}: {error}");
        }
        assert!(keys(&["--retry-schedule", "1s", "--max-retries", "1"]).is_err());
    }
}
