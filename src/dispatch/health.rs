//! The health of webhooks: breakers and long failures, fed by every attempt, saved in the store where they matter beyond
//! this process. Owned by the loop, so that it needs no locks; holds only webhooks that something has gone wrong with.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::time::Duration;

use crate::model::{
    Admission, Asked, Breaker, Cause, Condition, Disabled, DisabledBy, Evidence, Failing, Failure, Outcome, Timestamp, Turn,
    WebhookKey,
};
use crate::operational::Notice;
use crate::snapshot::{Snapshot, StatusBoard, Webhook};
use crate::store::StatusChange;

/// Failures are saved in the store once they go on for this long: an endpoint that drops one request in two is not
/// worth a write for each.
const SAVE_FAILING_AFTER: Duration = Duration::from_secs(60);

/// An attempt that takes as long as this keeps a permit from a hundred others.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// The status of a webhook from now on, to be saved.
type Unsaved = (WebhookKey, StatusChange);

/// What an attempt says about its endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttemptReport {
    evidence: Evidence,
    /// `None` when nothing was sent.
    pub(super) arrived: Option<bool>,
    disable: Option<DisabledBy>,
    /// The attempt was about an operational event: nothing that follows from it is raised as another.
    quiet: bool,
    /// Whether it took its time; `None` when nothing was sent.
    pub(super) is_slow: Option<bool>,
}

impl AttemptReport {
    /// Nothing was sent.
    pub(super) const NONE: Self = Self { evidence: Evidence::Nothing, arrived: None, disable: None, quiet: true, is_slow: None };

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
        Self { evidence, arrived, disable, quiet, is_slow: arrived.map(|_| took >= SLOW) }
    }
}

#[derive(Default)]
struct Entry {
    breaker: Breaker,
    failing: Failing,
    /// As the store has it, or will when what is on its way arrives.
    saved: Condition,
}

#[derive(Default)]
pub(super) struct Health {
    entries: HashMap<WebhookKey, Entry>,
    /// To be saved, in their order.
    unsaved: Vec<Unsaved>,
    /// To be raised once these are saved.
    notices: Vec<Notice>,
}

impl Health {
    /// As it was when the last process ended.
    pub(super) fn restored(board: &StatusBoard, now: Timestamp) -> Self {
        let entry = |condition: Condition| Entry {
            breaker: Breaker::restored(condition.open),
            failing: Failing::restored(condition.failing_since, now),
            saved: condition,
        };
        let all = board.all().into_iter();
        let unwell = all.filter(|(_, status)| !status.condition.is_well());
        let entries = unwell.map(|(key, status)| (key, entry(status.condition))).collect();
        Self { entries, ..Self::default() }
    }

    pub(super) fn admits(&self, webhook: &Webhook, now: Timestamp) -> Admission {
        match self.entries.get(&webhook.key) {
            Some(entry) if webhook.settings.lane.breaker.is_some() => entry.breaker.admits(now),
            _ => Admission::Everything,
        }
    }

    /// Learns from an attempt; `true` when the webhook is well again and its backlog may come back.
    pub(super) fn learn(&mut self, webhook: &Webhook, report: AttemptReport, board: &StatusBoard, now: Timestamp) -> bool {
        let entry = match self.entries.entry(webhook.key) {
            MapEntry::Vacant(_) if report.arrived != Some(false) && report.disable.is_none() => return false,
            entry => entry.or_default(),
        };
        let lane = &webhook.settings.lane;
        let id = &webhook.settings.id;
        let mut disable = report.disable;
        match report.arrived {
            Some(true) => entry.failing.succeeded(),
            Some(false) if entry.failing.failed(lane.disable_after, now) => disable = disable.or(Some(DisabledBy::Failures)),
            Some(false) | None => {}
        }
        let was_open = entry.breaker.open();
        let turn = lane.breaker.as_ref().and_then(|policy| entry.breaker.observe(policy, report.evidence, now));
        match (turn, was_open, entry.breaker.open(), &lane.breaker) {
            (Some(Turn::Opened), _, Some(open), Some(policy)) => {
                let reason = format!("{} failures within {}", policy.failures, show(policy.window));
                tracing::warn!(webhook = %id, until = %open.until, reason, "breaker opened: no attempts until then");
                let notice = Notice::BreakerOpened { webhook: id.clone(), open, reason };
                self.notices.extend((!report.quiet).then_some(notice));
            }
            (Some(Turn::Closed), Some(open), ..) => {
                tracing::info!(webhook = %id, since = %open.since, "breaker closed: the endpoint answers again");
                let notice = Notice::BreakerClosed { webhook: id.clone(), open_since: open.since };
                self.notices.extend((!report.quiet).then_some(notice));
            }
            _ => {}
        }
        self.save(webhook, board, now);
        if let Some(by) = disable.filter(|_| !board.is_disabled(webhook.key)) {
            self.disable(webhook, by, report.quiet, board, now);
        }
        turn == Some(Turn::Closed)
    }

