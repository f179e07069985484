//! The whole document: which tables there are, and the settings of everything but webhooks.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::catalogue;
use super::egress::{self, ALLOW_MAX, NO_PROXY_MAX, TLS_VERSION};
use super::event_types::EVENT_TYPE;
use super::event_types::EventTypeSettings;
use super::fields::{Fields, check_keys};
use super::key::{Key, Keys, Kind};
use super::protection::{CORS, ProtectionSettings, RATE_LIMIT, TLS, protection};
use super::ranges;
use super::read;
use super::secret;
use super::tokens::{self, TOKEN};
use super::transform::TRANSFORMER;
use super::webhook::rows::{DEFAULTS, WEBHOOK};
use crate::config::settings::{RetentionSettings, ServerSettings, StorageSettings, TokenSettings};
use crate::config::text::files::FILES_MAX;
use crate::config::text::gather::Pems;
use crate::config::text::report::{Report, quote};
use crate::config::text::tree::{Entry, Node, Table, Value};
use crate::model::{EventType, NetworkEgress, NetworkPolicy, StorageKey, StorageKeys};
use crate::signing::slip;

pub(crate) static ROOT: Keys = Keys::new(
    "the top level",
    &[
        Key::new(
            "include",
            Kind::Either(&[Kind::Text, Kind::List(&Kind::Text, 0, FILES_MAX)]),
            "More files, relative to this one; `*` and `?` match within a file name",
        )
        .link("include")
        .aliases(&["include_dir"]),
        Key::new("server", Kind::Table(&SERVER), "The API's address, limits and certificate").link("server"),
        Key::new("tokens", Kind::Named(&TOKEN), "Who may use the API, by name").link("tokensname"),
        Key::new("storage", Kind::Table(&STORAGE), "Where events and deliveries are stored").link("storage"),
        Key::new("retention", Kind::Table(&RETENTION), "How long what is stored is kept").link("retention"),
        Key::new("network", Kind::Table(&NETWORK), "Which addresses may be delivered to, and through which proxy")
            .link("network"),
        Key::new("defaults", Kind::Table(&DEFAULTS), "What every webhook has unless it says otherwise").link("defaults"),
        Key::new("webhooks", Kind::Named(&WEBHOOK), "Who receives which events, by webhook id").link("webhooksid").aliases(&[
            "webhook",
            "endpoints",
            "subscriptions",
        ]),
        Key::new("transformers", Kind::Named(&TRANSFORMER), "Modules that are in another place, pinned, or limited otherwise")
            .link("transformersname"),
        Key::new("event_types", Kind::Named(&EVENT_TYPE), "Which event types there are").link("event_typesname"),
        Key::new(
            "catalogue",
            Kind::List(&Kind::Preset, 0, 100),
            "Presets of event types, declared as if they were in `[event_types]`",
        )
        .link("catalogue"),
        Key::later("sources"),
        Key::later("telemetry"),
        Key::later("signing"),
    ],
)
.elsewhere(&[&SERVER, &STORAGE, &RETENTION, &NETWORK, &DEFAULTS]);

pub(crate) static SERVER: Keys = Keys::new(
    "[server]",
    &[
        Key::new("listen", Kind::Text, "IP address and port; any other than loopback needs `[tokens]`")
            .default("127.0.0.1:8080")
            .aliases(&["address", "bind", "port", "host"]),
        // One event of 1 KiB is already roomy; what is larger than 64 MiB belongs into a blob store, with a link in the event.
        Key::new("max_event_size", Kind::Size(1 << 10, 64 << 20), "Of one event as published").default("1MiB"),
        Key::new(
            "shutdown_grace",
            Kind::Duration(Duration::ZERO, Duration::from_secs(10 * 60)),
            "How long attempts may take after SIGTERM; requests to the API have 10 s",
        )
        .default("10s"),
        Key::new("rate_limit", Kind::Table(&RATE_LIMIT), "How often one client may ask").link("serverrate_limit"),
        Key::new("cors", Kind::Table(&CORS), "Whose pages may use the API from a browser").link("servercors"),
        Key::new("tls", Kind::Table(&TLS), "Serve https").link("servertls"),
    ],
);

