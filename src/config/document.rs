//! The whole document: which tables there are, and the settings of everything but webhooks.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::catalogue;
use super::egress;
use super::event_types::EventTypeSettings;
use super::gather::Pems;
use super::protection::{ProtectionSettings, protection};
use super::ranges;
use super::read::{self, Keys, check_keys};
use super::report::{Report, quote};
use super::settings::{RetentionSettings, ServerSettings, StorageSettings, TokenSettings};
use super::tokens;
use super::tree::{Entry, Node, Table, Value};
use crate::model::{EventType, NetworkEgress, NetworkPolicy, StorageKey, StorageKeys};

pub(super) const ROOT: Keys = Keys {
    table: "the top level",
    known: &[
        "include",
        "server",
        "tokens",
        "storage",
        "retention",
        "network",
        "defaults",
        "webhooks",
        "transformers",
        "event_types",
        "catalogue",
    ],
    later: &["sources"],
    elsewhere: &[
        ("[server]", SERVER.known),
        ("[storage]", STORAGE.known),
        ("[retention]", RETENTION.known),
        ("[network]", NETWORK.known),
        ("[defaults]", &super::webhook::SHARED),
    ],
    refused: &[],
    aliases: &[("webhook", "webhooks"), ("include_dir", "include"), ("endpoints", "webhooks"), ("subscriptions", "webhooks")],
};

pub(super) const SERVER: Keys = Keys {
    table: "[server]",
    known: &["listen", "max_event_size", "shutdown_grace", "rate_limit", "cors", "tls"],
    later: &[],
    elsewhere: &[],
    refused: &[],
    aliases: &[("address", "listen"), ("bind", "listen"), ("port", "listen"), ("host", "listen")],
};

pub(super) const STORAGE: Keys = Keys {
    table: "[storage]",
    known: &["path", "key", "previous_keys"],
    later: &["url"],
    elsewhere: &[],
    refused: &[],
    aliases: &[("dir", "path"), ("directory", "path"), ("encryption_key", "key"), ("old_keys", "previous_keys")],
};

pub(super) const RETENTION: Keys =
    Keys { table: "[retention]", known: &["events", "failed", "audit"], later: &[], elsewhere: &[], refused: &[], aliases: &[] };

pub(super) const NETWORK: Keys = Keys {
    table: "[network]",
    known: &["allow", "https_only", "proxy", "no_proxy", "ca_file", "min_tls_version"],
    later: &[],
    elsewhere: &[],
    refused: &[],
    aliases: &[("allowed", "allow"), ("proxy_url", "proxy"), ("ca", "ca_file"), ("min_version", "min_tls_version")],
};

const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// One event of 1 KiB is already roomy; what is larger than 64 MiB belongs into a blob store, with a link in the event.
const EVENT_BYTES: (u64, u64) = (1 << 10, 64 << 20);
const EVENT_BYTES_DEFAULT: usize = 1 << 20;

const GRACE_MAX: Duration = Duration::from_secs(10 * 60);
const GRACE_DEFAULT: Duration = Duration::from_secs(10);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const RETENTION_MIN: Duration = Duration::from_secs(60);
const RETENTION_DAYS_MAX: u32 = 3_650;

/// Ranges are searched one by one for every address dialled.
const ALLOW_MAX: usize = 1_000;

/// A key that is older than the last few sealed nothing any more.
const PREVIOUS_KEYS_MAX: usize = 10;

/// Bytes of a TOML key that names a token or a transformer.
const NAME_CHARS_MAX: usize = 100;

/// The top-level tables, each checked to be one.
pub(super) struct Document<'t> {
    root: &'t Table,
}

impl<'t> Document<'t> {
    pub(super) fn new(root: &'t Table, report: &mut Report) -> Self {
        check_keys(root, &ROOT, report);
        Self { root }
    }

    /// The event types of the presets.
    pub(super) fn catalogue(&self, report: &mut Report) -> BTreeMap<EventType, EventTypeSettings> {
        self.root.get("catalogue").map(|entry| catalogue::read(&entry.node, report)).unwrap_or_default()
    }

