//! What a new configuration takes away, and when to believe it. A file that is cut off, emptied or away for a moment is
//! still a valid configuration: with fewer webhooks and tokens. Whatever takes something away must be read twice, some
//! seconds apart, before it goes live. Pure: files are read and clocks asked elsewhere.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Loaded, Settings};

/// Between the two readings that have to agree. A deployment that swaps a directory and an upload over a slow line
/// pause for about a second.
pub(super) const CONFIRM_AFTER: Duration = Duration::from_secs(3);

/// Names shown of each kind.
const SHOWN_MAX: usize = 5;

/// What is live and missing from a new configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Removals {
    webhooks: Vec<String>,
    tokens: Vec<String>,
    transformers: Vec<String>,
    event_types: Vec<String>,
    /// Files that are not included any more, or not there.
    files: Vec<PathBuf>,
}

impl Removals {
    /// `missing`: files that the live configuration was read from and that are not on disk.
    pub(super) fn between(live: &Loaded, new: &Loaded, missing: Vec<PathBuf>) -> Self {
        let included: HashSet<&PathBuf> = new.files[..new.config_files].iter().collect();
        let dropped = live.files[..live.config_files].iter().filter(|file| !included.contains(file));
        let files: BTreeSet<PathBuf> = missing.into_iter().chain(dropped.cloned()).collect();
        let (live, new) = (&live.settings, &new.settings);
        Self {
            webhooks: live.webhooks.keys().filter(|id| !new.webhooks.contains_key(*id)).map(ToString::to_string).collect(),
            tokens: removed_tokens(live, new),
            transformers: live.transformers.keys().filter(|name| !new.transformers.contains_key(*name)).cloned().collect(),
            event_types: live
                .event_types
                .keys()
                .filter(|kind| !new.event_types.contains_key(*kind))
                .map(ToString::to_string)
                .collect(),
            files: files.into_iter().collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A token is removed when neither its name nor its text is left: what was renamed or replaced locks nobody out by
/// mistake.
fn removed_tokens(live: &Settings, new: &Settings) -> Vec<String> {
    let is_left = |name: &str, text: &str| new.tokens.iter().any(|token| token.name == name || token.token.expose() == text);
    let removed = live.tokens.iter().filter(|token| !is_left(&token.name, token.token.expose()));
    removed.map(|token| token.name.clone()).collect()
}

/// `webhooks a, b; tokens publisher`.
impl fmt::Display for Removals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        let kinds = [
            ("webhooks", &self.webhooks),
            ("tokens", &self.tokens),
            ("transformers", &self.transformers),
            ("event types", &self.event_types),
            ("files", &files),
        ];
        for (at, (kind, names)) in kinds.into_iter().filter(|(_, names)| !names.is_empty()).enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{kind} {}", names[..names.len().min(SHOWN_MAX)].join(", "))?;
            if names.len() > SHOWN_MAX {
                write!(f, " and {} more", names.len() - SHOWN_MAX)?;
            }
        }
        Ok(())
    }
}

/// The reading that waits for a second one which agrees.
#[derive(Debug, Default)]
pub(super) struct Confirmation(Option<First>);

#[derive(Debug)]
struct First {
    fingerprint: String,
    read_at: Instant,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Confirmed,
    /// Read again at this time. `is_new`: this content is seen for the first time.
    Wait {
        until: Instant,
        is_new: bool,
    },
}

impl Confirmation {
    /// A reading with this content, at this time.
    pub(super) fn judge(&mut self, fingerprint: &str, now: Instant) -> Verdict {
        if let Some(first) = self.0.as_ref().filter(|first| first.fingerprint == fingerprint) {
            let until = first.read_at + CONFIRM_AFTER;
            if now < until {
                return Verdict::Wait { until, is_new: false };
            }
            self.0 = None;
            return Verdict::Confirmed;
        }
        self.0 = Some(First { fingerprint: fingerprint.to_owned(), read_at: now });
        Verdict::Wait { until: now + CONFIRM_AFTER, is_new: true }
    }

    /// What waited is not what the files say any more.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::load_str;

    fn loaded(text: &str, others: &[&str]) -> Loaded {
        let others = others.iter().map(|name| (PathBuf::from(*name), Vec::new())).collect::<BTreeMap<_, _>>();
        load_str(text, &others, &|_| None).unwrap_or_else(|problems| panic!("{}", problems.render(false)))
    }

    const TOKEN: &str = "[tokens.a]\ntoken = \"a-token-of-many-letters\"\nscopes = [\"read\"]\n";
    const WEBHOOK: &str = "[webhooks.w]\nurl = \"https://example.com/\"\nevents = [\"*\"]\n";

    #[test]
    fn only_what_is_missing_is_a_removal() {
        let live = format!("include = [\"d/*.toml\"]\n{TOKEN}{WEBHOOK}");
        let removed = |text: &str, others: &[&str]| {
            Removals::between(&loaded(&live, &["d/x.toml"]), &loaded(text, others), Vec::new()).to_string()
        };
        assert_eq!(removed(&live, &["d/x.toml"]), "");
        assert_eq!(removed(&live, &["d/x.toml", "d/y.toml"]), "", "an addition");
        assert_eq!(removed(&live.replace("example.com", "example.org"), &["d/x.toml"]), "", "a change");
        assert_eq!(removed(&live.replace("tokens.a", "tokens.b"), &["d/x.toml"]), "", "a renamed token");
        assert_eq!(removed(&live.replace("many-letters", "other-letters"), &["d/x.toml"]), "", "a replaced token");
        assert_eq!(removed(&live, &[]), "files d/x.toml");
        assert_eq!(removed("", &[]), "webhooks w; tokens a; files d/x.toml");
    }

    #[test]
    fn a_file_that_is_away_is_a_removal_whatever_stays_declared() {
        let live = loaded(WEBHOOK, &[]);
        let removals = Removals::between(&live, &loaded(WEBHOOK, &[]), vec![PathBuf::from("transformers/slack.wasm")]);
        assert_eq!(removals.to_string(), "files transformers/slack.wasm");
        assert!(!removals.is_empty());
    }

    #[test]
    fn long_lists_are_cut() {
        let webhooks: String = (0..8).map(|n| WEBHOOK.replace(".w]", &format!(".w{n}]"))).collect();
        let removals = Removals::between(&loaded(&webhooks, &[]), &loaded("", &[]), Vec::new());
        assert_eq!(removals.to_string(), "webhooks w0, w1, w2, w3, w4 and 3 more");
    }

    #[test]
    fn two_readings_three_seconds_apart_have_to_agree() {
        let (mut confirmation, now) = (Confirmation::default(), Instant::now());
        let at = |millis| now + Duration::from_millis(millis);
        assert_eq!(confirmation.judge("a", at(0)), Verdict::Wait { until: at(3000), is_new: true });
        assert_eq!(confirmation.judge("a", at(2999)), Verdict::Wait { until: at(3000), is_new: false });
        assert_eq!(confirmation.judge("b", at(2999)), Verdict::Wait { until: at(5999), is_new: true }, "it went on changing");
        assert_eq!(confirmation.judge("b", at(6000)), Verdict::Confirmed);
        assert_eq!(confirmation.judge("b", at(6000)), Verdict::Wait { until: at(9000), is_new: true });
        confirmation.clear();
        assert!(matches!(confirmation.judge("b", at(9999)), Verdict::Wait { is_new: true, .. }));
    }
}
