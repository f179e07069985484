//! Rate limits of the API: a quota per client and class of request, one number each (GCRA). Quotas outlive reloads, so that
//! saving the configuration does not refill them. Memory is bounded whatever the number of clients.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::config::{Quota, RateLimits};
use crate::http::problem::{Kind, Problem};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Clients in the table, 100 bytes each. Tokens are at most 1,000, the rest are addresses; when the table is full, further
/// addresses share one quota.
const CLIENTS_MAX: usize = 16_384;

/// What a request counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    Publish,
    Read,
    Manage,
    Test,
}

/// A token is one client wherever it is used from; requests without one are counted by address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    Token(Arc<str>),
    Address(IpAddr),
    /// All those that found the table full.
    Others,
}

impl Class {
    /// `None` for what is not counted: probes, metrics, pages.
    pub(crate) fn of(method: &http::Method, route: &str) -> Option<Self> {
        let api = route.strip_prefix("/v1/")?;
        let is_read = method == http::Method::GET || method == http::Method::HEAD;
        Some(match api {
            "events" if method == http::Method::POST => Self::Publish,
            _ if api.starts_with("sources/") => Self::Publish,
            // Each of these makes a request to somebody else, or shows a secret.
            _ if api.ends_with("/test") => Self::Test,
            _ if api.ends_with("/secret") => Self::Manage,
            _ if is_read => Self::Read,
            _ => Self::Manage,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Read => "read",
            Self::Manage => "manage",
            Self::Test => "test",
        }
    }

    pub(crate) fn quota(self, limits: &RateLimits) -> Option<Quota> {
        match self {
            Self::Publish => limits.publish,
            Self::Read => limits.read,
            Self::Manage => limits.manage,
            Self::Test => limits.test,
        }
    }
}

impl Client {
    /// A /64 of IPv6 is one client: one customer's network.
    pub(crate) fn address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// A client's quota after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuotaStatus {
    limit: u32,
    remaining: u32,
    /// Until the quota is whole again.
    reset: Duration,
    /// `Some` when the request is refused.
    retry_after: Option<Duration>,
}

pub(crate) struct Limits {
    start: Instant,
    /// When each client's quota is whole again, since `start`. One that is whole needs no entry.
    whole_at: Mutex<HashMap<(Class, Client), Duration>>,
}

impl Limits {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), whole_at: Mutex::new(HashMap::new()) }
    }

    pub(crate) fn admit(&self, class: Class, client: Client, quota: Quota) -> QuotaStatus {
        let now = self.start.elapsed();
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (class, client);
        if whole_at.len() >= CLIENTS_MAX && !whole_at.contains_key(&key) {
            whole_at.retain(|_, at| *at > now);
            if whole_at.len() >= CLIENTS_MAX && !matches!(key.1, Client::Token(_)) {
                key.1 = Client::Others;
            }
        }
        let (status, next) = decide(whole_at.get(&key).copied().unwrap_or_default(), now, quota);
        whole_at.insert(key, next);
        status
    }
}

/// A quota of 60 a minute admits one a second, and 60 at once after a minute without requests.
fn decide(whole_at: Duration, now: Duration, quota: Quota) -> (QuotaStatus, Duration) {
    let limit = quota.count.get();
    let each = quota.period / limit;
    // A longer period before a reload must not lock a client out for that long.
    let before = whole_at.clamp(now, now + quota.period);
    let after = before + each;
    let wait = after.saturating_sub(now + each * limit);
    if !wait.is_zero() {
        let status = QuotaStatus { limit, remaining: 0, reset: before - now, retry_after: Some(wait) };
        return (status, before);
    }
    let left = (each * limit).saturating_sub(after - now).as_nanos() / each.as_nanos().max(1);
    let remaining = u32::try_from(left).unwrap_or(limit).min(limit);
    (QuotaStatus { limit, remaining, reset: after - now, retry_after: None }, after)
}