    /// The table of that name and where it stands.
    pub(super) fn table(&self, name: &str, example: &str, report: &mut Report) -> Option<&'t Table> {
        read::table(&self.root.get(name)?.node, name, example, report)
    }

    /// `[webhooks.NAME]`, `[tokens.NAME]`, …: the entries that are tables.
    pub(super) fn named(&self, name: &str, report: &mut Report) -> Vec<(&'t Entry, &'t Table)> {
        let example = format!("[{name}.my-name]");
        let Some(table) = self.table(name, &example, report) else { return Vec::new() };
        let mut entries = Vec::new();
        for entry in table.entries() {
            if let Some(table) = read::table(&entry.node, &format!("{name}.{}", entry.key.name), &example, report) {
                entries.push((entry, table));
            }
        }
        entries
    }

    pub(super) fn server(&self, pems: &Pems, report: &mut Report) -> ServerSettings {
        let mut settings = ServerSettings {
            listen: LISTEN_DEFAULT,
            max_event_size: EVENT_BYTES_DEFAULT,
            shutdown_grace: GRACE_DEFAULT,
            protection: ProtectionSettings::default(),
        };
        let Some(table) = self.table("server", "[server]", report) else { return settings };
        check_keys(table, &SERVER, report);
        if let Some(address) = table.get("listen").and_then(|entry| listen(&entry.node, report)) {
            settings.listen = address;
        }
        let size = |entry: &Entry| read::size(&entry.node, "max_event_size", EVENT_BYTES.0..=EVENT_BYTES.1, "1MiB", report);
        if let Some(bytes) = table.get("max_event_size").and_then(size) {
            settings.max_event_size = bytes;
        }
        let grace = |entry: &Entry| read::duration(&entry.node, "shutdown_grace", Duration::ZERO..=GRACE_MAX, "10s", report);
        if let Some(grace) = table.get("shutdown_grace").and_then(grace) {
            settings.shutdown_grace = grace;
        }
        settings.protection = protection(table, pems, report);
        settings
    }

    /// Also checks that there are some, where the API can be reached from elsewhere.
    pub(super) fn tokens(&self, listen: SocketAddr, report: &mut Report) -> Vec<TokenSettings> {
        let named = self.named("tokens", report);
        let tokens = tokens::tokens(&named, report);
        if self.root.get("tokens").is_none_or(|_| named.is_empty()) && !listen.ip().to_canonical().is_loopback() {
            self.refuse_open_listener(listen, report);
        }
        tokens
    }

    fn refuse_open_listener(&self, listen: SocketAddr, report: &mut Report) {
        let entry = match self.root.get("server").map(|entry| &entry.node.value) {
            Some(Value::Table(table)) => table.get("listen"),
            _ => None,
        };
        let Some(entry) = entry else { return };
        report
            .error(
                entry.node.span,
                format!("{listen} can be reached from other machines, and without [tokens] anybody there could publish events and change webhooks"),
            )
            .help("add a token: [tokens.admin] with token = \"${TENTERHOOK_TOKEN}\" and scopes = [\"manage\"]; or listen on \"127.0.0.1:8080\"");
    }

    pub(super) fn storage(&self, config_dir: &Path, report: &mut Report) -> StorageSettings {
        let mut settings = StorageSettings { path: config_dir.join("data"), keys: StorageKeys::default() };
        let Some(table) = self.table("storage", "[storage]", report) else { return settings };
        check_keys(table, &STORAGE, report);
        if let Some(path) = table.get("path").and_then(|entry| path(&entry.node, "path", "data", report)) {
            settings.path = path;
        }
        settings.keys.current = table.get("key").and_then(|entry| storage_key(&entry.node, "key", report));
        if let Some(entry) = table.get("previous_keys") {
            let nodes = read::array(&entry.node, "previous_keys", "[\"${OLD_KEY}\"]", report).unwrap_or_default();
            if read::at_most(nodes.len(), PREVIOUS_KEYS_MAX, "keys", &entry.node, report) {
                let keys = nodes.iter().filter_map(|node| storage_key(node, "previous_keys[]", report));
                settings.keys.previous = keys.collect();
            }
        }
        settings
    }

    pub(super) fn retention(&self, report: &mut Report) -> RetentionSettings {
        let mut settings = RetentionSettings { events: DAY * 7, failed: DAY * 30, audit: DAY * 90 };
        let Some(table) = self.table("retention", "[retention]", report) else { return settings };
        check_keys(table, &RETENTION, report);
        let range = RETENTION_MIN..=DAY * RETENTION_DAYS_MAX;
        for (name, value) in [("events", &mut settings.events), ("failed", &mut settings.failed), ("audit", &mut settings.audit)]
        {
            let read = table.get(name).and_then(|entry| read::duration(&entry.node, name, range.clone(), "7d", report));
            *value = read.unwrap_or(*value);
        }
        settings
    }

    /// The policy, and whether it is what the file says: if not, no URL can be judged by it.
    pub(super) fn network(&self, report: &mut Report) -> (NetworkPolicy, NetworkEgress, bool) {
        let mut policy = NetworkPolicy { allow: Vec::new(), https_only: true };
        let Some(entry) = self.root.get("network") else { return (policy, NetworkEgress::default(), true) };
        let Some(table) = read::table(&entry.node, "network", "[network]", report) else {
            return (policy, NetworkEgress::default(), false);
        };
        let mut whole = check_keys(table, &NETWORK, report).is_empty();
        if let Some(entry) = table.get("https_only") {
            match read::boolean(&entry.node, "https_only", report) {
                Some(value) => policy.https_only = value,
                None => whole = false,
            }
        }
        if let Some(entry) = table.get("allow") {
            let ranges = read::strings(&entry.node, "allow", "10.2.0.0/16", report);
            let count = if let Value::Array(nodes) = &entry.node.value { nodes.len() } else { 0 };
            for (text, node) in ranges.unwrap_or_default() {
                policy.allow.extend(ranges::opened("`allow`:", text, node, report));
            }
            whole &= policy.allow.len() == count && matches!(entry.node.value, Value::Array(_));
            whole &= read::at_most(count, ALLOW_MAX, "ranges", &entry.node, report);
        }
        (policy, egress::network(table, report), whole)
    }
}

