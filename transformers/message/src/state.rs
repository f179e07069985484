//! What became of the thing that an event is about, by the words of its type and by what its data says of the outcome.
//! Owns the words. Trouble is never a recovery: a recovery word counts only as the last word of the type, and not where
//! the word before it turns its meaning (`not_ok`, `connection_reset`, `back_off`).

use crate::{Json, Kind, Severity, View, blank};

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Trouble(Severity),
    Recovered(Strength),
    Acknowledged,
    /// A breaker that is half open: it is being probed.
    Between,
    /// It is not over yet (`queued`), or ended without a verdict (`cancelled`).
    Undecided,
    Unknown,
}

/// How sure it is that all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strength {
    /// `resolved`, `closed`: the trouble is over, however bad it was.
    Strong,
    /// `completed`, `ended`: it is over, and may have gone wrong.
    Weak,
}

const CRITICAL: &[&str] =
    &["breach", "breached", "compromised", "crashed", "critical", "down", "emergency", "fatal", "lost", "oom", "outage", "panic"];
const ERROR: &[&str] = &[
    "abort",
    "aborted",
    "alert",
    "alerting",
    "broken",
    "corrupt",
    "corrupted",
    "crash",
    "crashing",
    "dead",
    "disconnected",
    "error",
    "errored",
    "errors",
    "exception",
    "exhausted",
    "fail",
    "failed",
    "failing",
    "fails",
    "failure",
    "failures",
    "fault",
    "faulted",
    "firing",
    "killed",
    "nok",
    "offline",
    "opened",
    "problem",
    "refused",
    "reopened",
    "timed",
    "timedout",
    "tripped",
    "unavailable",
    "unhealthy",
    "unreachable",
    "unresolved",
    "violation",
];
const WARNING: &[&str] = &[
    "backoff",
    "blocked",
    "degraded",
    "denied",
    "disabled",
    "dropped",
    "exceeded",
    "expired",
    "expiring",
    "flapping",
    "half",
    "incomplete",
    "invalid",
    "lagging",
    "limited",
    "missed",
    "overloaded",
    "rejected",
    "retrying",
    "saturated",
    "slow",
    "stale",
    "stalled",
    "stuck",
    "suspended",
    "throttled",
    "timeout",
    "unauthorized",
    "warn",
    "warning",
];

/// Words that say that a trouble began, for a state and not for its subject: they are not part of an incident's key.
const BEGINNINGS: &[&str] = &[
    "alerting",
    "breached",
    "broken",
    "crashed",
    "critical",
    "dead",
    "degraded",
    "disabled",
    "disconnected",
    "down",
    "error",
    "errored",
    "exceeded",
    "exhausted",
    "expired",
    "fail",
    "failed",
    "failing",
    "fails",
    "failure",
    "fatal",
    "firing",
    "lagging",
    "limited",
    "lost",
    "missed",
    "offline",
    "opened",
    "panic",
    "rejected",
    "reopened",
    "slow",
    "started",
    "throttled",
    "triggered",
    "tripped",
    "unavailable",
    "unhealthy",
    "unreachable",
    "unresolved",
];

const RECOVERED: &[&str] = &[
    "alive",
    "cleared",
    "closed",
    "enabled",
    "fixed",
    "healthy",
    "mitigated",
    "normal",
    "ok",
    "okay",
    "online",
    "operational",
    "passed",
    "passing",
    "reachable",
    "reconnected",
    "recovered",
    "reestablished",
    "reloaded",
    "remediated",
    "repaired",
    "resolved",
    "restored",
    "resumed",
    "stabilized",
    "succeeded",
    "success",
    "successful",
    "unblocked",
];
const OVER: &[&str] = &["back", "completed", "connected", "done", "ended", "finished", "reset", "up", "working"];

/// After another word these mean something else: `sign_up`, `connection_reset`, `set_back`.
const ONLY_ALONE: &[&str] = &["back", "reset", "up"];

/// A connection that is closed or reset did not recover.
const CONNECTIONS: &[&str] = &["conn", "connection", "connections", "peer", "pipe", "socket", "stream", "tcp", "tunnel"];

/// What is reset when it works again.
const RESETTABLE: &[&str] = &["alarm", "alert", "breaker", "check", "circuit", "fuse", "incident", "monitor"];

const ACKNOWLEDGED: &[&str] = &["acked", "acknowledged"];

/// Words that take back what follows them.
const NEGATIONS: &[&str] = &[
    "almost",
    "arent",
    "barely",
    "be",
    "cannot",
    "cant",
    "couldnt",
    "didnt",
    "doesnt",
    "dont",
    "half",
    "hasnt",
    "havent",
    "isnt",
    "nearly",
    "never",
    "no",
    "non",
    "not",
    "partially",
    "partly",
    "pending",
    "un",
    "unable",
    "until",
    "wasnt",
    "without",
    "wont",
];
/// Those of [`BEGINNINGS`] that do it too, except for a trouble that is resolved: `failed_closed`, but `failure_resolved`.
const FAILURES: &[&str] = &["fail", "failed", "failing", "fails", "failure"];
const RESOLVED: &[&str] = &["cleared", "fixed", "mitigated", "recovered", "remediated", "repaired", "resolved", "restored"];
/// Between a negation and its word.
const FILLERS: &[&str] =
    &["all", "become", "been", "being", "completely", "entirely", "fully", "go", "quite", "really", "so", "yet"];

