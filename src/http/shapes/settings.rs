//! How the configuration's tables besides webhooks look in answers: the keys of config.toml, tokens without their text.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::config::show::duration;
use crate::config::{CorsSettings, EventTypeSettings, Quota, RateLimits, Scope, Settings, TransformerSettings};
use crate::model::{NoProxy, Proxy, ProxyKind, StorageKey};

/// `server`, `tokens`, `storage`, `retention`, `network`, `transformers`, `event_types`.
pub(crate) fn tables(settings: &Settings) -> Map<String, Value> {
    let server = &settings.server;
    let tokens: Map<String, Value> = settings
        .tokens
        .iter()
        .map(|token| (token.name.clone(), json!({"scopes": scopes(&token.scopes), "tenant": token.tenant})))
        .collect();
    // Paths as the file writes them, so that the same file elsewhere looks the same.
    let directory = settings.transformers_dir.parent().unwrap_or(Path::new(""));
    let shown = |path: &Path| path.strip_prefix(directory).unwrap_or(path).display().to_string();
    let transformers: Map<String, Value> =
        settings.transformers.iter().map(|(name, settings)| (name.clone(), transformer(settings, shown))).collect();
    let event_type = |declared: &EventTypeSettings| json!({"description": declared.description, "schema": declared.schema.as_ref().map(|schema| &schema.json)});
    let event_types: Map<String, Value> =
        settings.event_types.iter().map(|(name, declared)| (name.to_string(), event_type(declared))).collect();
    // A key's id says which one it is, and nothing of it.
    let keys = &settings.storage.keys;
    let previous: Vec<String> = keys.previous.iter().map(StorageKey::id).collect();
    let tables = [
        (
            "server",
            json!({
                "listen": server.listen.to_string(), "max_event_size": size(server.max_event_size),
                "shutdown_grace": duration(server.shutdown_grace), "rate_limit": rate_limits(&server.protection.rate_limit),
                "cors": cors(&server.protection.cors), "tls": server.protection.tls.is_some(),
            }),
        ),
        ("tokens", tokens.into()),
        (
            "storage",
            json!({
                "path": shown(&settings.storage.path), "key": keys.current.as_ref().map(StorageKey::id), "previous_keys": previous,
            }),
        ),
        (
            "retention",
            json!({
                "events": duration(settings.retention.events), "failed": duration(settings.retention.failed),
                "removed": duration(settings.retention.removed), "audit": duration(settings.retention.audit),
            }),
        ),
        ("network", network(settings, shown)),
        ("transformers", transformers.into()),
        ("event_types", event_types.into()),
    ];
    tables.into_iter().map(|(name, table)| (name.to_owned(), table)).collect()
}

fn network(settings: &Settings, shown: impl Fn(&Path) -> String) -> Value {
    let egress = &settings.network_egress;
    let allow: Vec<String> = settings.network.allow.iter().map(ToString::to_string).collect();
    let except = egress.proxy.iter().flat_map(|policy| &policy.except);
    let except: Vec<String> = except
        .map(|except| match except {
            NoProxy::Domain(name) => name.clone(),
            NoProxy::Range(range) => range.to_string(),
        })
        .collect();
    json!({
        "allow": allow, "https_only": settings.network.https_only,
        "proxy": egress.proxy.as_ref().map(|policy| proxy(&policy.proxy)), "no_proxy": except,
        "ca_file": egress.ca_file.as_deref().map(shown), "min_tls_version": egress.min_tls.name(),
    })
}

/// As it is written, without its credentials.
fn proxy(proxy: &Proxy) -> String {
    let scheme = match proxy.kind {
        ProxyKind::Http => "http",
        ProxyKind::Https => "https",
        ProxyKind::Socks5 => "socks5",
        ProxyKind::Socks5h => "socks5h",
    };
    let credentials = if proxy.password.is_some() { "…@" } else { "" };
    let host = if proxy.host.contains(':') { format!("[{}]", proxy.host) } else { proxy.host.clone() };
    format!("{scheme}://{credentials}{host}:{}", proxy.port)
}

