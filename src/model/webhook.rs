//! Values of a webhook that several modules share.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use url::Url;

/// An endpoint's URL. Many services put the credential into the path, so what is shown is masked.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(Url);

/// Hosts whose URL paths are credentials behind the first segment. A name is also that of its subdomains.
const SECRET_PATH_HOSTS: [&str; 18] = [
    "alert.victorops.com",
    "api.powerplatform.com",
    "automation.atlassian.com",
    "chat.googleapis.com",
    "discord.com",
    "discordapp.com",
    "hooks.slack.com",
    "hooks.zapier.com",
    "logic.azure.com",
    "maker.ifttt.com",
    "open.feishu.cn",
    "open.larksuite.com",
    "outlook.office.com",
    "outlook.office365.com",
    "webexapis.com",
    "webhook.office.com",
    "webhook.site",
    "webhooks.workato.com",
];

/// Hosts whose whole URL paths are credentials: `hook.eu1.make.com/<id>`, `ntfy.sh/<topic>`.
const SECRET_WHOLE_PATH_HOSTS: [&str; 4] = ["make.com", "integromat.com", "ntfy.sh", "hookdeck.com"];

/// Segments that a credential follows: Mattermost, Rocket.Chat and Flock; Home Assistant; PagerDuty; others by name.
const BEFORE_CREDENTIALS: [&[&str]; 7] =
    [&["hooks"], &["api", "webhook"], &["integration"], &["integrations"], &["key"], &["token"], &["secret"]];

/// Characters of a run of letters and digits that is no word: the shortest keys that services put into paths have 16.
const RANDOM_CHARS_MIN: usize = 16;

/// Characters of a segment that stays readable behind `hooks` and the like when they are letters.
const WORD_CHARS_MAX: usize = 12;

/// Last characters that are shown of a credential, to tell two apart.
const TAIL_CHARS: usize = 4;

impl EndpointUrl {
    pub fn new(url: Url) -> Self {
        Self(url)
    }

