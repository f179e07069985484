//! Events and options from the command line: JSON as it is, `@file`, a file's name, or `-`.

use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::value::RawValue;

use crate::model::Event;
use crate::transform::cases;

/// Larger than any event that is taken in; a wrong file should not fill the memory.
const INPUT_BYTES_MAX: u64 = 16 << 20;

/// What a module is tried on when nothing is given: an event of a gateway, of about 1 KB.
pub(super) const SAMPLE: &str = include_str!("templates/sample.json");

#[derive(clap::Args)]
pub(super) struct Input {
    /// The event as JSON, `{"type": …, "data": …}`, or an array of them: a file, JSON, or - for standard input [default: a sample]
    #[arg(short, long, value_name = "FILE|JSON|-")]
    event: Option<String>,
    /// The options as a JSON object: a file, or JSON
    #[arg(short, long, value_name = "FILE|JSON|-", default_value = "{}")]
    options: String,
}

impl Input {
    /// Never none.
    pub(super) fn events(&self) -> anyhow::Result<Vec<Event>> {
        let text = match &self.event {
            Some(argument) => read(argument, "--event")?,
            None => SAMPLE.to_owned(),
        };
        let texts: Vec<&RawValue> = if text.trim_start().starts_with('[') {
            serde_json::from_str(&text).context("--event: the array cannot be read")?
        } else {
            vec![serde_json::from_str(&text).context("--event is no JSON")?]
        };
        if texts.is_empty() {
            bail!("--event: the array has no event");
        }
        let event = |text: &&RawValue| cases::read_event(text.get()).map_err(|error| anyhow::anyhow!("--event: {error}"));
        texts.iter().map(event).collect()
    }

    pub(super) fn options(&self) -> anyhow::Result<String> {
        let text = read(&self.options, "--options")?;
        let options: &RawValue = serde_json::from_str(&text).context("--options is no JSON")?;
        if !options.get().starts_with('{') {
            bail!("--options must be a JSON object, as in {{\"channel\": \"#ops\"}}");
        }
        Ok(options.get().to_owned())
    }
}

fn read(argument: &str, option: &str) -> anyhow::Result<String> {
    let trimmed = argument.trim_start();
    if trimmed.starts_with(['{', '[']) {
        return Ok(argument.to_owned());
    }
    let (source, reader): (&str, Box<dyn Read>) = if argument == "-" {
        ("standard input", Box::new(std::io::stdin()))
    } else {
        let path = argument.strip_prefix('@').unwrap_or(argument);
        let file = std::fs::File::open(Path::new(path));
        (path, Box::new(file.with_context(|| format!("{option}: `{path}` is neither JSON nor a file that can be opened"))?))
    };
    let mut text = String::new();
    reader.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text).with_context(|| format!("{option}: cannot read {source}"))?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        bail!("{option}: {source} is over 16 MiB");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(event: Option<&str>, options: &str) -> Input {
        Input { event: event.map(str::to_owned), options: options.to_owned() }
    }

    #[test]
    fn events_come_as_json_files_and_arrays() {
        assert_eq!(input(None, "{}").events().unwrap()[0].kind.as_str(), "circuit_breaker.opened");
        assert_eq!(input(Some(r#"[{"type":"a"},{"type":"b"}]"#), "{}").events().unwrap().len(), 2);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.json");
        std::fs::write(&path, r#"{"type":"a.b","data":1}"#).unwrap();
        assert_eq!(input(Some(path.to_str().unwrap()), "{}").events().unwrap()[0].kind.as_str(), "a.b");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = |event: &str, options: &str| {
            let input = input(Some(event), options);
            format!("{:#}", input.events().map(drop).and_then(|()| input.options().map(drop)).unwrap_err())
        };
        assert!(error("nope.json", "{}").starts_with("--event: `nope.json` is neither JSON nor a file that can be opened"));
        assert!(error("{\"typ\":1}", "{}").starts_with("--event: the event cannot be read: unknown field `typ`"));
        assert!(error("[]", "{}").contains("has no event"));
        assert!(error("{\"type\":\"a\"}", "[1]").starts_with("--options must be a JSON object"));
        assert!(error("{\"type\":\"a\"}", "{").starts_with("--options is no JSON"));
    }
}
