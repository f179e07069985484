//! Which addresses and URLs are refused, to the edges of every range, and in which words.

use super::super::address::{BLOCKED_V4, BLOCKED_V6};
use super::*;
use proptest::prelude::*;

fn policy(allow: &[&str]) -> NetworkPolicy {
    NetworkPolicy { allow: allow.iter().map(|range| range.parse().unwrap()).collect(), https_only: true }
}

fn check(address: &str, allow: &[&str], plain_http: bool) -> Result<(), Refused> {
    policy(allow).check_address(address.parse().unwrap(), plain_http)
}

fn check_url(url: &str, allow: &[&str]) -> Result<(), Refused> {
    policy(allow).check_url(&Url::parse(url).unwrap())
}

/// First and last address of every blocked range, and the open neighbours of each.
#[test]
fn every_special_range_is_blocked_to_its_edges_and_no_further() {
    for (range, _) in BLOCKED_V4 {
        for edge in [range.network(), range.broadcast()] {
            assert!(check(&edge.to_string(), &[], false).is_err(), "{edge}");
        }
    }
    for (range, _) in BLOCKED_V6 {
        for edge in [range.network(), range.broadcast()] {
            assert!(check(&edge.to_string(), &[], false).is_err(), "{edge}");
        }
    }
    for open in [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "8.8.8.8",
        "2001:200::",
        "2001:db7:ffff::",
        "2001:db9::",
        "2003::",
        "2606:4700:4700::1111",
        "3ffe::",
        "3fff:1000::",
        "2a00:1450:4001::1",
        "64:ff9b::8.8.8.8",
    ] {
        assert_eq!(check(open, &[], false), Ok(()), "{open}");
    }
    for blocked in [
        "::",
        "::1",
        "::2",
        "::7f00:1",
        "::ffff:8.8.8.8",
        "::ffff:0:8.8.8.8",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "1fff::1",
        "4000::1",
        "5f00::1",
        "fec0::1",
        "fdff::1",
        "febf::1",
        "ff02::1",
        "2001::1",
        "2002:808:808::1",
        "255.255.255.255",
        "0.0.0.0",
        "239.1.2.3",
    ] {
        assert!(check(blocked, &[], false).is_err(), "{blocked}");
    }
}

#[test]
fn the_verdict_names_its_rule_and_how_to_open_it() {
    let table = [
        (
            "10.2.3.4",
            "10.2.3.4 is in a blocked range (private, 10.0.0.0/8): if this endpoint is yours, open it with `[network] allow = [\"10.2.3.4/32\"]`",
        ),
        (
            "127.0.0.1",
            "127.0.0.1 is in a blocked range (loopback, 127.0.0.0/8): if this endpoint is yours, open it with `[network] allow = [\"127.0.0.1/32\"]`",
        ),
        (
            "fd12:3456:789a:1::5",
            "fd12:3456:789a:1::5 is in a blocked range (unique local, fc00::/7): if this endpoint is yours, open it with `[network] allow = [\"fd12:3456:789a:1::5/128\"]`",
        ),
        (
            "4000::1",
            "4000::1 is in a blocked range (not global unicast, outside 2000::/3): if this endpoint is yours, open it with `[network] allow = [\"4000::1/128\"]`",
        ),
        (
            "::ffff:127.0.0.1",
            "::ffff:127.0.0.1 writes 127.0.0.1 in disguise: use 127.0.0.1 itself, which the rules can then judge",
        ),
        (
            "169.254.169.254",
            "169.254.169.254 is a cloud metadata service, which hands out credentials: it is never delivered to, not even when `[network] allow` covers it",
        ),
    ];
    for (address, text) in table {
        assert_eq!(check(address, &[], false).unwrap_err().to_string(), text);
    }
}

#[test]
fn allowed_ranges_open_what_they_cover() {
    for (address, allow) in [
        ("127.0.0.1", "127.0.0.0/8"),
        ("10.2.3.4", "10.2.0.0/16"),
        ("100.64.0.1", "100.64.0.0/10"),
        ("169.254.1.1", "169.254.0.0/16"),
        ("::1", "::1/128"),
        ("fd00::1", "fd00::/8"),
        ("64:ff9b::10.2.3.4", "10.2.0.0/16"),
        ("2002:a02:304::1", "2002::/16"),
    ] {
        assert_eq!(check(address, &[allow], true), Ok(()), "{address}");
    }
    assert!(check("10.3.0.1", &["10.2.0.0/16"], false).is_err());
    assert!(check("127.0.0.1", &["::/0"], false).is_err());
}

#[test]
fn metadata_services_stay_closed_whatever_is_allowed() {
    for address in [
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "fd00:ec2::254",
        "fd20:ce::254",
        "168.63.129.16",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ] {
        for plain_http in [false, true] {
            let refused = check(address, &["0.0.0.0/0", "::/0"], plain_http);
            assert!(matches!(refused, Err(Refused::Metadata { .. })), "{address}: {refused:?}");
        }
    }
}

#[test]
fn a_mapped_address_is_never_opened() {
    for allow in ["::/0", "127.0.0.0/8", "::ffff:0:0/96"] {
        assert!(matches!(check("::ffff:127.0.0.1", &[allow], false), Err(Refused::Disguised { .. })));
    }
}

