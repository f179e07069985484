//! Notifies a service manager (systemd's `sd_notify` protocol): ready, stopping, still alive. Does nothing where there is
//! none, and never fails: a manager that cannot be notified is no reason not to run.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::time::Duration;

#[cfg(unix)]
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// See sd_notify(3) and sd_watchdog_enabled(3).
pub struct ServiceManager {
    #[cfg(unix)]
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it expects a sign of life.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// As the environment describes it: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub fn from_env() -> Self {
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| for_us && *micros > 0).map(Duration::from_micros);
        let socket = std::env::var_os("NOTIFY_SOCKET");
        Self {
            #[cfg(unix)]
            socket: socket.as_deref().and_then(connect),
            watchdog,
        }
    }

    /// The store is open, the configuration live, the socket listening.
    pub fn ready(&self, status: &str) {
        self.notify(&format!("READY=1\nSTATUS={status}"));
    }

    pub fn stopping(&self) {
        self.notify("STOPPING=1\nSTATUS=attempts in flight may finish");
    }

    /// Notifies a watchdog twice as often as it expects, while the runtime runs; never ends.
    pub async fn keep_alive(&self) -> Infallible {
        let Some(period) = self.watchdog else { return std::future::pending().await };
        let mut ticks = tokio::time::interval(period / 2);
        loop {
            ticks.tick().await;
            self.notify("WATCHDOG=1");
        }
    }

    #[cfg(unix)]
    fn notify(&self, state: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            tracing::debug!(%error, "service manager cannot be notified");
        }
    }

    #[cfg(not(unix))]
    fn notify(&self, _: &str) {}
}

/// A path, or a name in Linux's abstract space behind an `@`.
#[cfg(unix)]
fn connect(name: &OsStr) -> Option<(UnixDatagram, SocketAddr)> {
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;
    let address = match name.as_bytes().strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(name),
    };
    let connected = address.and_then(|address| Ok((UnixDatagram::unbound()?, address)));
    match connected {
        Ok((socket, address)) => {
            // A manager that does not read must not hold us up.
            let _ = socket.set_nonblocking(true);
            Some((socket, address))
        }
        Err(error) => {
            tracing::warn!(%error, "NOTIFY_SOCKET cannot be used: the service manager is not notified");
            None
        }
    }
}
