//! What this machine lacks when a request cannot be sent: descriptors, memory, ports, threads. None of it says anything
//! about the endpoint, so it costs no attempt.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shortage {
    /// The process (`EMFILE`) or the machine (`ENFILE`) may open no more files.
    Files,
    /// The kernel has no memory for another socket (`ENOMEM`, `ENOBUFS`).
    Memory,
    /// All local ports to this address are taken (`EADDRNOTAVAIL`): a matter of one endpoint's connections.
    Ports,
    /// No thread for a lookup of the endpoint's name.
    Threads,
}

// Linux's numbers, which have no `io::ErrorKind`, and macOS's where they differ.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ENOMEM: i32 = 12;
#[cfg(target_os = "linux")]
const ENOBUFS: i32 = 105;
#[cfg(not(target_os = "linux"))]
const ENOBUFS: i32 = 55;

impl Shortage {
    pub const ALL: [Self; 4] = [Self::Files, Self::Memory, Self::Ports, Self::Threads];

    /// The label in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Memory => "memory",
            Self::Ports => "ports",
            Self::Threads => "threads",
        }
    }

    /// How to fix it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Files => "raise `ulimit -n` (LimitNOFILE= in the unit), or the machine's `fs.file-max`",
            Self::Memory => "the kernel has no memory for sockets: free some, or raise the container's limit",
            Self::Ports => "widen `net.ipv4.ip_local_port_range`, or let the endpoint keep connections open between requests",
            Self::Threads => "raise the limit on threads (`ulimit -u`, TasksMax= in the unit)",
        }
    }

    /// Whether other webhooks are concerned as well.
    pub fn is_of_the_process(self) -> bool {
        self != Self::Ports
    }

    pub(super) fn of(error: &io::Error) -> Option<Self> {
        match error.raw_os_error()? {
            EMFILE | ENFILE => Some(Self::Files),
            ENOMEM | ENOBUFS => Some(Self::Memory),
            _ => None,
        }
    }

    /// As [`Self::of`], for a connection to `address`.
    pub(super) fn of_connecting(error: &io::Error, address: SocketAddr) -> Option<Self> {
        let is_unavailable = error.kind() == io::ErrorKind::AddrNotAvailable && error.raw_os_error().is_some();
        if is_unavailable && has_route(address) { Some(Self::Ports) } else { Self::of(error) }
    }

    /// Why a lookup failed, if not for its name: without descriptors the resolver finds neither its configuration nor a
    /// name server, and reports what that looks like. So this tries to open a file.
    pub(super) fn of_lookup(error: &io::Error) -> Option<Self> {
        Self::of(error).or_else(|| std::fs::File::open("/").err().as_ref().and_then(Self::of))
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files => "no more files can be opened",
            Self::Memory => "no memory for another socket",
            Self::Ports => "all local ports to the endpoint are taken",
            Self::Threads => "no thread for a lookup",
        })
    }
}

/// `EADDRNOTAVAIL` also means that this machine has no address from which that one can be reached (IPv6 is off, say),
/// which is no shortage and does not pass. A datagram socket needs the same address and another kind of port; connecting
/// it sends nothing.
fn has_route(address: SocketAddr) -> bool {
    let unspecified: IpAddr =
        if address.is_ipv4() { std::net::Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((unspecified, 0)).and_then(|socket| socket.connect(address)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_lacks_are_told_from_the_endpoints_faults() {
        let of = |number| Shortage::of(&io::Error::from_raw_os_error(number));
        assert_eq!((of(EMFILE), of(ENFILE)), (Some(Shortage::Files), Some(Shortage::Files)));
        assert_eq!((of(ENOMEM), of(ENOBUFS)), (Some(Shortage::Memory), Some(Shortage::Memory)));
        // Refused, reset, unreachable.
        assert_eq!((of(111), of(104), of(113)), (None, None, None));
        assert_eq!(Shortage::of(&io::Error::other("EMFILE")), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn ports_run_out_only_towards_an_address_that_can_be_reached() {
        const EADDRNOTAVAIL: i32 = 99;
        let of = |address: &str| Shortage::of_connecting(&io::Error::from_raw_os_error(EADDRNOTAVAIL), address.parse().unwrap());
        assert_eq!(of("127.0.0.1:80"), Some(Shortage::Ports));
        // A zone that no interface has.
        assert_eq!(of("[fe80::1%4000000000]:80"), None);
        let ours = io::Error::from(io::ErrorKind::AddrNotAvailable);
        assert_eq!(Shortage::of_connecting(&ours, "127.0.0.1:80".parse().unwrap()), None, "nobody was asked");
    }
}
