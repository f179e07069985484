//! Ranges of addresses. Refuses, with what to write instead, those that would not do what they say: written ambiguously,
//! or never asked about by the rules.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::text::report::{Report, quote};
use crate::config::text::tree::{Node, Text};
use crate::model::{ipv4_behind, is_metadata_range};

/// A range; `what` is the key in messages.
pub(crate) fn range(what: &str, text: &Text, node: &Node, report: &mut Report) -> Option<IpNet> {
    judged(what, text, node, report, parse(text.value()))
}

/// A range that opens addresses to deliveries.
pub(crate) fn opened(what: &str, text: &Text, node: &Node, report: &mut Report) -> Option<IpNet> {
    let range = parse(text.value()).and_then(|range| {
        if is_metadata_range(&range) {
            let why = "is a cloud metadata service, which hands out credentials and is never delivered to";
            return Err((why, "remove it".to_owned()));
        }
        Ok(range)
    });
    judged(what, text, node, report, range)
}

/// What is wrong, and what to write instead.
type Wrong = (&'static str, String);

fn judged(what: &str, text: &Text, node: &Node, report: &mut Report, range: Result<IpNet, Wrong>) -> Option<IpNet> {
    match range {
        Ok(range) => Some(range),
        Err((why, help)) => {
            let draft = report.error_about(node.span, [node], what, &format!("{} {why}", quote(text.value())));
            if text.expanded.is_none() {
                draft.help(help);
            }
            None
        }
    }
}

fn parse(text: &str) -> Result<IpNet, Wrong> {
    const NO_RANGE: &str = "is not an address range";
    let range = match text.parse::<IpNet>() {
        Ok(range) => range,
        Err(_) => {
            let help = match text.parse::<IpAddr>() {
                Ok(address) => format!("for this address alone write \"{}\"", IpNet::from(address)),
                Err(_) => "write a network and its prefix length, as in \"10.2.0.0/16\" or \"fd00::/8\"".to_owned(),
            };
            return Err((NO_RANGE, help));
        }
    };
    // Some read `010` as eight.
    if text.split('/').next().is_some_and(|address| address.parse::<IpAddr>().is_err()) {
        return Err(("has numbers with leading zeros, which some read as octal", format!("write \"{}\"", range.trunc())));
    }
    if range.addr() != range.network() {
        let help = format!("{} lies within a range of that size: write \"{}\"", range.addr(), range.trunc());
        return Err((NO_RANGE, help));
    }
    if let Some(plain) = ipv4_behind(&range) {
        // So large a range is meant as "all that is IPv4", which opens more than anybody wants.
        let help = match plain.prefix_len() {
            ..8 => "remove it: such addresses are judged as the IPv4 addresses behind them".to_owned(),
            _ => format!("write \"{plain}\""),
        };
        return Err(("writes an IPv4 range as IPv6, which is never what is judged", help));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_what_they_say_or_refused_with_what_to_write() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "192.0.2.1/32", "fd00::/8", "::/0", "::1/128", "2002::/16", "64:ff9b:1::/48"] {
            assert_eq!(parse(text).map(|range| range.to_string()), Ok(text.to_owned()));
        }
        for (text, why, help) in [
            ("010.0.0.0/8", "leading zeros", "write \"10.0.0.0/8\""),
            ("10.1.1.1/8", "not an address range", "10.1.1.1 lies within a range of that size: write \"10.0.0.0/8\""),
            ("::ffff:10.0.0.0/104", "IPv4 range as IPv6", "write \"10.0.0.0/8\""),
            ("64:ff9b::a00:0/104", "IPv4 range as IPv6", "write \"10.0.0.0/8\""),
            ("::ffff:0:0/96", "IPv4 range as IPv6", "remove it: such addresses are judged as the IPv4 addresses behind them"),
            ("10.0.0.1", "not an address range", "for this address alone write \"10.0.0.1/32\""),
        ] {
            let (is, shown) = parse(text).unwrap_err();
            assert!(is.contains(why) && shown == help, "{text}: {is} | {shown}");
        }
    }
}
