//! Metrics in the OpenMetrics text format: what is counted as it happens. What is read when somebody asks is in
//! `gauges.rs`. Every metric is described in docs/metrics.md, which a test holds against a running server.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::gauges::{Gauges, Scrape};
use super::labels::{IdLabel, OutcomeLabel, RequestLabel, ShortageLabel, TransformerLabel, WebhookLabel, WebhookOutcomeLabel};
use crate::model::{AttemptOutcome, DeliveryState, WebhookId};

/// Seconds of an attempt: a receiver on the same machine takes 1 ms, the default timeout is 5 s, the greatest 30.
const ATTEMPT_BUCKETS: [f64; 13] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Seconds of a transformer's call: a Rust guest takes 30 µs, Python 1.6 ms, the default limit is 100 ms.
const TRANSFORM_BUCKETS: [f64; 11] = [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.025, 0.1, 0.5, 2.0];

/// Seconds of a group commit: an fsync is 0.1 ms on a good disk and 30 ms on a spinning one.
const COMMIT_BUCKETS: [f64; 11] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/// What became of an event that someone wanted to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventOutcome {
    Accepted,
    /// The same event again.
    Duplicate,
    /// Another event under an id that is taken.
    Conflict,
    /// Not a valid event.
    Refused,
    /// The store said no.
    Unavailable,
}

impl EventOutcome {
    const ALL: [Self; 5] = [Self::Accepted, Self::Duplicate, Self::Conflict, Self::Refused, Self::Unavailable];

    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigReload {
    Applied,
    Rejected,
    /// The files say what was live already.
    Unchanged,
}

impl ConfigReload {
    const ALL: [Self; 3] = [Self::Applied, Self::Rejected, Self::Unchanged];

    fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Rejected => "rejected",
            Self::Unchanged => "unchanged",
        }
    }
}

/// All metrics of one process; shared.
pub struct Metrics {
    registry: Registry,
    families: Families,
    events: [Counter; EventOutcome::ALL.len()],
    reloads: [Counter; ConfigReload::ALL.len()],
    config_generation: Gauge,
    last_reload_successful: Gauge,
    last_reload_success: Gauge<f64, AtomicU64>,
    gauges: Mutex<Gauges>,
    commits: Histogram,
    commands: Counter,
    size_rejections: AtomicU64,
    webhooks: Mutex<HashMap<WebhookId, Arc<WebhookMetrics>>>,
    transformers: Mutex<HashMap<String, Arc<TransformerMetrics>>>,
}

/// Those with labels.
struct Families {
    deliveries: Family<WebhookOutcomeLabel, Counter>,
    attempts: Family<WebhookOutcomeLabel, Counter>,
    attempt_durations: Family<WebhookLabel, Histogram>,
    in_flight: Family<WebhookLabel, Gauge>,
    transform_durations: Family<TransformerLabel, Histogram>,
    transform_errors: Family<TransformerLabel, Counter>,
    requests: Family<RequestLabel, Counter>,
    put_back: Family<ShortageLabel, Counter>,
}

/// The metrics of one webhook; counting through it is a few atomic additions.
#[derive(Debug)]
pub struct WebhookMetrics {
    deliveries: [Counter; FINISHED.len()],
    attempts: [Counter; ATTEMPT_OUTCOMES.len()],
    attempt_duration: Histogram,
    in_flight: Gauge,
}

const FINISHED: [DeliveryState; 4] =
    [DeliveryState::Succeeded, DeliveryState::Failed, DeliveryState::Cancelled, DeliveryState::Dropped];

const ATTEMPT_OUTCOMES: [AttemptOutcome; 3] = [AttemptOutcome::Succeeded, AttemptOutcome::Failed, AttemptOutcome::Dropped];

/// An attempt in flight; dropping it ends it.
#[derive(Debug)]
pub struct InFlight(Gauge);

#[derive(Debug)]
pub struct TransformerMetrics {
    duration: Histogram,
    errors: Counter,
}

impl WebhookMetrics {
    /// A delivery reached this state; only final ones count.
    pub fn delivery(&self, state: DeliveryState) {
        if let Some(at) = FINISHED.iter().position(|finished| *finished == state) {
            self.deliveries[at].inc();
        }
    }

    pub fn attempt(&self, outcome: AttemptOutcome, duration: Duration) {
        self.attempts[outcome as usize].inc();
        self.attempt_duration.observe(duration.as_secs_f64());
    }