impl QuotaStatus {
    pub(crate) fn is_refused(&self) -> bool {
        self.retry_after.is_some()
    }

    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, self.limit.into());
        headers.insert(REMAINING, self.remaining.into());
        headers.insert(RESET, seconds(self.reset).into());
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds(wait).max(1)));
        }
    }

    pub(crate) fn problem(&self, class: Class, quota: Quota) -> Problem {
        let (name, wait) = (class.name(), seconds(self.retry_after.unwrap_or_default()).max(1));
        let detail = format!(
            "this client may make {} `{name}` requests in {} s: try again in {wait} s, or raise `{name}` in [server.rate_limit]",
            self.limit,
            quota.period.as_secs()
        );
        Problem::new(Kind::RateLimited, detail).with("limit", name)
    }
}

/// Rounded up: a client that waits that long is not refused again.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    fn quota(count: u32, seconds: u64) -> Quota {
        Quota { count: NonZeroU32::new(count).unwrap(), period: Duration::from_secs(seconds) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_is_given_out_at_once_or_spread_and_comes_back_evenly() {
        let (limits, quota) = (Limits::new(), quota(3, 60));
        let ask = || limits.admit(Class::Manage, Client::Token("a".into()), quota);
        let remaining: Vec<u32> = (0..3).map(|_| ask().remaining).collect();
        assert_eq!(remaining, [2, 1, 0]);
        let refused = ask();
        assert_eq!((refused.retry_after, refused.reset), (Some(Duration::from_secs(20)), Duration::from_secs(60)));
        tokio::time::advance(Duration::from_secs(19)).await;
        assert!(ask().is_refused());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!ask().is_refused());
        assert!(ask().is_refused());
        assert!(!limits.admit(Class::Manage, Client::Token("b".into()), quota).is_refused(), "another client has its own");
        assert!(!limits.admit(Class::Test, Client::Token("a".into()), quota).is_refused(), "another kind has its own");
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(ask().remaining, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_smaller_period_after_a_reload_locks_nobody_out() {
        let limits = Limits::new();
        let ask = |quota| limits.admit(Class::Manage, Client::Others, quota);
        assert!(!ask(quota(1, 3600)).is_refused());
        assert_eq!(ask(quota(1, 10)).retry_after, Some(Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_addresses_does_not_grow_it() {
        let limits = Limits::new();
        for number in 0..u32::try_from(CLIENTS_MAX).unwrap() + 5000 {
            limits.admit(Class::Read, Client::address(IpAddr::V4(number.into())), quota(1, 60));
        }
        assert!(limits.whole_at.lock().unwrap().len() <= CLIENTS_MAX + 1);
        let token = || limits.admit(Class::Read, Client::Token("a".into()), quota(1, 60));
        assert!(!token().is_refused() && token().is_refused(), "a token still has its own quota");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let client = |text: &str| Client::address(text.parse().unwrap());
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
    }

    #[test]
    fn a_request_is_classified_by_method_and_route() {
        let class = |method: &str, route| Class::of(&method.parse().unwrap(), route);
        assert_eq!(class("POST", "/v1/events"), Some(Class::Publish));
        assert_eq!(class("GET", "/v1/events"), Some(Class::Read));
        assert_eq!(class("POST", "/v1/sources/{name}"), Some(Class::Publish));
        assert_eq!(class("POST", "/v1/webhooks/{id}/test"), Some(Class::Test));
        assert_eq!(class("GET", "/v1/webhooks/{id}/secret"), Some(Class::Manage));
        assert_eq!(class("PATCH", "/v1/webhooks/{id}"), Some(Class::Manage));
        assert_eq!(class("GET", "/healthz"), None);
    }

    proptest! {
        /// Whatever the spacing of requests: within any window no more than twice the quota goes, and in the long run
        /// the quota itself.
        #[test]
        fn no_more_goes_than_the_quota_allows(count in 1_u32..50, gaps in proptest::collection::vec(0_u64..2_000, 1..400)) {
            let quota = quota(count, 1);
            let (mut whole_at, mut now, mut admitted) = (Duration::ZERO, Duration::ZERO, 0_u32);
            for gap in gaps {
                now += Duration::from_micros(gap);
                let (status, next) = decide(whole_at, now, quota);
                prop_assert!(status.remaining <= count && status.reset <= quota.period);
                whole_at = next;
                admitted += u32::from(!status.is_refused());
            }
            let allowed = f64::from(count) * (now.as_secs_f64() + 1.0) + 1.0;
            prop_assert!(f64::from(admitted) <= allowed, "{admitted} of {allowed}");
        }
    }
}