    /// With its secrets: for sending only.
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// Equal for equal URLs, and no way back to one: to tell whether an endpoint is still the same.
    pub fn fingerprint(&self) -> u64 {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(self.0.as_str().as_bytes());
        digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// `https://hooks.slack.com/services/…3f2a`: recognisable, useless to a thief. The query is always masked.
    pub fn masked(&self) -> String {
        let url = &self.0;
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let query = if url.query().is_some() { "?…" } else { "" };
        format!("{}://{host}{port}{}{query}", url.scheme(), masked_path(host, url.path()))
    }

    /// What [`EndpointUrl::masked`] hides, as it is sent: parts of the path, and the values of the query.
    pub fn secret_parts(&self) -> Vec<String> {
        let (host, path) = (self.0.host_str().unwrap_or_default(), self.0.path());
        let shown = secret_from(host);
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let is_secret = |at: usize| shown.is_some_and(|first| at >= first) || is_credential(&segments, at);
        let hidden = (0..segments.len()).filter(|at| is_secret(*at)).map(|at| segments[at].to_owned());
        let values =
            self.0.query().unwrap_or_default().split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        hidden.chain(values.map(str::to_owned)).filter(|part| !part.is_empty()).collect()
    }
}

/// From which segment on the whole path of a known host is secret.
fn secret_from(host: &str) -> Option<usize> {
    let is_one_of = |hosts: &[&str]| {
        hosts.iter().any(|known| host == *known || host.strip_suffix(known).is_some_and(|rest| rest.ends_with('.')))
    };
    if is_one_of(&SECRET_WHOLE_PATH_HOSTS) || host.starts_with("ntfy.") {
        Some(0)
    } else if is_one_of(&SECRET_PATH_HOSTS) {
        Some(1)
    } else {
        None
    }
}

fn masked_path(host: &str, path: &str) -> String {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match secret_from(host) {
        Some(_) if path.len() <= 1 => path.to_owned(),
        Some(0) => "/…".to_owned(),
        Some(_) => {
            let first = segments.first().copied().unwrap_or_default();
            let first = if is_credential(&segments, 0) { "…" } else { first };
            if segments.len() == 1 { format!("/{first}") } else { format!("/{first}/…{}", tail(path)) }
        }
        None => {
            let shown = segments.iter().enumerate().map(|(at, segment)| {
                if !is_credential(&segments, at) {
                    return (*segment).to_owned();
                }
                let bot = if is_bot(segment) { "bot" } else { "" };
                let is_long = segment.chars().count() >= RANDOM_CHARS_MIN;
                format!("{bot}…{}", if is_long { tail(segment) } else { String::new() })
            });
            format!("/{}", shown.collect::<Vec<_>>().join("/"))
        }
    }
}

fn tail(text: &str) -> String {
    let count = text.chars().count();
    text.chars().skip(count.saturating_sub(TAIL_CHARS)).collect()
}

/// Whether a segment of a path is a credential: by what stands before it, or by how it looks.
fn is_credential(segments: &[&str], at: usize) -> bool {
    let segment = segments[at];
    let before = &segments[..at];
    let is_word = segment.len() <= WORD_CHARS_MAX && segment.chars().all(|c| c.is_ascii_alphabetic());
    let follows = BEFORE_CREDENTIALS.iter().any(|names| before.windows(names.len()).any(|window| window == *names));
    follows && !is_word || is_bot(segment) || looks_random(segment)
}

/// Telegram's `bot<number>:<key>`, in which the colon may be escaped.
fn is_bot(segment: &str) -> bool {
    let number = segment.strip_prefix("bot").map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    segment.starts_with("bot")
        && segment[3..].starts_with(|c: char| c.is_ascii_digit())
        && number.is_some_and(|rest| rest.starts_with(':') || rest.to_ascii_lowercase().starts_with("%3a"))
}

/// A UUID, or 16 letters and digits in a row that are no word; with `-` and `_` among them, as Base64url has, when capitals,
/// small letters and digits are mixed.
fn looks_random(segment: &str) -> bool {
    let is_run_random = |run: &str| {
        let has = |is: fn(&char) -> bool| run.chars().any(|c| is(&c));
        let (digit, upper) = (has(char::is_ascii_digit), has(char::is_ascii_uppercase));
        run.len() >= RANDOM_CHARS_MIN && (digit || upper || run.len() >= RANDOM_CHARS_MIN + 8)
    };
    if segment.split(|c: char| !c.is_ascii_alphanumeric()).any(is_run_random) {
        return true;
    }
    let parts: Vec<&str> = segment.split('-').collect();
    let is_hex = |part: &&str| part.chars().all(|c| c.is_ascii_hexdigit());
    if parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(is_hex) {
        return true;
    }
    let joined: String = segment.chars().filter(|c| !matches!(c, '-' | '_')).collect();
    joined.len() >= RANDOM_CHARS_MIN
        && joined.chars().all(|c| c.is_ascii_alphanumeric())
        && joined.chars().any(|c| c.is_ascii_digit())
        && joined.chars().any(|c| c.is_ascii_uppercase())
        && joined.chars().any(|c| c.is_ascii_lowercase())
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// Headers of the connection (RFC 9110 §7.6.1 and message framing) and of proxies; the client sets them, so
/// neither a configuration nor a transformer may.
pub const CONNECTION_HEADERS: [&str; 15] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// One stage of a webhook's pipeline: a module by name, and its options as JSON text (`{}` when none are given).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformStep {
    pub name: String,
    pub options: String,
}

/// What one call of a transformer may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Bytes of linear memory, summed over all memories of the instance.
    pub memory: usize,
    /// Time from the call to its end, everything included.
    pub cpu: Duration,
    /// Bytes of body and headers that it may return.
    pub output: usize,
    /// Bytes of the lines that it may log.
    pub log: usize,
    /// Calls of it at the same time; `None`: a quarter of what all modules have together.
    pub instances: Option<NonZeroU32>,
}

