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

/// Where the server is, and who we are.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct Server {
    /// The server's URL [default: `[server] listen` of the configuration]
    #[arg(long, env = "TENTERHOOK_URL", value_name = "URL")]
    url: Option<String>,
    /// A token [default: the local server's admin token]
    #[arg(long, env = "TENTERHOOK_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
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
        let limits = SendLimits { timeout: TIMEOUT, connect_timeout: TIMEOUT, response_bytes_max: ANSWER_BYTES_MAX };
        let answer = self.http.send(request, limits).await.map_err(|e| {
            anyhow::anyhow!("cannot reach the server at {}: {}: is it running? start it with `tenterhook`", self.base, e.detail)
        })?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        if !(200..300).contains(&answer.status) {
            let detail =
                value["detail"].as_str().map_or_else(|| String::from_utf8_lossy(&answer.body).into_owned(), str::to_owned);
            let errors = value["errors"].as_array().into_iter().flatten();
            let errors: String = errors.filter_map(|e| e["detail"].as_str()).map(|detail| format!("\n  {detail}")).collect();
            bail!("the server answered {}: {detail}{errors}", answer.status);
        }
        Ok(value)
    }
}
