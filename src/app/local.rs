//! How commands on the same machine find the server and its token.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::reload;
use crate::signing::Secret;

pub struct LocalServer {
    pub url: String,
    pub token: Option<Secret>,
}

/// From the configuration that the server runs on.
///
/// # Errors
/// In words, when there is none or it has problems.
pub fn local_server(config: &Path) -> anyhow::Result<LocalServer> {
    if !config.exists() {
        anyhow::bail!("there is no {}", config.display());
    }
    let loaded =
        reload::load(config).map_err(|_| anyhow::anyhow!("{} has problems: see `tenterhook check`", config.display()))?;
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