/// Of data: it is not over, or nobody says how it ended.
const UNDECIDED: &[&str] = &[
    "cancelled",
    "canceled",
    "neutral",
    "pending",
    "processing",
    "progress",
    "queued",
    "requested",
    "running",
    "scheduled",
    "skipped",
    "starting",
    "superseded",
    "waiting",
];

/// What separates the words of an event type.
const SEPARATORS: [char; 6] = ['.', '_', '-', ':', '/', ' '];

/// An event type as words, in lower case, with where each begins: `payment.checkFailed` is `payment`, `check`, `failed`.
fn words(text: &str) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut is_start = true;
    let mut previous_lower = false;
    for (at, c) in text.char_indices() {
        if SEPARATORS.contains(&c) {
            (is_start, previous_lower) = (true, false);
            continue;
        }
        if is_start || c.is_uppercase() && previous_lower {
            words.push((at, String::new()));
        }
        (is_start, previous_lower) = (false, c.is_lowercase());
        if let Some((_, word)) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    words
}

/// How bad a word of trouble is; `5xx` and `503` are the status of an HTTP answer.
fn trouble(word: &str) -> Option<Severity> {
    let is = |known: &[&str]| known.contains(&word);
    let status = |class: u8| {
        let rest = &word.as_bytes()[1.min(word.len())..];
        word.len() == 3 && word.as_bytes()[0] == class && (rest == b"xx" || rest.iter().all(u8::is_ascii_digit))
    };
    match () {
        () if is(CRITICAL) => Some(Severity::Critical),
        () if is(ERROR) || status(b'5') => Some(Severity::Error),
        () if is(WARNING) || status(b'4') => Some(Severity::Warning),
        () => None,
    }
}

/// Where the negation of the word after `before` begins.
fn negation(before: &[(usize, String)], word: &str) -> Option<usize> {
    let (at, last) = before.iter().rev().find(|(_, word)| !FILLERS.contains(&word.as_str()))?;
    let last = last.as_str();
    let fails = FAILURES.contains(&last) && !RESOLVED.contains(&word);
    (fails || NEGATIONS.contains(&last)).then_some(*at)
}

/// What became of it by a text's words, and where the words that say so begin (the end of the text if there are none).
fn read(text: &str) -> (State, usize) {
    let words = words(text);
    let Some(((at, word), before)) = words.split_last() else { return (State::Unknown, text.len()) };
    let (at, word) = (*at, word.as_str());
    let segment = text.rfind('.').map_or(0, |dot| dot + 1);
    let in_segment = words.iter().filter(|(start, _)| *start >= segment).count();
    let previous = before.last().map_or("", |(_, word)| word.as_str());
    if matches!(word, "open" | "opened") && previous == "half" {
        return (State::Between, before.last().map_or(at, |(start, _)| *start));
    }
    let strength = match word {
        _ if RECOVERED.contains(&word) => Some(Strength::Strong),
        _ if OVER.contains(&word) => Some(Strength::Weak),
        _ => None,
    };
    let is_recovery = strength.is_some() || ACKNOWLEDGED.contains(&word);
    if is_recovery && let Some(start) = negation(before, word) {
        return (State::Trouble(Severity::Error), start);
    }
    if ACKNOWLEDGED.contains(&word) {
        return (State::Acknowledged, at);
    }
    let of_connection = CONNECTIONS.contains(&previous) && matches!(word, "closed" | "ended" | "reset");
    if of_connection {
        let state = if word == "reset" { State::Trouble(Severity::Error) } else { State::Unknown };
        return (state, at);
    }
    let changed = ONLY_ALONE.contains(&word) && in_segment > 1
        || word == "reset" && !before.iter().any(|(_, word)| RESETTABLE.contains(&word.as_str()));
    if let (Some(strength), false) = (strength, changed) {
        return (State::Recovered(strength), at);
    }
    // A ticket that is opened is no trouble, a breaker is.
    let opens_trouble = |word: &str| word != "opened" || text.contains("breaker") || text.contains("incident");
    for (at, (_, word)) in words.iter().enumerate().rev() {
        if let Some(severity) = trouble(word).filter(|_| opens_trouble(word))
            && negation(&words[..at], word).is_none()
        {
            return (State::Trouble(severity), text.len());
        }
    }
    (State::Unknown, text.len())
}

/// The type without the words that say what became of it: `circuit_breaker` of `circuit_breaker.opened`, `health.check`
/// of `health.check_failed`.
pub(crate) fn subject(event_type: &str) -> String {
    let (_, mut end) = read(event_type);
    let segment = event_type.rfind('.').map_or(0, |dot| dot + 1);
    let is_state = |word: &str| {
        let status = word.starts_with('5') && trouble(word).is_some();
        status || BEGINNINGS.contains(&word) || RECOVERED.contains(&word)
    };
    for (at, word) in words(event_type).iter().rev() {
        if *at < segment || *at < end && !is_state(word) {
            break;
        }
        end = end.min(*at);
    }
    let subject = event_type[..end].trim_end_matches(SEPARATORS);
    // `error` alone is all there is to tell it by.
    if subject.is_empty() { "event".to_owned() } else { subject.to_owned() }
}

