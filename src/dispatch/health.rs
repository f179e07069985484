//! How webhooks fare: breakers and long failures, fed by every attempt, kept in the store where they matter beyond this
//! process. Owned by the loop, so that it needs no locks; holds only webhooks that something has gone wrong with.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::time::Duration;

use crate::model::{
    Admission, Asked, Breaker, Cause, Condition, Disabled, DisabledBy, Evidence, Failing, Failure, Outcome, Timestamp, Turn,
    WebhookKey,
};
use crate::operational::Notice;
use crate::snapshot::{Snapshot, Switchboard, Webhook};
use crate::store::StandingChange;

/// Failures are kept in the store once they go on for this long: an endpoint that drops one request in two is not
/// worth a write for each.
const KEEP_FAILING_AFTER: Duration = Duration::from_secs(60);

/// An attempt that takes as long as this keeps a place from a hundred others.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// How a webhook stands from now on, to be kept.
type Kept = (WebhookKey, StandingChange);

/// What an attempt says about its webhook.
#[derive(Debug, Clone, Copy)]
pub(super) struct News {
    evidence: Evidence,
    /// `None` when nothing was sent.
    pub(super) arrived: Option<bool>,
    disable: Option<DisabledBy>,
    /// The attempt was about an operational event: nothing that follows from it is told as another.
    quiet: bool,
    /// Whether it took its time; `None` when nothing was sent.
    pub(super) slow: Option<bool>,
}

impl News {
    /// Nothing was tried.
    pub(super) const NONE: Self = Self { evidence: Evidence::Nothing, arrived: None, disable: None, quiet: true, slow: None };

    pub(super) fn of(webhook: &Webhook, outcome: &Outcome, asked: Option<Asked>, took: Duration, quiet: bool) -> Self {
        let gone = matches!(outcome, Outcome::Failed(Failure { cause: Cause::Status(410), .. }));
        let disable = match asked {
            Some(Asked::Disable) => Some(DisabledBy::Asked),
            Some(Asked::AbortMessage) | None => gone.then_some(DisabledBy::Gone),
        };
        let evidence = Evidence::of(outcome, &webhook.settings.retry.on);
        let arrived = match (outcome, evidence) {
            (Outcome::Delivered { .. }, _) => Some(true),
            (_, Evidence::Nothing) => None,
            _ => Some(false),
        };
        Self { evidence, arrived, disable, quiet, slow: arrived.map(|_| took >= SLOW) }
    }
}

#[derive(Default)]
struct Entry {
    breaker: Breaker,
    failing: Failing,
    /// As the store has it, or will when what is on its way arrives.
    kept: Condition,
}

#[derive(Default)]
pub(super) struct Health {
    entries: HashMap<WebhookKey, Entry>,
    /// To be kept, in their order, and to be told once they are.
    unkept: Vec<(WebhookKey, StandingChange)>,
    untold: Vec<Notice>,
}

impl Health {
    /// As it was when the last process ended.
    pub(super) fn restored(board: &Switchboard, now: Timestamp) -> Self {
        let entry = |condition: Condition| Entry {
            breaker: Breaker::restored(condition.open),
            failing: Failing::restored(condition.failing_since, now),
            kept: condition,
        };
        let all = board.all().into_iter();
        let unwell = all.filter(|(_, standing)| !standing.condition.is_well());
        let entries = unwell.map(|(key, standing)| (key, entry(standing.condition))).collect();
        Self { entries, ..Self::default() }
    }

    pub(super) fn admits(&self, webhook: &Webhook, now: Timestamp) -> Admission {
        match self.entries.get(&webhook.key) {
            Some(entry) if webhook.settings.lane.breaker.is_some() => entry.breaker.admits(now),
            _ => Admission::Everything,
        }
    }

    /// Learns from an attempt; `true` when the webhook is well again and its backlog may come back.
    pub(super) fn learn(&mut self, webhook: &Webhook, news: News, board: &Switchboard, now: Timestamp) -> bool {
        let entry = match self.entries.entry(webhook.key) {
            MapEntry::Vacant(_) if news.arrived != Some(false) && news.disable.is_none() => return false,
            entry => entry.or_default(),
        };
        let lane = &webhook.settings.lane;
        let id = &webhook.settings.id;
        let mut disable = news.disable;
        match news.arrived {
            Some(true) => entry.failing.succeeded(),
            Some(false) if entry.failing.failed(lane.disable_after, now) => disable = disable.or(Some(DisabledBy::Failures)),
            Some(false) | None => {}
        }
        let was_open = entry.breaker.open();
        let turn = lane.breaker.as_ref().and_then(|policy| entry.breaker.observe(policy, news.evidence, now));
        match (turn, was_open, entry.breaker.open(), &lane.breaker) {
            (Some(Turn::Opened), _, Some(open), Some(policy)) => {
                let reason = format!("{} failures within {}", policy.failures, show(policy.window));
                tracing::warn!(webhook = %id, until = %open.until, reason, "the breaker opened: nothing is attempted until then");
                let notice = Notice::BreakerOpened { webhook: id.clone(), open, reason };
                self.untold.extend((!news.quiet).then_some(notice));
            }
            (Some(Turn::Closed), Some(open), ..) => {
                tracing::info!(webhook = %id, since = %open.since, "the breaker closed: the endpoint answers again");
                let notice = Notice::BreakerClosed { webhook: id.clone(), open_since: open.since };
                self.untold.extend((!news.quiet).then_some(notice));
            }
            _ => {}
        }
        self.keep(webhook, board, now);
        if let Some(by) = disable.filter(|_| !board.is_disabled(webhook.key)) {
            self.disable(webhook, by, news.quiet, board, now);
        }
        turn == Some(Turn::Closed)
    }

