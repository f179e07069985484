//! How commands on the same machine find the server and its token.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use crate::config::Loaded;
use crate::reload;
use crate::signing::Secret;

pub struct LocalServer {
    pub url: String,
    pub token: Option<Secret>,
}

/// Where the server that runs on this configuration keeps its data.
///
/// # Errors
/// As [`local_server`].
pub fn data_directory(config: &Path) -> anyhow::Result<PathBuf> {
    Ok(load(config)?.settings.storage.path)
}

fn load(config: &Path) -> anyhow::Result<Loaded> {
    if !config.exists() {
        anyhow::bail!("there is no {}", config.display());
    }
    reload::load(config).map_err(|_| anyhow::anyhow!("{} has problems: see `tenterhook check`", config.display()))
}

/// From the configuration that the server runs on.
///
/// # Errors
/// In words, when there is none or it has problems.
pub fn local_server(config: &Path) -> anyhow::Result<LocalServer> {
    let loaded = load(config)?;
    let mut address = loaded.settings.server.listen;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let declared = loaded.settings.tokens.iter().max_by_key(|token| token.scopes.iter().max().copied());
    let token = match declared {
        Some(token) => Some(token.token.clone()),
        None => super::token::read(&loaded.settings.storage.path.join("admin-token"))?,
    };
    let scheme = if loaded.settings.server.protection.tls.is_some() { "https" } else { "http" };
    Ok(LocalServer { url: format!("{scheme}://{address}"), token })
}
