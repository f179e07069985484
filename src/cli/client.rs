//! Talking to a running server over its HTTP API.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use serde_json::Value;

use super::target::{Environment, GIVE_TOKEN, Target};
use super::{Global, json};
use crate::app;
use crate::model::NetworkPolicy;
use crate::outbound::{Client as HttpClient, ClientOptions, SendLimits};
use crate::signing::Secret;

/// Longer than any answer of the API takes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Answers are lists of at most 250 rows.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The API's own limit of a page.
const PAGE_ROWS_MAX: usize = 250;

/// Where the server is, and who we are.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct Server {
    /// The server's URL [default: the local server's]
    #[arg(long, visible_alias = "server", env = URL_VARIABLE, value_name = "URL", help_heading = "Server")]
    pub(super) url: Option<String>,
    /// The token for it [default: one of the local server's, which is sent to no other]
    #[arg(long, env = TOKEN_VARIABLE, hide_env_values = true, value_name = "TOKEN", help_heading = "Server")]
    pub(super) token: Option<String>,
}

/// As [`Server`], for commands whose `--url` is the endpoint's.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct OtherServer {
    /// The server's URL [default: the local server's]
    #[arg(long, env = URL_VARIABLE, value_name = "URL", help_heading = "Server")]
    server: Option<String>,
    /// The token for it [default: one of the local server's, which is sent to no other]
    #[arg(long, env = TOKEN_VARIABLE, hide_env_values = true, value_name = "TOKEN", help_heading = "Server")]
    token: Option<String>,
}

pub(super) const URL_VARIABLE: &str = "TENTERHOOK_URL";
pub(super) const TOKEN_VARIABLE: &str = "TENTERHOOK_TOKEN";

impl From<OtherServer> for Server {
    fn from(OtherServer { server, token }: OtherServer) -> Self {
        Self { url: server, token }
    }
}

impl Server {
    /// Whether one is given by name, not by the configuration.
    pub(crate) fn is_named(&self) -> bool {
        self.url.is_some()
    }
}

pub(crate) struct Client {
    http: HttpClient,
    base: String,
    token: Option<Secret>,
    /// What to do when the server does not know the token, or wants one.
    token_help: String,
    is_local: bool,
}

impl Client {
    /// Finds the local server and its token by the configuration when nothing else is given. A token of this machine goes
    /// to the server of this machine and to no other.
    pub(crate) fn new(global: &Global, server: &Server) -> anyhow::Result<Self> {
        let Target { base, token, token_help, tenant, is_local } =
            Target::choose(server, &Environment::read(), || app::local_server(&global.config))?;
        if let Some(note) = tenant {
            note!("{note}");
        }
        Ok(Self { token_help, is_local, ..Self::with(base, token)? })
    }

    pub(crate) fn with(base: String, token: Option<Secret>) -> anyhow::Result<Self> {
        // The user named this address: nothing to guard against.
        let everywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|range| range.parse().ok()).collect();
        let http = HttpClient::new(ClientOptions::new(NetworkPolicy { allow: everywhere, https_only: false }))?;
        Ok(Self { http, base, token, token_help: GIVE_TOKEN.to_owned(), is_local: false })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Whether it is the server that runs on the configuration of this command.
    pub(crate) fn is_local(&self) -> bool {
        self.is_local
    }

    /// For a stream: the URL and the token.
    pub(crate) fn parts(&self) -> (&str, Option<&str>) {
        (&self.base, self.token.as_ref().map(Secret::expose))
    }

    /// With a JSON body, or with none.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        self.call(method, path, body.map(|body| body.to_string().into_bytes())).await
    }

    /// Up to `limit` rows of a list, newest first, from as many pages as it takes.
    pub(crate) async fn list(&self, path: &str, query: &Query, limit: usize) -> anyhow::Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut cursor: Option<String> = None;
        while rows.len() < limit {
            let mut query = query.clone();
            query.add("limit", Some((limit - rows.len()).min(PAGE_ROWS_MAX)));
            query.add("cursor", cursor.as_ref());
            let mut page = self.get(&query.on(path)).await?;
            let Some(data) = page["data"].as_array_mut() else { bail!("the server's answer to {path} is no list") };
            rows.append(data);
            match page["next"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        Ok(rows)
    }

    async fn call(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        let mut request = Request::builder().method(method).uri(&url);
        if let Some(token) = &self.token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).context("the token is no header value")?;
            request = request.header(AUTHORIZATION, value);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Bytes::from(body.unwrap_or_default())).with_context(|| format!("{url} is not a URL"))?;
        let limits = SendLimits {
            timeout: TIMEOUT,
            spent: Duration::ZERO,
            connect_timeout: TIMEOUT,
            response_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = self.http.send(request, limits).await.map_err(|error| self.unreachable(&error.detail))?;
        if !(200..300).contains(&answer.status) {
            return Err(Refused::of(answer.status, &json::read(&answer.body), &answer.body, &self.token_help).into());
        }
        Ok(json::read(&answer.body))
    }

    /// The advice in `detail` is for the owner of an endpoint.
    fn unreachable(&self, detail: &str) -> anyhow::Error {
        let reason = detail.split(": is the endpoint").next().unwrap_or(detail);
        anyhow::anyhow!(
            "cannot reach the server at {}: {reason}; is it running? `tenterhook` starts it, --url names another",
            self.base
        )
    }
}