#[test]
fn plain_http_goes_to_allowed_addresses_only() {
    let refused = check("8.8.8.8", &["10.0.0.0/8"], true).unwrap_err().to_string();
    assert!(refused.starts_with("HTTPS required: ") && refused.contains("allow = [\"8.8.8.8/32\"]"), "{refused}");
    assert_eq!(check("8.8.8.8", &["8.8.8.0/24"], true), Ok(()));
    let lax = NetworkPolicy { allow: vec![], https_only: false };
    assert_eq!(lax.check_address("8.8.8.8".parse().unwrap(), true), Ok(()));
    assert!(lax.check_address("10.0.0.1".parse().unwrap(), true).is_err());
    assert_eq!(lax.check_url(&Url::parse("http://example.com/").unwrap()), Ok(()));
}

#[test]
fn odd_spellings_of_addresses_are_seen_through() {
    for url in [
        "https://127.0.0.1/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://017700000001/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://0/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[0:0:0:0:0:ffff:7f00:0001]/",
        "https://%31%32%37.0.0.1/",
        "https://１２７.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00:ec2::254]/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost:8443/",
    ] {
        assert!(check_url(url, &[]).is_err(), "{url}");
    }
}

#[test]
fn urls_that_cannot_be_delivered_to_say_why() {
    let table = [
        (
            "ftp://example.com/",
            "the scheme `ftp` is not deliverable: use https:// (or http:// to an address inside `[network] allow`)",
        ),
        (
            "file:///etc/passwd",
            "the scheme `file` is not deliverable: use https:// (or http:// to an address inside `[network] allow`)",
        ),
        (
            "https://user:pw@example.com/",
            "the URL contains a user name or password: take it out and send it as a header (`headers = { Authorization = \"…\" }`)",
        ),
        (
            "https://user@example.com/",
            "the URL contains a user name or password: take it out and send it as a header (`headers = { Authorization = \"…\" }`)",
        ),
        (
            "http://example.com/",
            "HTTPS required: plain http goes only to addresses inside `[network] allow`, and `example.com` is not: use https://, or open its range with `[network] allow`, as in [\"10.2.3.4/32\"]",
        ),
        (
            "https://localhost/",
            "`localhost` means this machine (loopback, a blocked range): if this endpoint is yours, open it with `[network] allow = [\"127.0.0.1/32\", \"::1/128\"]`",
        ),
    ];
    for (url, text) in table {
        assert_eq!(check_url(url, &[]).unwrap_err().to_string(), text);
    }
}

#[test]
fn a_name_is_left_to_the_dialler_once_something_is_allowed() {
    assert_eq!(check_url("http://gateway.internal/", &["10.0.0.0/8"]), Ok(()));
    assert_eq!(check_url("http://localhost:9400/", &["127.0.0.0/8"]), Ok(()));
    assert_eq!(check_url("https://example.com/in?token=1", &[]), Ok(()));
    assert_eq!(check_url("http://127.0.0.1:9400/", &["127.0.0.0/8"]), Ok(()));
    assert!(check_url("http://8.8.8.8/", &["127.0.0.0/8"]).is_err());
}

proptest! {
    #[test]
    fn no_ipv4_address_hides_in_a_form_of_ipv6(bits: u32) {
        let inner = Ipv4Addr::from_bits(bits);
        let open = policy(&[]).check_address(inner.into(), false).is_ok();
        let nat64 = Ipv6Addr::from_bits(0x0064_ff9b_u128 << 96 | u128::from(bits));
        prop_assert_eq!(policy(&[]).check_address(nat64.into(), false).is_ok(), open);
        prop_assert!(policy(&["::/0"]).check_address(inner.to_ipv6_mapped().into(), false).is_err());
        prop_assert!(policy(&[]).check_address(Ipv6Addr::from_bits(0x2002_u128 << 112 | u128::from(bits) << 80).into(), false).is_err());
    }

    #[test]
    fn what_is_open_is_global_by_an_independent_measure(bits: u32) {
        let address = Ipv4Addr::from_bits(bits);
        if policy(&[]).check_address(address.into(), false).is_ok() {
            prop_assert!(!address.is_private() && !address.is_loopback() && !address.is_link_local() && !address.is_multicast());
            prop_assert!(!address.is_documentation() && !address.is_broadcast() && !address.is_unspecified());
        }
    }

    #[test]
    fn open_ipv6_is_global_unicast(bits: u128) {
        let address = Ipv6Addr::from_bits(bits);
        if policy(&[]).check_address(address.into(), false).is_ok() {
            prop_assert!(!address.is_unique_local() && !address.is_unicast_link_local() && !address.is_multicast());
            prop_assert!(address.segments()[0] >> 13 == 1 || address.segments()[..2] == [0x64, 0xff9b]);
        }
    }

    #[test]
    fn allowing_more_never_refuses_more(bits: u32, prefix in 0_u8..=32) {
        let address = IpAddr::V4(Ipv4Addr::from_bits(bits));
        let wider = NetworkPolicy { allow: vec![IpNet::new(address, prefix).unwrap().trunc()], https_only: true };
        if !is_metadata(address) {
            prop_assert!(wider.check_address(address, true).is_ok());
        }
    }

    #[test]
    fn no_text_panics_the_check(text in ".{0,80}") {
        if let Ok(url) = Url::parse(&text) {
            let _ = policy(&[]).check_url(&url);
        }
    }
}