/// What is not shown of the tables, by table and key: equal when they are.
pub(crate) fn hidden(settings: &Settings) -> Vec<(&'static str, String, Vec<u8>)> {
    let tokens = settings.tokens.iter();
    let mut hidden: Vec<_> =
        tokens.map(|token| ("tokens", format!("{}.token", token.name), token.token.expose().as_bytes().to_vec())).collect();
    if let Some(Proxy { username, password: Some(password), .. }) =
        settings.network_egress.proxy.as_ref().map(|policy| &policy.proxy)
    {
        hidden.push(("network", "proxy".to_owned(), format!("{username}:{}", password.expose()).into_bytes()));
    }
    if let Some(tls) = &settings.server.protection.tls {
        hidden.push(("server", "tls.cert".to_owned(), tls.cert.as_bytes().to_vec()));
        hidden.push(("server", "tls.key".to_owned(), tls.key.as_bytes().to_vec()));
    }
    hidden
}

fn scopes(scopes: &[Scope]) -> Vec<&'static str> {
    let name = |scope: &Scope| match scope {
        Scope::Publish => "publish",
        Scope::Read => "read",
        Scope::Manage => "manage",
    };
    scopes.iter().map(name).collect()
}

fn rate_limits(limits: &RateLimits) -> Value {
    let shown = |quota: Option<Quota>| quota.map(|Quota { count, period }| format!("{count} in {}", duration(period)));
    json!({"publish": shown(limits.publish), "read": shown(limits.read), "manage": shown(limits.manage), "test": shown(limits.test)})
}

fn cors(settings: &CorsSettings) -> Value {
    if settings.any { json!(["*"]) } else { json!(settings.origins) }
}

fn transformer(settings: &TransformerSettings, shown: impl Fn(&Path) -> String) -> Value {
    let limits = &settings.limits;
    json!({
        "path": settings.path.as_deref().map(shown),
        "sha256": settings.sha256.map(hex::encode),
        "limits": {
            "memory": size(limits.memory), "cpu": duration(limits.cpu), "output": size(limits.output), "log": size(limits.log),
            "instances": limits.instances,
        },
    })
}

/// In the greatest binary unit that needs no fraction.
fn size(bytes: usize) -> String {
    let units = [("GiB", 1_usize << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_shown_as_the_file_writes_them_without_tokens() {
        let text = "[server]\nmax_event_size = \"64KiB\"\n[tokens.a]\ntoken = \"0123456789abcdef\"\nscopes = [\"read\"]\n\
                    [network]\nallow = [\"10.0.0.0/8\"]\n[transformers.x]\nlimits.cpu = \"50ms\"\n";
        let loaded = crate::config::load_str(text, &std::collections::BTreeMap::new(), &|_| None).unwrap();
        let shape = Value::Object(tables(&loaded.settings));
        assert_eq!(shape["server"]["max_event_size"], "64KiB");
        assert_eq!(shape["tokens"], json!({"a": {"scopes": ["read"], "tenant": null}}));
        assert_eq!(shape["network"]["allow"], json!(["10.0.0.0/8"]));
        assert_eq!(shape["retention"]["events"], "7d");
        assert_eq!(
            shape["transformers"]["x"]["limits"],
            json!({"memory": "64MiB", "cpu": "50ms", "output": "2MiB", "log": "100KiB", "instances": null})
        );
        assert!(!shape.to_string().contains("0123456789abcdef"));
    }

    #[test]
    fn every_key_of_a_table_is_shown() {
        let loaded = crate::config::load_str("", &std::collections::BTreeMap::new(), &|_| None).unwrap();
        let shape = tables(&loaded.settings);
        for table in ["server", "storage", "retention", "network"] {
            let shown: Vec<&String> = shape[table].as_object().unwrap().keys().collect();
            let known = crate::config::table_keys(table);
            assert!(known.iter().all(|key| shown.iter().any(|shown| shown == key)), "[{table}]: {known:?}, shown are {shown:?}");
        }
    }
}