pub(crate) static STORAGE: Keys = Keys::new(
    "[storage]",
    &[
        Key::new("path", Kind::Path, "Directory of the embedded store").default("data").aliases(&["dir", "directory"]),
        Key::new("key", Kind::Text, "Seals the store's secrets: 32 bytes in base64 or hexadecimal digits")
            .default_words("none: they are stored as they are")
            .aliases(&["encryption_key"]),
        Key::new("previous_keys", Kind::List(&Kind::Text, 0, PREVIOUS_KEYS_MAX), "Keys that may still have sealed some")
            .default("[]")
            .aliases(&["old_keys"]),
        Key::later("url"),
        Key::later("max_size"),
    ],
);

const RETAINED: Kind = Kind::Duration(Duration::from_secs(60), Duration::from_secs(3_650 * 24 * 60 * 60));

pub(crate) static RETENTION: Keys = Keys::new(
    "[retention]",
    &[
        Key::new("events", RETAINED, "Events and finished deliveries").default("7d"),
        Key::new("failed", RETAINED, "Deliveries that were given up, and jobs that ended").default("30d"),
        Key::new(
            "removed",
            Kind::Duration(Duration::ZERO, Duration::from_secs(30 * 24 * 60 * 60)),
            "Deliveries of a webhook that disappeared from the file are held this long; if it is not declared again, they are cancelled",
        )
        .default("1h"),
        Key::new("audit", RETAINED, "The audit log").default("90d"),
    ],
);

pub(crate) static NETWORK: Keys = Keys::new(
    "[network]",
    &[
        Key::new(
            "allow",
            Kind::List(&Kind::Text, 0, ALLOW_MAX),
            "Private networks that may be delivered to, as `[\"10.2.0.0/16\", \"fd00::/8\"]`",
        )
        .default("[]")
        .aliases(&["allowed"]),
        Key::new("https_only", Kind::Boolean, "Plain http goes only to addresses inside `allow`").default("true"),
        Key::new("proxy", Kind::Text, "URL of a proxy that all deliveries go through").link("proxy").aliases(&["proxy_url"]),
        Key::new(
            "no_proxy",
            Kind::List(&Kind::Text, 0, NO_PROXY_MAX),
            "Names (with all below them) and networks that are reached without it",
        )
        .default("[]"),
        Key::new("ca_file", Kind::Path, "PEM file of certificate authorities, trusted beside the machine's own").aliases(&["ca"]),
        Key::new("min_tls_version", TLS_VERSION, "The lowest version of TLS").default("1.2").aliases(&["min_version"]),
    ],
);

const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

const EVENT_BYTES_DEFAULT: usize = 1 << 20;
const GRACE_DEFAULT: Duration = Duration::from_secs(10);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Long enough to notice that a webhook is gone by mistake and to declare it again; `0s` cancels at once.
const REMOVED_DEFAULT: Duration = Duration::from_secs(60 * 60);

/// A key that is older than the last few sealed nothing any more.
const PREVIOUS_KEYS_MAX: usize = 10;

/// Bytes of a TOML key that names a token or a transformer.
const NAME_CHARS_MAX: usize = 100;

/// The top-level tables, each checked to be one.
pub(crate) struct Document<'t> {
    root: &'t Table,
}

impl<'t> Document<'t> {
    pub(crate) fn new(root: &'t Table, report: &mut Report) -> Self {
        check_keys(root, &ROOT, report);
        Self { root }
    }

    /// The event types of the presets.
    pub(crate) fn catalogue(&self, report: &mut Report) -> BTreeMap<EventType, EventTypeSettings> {
        self.root.get("catalogue").map(|entry| catalogue::read(&entry.node, report)).unwrap_or_default()
    }

