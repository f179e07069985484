//! What was redacted, for the attempt's log: an operator sees that the options do what they are meant to do, and which of
//! them did nothing. Values are never named.

use std::fmt::Write as _;

use tenterhook_transformer::Level;

use crate::redact::{Redacted, Rule};

/// More of them would not be read.
const TARGETS_MAX: usize = 20;

/// One line for what was redacted, one for what matched nothing.
pub fn log(rules: &[Rule<'_>]) {
    let (matched, idle): (Vec<&Rule<'_>>, Vec<&Rule<'_>>) = rules.iter().partition(|rule| rule.count > 0);
    if !matched.is_empty() {
        tenterhook_transformer::log(Level::Info, line("", &matched));
    }
    if !idle.is_empty() {
        tenterhook_transformer::log(Level::Warn, line("matched nothing in this event: ", &idle));
    }
}

fn line(head: &str, rules: &[&Rule<'_>]) -> String {
    let mut line = head.to_owned();
    for (at, rule) in rules.iter().take(TARGETS_MAX).enumerate() {
        let (done, option) = match rule.redacted {
            Redacted::Hash => ("hashed", "hash"),
            Redacted::Mask => ("masked", "mask"),
            Redacted::Drop => ("dropped", "drop"),
        };
        line.push_str(if at == 0 { "" } else { ", " });
        // Writing to a String cannot fail.
        let _ = match rule.count {
            0 => write!(line, "`{}` (`{option}`)", rule.target),
            1 => write!(line, "{done} `{}`", rule.target),
            count => write!(line, "{done} `{}` ({count} values)", rule.target),
        };
    }
    if rules.len() > TARGETS_MAX {
        let _ = write!(line, ", and {} more", rules.len() - TARGETS_MAX);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    #[test]
    fn what_was_redacted_and_what_was_not_is_named() {
        let (number, ip) = (Target::parse("data.card.number").unwrap(), Target::parse("/metadata/ip").unwrap());
        let rule = |redacted, target, count| Rule { redacted, target, count };
        let (masked, dropped, idle) =
            (rule(Redacted::Mask, &number, 1), rule(Redacted::Drop, &ip, 2), rule(Redacted::Hash, &ip, 0));
        assert_eq!(line("", &[&masked, &dropped]), "masked `data.card.number`, dropped `/metadata/ip` (2 values)");
        assert_eq!(line("matched nothing in this event: ", &[&idle]), "matched nothing in this event: `/metadata/ip` (`hash`)");
    }
}