fn listen(node: &Node, report: &mut Report) -> Option<SocketAddr> {
    let text = read::string(node, "listen", "127.0.0.1:8080", report)?;
    let value = text.value();
    if let Ok(address) = value.parse() {
        return Some(address);
    }
    let help = match value.rsplit_once(':') {
        _ if value.parse::<IpAddr>().is_ok() => format!("add a port: \"{}\"", SocketAddr::new(value.parse().ok()?, 8080)),
        Some(("" | "*", port)) if port.parse::<u16>().is_ok() => {
            format!("write the address too: \"127.0.0.1:{port}\" for this machine alone, \"0.0.0.0:{port}\" for every interface")
        }
        Some(("localhost", port)) if port.parse::<u16>().is_ok() => format!("write \"127.0.0.1:{port}\""),
        _ => "write an IP address and a port, as in \"127.0.0.1:8080\" or \"[::1]:8080\"".to_owned(),
    };
    let draft = report.error_about(node.span, [node], "`listen` is not an address with a port:", &quote(value));
    draft.help(if text.expanded.is_some() {
        "write an IP address and a port, as in \"127.0.0.1:8080\"".to_owned()
    } else {
        help
    });
    None
}

fn storage_key(node: &Node, key: &str, report: &mut Report) -> Option<StorageKey> {
    let text = read::string(node, key, "${TENTERHOOK_STORAGE_KEY}", report)?;
    match StorageKey::parse(text.value()) {
        Ok(key) => Some(key),
        Err(error) => {
            // Its words say nothing of the text.
            report.error(node.span, format!("`{key}`: {error}"));
            None
        }
    }
}

/// A path, relative to the directory of the file that names it.
pub(super) fn path(node: &Node, key: &str, example: &str, report: &mut Report) -> Option<PathBuf> {
    let text = read::string(node, key, example, report)?;
    if text.value().is_empty() || text.value().contains('\0') {
        report.error(node.span, format!("`{key}` must be a path such as \"{example}\""));
        return None;
    }
    let dir = report.sources.path(node.span.file).parent().unwrap_or(Path::new(""));
    Some(dir.join(text.value()))
}

/// The TOML key of a token or a transformer.
pub(super) fn check_name(entry: &Entry, what: &str, report: &mut Report) -> bool {
    let name = &entry.key.name;
    let good =
        !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if !good {
        let message = format!("{} cannot be the name of a {what}", quote(name));
        report.error(entry.key.span, message).help(format!("use letters, digits, _ and -, at most {NAME_CHARS_MAX} of them"));
    }
    good
}
