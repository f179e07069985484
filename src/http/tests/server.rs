//! A server without a socket, for tests of the routes.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower_service::Service;
use url::Url;

use crate::clock::Clock;
use crate::config::{
    Location, Origin, ProtectionSettings, RetentionSettings, Scope, ServerSettings, Settings, StorageSettings, TokenSettings,
    WebhookPolicy, WebhookSettings,
};
use crate::http::{Api, router};
use crate::model::{EndpointUrl, NetworkEgress, NetworkPolicy, RetryPolicy, StorageKeys, Timestamp, WebhookEgress, WebhookId};
use crate::outbound::{Client, ClientOptions};
use crate::routing::{Filter, Pattern};
use crate::signing::{Scheme, Secret, SignatureSpec};
use crate::snapshot::{self, Live, Parts};
use crate::store::{Store, StoreOptions};
use crate::telemetry::Metrics;
use crate::transform::{Host, HostOptions};

pub(crate) const NOW: i64 = 1_700_000_000_000;
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) struct Server {
    pub(crate) router: axum::Router,
    _directory: tempfile::TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap_or_default().to_owned()
    }
}

pub(crate) fn place() -> Location {
    Location { file: Path::new("config.toml").into(), line: 7, column: 1, length: 1 }
}

pub(crate) fn webhook(id: &str, events: &[&str]) -> WebhookSettings {
    WebhookSettings {
        id: WebhookId::parse(id).unwrap(),
        url: EndpointUrl::new(Url::parse("https://hooks.slack.com/services/T000/B000/XXXX3f2a").unwrap()),
        events: events.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
        transform_places: [].into(),
        secret: Some(Secret::parse(SECRET).unwrap()),
        previous_secrets: [].into(),
        description: Some("Ops".into()),
        tenant: None,
        place: place(),
        origin: Origin::Config,
        policy: Arc::new(policy()),
    }
}

pub(crate) fn policy() -> WebhookPolicy {
    WebhookPolicy {
        filter: None,
        transform: Vec::new(),
        signature: [SignatureSpec::new(Scheme::STANDARD)].into(),
        headers: vec![(http::HeaderName::from_static("x-api-key"), http::HeaderValue::from_static("a-very-secret-value-9b1c"))],
        enabled: true,
        retry: RetryPolicy::default(),
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(2),
        concurrency: 10,
        lane: crate::config::LanePolicy {
            rate_limit: None,
            batch: None,
            order: None,
            breaker: None,
            disable_after: None,
            expire_after: None,
        },
        egress: WebhookEgress::default(),
        metadata: serde_json::Map::new(),
    }
}

pub(crate) fn token(name: &str, scope: Scope) -> TokenSettings {
    TokenSettings {
        name: name.to_owned(),
        token: Secret::parse(&format!("{name}-token")).unwrap(),
        scopes: vec![scope],
        tenant: None,
        place: place(),
    }
}

pub(crate) fn settings() -> Settings {
    let filtered = WebhookSettings {
        policy: Arc::new(WebhookPolicy {
            filter: Some(Filter::parse(&json!({"data": {"amount": {"$gt": 100}}})).unwrap()),
            ..policy()
        }),
        ..webhook("big-orders", &["order.*"])
    };
    let webhooks = [webhook("all", &["*"]), filtered];
    Settings {
        server: ServerSettings {
            listen: ([127, 0, 0, 1], 0).into(),
            max_event_size: 2000,
            shutdown_grace: Duration::from_secs(10),
            protection: ProtectionSettings::default(),
        },
        tokens: vec![token("pub", Scope::Publish), token("read", Scope::Read), token("boss", Scope::Manage)],
        storage: StorageSettings { path: PathBuf::from("data"), keys: StorageKeys::default() },
        retention: RetentionSettings {
            events: Duration::from_secs(3600),
            failed: Duration::from_secs(3600),
            removed: Duration::from_secs(3600),
            audit: Duration::from_secs(3600),
        },
        network: NetworkPolicy { allow: Vec::new(), https_only: true },
        network_egress: NetworkEgress::default(),
        webhooks: Arc::new(webhooks.into_iter().map(|webhook| (webhook.id.clone(), Arc::new(webhook))).collect()),
        transformers: BTreeMap::new(),
        event_types: BTreeMap::new(),
        transformers_dir: PathBuf::from("transformers"),
    }
}

pub(crate) async fn server_with(settings: Settings, listen: SocketAddr) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::from_millis(NOW));
    let options = StoreOptions { path: directory.path().to_owned(), clock: clock.clone(), on_commit: None };
    let store = Store::open(options).await.unwrap();
    let ids: Vec<WebhookId> = settings.webhooks.keys().cloned().collect();
    let keys = store.intern(ids.clone()).await.unwrap();
    let client = Client::new(ClientOptions {
        idle_per_host_max: 1,
        idle_timeout: Duration::from_secs(1),
        ..ClientOptions::new(settings.network.clone())
    });
    let parts = Parts {
        settings,
        fingerprint: "f1".to_owned(),
        generation: 1,
        loaded_at: Timestamp::from_millis(NOW),
        client: client.unwrap(),
        keys: ids.into_iter().zip(keys).collect(),
        secrets: HashMap::new(),
        status_board: Arc::default(),
    };
    let host = Host::new(HostOptions { cache_dir: None, instances_max: 1 }).unwrap();
    let snapshot = snapshot::build(parts, &host).await.unwrap_or_else(|problems| panic!("{problems:?}"));
    let live = Arc::new(Live::new(snapshot));
    let api = Api {
        store,
        live,
        metrics: Arc::new(Metrics::new()),
        clock,
        control: crate::control::channel().0,
        jobs: Arc::default(),
        listen,
        admin: None,
        work: tokio_util::task::TaskTracker::new(),
    };
    Server { router: router(api), _directory: directory }
}

pub(crate) async fn server() -> Server {
    server_with(settings(), ([127, 0, 0, 1], 1).into()).await
}

impl Server {
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, token: &str, content_type: &str, body: &str) -> Answer {
        let mut request =
            Request::builder().method(method).uri(path).header("content-type", content_type).header("host", "localhost");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}-token"));
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, "boss", "", "").await
    }

    pub(crate) async fn publish(&self, body: &str) -> Answer {
        self.call(Method::POST, "/v1/events", "pub", "application/json", body).await
    }
}
