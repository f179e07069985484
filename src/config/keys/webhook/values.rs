//! The values that only a webhook has: its URL, patterns, filter, secrets, texts.

use url::Url;

use super::rows::{PATTERNS_MAX, SECRETS_MAX};
use crate::config::keys::read;
use crate::config::keys::secret::{self, Slips};
use crate::config::text::json::{self, span_at};
use crate::config::text::mask::show_url;
use crate::config::text::report::{self, Report, quote};
use crate::config::text::tree::{Node, Value};
use crate::model::{EndpointUrl, NetworkPolicy};
use crate::routing::{Filter, Pattern};
use crate::signing::Secret;

const METADATA_BYTES_MAX: usize = 16 << 10;

pub(crate) fn url(node: &Node, network: Option<&NetworkPolicy>, report: &mut Report) -> Option<EndpointUrl> {
    const EXAMPLE: &str = "write scheme and host, as in \"https://example.com/hook\"";
    let text = read::string(node, "url", "https://example.com/hook", report)?;
    let value = text.value();
    let foreign = text.expanded.is_some();
    let shown = if foreign { "what `${…}` comes to".to_owned() } else { quote(&show_url(value)) };
    let url = match Url::parse(value) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            // `localhost:9000/x` parses as the scheme `localhost`.
            let help = if value.contains("://") { "only https and http are delivered to" } else { EXAMPLE };
            report.error(node.span, format!("`url` is not an http or https URL: {shown}")).help(help);
            return None;
        }
        Ok(url) => url,
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            report.error(node.span, format!("`url` is not an absolute URL: {shown}")).help(EXAMPLE);
            return None;
        }
        Err(error) => {
            report.error(node.span, format!("`url` is not a valid URL: {shown}: {error}")).help(EXAMPLE);
            return None;
        }
    };
    if let Some(Err(refused)) = network.map(|network| network.check_url(&url)) {
        let message = format!("`url` is refused: {refused}");
        let secret_parts = [url.username(), url.password().unwrap_or_default(), url.path(), url.query().unwrap_or_default()];
        // Host and scheme may be said, also of a URL from the environment; the rest may be a credential.
        let leaks = foreign && secret_parts.iter().any(|part| part.len() > 3 && message.contains(part));
        let message = if leaks { format!("`url` is refused for {shown}") } else { message };
        report.error(node.span, message);
        return None;
    }
    Some(EndpointUrl::new(url))
}

pub(crate) fn events(node: &Node, report: &mut Report) -> Option<Vec<Pattern>> {
    let count = read::array(node, "events", "[\"order.*\"]", report)?.len();
    if count == 0 {
        report
            .error(node.span, "`events` is empty, so that the webhook would receive nothing")
            .help("name event types, as in [\"order.*\"]; [\"*\"] is all of them");
        return None;
    }
    if !read::at_most(count, PATTERNS_MAX, "patterns", node, report) {
        return None;
    }
    let mut patterns: Vec<Pattern> = Vec::with_capacity(count);
    for (text, node) in read::strings(node, "events", "order.*", report)? {
        match Pattern::parse(text.value()) {
            Ok(pattern) => {
                if patterns.contains(&pattern) {
                    report.warning(node.span, "this pattern is in the list twice");
                }
                patterns.push(pattern);
            }
            Err(error) => {
                report.error_about(node.span, [node], "`events`:", &error.to_string());
            }
        }
    }
    (patterns.len() == count).then_some(patterns)
}

/// The parser's path leads back to the part of the file that it complains about.
pub(crate) fn filter(node: &Node, report: &mut Report) -> Option<Filter> {
    read::table(node, "filter", "{ data = { severity = \"high\" } }", report)?;
    let json = json::to_json(node, report)?;
    match Filter::parse(&json) {
        Ok(filter) => {
            for suspicion in filter.suspicions() {
                let span = span_at(node, &suspicion.path, report);
                report.warning_about(span, [node], "`filter`:", &suspicion.problem);
            }
            Some(filter)
        }
        Err(errors) => {
            for error in errors {
                let span = span_at(node, &error.path, report);
                report.error_about(span, [node], "`filter`:", &error.problem);
            }
            None
        }
    }
}

/// One secret, or several of which the first is the newest: all of them sign.
pub(crate) fn secrets(node: &Node, slips: Slips, report: &mut Report) -> Option<Vec<Secret>> {
    let Value::Array(nodes) = &node.value else { return Some(vec![one_secret(node, slips, report)?]) };
    if nodes.is_empty() {
        report.error(node.span, "`secret` is an empty list").help("leave it out to have one generated");
        return None;
    }
    if !read::at_most(nodes.len(), SECRETS_MAX, "secrets", node, report) {
        return None;
    }
    let secrets: Vec<Option<Secret>> = nodes.iter().map(|node| one_secret(node, slips, report)).collect();
    secrets.into_iter().collect()
}

fn one_secret(node: &Node, slips: Slips, report: &mut Report) -> Option<Secret> {
    let text = secret::text_of(read::string(node, "secret", "${OPS_SECRET}", report)?);
    if !secret::check(text, "secret", slips, node, report) {
        return None;
    }
    match Secret::parse(text) {
        Ok(secret) => Some(secret),
        Err(error) => {
            // The secret is never in the message, not even in the parser's words.
            let problem = error.to_string();
            let shows = report::leaks(&problem.replace("whsec_", "").replace("whsk_", "").replace("whpk_", ""), text);
            if shows {
                report
                    .error(node.span, "`secret` cannot be used to sign")
                    .help("write whsec_ and base64, or any text of your own");
            } else {
                report.error(node.span, format!("`secret`: {problem}"));
            }
            None
        }
    }
}

pub(crate) fn line(node: &Node, key: &str, chars_max: usize, report: &mut Report) -> Option<String> {
    let text = read::string(node, key, "acme", report)?;
    let value = text.value();
    let count = value.chars().count();
    if value.trim().is_empty() || count > chars_max || value.chars().any(|c| c.is_control() && c != '\n') {
        report.error(node.span, format!("`{key}` must be 1 to {chars_max} characters, none of them a control character"));
        return None;
    }
    Some(value.to_owned())
}

pub(crate) fn metadata(node: &Node, report: &mut Report) -> Option<serde_json::Map<String, serde_json::Value>> {
    let table = match &node.value {
        Value::Table(table) => table,
        _ => {
            read::mismatch(node, "metadata", "a table such as { team = \"sre\" }", report);
            return None;
        }
    };
    let map = json::table_to_json(table, report)?;
    let size = serde_json::to_string(&map).map_or(0, |text| text.len());
    if size > METADATA_BYTES_MAX {
        report.error(node.span, format!("`metadata` has {size} bytes as JSON, at most {METADATA_BYTES_MAX} are allowed"));
        return None;
    }
    Some(map)
}