    /// The table of that name.
    pub(crate) fn table(&self, name: &str, example: &str, report: &mut Report) -> Option<&'t Table> {
        read::table(&self.root.get(name)?.node, name, example, report)
    }

    /// `[webhooks.NAME]`, `[tokens.NAME]`, …: the entries that are tables.
    pub(crate) fn named(&self, name: &str, report: &mut Report) -> Vec<(&'t Entry, &'t Table)> {
        let example = format!("[{name}.my-name]");
        if let Some(Entry { node: Node { value: Value::Tables(tables), span }, .. }) = self.root.get(name) {
            let (one, two) = (example.replace("my-name", "first"), example.replace("my-name", "second"));
            report
                .error(*span, format!("`{name}` is a list of tables ([[{name}]]), and has to be one table for each name"))
                .help(format!("the name of each is in its header: {one} and {two} instead of {} times [[{name}]]", tables.len()));
            return Vec::new();
        }
        let Some(table) = self.table(name, &example, report) else { return Vec::new() };
        let mut entries = Vec::new();
        for entry in table.entries() {
            if let Some(table) = read::table(&entry.node, &format!("{name}.{}", entry.key.name), &example, report) {
                entries.push((entry, table));
            }
        }
        entries
    }

    pub(crate) fn server(&self, pems: &Pems, report: &mut Report) -> ServerSettings {
        let mut settings = ServerSettings {
            listen: LISTEN_DEFAULT,
            max_event_size: EVENT_BYTES_DEFAULT,
            shutdown_grace: GRACE_DEFAULT,
            protection: ProtectionSettings::default(),
        };
        let Some(table) = self.table("server", "[server]", report) else { return settings };
        let mut fields = Fields::new(table, &SERVER, "", report);
        if let Some(address) = table.get("listen").and_then(|entry| listen(&entry.node, report)) {
            settings.listen = address;
        }
        fields.size("max_event_size", &mut settings.max_event_size, report);
        fields.duration("shutdown_grace", &mut settings.shutdown_grace, report);
        settings.protection = protection(table, pems, report);
        settings
    }

    /// Also checks that there are some, where the API can be reached from elsewhere.
    pub(crate) fn tokens(&self, listen: SocketAddr, report: &mut Report) -> Vec<TokenSettings> {
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

    pub(crate) fn storage(&self, config_dir: &Path, report: &mut Report) -> StorageSettings {
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

    pub(crate) fn retention(&self, report: &mut Report) -> RetentionSettings {
        let mut settings = RetentionSettings { events: DAY * 7, failed: DAY * 30, removed: REMOVED_DEFAULT, audit: DAY * 90 };
        let Some(table) = self.table("retention", "[retention]", report) else { return settings };
        let mut fields = Fields::new(table, &RETENTION, "", report);
        fields.duration("events", &mut settings.events, report);
        fields.duration("failed", &mut settings.failed, report);
        fields.duration("removed", &mut settings.removed, report);
        fields.duration("audit", &mut settings.audit, report);
        settings
    }

    /// The policy, and whether it is what the file says: if not, no URL can be judged by it.
    pub(crate) fn network(&self, report: &mut Report) -> (NetworkPolicy, NetworkEgress, bool) {
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
    let text = read::form(node, "listen", "an address with a port", "127.0.0.1:8080", report)?;
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
    let text = secret::text_of(read::string(node, key, "${TENTERHOOK_STORAGE_KEY}", report)?);
    match StorageKey::parse(text) {
        Ok(key) => Some(key),
        Err(error) => {
            // Neither words say anything of the text.
            let problem = slip(text).map_or_else(|| format!("`{key}`: {error}"), |(slip, _)| format!("`{key}` {slip}"));
            report.error(node.span, problem);
            None
        }
    }
}

/// A path, relative to the directory of the file that names it.
pub(crate) fn path(node: &Node, key: &str, example: &str, report: &mut Report) -> Option<PathBuf> {
    let text = read::string(node, key, example, report)?;
    if text.value().is_empty() || text.value().contains('\0') {
        report.error(node.span, format!("`{key}` must be a path such as \"{example}\""));
        return None;
    }
    let dir = report.sources.path(node.span.file).parent().unwrap_or(Path::new(""));
    Some(dir.join(text.value()))
}

/// The TOML key of a token or a transformer.
pub(crate) fn check_name(entry: &Entry, what: &str, report: &mut Report) -> bool {
    let name = &entry.key.name;
    let good =
        !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if !good {
        let message = format!("{} cannot be the name of a {what}", quote(name));
        report.error(entry.key.span, message).help(format!("use letters, digits, _ and -, at most {NAME_CHARS_MAX} of them"));
    }
    good
}
