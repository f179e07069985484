//! Talking to a running server over its HTTP API.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use serde_json::Value;

use super::Global;
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
    /// The server's URL [default: `[server] listen` of the configuration]
    #[arg(long, visible_alias = "server", env = "TENTERHOOK_URL", value_name = "URL", help_heading = "Server")]
    url: Option<String>,
    /// A token [default: the local server's admin token]
    #[arg(long, env = "TENTERHOOK_TOKEN", hide_env_values = true, value_name = "TOKEN", help_heading = "Server")]
    token: Option<String>,
}

/// As [`Server`], for commands whose `--url` is the endpoint's.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct OtherServer {
    /// The server's URL [default: `[server] listen` of the configuration]
    #[arg(long, env = "TENTERHOOK_URL", value_name = "URL", help_heading = "Server")]
    server: Option<String>,
    /// A token [default: the local server's admin token]
    #[arg(long, env = "TENTERHOOK_TOKEN", hide_env_values = true, value_name = "TOKEN", help_heading = "Server")]
    token: Option<String>,
}

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
}

impl Client {
    /// Finds the local server and its token by the configuration when nothing else is given.
    pub(crate) fn new(global: &Global, server: &Server) -> anyhow::Result<Self> {
        let local = || app::local_server(&global.config);
        let base = match &server.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => local().map(|local| local.url).context("which server? give --url, or run this beside its config.toml")?,
        };
        let token = match &server.token {
            Some(token) => Some(Secret::parse(token).context("the token cannot be used")?),
            None => local().ok().and_then(|local| local.token),
        };
        Self::with(base, token)
    }

    pub(crate) fn with(base: String, token: Option<Secret>) -> anyhow::Result<Self> {
        // The user named this address: nothing to guard against.
        let everywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|range| range.parse().ok()).collect();
        let http = HttpClient::new(ClientOptions::new(NetworkPolicy { allow: everywhere, https_only: false }))?;
        Ok(Self { http, base, token })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// For what is no single answer: where, and with which token.
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
        let answer = self.http.send(request, limits).await.map_err(|e| {
            anyhow::anyhow!("cannot reach the server at {}: {}: is it running? start it with `tenterhook`", self.base, e.detail)
        })?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        if !(200..300).contains(&answer.status) {
            return Err(Refused::of(answer.status, &value, &answer.body, self.token.is_some()).into());
        }
        Ok(value)
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
    fn of(status: u16, problem: &Value, body: &[u8], with_token: bool) -> Self {
        let detail = problem["detail"].as_str().map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
        let several = ["errors", "problems"].iter().find_map(|key| problem[*key].as_array());
        let errors = several.into_iter().flatten();
        let errors: String = errors.filter_map(one_error).map(|error| format!("\n  {error}")).collect();
        let help = match status {
            401 if !with_token => {
                "\n  give a token with --token or TENTERHOOK_TOKEN, or run this beside the server's config.toml"
            }
            401 => "\n  the token (--token, TENTERHOOK_TOKEN, or that of the local config.toml) is not one of this server's",
            403 => "\n  the token lacks the scope: take another with --token or TENTERHOOK_TOKEN",
            _ => "",
        };
        Self { status, detail: super::output::lines(&format!("{detail}{errors}{help}")) }
    }
}

/// One of several things that are wrong with a body or a file: `{detail}`, or `{field | file, line, column; message, help}`.
fn one_error(error: &Value) -> Option<String> {
    let text = error["detail"].as_str().or(error["message"].as_str())?;
    let place = match (error["field"].as_str(), error["file"].as_str()) {
        (Some(field), _) if !field.is_empty() => format!("{field}: "),
        (_, Some(file)) => format!("{file}:{}:{}: ", error["line"], error["column"]),
        _ => String::new(),
    };
    let help = error["help"].as_str().map_or_else(String::new, |help| format!(" ({help})"));
    Some(format!("{place}{text}{help}"))
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

/// An id as a part of a path: whatever it is, it stays one part.
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
    fn a_refusal_says_how_to_mend_it() {
        let problem = serde_json::json!({"detail": "no", "errors": [{"detail": "`url` is missing"}]});
        assert_eq!(Refused::of(422, &problem, b"", true).to_string(), "the server answered 422: no\n  `url` is missing");
        assert!(Refused::of(401, &problem, b"", false).to_string().contains("TENTERHOOK_TOKEN"));
        assert_eq!(Refused::of(502, &Value::Null, b"bad gateway", true).to_string(), "the server answered 502: bad gateway");
    }
}