impl Default for Limits {
    /// Roomy for a formatter, a nuisance to nobody: Python guests want 40 MiB, JavaScript ones 8; a Rust formatter
    /// ends in 30 µs; no receiver we know takes more than 2 MiB; a log of 100 full lines is a long read.
    fn default() -> Self {
        Self { memory: 64 << 20, cpu: Duration::from_millis(100), output: 2 << 20, log: 100 << 10, instances: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(url: &str) -> String {
        EndpointUrl::new(Url::parse(url).unwrap()).masked()
    }

    #[test]
    fn chat_urls_and_queries_are_masked() {
        assert_eq!(masked("https://hooks.slack.com/services/T000/B000/XXXX3f2a"), "https://hooks.slack.com/services/…3f2a");
        assert_eq!(masked("https://acme.webhook.office.com/webhookb2/abc"), "https://acme.webhook.office.com/webhookb2/…/abc");
        assert_eq!(masked("https://example.com:8443/in?token=abc"), "https://example.com:8443/in?…");
        assert_eq!(masked("https://notdiscord.com/a/b"), "https://notdiscord.com/a/b");
        assert_eq!(masked("https://discord.com/"), "https://discord.com/");
    }

    #[test]
    fn credentials_in_the_path_of_any_host_are_masked() {
        for (url, shown) in [
            ("https://chat.example.com/hooks/9rzn4d1oyp8xiyrk3b5w7sm6ke", "https://chat.example.com/hooks/…m6ke"),
            ("https://chat.example.com/hooks/xxx-key-xxx", "https://chat.example.com/hooks/…"),
            (
                "https://rocket.example.com/hooks/5f3c2b1a9d8e7f60/Zx8kTq2LmN4pRs6vWy0aBc3dEf5gHi7j",
                "https://rocket.example.com/hooks/…7f60/…Hi7j",
            ),
            ("https://n8n.example.com/webhook/3c8a3a5e-6a53-4f0e-9d2c-0b1f5f2c7d11", "https://n8n.example.com/webhook/…7d11"),
            ("http://ha.local:8123/api/webhook/kitchen_light-1", "http://ha.local:8123/api/webhook/…"),
            ("https://hook.eu1.make.com/abcdefgh", "https://hook.eu1.make.com/…"),
            ("https://ntfy.sh/my-topic", "https://ntfy.sh/…"),
            ("https://ntfy.example.com/my-topic", "https://ntfy.example.com/…"),
            (
                "https://api.telegram.org/bot123456:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc/sendMessage",
                "https://api.telegram.org/bot…K-bc/sendMessage",
            ),
            (
                "https://events.pagerduty.com/integration/0123456789abcdef0123456789abcdef/enqueue",
                "https://events.pagerduty.com/integration/…cdef/enqueue",
            ),
            ("https://example.com/in/AbC-dEf_123-gHiJ-kLm4", "https://example.com/in/…kLm4"),
            ("https://example.com/t/abcdefghijklmnopqrstuvwxyzabcdef", "https://example.com/t/…cdef"),
        ] {
            assert_eq!(masked(url), shown);
        }
    }

    #[test]
    fn ordinary_paths_stay_readable() {
        for url in [
            "https://example.com/",
            "https://example.com/api/v2/webhooks/order-created",
            "https://example.com/hooks/orders",
            "https://example.com/internationalization/2026-01-28",
            "https://example.com/teams/platform-engineering/alerts",
            "https://example.com/bot/robots/bottle",
        ] {
            assert_eq!(masked(url), url);
        }
    }

    #[test]
    fn the_parts_that_are_hidden_can_be_looked_for_elsewhere() {
        let parts = |url: &str| EndpointUrl::new(Url::parse(url).unwrap()).secret_parts();
        assert_eq!(parts("https://example.com/hooks/orders"), Vec::<String>::new());
        assert_eq!(parts("https://chat.example.com/hooks/xxx-key-xxx?a=1&b=&token=t"), ["xxx-key-xxx", "1", "t"]);
        assert_eq!(parts("https://hooks.slack.com/services/T000/B000/XXXX"), ["T000", "B000", "XXXX"]);
        assert_eq!(parts("https://ntfy.sh/my-topic"), ["my-topic"]);
    }
}
