//! Words as other systems use them, and what must never be taken for a recovery.

use super::*;
use crate::testing::event;

const RESOLVES: State = State::Recovered(Strength::Strong);

#[test]
fn words_of_the_type_decide() {
    for (event_type, state) in [
        ("circuit_breaker.opened", State::Trouble(Severity::Error)),
        ("circuit_breaker.half_open", State::Between),
        ("circuit_breaker.closed", RESOLVES),
        ("circuit_breaker.reset", State::Recovered(Strength::Weak)),
        ("health.check_failed", State::Trouble(Severity::Error)),
        ("health.check_recovered", RESOLVES),
        ("healthCheckRecovered", RESOLVES),
        ("health.check_ok", RESOLVES),
        ("host.up", State::Recovered(Strength::Weak)),
        ("check.failure_resolved", RESOLVES),
        ("incident.acknowledged", State::Acknowledged),
        ("rate_limit.exceeded", State::Trouble(Severity::Warning)),
        ("database.down", State::Trouble(Severity::Critical)),
        ("error_budget.restored", RESOLVES),
        ("tls.handshake.fail", State::Trouble(Severity::Error)),
        ("service.5xx", State::Trouble(Severity::Error)),
        ("service.503", State::Trouble(Severity::Error)),
        ("webhook.enabled", RESOLVES),
        ("tenterhook.config.reloaded", RESOLVES),
        ("tenterhook.config.rejected", State::Trouble(Severity::Warning)),
        ("job.completed", State::Recovered(Strength::Weak)),
        ("issue.opened", State::Unknown),
        ("order.created", State::Unknown),
    ] {
        assert_eq!(read(event_type).0, state, "{event_type}");
    }
}

#[test]
fn trouble_is_never_a_recovery() {
    for event_type in [
        "upstream.connection_reset",
        "connection.reset",
        "socket.closed",
        "health.not_ok",
        "health.not.ok",
        "health.never_been_healthy",
        "incident.to_be_resolved",
        "incident.cannot_be_resolved",
        "valve.failed_closed",
        "breaker.half_closed",
        "pod.crash_loop_back_off",
        "job.back_off",
        "user.sign_up",
        "disk.backed_up",
        "password.reset",
        "alert.closed_by_user",
        "check.ok_to_failed",
        "resolved.never",
        "not_acknowledged",
    ] {
        let state = read(event_type).0;
        assert!(!matches!(state, State::Recovered(_) | State::Acknowledged), "{event_type}: {state:?}");
    }
}

#[test]
fn the_outcome_in_the_data_wins_over_the_type() {
    let state = |event_type: &str, data: &str| State::of(&View::new(&event(event_type, data)));
    for data in [
        r#"{"conclusion":"failure"}"#,
        r#"{"conclusion":"timed_out","status":"completed"}"#,
        r#"{"conclusion":"startup_failure"}"#,
        r#"{"status":"error"}"#,
        r#"{"Status":"DOWN"}"#,
        r#"{"state":"not_ok"}"#,
        r#"{"outcome":"failed"}"#,
        r#"{"status":503}"#,
        r#"{"status":"ok","error":"disk full"}"#,
        r#"{"error":{"code":7}}"#,
    ] {
        assert!(matches!(state("workflow.completed", data), State::Trouble(_)), "{data}");
        assert!(matches!(state("workflow.resolved", data), State::Trouble(_)), "{data}");
    }
    for data in [r#"{"status":"queued"}"#, r#"{"conclusion":"cancelled"}"#, r#"{"status":"in_progress"}"#, r#"{"outcome":"odd"}"#]
    {
        assert_eq!(state("workflow.completed", data), State::Undecided, "{data}");
    }
    for data in [r#"{"status":"resolved"}"#, r#"{"state":"UP"}"#, r#"{"conclusion":"success","status":"completed"}"#] {
        assert_eq!(state("alert.updated", data), RESOLVES, "{data}");
    }
    for data in [r#"{"error":null}"#, r#"{"error":"","status":"open"}"#, r#"{"status":200}"#, r#"{"state":"archived"}"#] {
        assert_eq!(state("alert.resolved", data), RESOLVES, "{data}");
    }
}

#[test]
fn subjects_lose_what_became_of_them() {
    for (event_type, expected) in [
        ("circuit_breaker.opened", "circuit_breaker"),
        ("circuit_breaker.half_open", "circuit_breaker"),
        ("health.check_failed", "health.check"),
        ("health.checkFailed", "health.check"),
        ("health.not_ok", "health"),
        ("route.error", "route"),
        ("error", "event"),
        ("rate_limit.exceeded", "rate_limit"),
        ("service.5xx", "service"),
        ("tls.handshake.fail", "tls.handshake"),
        ("upstream.connection_reset", "upstream.connection"),
        ("user.sign_up", "user.sign_up"),
        ("webhook.disabled", "webhook"),
        ("webhook.enabled", "webhook"),
        ("tenterhook.config.rejected", "tenterhook.config"),
        ("tenterhook.config.reloaded", "tenterhook.config"),
        ("a.b.disk_full", "a.b.disk_full"),
        ("disk_full", "disk_full"),
        ("x.job_completed", "x.job"),
    ] {
        assert_eq!(subject(event_type), expected, "{event_type}");
    }
}

#[test]
fn no_word_means_both_trouble_and_its_end() {
    for word in RECOVERED.iter().chain(OVER) {
        assert!(trouble(word).is_none() && !BEGINNINGS.contains(word), "{word}");
    }
}
