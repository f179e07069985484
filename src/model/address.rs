//! IANA's special-purpose address ranges (RFC 6890 and its updates), metadata services, and IPv4 inside IPv6: the
//! facts behind [`super::NetworkPolicy`]. Refuses to decide: that is the policy's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// NAT64 (RFC 6052, `64:ff9b::/96`) is just the road to an IPv4 host: that host is what is judged.
pub(super) fn judged_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => embedded_ipv4(v6).filter(|_| !is_6to4(v6)).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// The IPv4 address that a mapped, compatible, NAT64 or 6to4 address leads to.
fn embedded_ipv4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    let low = || Ipv4Addr::from_bits((bits & 0xffff_ffff) as u32);
    match bits >> 32 {
        0xffff => Some(low()),                                     // ::ffff:a.b.c.d
        0xffff_0000 => Some(low()),                                // ::ffff:0:a.b.c.d, RFC 2765
        0 if bits > 1 => Some(low()),                              // ::a.b.c.d, deprecated
        prefix if prefix == 0x0064_ff9b_u128 << 64 => Some(low()), // 64:ff9b::a.b.c.d
        _ if is_6to4(address) => Some(Ipv4Addr::from_bits(((bits >> 80) & 0xffff_ffff) as u32)),
        _ => None,
    }
}

fn is_6to4(address: Ipv6Addr) -> bool {
    address.segments()[0] == 0x2002
}

/// Forms that an operating system may dial as IPv4, or that nobody has written in earnest for twenty years.
/// They have no honest use in a URL and are never opened.
pub(super) fn disguised(address: IpAddr) -> Option<(Ipv6Addr, Ipv4Addr)> {
    let IpAddr::V6(v6) = address else { return None };
    embedded_ipv4(v6).filter(|_| v6.segments()[0] == 0).map(|inner| (v6, inner))
}

/// The IPv4 range that an IPv6 one writes: its addresses are judged as IPv4, or refused, and never looked for in it.
pub fn ipv4_behind(range: &IpNet) -> Option<Ipv4Net> {
    let IpNet::V6(v6) = range else { return None };
    let prefix = v6.prefix_len().checked_sub(96)?;
    let network = v6.network();
    // `::` and `::1` are addresses of their own.
    let inner = embedded_ipv4(network).or((network.is_unspecified() && prefix < 31).then_some(Ipv4Addr::UNSPECIFIED))?;
    if is_6to4(network) {
        return None;
    }
    Ipv4Net::new(inner, prefix).ok()
}

/// Whether all of a range is metadata services.
pub fn is_metadata_range(range: &IpNet) -> bool {
    range.prefix_len() == range.max_prefix_len() && is_metadata(range.addr())
}

/// Metadata services of the clouds. Most are link-local, but not all.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254), // AWS, Google, Azure, Oracle, DigitalOcean, …
    Ipv4Addr::new(169, 254, 170, 2),   // AWS ECS task credentials
    Ipv4Addr::new(169, 254, 170, 23),  // AWS EKS pod identity
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba
    Ipv4Addr::new(168, 63, 129, 16),   // Azure wire server
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle, classic
];

const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // AWS
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),  // AWS EKS pod identity
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // Google
];

pub(super) fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => {
            METADATA_V6.contains(&v6) || (is_6to4(v6) && embedded_ipv4(v6).is_some_and(|v4| METADATA_V4.contains(&v4)))
        }
    }
}

/// The name of the special-purpose range that an address lies in; `None` for plain global unicast.
pub(super) fn blocked_range(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => BLOCKED_V4.iter().find(|(range, _)| range.contains(&v4)).map(|(_, name)| *name),
        IpAddr::V6(v6) => BLOCKED_V6.iter().find(|(range, _)| range.contains(&v6)).map(|(_, name)| *name).or_else(|| {
            let global_unicast = v6.segments()[0] & 0xe000 == 0x2000;
            (!global_unicast).then_some("not global unicast, outside 2000::/3")
        }),
    }
}

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

pub(super) const BLOCKED_V4: [(Ipv4Net, &str); 15] = [
    (v4(0, 0, 0, 8), "unspecified, \"this network\", 0.0.0.0/8"),
    (v4(10, 0, 0, 8), "private, 10.0.0.0/8"),
    (v4(100, 64, 0, 10), "carrier-grade NAT, 100.64.0.0/10"),
    (v4(127, 0, 0, 8), "loopback, 127.0.0.0/8"),
    (v4(169, 254, 0, 16), "link-local, 169.254.0.0/16"),
    (v4(172, 16, 0, 12), "private, 172.16.0.0/12"),
    (v4(192, 0, 0, 24), "IETF protocol assignments, 192.0.0.0/24"),
    (v4(192, 0, 2, 24), "documentation, 192.0.2.0/24"),
    (v4(192, 88, 99, 24), "6to4 relay anycast, 192.88.99.0/24"),
    (v4(192, 168, 0, 16), "private, 192.168.0.0/16"),
    (v4(198, 18, 0, 15), "benchmark, 198.18.0.0/15"),
    (v4(198, 51, 100, 24), "documentation, 198.51.100.0/24"),
    (v4(203, 0, 113, 24), "documentation, 203.0.113.0/24"),
    (v4(224, 0, 0, 4), "multicast, 224.0.0.0/4"),
    (v4(240, 0, 0, 4), "reserved and broadcast, 240.0.0.0/4"),
];

/// Those that have a name of their own; the rest outside 2000::/3 is refused as such.
pub(super) const BLOCKED_V6: [(Ipv6Net, &str); 14] = [
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), "unspecified, ::/128"),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "loopback, ::1/128"),
    (v6(0x64, 0xff9b, 1, 48), "local-use NAT64, 64:ff9b:1::/48"),
    (v6(0x100, 0, 0, 64), "discard-only, 100::/64"),
    (v6(0x2001, 0, 0, 32), "Teredo, 2001::/32"),
    (v6(0x2001, 2, 0, 48), "benchmark, 2001:2::/48"),
    (v6(0x2001, 0, 0, 23), "IETF protocol assignments, 2001::/23"),
    (v6(0x2001, 0xdb8, 0, 32), "documentation, 2001:db8::/32"),
    (v6(0x2002, 0, 0, 16), "6to4, 2002::/16"),
    (v6(0x3fff, 0, 0, 20), "documentation, 3fff::/20"),
    (v6(0x5f00, 0, 0, 16), "segment routing, 5f00::/16"),
    (v6(0xfc00, 0, 0, 7), "unique local, fc00::/7"),
    (v6(0xfe80, 0, 0, 10), "link-local, fe80::/10"),
    (v6(0xff00, 0, 0, 8), "multicast, ff00::/8"),
];