    /// An operator enabled it, or its endpoint is another one: nothing that failed before counts.
    pub(super) fn forget(&mut self, webhook: &Webhook, board: &StatusBoard, now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(&webhook.key) {
            if let Some(open) = entry.breaker.open() {
                self.notices.push(Notice::BreakerClosed { webhook: webhook.settings.id.clone(), open_since: open.since });
            }
            entry.breaker.close();
            entry.failing.succeeded();
            self.save(webhook, board, now);
        }
    }

    /// Whether a switch of ours waits to be saved.
    pub(super) fn has_unsaved_switch(&self, webhook: WebhookKey) -> bool {
        self.unsaved.iter().any(|(key, change)| *key == webhook && matches!(change, StatusChange::Disabled(_)))
    }

    /// An operator's switch went into the store first, and one of ours, from before, may be on its way there: the last
    /// word is what memory has.
    pub(super) fn switched(&mut self, webhook: WebhookKey, board: &StatusBoard) {
        self.unsaved.push((webhook, StatusChange::Disabled(board.status(webhook).disabled)));
    }

    /// What a new configuration heals: another URL is another endpoint, and no breaker is no open one. Answers whose
    /// backlog may come back.
    pub(super) fn heal(&mut self, snapshot: &Snapshot, now: Timestamp) -> Vec<WebhookKey> {
        let board = &snapshot.status_board;
        let mut healed = Vec::new();
        for (key, status) in board.all() {
            let Some(webhook) = snapshot.by_key(key) else { continue };
            let elsewhere = |endpoint: Option<u64>| endpoint.is_some_and(|known| known != webhook.settings.url.fingerprint());
            let disabled = status.disabled.as_ref().is_some_and(|disabled| elsewhere(disabled.endpoint));
            let unbroken = status.condition.open.is_some() && webhook.settings.lane.breaker.is_none();
            if elsewhere(status.condition.endpoint) || unbroken || disabled {
                self.forget(webhook, board, now);
                healed.push(key);
            }
            if disabled {
                let reason = "its URL is another one now".to_owned();
                tracing::info!(webhook = %webhook.settings.id, "webhook enabled: {reason}");
                self.unsaved.push((key, StatusChange::Disabled(None)));
                self.notices.push(Notice::Enabled { webhook: webhook.settings.id.clone(), reason });
                board.switch(key, None);
            }
        }
        healed
    }

    /// The clock was set back: breakers probe as far from now as before.
    pub(super) fn shift_back(&mut self, step: Duration, snapshot: &Snapshot, now: Timestamp) {
        for entry in self.entries.values_mut() {
            entry.breaker.shift_back(step);
            entry.failing.shift_back(step);
        }
        let unwell: Vec<WebhookKey> = self.entries.keys().copied().collect();
        for webhook in unwell.into_iter().filter_map(|key| snapshot.by_key(key)) {
            self.save(webhook, &snapshot.status_board, now);
        }
    }

    /// What is to be saved and raised since the last time.
    pub(super) fn take(&mut self) -> Option<(Vec<Unsaved>, Vec<Notice>)> {
        if self.unsaved.is_empty() && self.notices.is_empty() {
            return None;
        }
        Some((std::mem::take(&mut self.unsaved), std::mem::take(&mut self.notices)))
    }

    fn disable(&mut self, webhook: &Webhook, by: DisabledBy, quiet: bool, board: &StatusBoard, now: Timestamp) {
        let reason = match by {
            DisabledBy::Gone => "the endpoint answered 410 Gone".to_owned(),
            DisabledBy::Asked => "the endpoint asked for it (webhook-delivery: disable)".to_owned(),
            DisabledBy::Failures => {
                format!("nothing but failures for {}", show(webhook.settings.lane.disable_after.unwrap_or_default()))
            }
            DisabledBy::Operator => "switched off".to_owned(),
        };
        let id = &webhook.settings.id;
        tracing::warn!(webhook = %id, reason, "webhook disabled: its waiting deliveries are held until it is enabled");
        let disabled = Disabled { by, reason, at: now, endpoint: Some(webhook.settings.url.fingerprint()) };
        // Memory first: a crash before it is saved only means that the next attempt finds out again.
        board.switch(webhook.key, Some(disabled.clone()));
        self.unsaved.push((webhook.key, StatusChange::Disabled(Some(disabled.clone()))));
        self.notices.extend((!quiet).then(|| Notice::Disabled { webhook: id.clone(), disabled }));
    }

    fn save(&mut self, webhook: &Webhook, board: &StatusBoard, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(&webhook.key) else { return };
        let known = entry.saved.failing_since;
        let is_long = |since: &Timestamp| known == Some(*since) || since.until(now) >= SAVE_FAILING_AFTER;
        let mut condition =
            Condition { failing_since: entry.failing.since().filter(is_long), open: entry.breaker.open(), endpoint: None };
        if !condition.is_well() {
            condition.endpoint = Some(webhook.settings.url.fingerprint());
        }
        if condition != entry.saved {
            entry.saved = condition;
            board.set_condition(webhook.key, condition);
            self.unsaved.push((webhook.key, StatusChange::Condition(condition)));
        }
        if entry.breaker.is_idle() && entry.failing.since().is_none() {
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