    pub fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl TransformerMetrics {
    pub fn call(&self, duration: Duration, failed: bool) {
        self.duration.observe(duration.as_secs_f64());
        if failed {
            self.errors.inc();
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("tenterhook");
        registry.register("build", "The version that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let families = Families::register(&mut registry);
        let events = Family::<OutcomeLabel, Counter>::default();
        registry.register("events", "Events that someone wanted to publish, by what became of them", events.clone());
        let reloads = Family::<OutcomeLabel, Counter>::default();
        registry.register("config_reloads", "Reads of the configuration files, by what came of them", reloads.clone());
        let config_generation = Gauge::default();
        registry.register("config_generation", "Generation of the live configuration, 1 at start", config_generation.clone());
        let (last_reload_successful, last_reload_success) = (Gauge::default(), Gauge::default());
        let help = "Whether the configuration files say what is live: 0 while they are refused";
        registry.register("config_last_reload_successful", help, last_reload_successful.clone());
        let help = "When the configuration files were last read without a problem";
        registry.register_with_unit("config_last_reload_success_timestamp", help, Unit::Seconds, last_reload_success.clone());
        let gauges = Mutex::new(Gauges::register(&mut registry));
        let (commits, commands) = (Histogram::new(COMMIT_BUCKETS), Counter::default());
        let help = "Time that a group commit took, fsync included";
        registry.register_with_unit("store_commit_duration", help, Unit::Seconds, commits.clone());
        registry.register("store_commands", "Commands that group commits made durable", commands.clone());
        Self {
            events: EventOutcome::ALL.map(|outcome| events.get_or_create_owned(&OutcomeLabel { outcome: outcome.name() })),
            reloads: ConfigReload::ALL.map(|outcome| reloads.get_or_create_owned(&OutcomeLabel { outcome: outcome.name() })),
            config_generation,
            last_reload_successful,
            last_reload_success,
            gauges,
            commits,
            commands,
            size_rejections: AtomicU64::new(0),
            webhooks: Mutex::default(),
            transformers: Mutex::default(),
            families,
            registry,
        }
    }

    pub fn event(&self, outcome: EventOutcome) {
        self.events[outcome as usize].inc();
    }

    pub fn config_reload(&self, outcome: ConfigReload) {
        self.reloads[outcome as usize].inc();
        self.config_read(outcome != ConfigReload::Rejected);
    }

    /// Whether the files could be used. To be called for the first configuration; a reload is counted as well.
    pub fn config_read(&self, is_good: bool) {
        self.last_reload_successful.set(i64::from(is_good));
        if is_good {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.last_reload_success.set(now.as_secs_f64());
        }
    }

    pub fn set_config_generation(&self, generation: u64) {
        self.config_generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
    }

    /// So that a first one is an increase.
    pub fn declare_shortages(&self, names: impl IntoIterator<Item = &'static str>) {
        for shortage in names {
            drop(self.families.put_back.get_or_create(&ShortageLabel { shortage }));
        }
    }

    /// An attempt could not be made, for want of something that is this machine's: `shortage` is its name.
    pub fn put_back(&self, shortage: &'static str) {
        self.families.put_back.get_or_create(&ShortageLabel { shortage }).inc();
    }

    /// One group commit, and how many commands it made durable.
    pub fn commit(&self, duration: Duration, commands: usize) {
        self.commits.observe(duration.as_secs_f64());
        self.commands.inc_by(commands as u64);
    }

    /// `route` is the router's pattern, never the path that a client chose.
    pub fn request(&self, route: &str, status: u16) {
        if status == 413 {
            self.size_rejections.fetch_add(1, Ordering::Relaxed);
        }
        self.families.requests.get_or_create(&RequestLabel { route: route.to_owned(), status }).inc();
    }

    /// Requests refused for their size since the process began.
    pub fn size_rejections(&self) -> u64 {
        self.size_rejections.load(Ordering::Relaxed)
    }

    /// Resolve it once and keep it.
    pub fn webhook(&self, id: &WebhookId) -> Arc<WebhookMetrics> {
        let mut webhooks = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        match webhooks.get(id) {
            Some(known) => known.clone(),
            None => webhooks.entry(id.clone()).or_insert(Arc::new(self.families.webhook(id))).clone(),
        }
    }

    /// As [`Self::webhook`].
    pub fn transformer(&self, name: &str) -> Arc<TransformerMetrics> {
        let mut transformers = self.transformers.lock().unwrap_or_else(PoisonError::into_inner);
        match transformers.get(name) {
            Some(known) => known.clone(),
            None => transformers.entry(name.to_owned()).or_insert(Arc::new(self.families.transformer(name))).clone(),
        }
    }

    /// The series of webhooks that are gone end. A handle that somebody still holds counts into nothing.
    pub fn retain_webhooks(&self, is_declared: impl Fn(&WebhookId) -> bool) {
        let mut webhooks = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        webhooks.retain(|id, _| {
            let keep = is_declared(id);
            if !keep {
                self.families.forget_webhook(id);
            }
            keep
        });
    }

    /// All metrics, with what was read for this answer.
    pub fn scrape(&self, scrape: &Scrape) -> String {
        // One at a time: the series of one answer must not end while another is written.
        let gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.set(scrape);
        self.render()
    }

    /// OpenMetrics text, `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    fn render(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        text::encode(&mut out, &self.registry).expect("a String takes whatever is written to it");
        out
    }
}

impl Families {
    fn register(registry: &mut Registry) -> Self {
        let families = Self {
            deliveries: Family::default(),
            attempts: Family::default(),
            attempt_durations: Family::new_with_constructor(|| Histogram::new(ATTEMPT_BUCKETS)),
            in_flight: Family::default(),
            transform_durations: Family::new_with_constructor(|| Histogram::new(TRANSFORM_BUCKETS)),
            transform_errors: Family::default(),
            requests: Family::default(),
            put_back: Family::default(),
        };
        registry.register("deliveries", "Deliveries that ended, by how", families.deliveries.clone());
        registry.register("attempts", "Attempts made, by what they came to", families.attempts.clone());
        let durations = families.attempt_durations.clone();
        registry.register_with_unit("attempt_duration", "Time from an attempt's start to its end", Unit::Seconds, durations);
        registry.register("attempts_in_flight", "Attempts in flight", families.in_flight.clone());
        let durations = families.transform_durations.clone();
        registry.register_with_unit("transform_duration", "Time that a call of a transformer took", Unit::Seconds, durations);
        registry.register("transform_errors", "Calls of a transformer that failed", families.transform_errors.clone());
        let help = "Attempts that were put back because this machine lacked something, which cost nothing";
        registry.register("attempts_put_back", help, families.put_back.clone());
        registry.register("http_requests", "Requests to the HTTP API, by route and status", families.requests.clone());
        families
    }

    fn webhook(&self, id: &WebhookId) -> WebhookMetrics {
        let label = WebhookLabel { webhook: IdLabel(id.clone()) };
        WebhookMetrics {
            deliveries: FINISHED.map(|state| self.deliveries.get_or_create_owned(&with_outcome(id, state.name()))),
            attempts: ATTEMPT_OUTCOMES.map(|outcome| self.attempts.get_or_create_owned(&with_outcome(id, outcome.name()))),
            attempt_duration: self.attempt_durations.get_or_create_owned(&label),
            in_flight: self.in_flight.get_or_create_owned(&label),
        }
    }

    fn transformer(&self, name: &str) -> TransformerMetrics {
        let label = TransformerLabel { transformer: name.to_owned() };
        TransformerMetrics {
            duration: self.transform_durations.get_or_create_owned(&label),
            errors: self.transform_errors.get_or_create_owned(&label),
        }
    }

    fn forget_webhook(&self, id: &WebhookId) {
        let label = WebhookLabel { webhook: IdLabel(id.clone()) };
        self.attempt_durations.remove(&label);
        self.in_flight.remove(&label);
        for state in FINISHED {
            self.deliveries.remove(&with_outcome(id, state.name()));
        }
        for outcome in ATTEMPT_OUTCOMES {
            self.attempts.remove(&with_outcome(id, outcome.name()));
        }
    }
}

fn with_outcome(id: &WebhookId, outcome: &'static str) -> WebhookOutcomeLabel {
    WebhookOutcomeLabel { webhook: IdLabel(id.clone()), outcome }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(text: &'a str, start: &str) -> Option<&'a str> {
        text.lines().find_map(|line| line.strip_prefix(start)).map(str::trim)
    }

    #[test]
    fn a_webhooks_counts_come_out_under_its_id_and_outcome() {
        let metrics = Metrics::new();
        let id = WebhookId::parse("ops-slack").unwrap();
        let webhook = metrics.webhook(&id);
        webhook.attempt(AttemptOutcome::Failed, Duration::from_millis(20));
        webhook.attempt(AttemptOutcome::Succeeded, Duration::from_millis(20));
        webhook.delivery(DeliveryState::Succeeded);
        webhook.delivery(DeliveryState::Retrying);
        let in_flight = metrics.webhook(&id).begin();
        let text = metrics.render();
        for (start, value) in [
            (r#"tenterhook_attempts_total{webhook="ops-slack",outcome="failed"}"#, "1"),
            (r#"tenterhook_deliveries_total{webhook="ops-slack",outcome="succeeded"}"#, "1"),
            (r#"tenterhook_deliveries_total{webhook="ops-slack",outcome="failed"}"#, "0"),
            (r#"tenterhook_attempt_duration_seconds_count{webhook="ops-slack"}"#, "2"),
            (r#"tenterhook_attempts_in_flight{webhook="ops-slack"}"#, "1"),
        ] {
            assert_eq!(line(&text, start), Some(value), "{start}\n{text}");
        }
        drop(in_flight);
        assert_eq!(line(&metrics.render(), r#"tenterhook_attempts_in_flight{webhook="ops-slack"}"#), Some("0"));
    }

    #[test]
    fn a_forgotten_webhook_leaves_no_series() {
        let metrics = Metrics::new();
        let id = WebhookId::parse("gone").unwrap();
        metrics.webhook(&id).attempt(AttemptOutcome::Failed, Duration::ZERO);
        assert!(metrics.render().contains("gone"));
        metrics.retain_webhooks(|_| true);
        assert!(metrics.render().contains("gone"));
        metrics.retain_webhooks(|declared| *declared != id);
        assert!(!metrics.render().contains("gone"));
        metrics.webhook(&id);
        assert!(metrics.render().contains("gone"), "it may come back");
    }

    #[test]
    fn a_refused_reload_shows_until_the_next_good_one() {
        let metrics = Metrics::new();
        let shown = || {
            let text = metrics.render();
            let at = line(&text, "tenterhook_config_last_reload_success_timestamp_seconds").unwrap().parse::<f64>().unwrap();
            (line(&text, "tenterhook_config_last_reload_successful").unwrap().to_owned(), at)
        };
        metrics.config_read(true);
        let (state, first) = shown();
        assert!(state == "1" && first > 1.7e9, "{first}");
        metrics.config_reload(ConfigReload::Rejected);
        assert_eq!(shown(), ("0".to_owned(), first));
        metrics.config_reload(ConfigReload::Unchanged);
        assert_eq!(shown().0, "1", "taken back");
    }

    #[test]
    fn everything_else_is_there_from_the_start() {
        let metrics = Metrics::new();
        metrics.event(EventOutcome::Accepted);
        metrics.config_reload(ConfigReload::Rejected);
        metrics.set_config_generation(3);
        metrics.put_back("files");
        metrics.commit(Duration::from_micros(300), 40);
        metrics.request("/v1/events", 202);
        metrics.transformer("slack").call(Duration::from_micros(30), true);
        let text = metrics.render();
        for (start, value) in [
            (r#"tenterhook_events_total{outcome="accepted"}"#, "1"),
            (r#"tenterhook_events_total{outcome="refused"}"#, "0"),
            (r#"tenterhook_config_reloads_total{outcome="rejected"}"#, "1"),
            ("tenterhook_config_generation", "3"),
            ("tenterhook_config_last_reload_successful", "0"),
            (r#"tenterhook_attempts_put_back_total{shortage="files"}"#, "1"),
            ("tenterhook_store_commit_duration_seconds_count", "1"),
            ("tenterhook_store_commands_total", "40"),
            (r#"tenterhook_http_requests_total{route="/v1/events",status="202"}"#, "1"),
            (r#"tenterhook_transform_errors_total{transformer="slack"}"#, "1"),
            (r#"tenterhook_transform_duration_seconds_bucket{le="0.0001",transformer="slack"}"#, "1"),
        ] {
            assert_eq!(line(&text, start), Some(value), "{start}\n{text}");
        }
        assert!(text.contains("tenterhook_build_info{version="), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