    /// An operator enabled it, or its endpoint is another one: it begins anew.
    pub(super) fn forget(&mut self, webhook: &Webhook, board: &Switchboard, now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(&webhook.key) {
            if let Some(open) = entry.breaker.open() {
                self.untold.push(Notice::BreakerClosed { webhook: webhook.settings.id.clone(), open_since: open.since });
            }
            entry.breaker.close();
            entry.failing.succeeded();
            self.keep(webhook, board, now);
        }
    }

    /// Whether a switch of ours waits to be kept.
    pub(super) fn is_unkept(&self, webhook: WebhookKey) -> bool {
        self.unkept.iter().any(|(key, change)| *key == webhook && matches!(change, StandingChange::Disabled(_)))
    }

    /// An operator's switch went into the store first, and one of ours, from before, may be on its way there: the last
    /// word is what memory has.
    pub(super) fn switched(&mut self, webhook: WebhookKey, board: &Switchboard) {
        self.unkept.push((webhook, StandingChange::Disabled(board.standing(webhook).disabled)));
    }

    /// What a new configuration mends: another URL is another endpoint, and no breaker is no open one. Answers whose
    /// backlog may come back.
    pub(super) fn heal(&mut self, snapshot: &Snapshot, now: Timestamp) -> Vec<WebhookKey> {
        let board = &snapshot.switchboard;
        let mut healed = Vec::new();
        for (key, standing) in board.all() {
            let Some(webhook) = snapshot.by_key(key) else { continue };
            let elsewhere = |endpoint: Option<u64>| endpoint.is_some_and(|known| known != webhook.settings.url.fingerprint());
            let disabled = standing.disabled.as_ref().is_some_and(|disabled| elsewhere(disabled.endpoint));
            let unbroken = standing.condition.open.is_some() && webhook.settings.lane.breaker.is_none();
            if elsewhere(standing.condition.endpoint) || unbroken || disabled {
                self.forget(webhook, board, now);
                healed.push(key);
            }
            if disabled {
                let reason = "its URL is another one now".to_owned();
                tracing::info!(webhook = %webhook.settings.id, "enabled again: {reason}");
                self.unkept.push((key, StandingChange::Disabled(None)));
                self.untold.push(Notice::Enabled { webhook: webhook.settings.id.clone(), reason });
                board.switch(key, None);
            }
        }
        healed
    }

    /// What is to be kept and told since the last time.
    pub(super) fn take(&mut self) -> Option<(Vec<Kept>, Vec<Notice>)> {
        if self.unkept.is_empty() && self.untold.is_empty() {
            return None;
        }
        Some((std::mem::take(&mut self.unkept), std::mem::take(&mut self.untold)))
    }

    fn disable(&mut self, webhook: &Webhook, by: DisabledBy, quiet: bool, board: &Switchboard, now: Timestamp) {
        let reason = match by {
            DisabledBy::Gone => "the endpoint answered 410 Gone".to_owned(),
            DisabledBy::Asked => "the endpoint asked for it (webhook-delivery: disable)".to_owned(),
            DisabledBy::Failures => {
                format!("nothing but failures for {}", show(webhook.settings.lane.disable_after.unwrap_or_default()))
            }
            DisabledBy::Operator => "switched off".to_owned(),
        };
        let id = &webhook.settings.id;
        tracing::warn!(webhook = %id, reason, "the webhook is disabled: what waits for it is held until it is enabled again");
        let disabled = Disabled { by, reason, at: now, endpoint: Some(webhook.settings.url.fingerprint()) };
        // Memory first: a crash before it is kept only means that the next attempt finds out again.
        board.switch(webhook.key, Some(disabled.clone()));
        self.unkept.push((webhook.key, StandingChange::Disabled(Some(disabled.clone()))));
        self.untold.extend((!quiet).then(|| Notice::Disabled { webhook: id.clone(), disabled }));
    }

    fn keep(&mut self, webhook: &Webhook, board: &Switchboard, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(&webhook.key) else { return };
        let known = entry.kept.failing_since;
        let is_long = |since: &Timestamp| known == Some(*since) || since.until(now) >= KEEP_FAILING_AFTER;
        let mut condition =
            Condition { failing_since: entry.failing.since().filter(is_long), open: entry.breaker.open(), endpoint: None };
        if !condition.is_well() {
            condition.endpoint = Some(webhook.settings.url.fingerprint());
        }
        if condition != entry.kept {
            entry.kept = condition;
            board.set_condition(webhook.key, condition);
            self.unkept.push((webhook.key, StandingChange::Condition(condition)));
        }
        if entry.breaker.is_rested() && entry.failing.since().is_none() {
            self.entries.remove(&webhook.key);
        }
    }
}

/// `5d`, `1m`.
fn show(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("m", 60)];
    match units.into_iter().find(|(_, unit)| seconds >= *unit && seconds.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", seconds / unit),
        None => format!("{:?}", span),
    }
}