impl State {
    /// What the data says of the outcome; else the words of the type.
    pub(crate) fn of(view: &View<'_>) -> Self {
        let by_type = read(&view.event.type_).0;
        match (by_data(view), by_type) {
            // It is over, and the data does not say a word that is known to be good.
            (Outcome::Said, Self::Recovered(Strength::Weak)) => Self::Undecided,
            (Outcome::Is(state), _) => state,
            (Outcome::Said | Outcome::Nothing, by_type) => by_type,
        }
    }

    /// How bad it is when nothing else says so.
    pub(crate) fn severity(self) -> Severity {
        match self {
            Self::Trouble(severity) => severity,
            Self::Recovered(_) => Severity::Success,
            Self::Between => Severity::Warning,
            Self::Acknowledged | Self::Undecided | Self::Unknown => Severity::Info,
        }
    }
}

/// What the data says of the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Is(State),
    /// A word that is not known.
    Said,
    Nothing,
}

/// Keys of data that say how it ended.
const OUTCOME_KEYS: [&str; 5] = ["conclusion", "outcome", "result", "status", "state"];

/// Of several values the worst counts: a status that is `ok` beside an error is no recovery.
fn by_data(view: &View<'_>) -> Outcome {
    let mut said = Outcome::Nothing;
    let mut undecided = false;
    let mut recovered = false;
    let mut worst: Option<Severity> = None;
    for member in &view.members {
        let outcome = match &*member.key {
            key if key.eq_ignore_ascii_case("error") => error(member.value),
            key if OUTCOME_KEYS.iter().any(|known| key.eq_ignore_ascii_case(known)) => value(member.value),
            _ => Outcome::Nothing,
        };
        match outcome {
            Outcome::Is(State::Trouble(severity)) => worst = worst.max(Some(severity)),
            Outcome::Is(State::Undecided) => undecided = true,
            Outcome::Is(_) => recovered = true,
            Outcome::Said => said = Outcome::Said,
            Outcome::Nothing => {}
        }
    }
    match worst {
        Some(severity) => Outcome::Is(State::Trouble(severity)),
        None if undecided => Outcome::Is(State::Undecided),
        None if recovered => Outcome::Is(State::Recovered(Strength::Strong)),
        None => said,
    }
}

/// A longer text is no word for an outcome.
const OUTCOME_BYTES_MAX: usize = 60;

/// Of a `conclusion`, `status` and the like.
fn value(json: Json<'_>) -> Outcome {
    match json.kind() {
        // The status of an HTTP answer; a good one says little about what the event is about.
        Kind::Number => match json.text().parse::<u16>() {
            Ok(500..=599) => Outcome::Is(State::Trouble(Severity::Error)),
            Ok(400..=499) => Outcome::Is(State::Trouble(Severity::Warning)),
            _ => Outcome::Nothing,
        },
        Kind::String => {
            let text = json.as_string().unwrap_or_default();
            if blank(&text) || text.len() > OUTCOME_BYTES_MAX {
                return Outcome::Nothing;
            }
            let text = text.trim();
            match read(text).0 {
                _ if text.eq_ignore_ascii_case("action_required") => Outcome::Is(State::Trouble(Severity::Warning)),
                _ if words(text).iter().any(|(_, word)| UNDECIDED.contains(&word.as_str())) => Outcome::Is(State::Undecided),
                // `open` and `completed` say nothing about how it went.
                State::Recovered(Strength::Weak)
                    if !matches!(text.to_ascii_lowercase().as_str(), "up" | "working" | "connected") =>
                {
                    Outcome::Nothing
                }
                State::Recovered(_) => Outcome::Is(State::Recovered(Strength::Strong)),
                State::Trouble(severity) => Outcome::Is(State::Trouble(severity)),
                State::Between | State::Acknowledged | State::Undecided | State::Unknown => Outcome::Said,
            }
        }
        Kind::Bool | Kind::Null | Kind::Object | Kind::Array => Outcome::Nothing,
    }
}

/// Of an `error`: whether there is one.
fn error(json: Json<'_>) -> Outcome {
    let is_one = match json.kind() {
        Kind::Null => false,
        Kind::Bool => json.text() == "true",
        Kind::Number => json.text() != "0",
        Kind::Object | Kind::Array => json.text().len() > 2,
        Kind::String => {
            let text = json.as_string().unwrap_or_default();
            !blank(&text)
                && !matches!(text.trim().to_ascii_lowercase().as_str(), "none" | "null" | "nil" | "no" | "ok" | "false" | "0")
        }
    };
    if is_one { Outcome::Is(State::Trouble(Severity::Error)) } else { Outcome::Nothing }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