/// The server's no, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("the server answered {status}: {detail}")]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) detail: String,
}

impl Refused {
    fn of(status: u16, problem: &Value, body: &[u8], token_help: &str) -> Self {
        let detail = problem["detail"].as_str().map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
        let several =
            ["errors", "problems"].iter().find_map(|key| problem[*key].as_array()).map(Vec::as_slice).unwrap_or_default();
        // A detail that only repeats what the list says is not said twice.
        let repeated =
            !several.is_empty() && several.iter().all(|error| error_text(error).is_some_and(|text| detail.contains(text)));
        let mut lines: Vec<String> = if repeated { Vec::new() } else { vec![detail] };
        lines.extend(several.iter().filter_map(one_error));
        match status {
            401 => lines.push(token_help.to_owned()),
            403 => lines.push("the token lacks the scope: give another with --token or TENTERHOOK_TOKEN".to_owned()),
            300..=399 => lines.push("redirects are not followed: give the server's own URL with --url".to_owned()),
            _ => {}
        }
        Self { status, detail: super::output::lines(&lines.join("\n  ")) }
    }
}

fn error_text(error: &Value) -> Option<&str> {
    error["detail"].as_str().or(error["message"].as_str())
}

/// One of several things that are wrong with a body or a file: `{detail}`, or `{field | file, line, column; message, help}`.
fn one_error(error: &Value) -> Option<String> {
    let text = error_text(error)?;
    let location = match (error["field"].as_str(), error["file"].as_str()) {
        (Some(field), _) if !field.is_empty() => format!("{field}: "),
        (_, Some(file)) => format!("{file}:{}:{}: ", error["line"], error["column"]),
        _ => String::new(),
    };
    let help = error["help"].as_str().map_or_else(String::new, |help| format!(" ({help})"));
    Some(format!("{location}{text}{help}"))
}

/// What follows the `?`.
#[derive(Clone, Default)]
pub(crate) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Nothing for `None`.
    pub(crate) fn add(&mut self, name: &'static str, value: Option<impl ToString>) {
        self.0.extend(value.map(|value| (name, value.to_string())));
    }

    pub(crate) fn on(&self, path: &str) -> String {
        if self.0.is_empty() {
            return path.to_owned();
        }
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish();
        format!("{path}?{query}")
    }
}

/// An id as one segment of a path, with every other character escaped.
pub(crate) fn segment(id: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:".contains(&byte);
    let dots = id.bytes().all(|byte| byte == b'.');
    id.bytes().map(|b| if keep(b) && !dots { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_one_part_of_the_path() {
        assert_eq!(segment("ops-slack"), "ops-slack");
        assert_eq!(segment("a/b?c#d e"), "a%2Fb%3Fc%23d%20e");
        assert_eq!(segment(".."), "%2E%2E");
    }

    #[test]
    fn queries_are_encoded_and_leave_out_what_is_not_given() {
        let mut query = Query::default();
        assert_eq!(query.on("/v1/events"), "/v1/events");
        query.add("type", Some("a b&c"));
        query.add("since", None::<&str>);
        assert_eq!(query.on("/v1/events"), "/v1/events?type=a+b%26c");
    }

    #[test]
    fn a_refusal_says_how_to_fix_it() {
        let refused =
            |status, problem: serde_json::Value| Refused::of(status, &problem, b"bad gateway", "give a token").to_string();
        let problem = serde_json::json!({"detail": "no", "errors": [{"detail": "`url` is missing"}]});
        assert_eq!(refused(422, problem), "the server answered 422: no\n  `url` is missing");
        assert_eq!(
            refused(401, serde_json::json!({"detail": "who are you"})),
            "the server answered 401: who are you\n  give a token"
        );
        assert_eq!(refused(502, Value::Null), "the server answered 502: bad gateway");
        assert!(refused(302, Value::Null).contains("redirects are not followed"));
    }

    #[test]
    fn what_the_detail_repeats_is_said_once() {
        let errors = serde_json::json!([{"field": "/url", "message": "`url` is no URL", "help": "write it so"}, {"message": "no `events`"}]);
        let problem = serde_json::json!({"detail": "`url` is no URL; no `events`", "errors": errors});
        assert_eq!(
            Refused::of(422, &problem, b"", "").to_string(),
            "the server answered 422: /url: `url` is no URL (write it so)\n  no `events`"
        );
    }
}
