//! Several events in one message: what happened how often to which thing, when first and last, with a sample of each.

use tenterhook_transformer::Event;

use crate::text::{cut, humanize};
use crate::time::unix_seconds;
use crate::{Assessment, Content, Severity, Style, View, key};

/// Several events, grouped by type and by the thing that they are about.
#[derive(Debug, Clone)]
pub struct Digest<'a> {
    /// "12 events"
    pub title: String,
    /// The worst of them.
    pub severity: Severity,
    /// How many of which type, in order of their first appearance.
    pub counts: Vec<(&'a str, usize)>,
    /// Those that are shown, in order of their first events.
    pub groups: Vec<Group<'a>>,
    /// Events of the groups that are not shown.
    pub hidden: usize,
}

/// Events of one type about one thing.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// The first of them, as a sample.
    pub sample: Content<'a>,
    /// The worst of them.
    pub severity: Severity,
    pub count: usize,
    /// What they are about: `checkout`; empty if nothing says so.
    pub thing: String,
    first: &'a str,
    last: &'a str,
}

/// A longer name of a thing would leave no room for the rest.
const THING_UNITS_MAX: usize = 80;

/// As counted before contents are made for those that are shown.
struct Counted<'a> {
    event: &'a Event,
    severity: Severity,
    count: usize,
    thing: String,
    first: &'a str,
    last: &'a str,
}

impl<'a> Digest<'a> {
    /// Shows the first `shown_max` groups; counts all events.
    pub fn new(events: impl IntoIterator<Item = &'a Event>, style: &Style<'_>, shown_max: usize) -> Self {
        let mut counts: Vec<(&str, usize)> = Vec::new();
        let mut groups: Vec<Counted<'a>> = Vec::new();
        let mut total = 0;
        for event in events {
            total += 1;
            match counts.iter_mut().find(|(known, _)| *known == event.type_) {
                Some((_, count)) => *count += 1,
                None => counts.push((&event.type_, 1)),
            }
            let view = View::new(event);
            let severity = Assessment::of(&view, &style.assessment).severity;
            let thing = key::thing(&view);
            match groups.iter_mut().find(|group| group.thing == thing && group.event.type_ == event.type_) {
                Some(group) => group.add(event, severity),
                None => groups.push(Counted::new(event, severity, thing)),
            }
        }
        let style = Style { details: false, ..*style };
        let severity = groups.iter().map(|group| group.severity).max().unwrap_or(Severity::Info);
        let hidden = groups.iter().skip(shown_max).map(|group| group.count).sum();
        groups.truncate(shown_max);
        let shown = |group: Counted<'a>| Group {
            sample: Content::new(group.event, &style),
            severity: group.severity,
            count: group.count,
            thing: cut(&group.thing, THING_UNITS_MAX).into_owned(),
            first: group.first,
            last: group.last,
        };
        let groups = groups.into_iter().map(shown).collect();
        Self { title: format!("{total} events"), severity, counts, groups, hidden }
    }

    /// "3 × Circuit breaker opened · 1 × Order created"; of one group, all that is known of it.
    pub fn counts_line(&self) -> String {
        if let ([group], 0) = (self.groups.as_slice(), self.hidden) {
            return group.headline();
        }
        let line = |(event_type, count): &(&str, usize)| format!("{count} × {}", humanize(event_type));
        let mut lines: Vec<String> = self.counts.iter().take(10).map(line).collect();
        if self.counts.len() > lines.len() {
            lines.push("…".to_owned());
        }
        lines.join(" · ")
    }
}

impl<'a> Counted<'a> {
    fn new(event: &'a Event, severity: Severity, thing: String) -> Self {
        Self { event, severity, count: 1, thing, first: &event.timestamp, last: &event.timestamp }
    }

    fn add(&mut self, event: &'a Event, severity: Severity) {
        self.count += 1;
        self.severity = self.severity.max(severity);
        // Of one form, times are ordered as texts.
        self.first = self.first.min(&event.timestamp);
        self.last = self.last.max(&event.timestamp);
    }
}

impl Group<'_> {
    /// Of one event its title; of several "Service 5xx × 240 for checkout in 5 min, first 10:31, last 10:36 UTC".
    pub fn headline(&self) -> String {
        if self.count == 1 {
            return self.sample.title.clone();
        }
        let thing = if self.thing.is_empty() { String::new() } else { format!(" for {}", self.thing) };
        format!("{} × {}{thing}{}", self.sample.title, self.count, times(self.first, self.last))
    }
}

/// " in 5 min, first 10:31, last 10:36 UTC"; of a longer time, with the days.
fn times(first: &str, last: &str) -> String {
    let (Some(from), Some(to)) = (unix_seconds(first), unix_seconds(last)) else { return String::new() };
    let span = match to - from {
        seconds @ ..90 => format!("{seconds} s"),
        seconds @ ..5_400 => format!("{} min", (seconds + 30) / 60),
        seconds @ ..129_600 => format!("{} h", (seconds + 1_800) / 3_600),
        seconds => format!("{} d", (seconds + 43_200) / 86_400),
    };
    // `unix_seconds` has seen that both are of the form `2026-01-28T10:30:45…Z`.
    let clock = |time: &str| time.get(11..16).unwrap_or_default().to_owned();
    let day_and_clock = |time: &str| format!("{} {}", time.get(..10).unwrap_or_default(), clock(time));
    let same_day = first.get(..10) == last.get(..10);
    let shown = |time: &str| if same_day { clock(time) } else { day_and_clock(time) };
    format!(" in {span}, first {}, last {} UTC", shown(first), shown(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AssessmentOptions;
    use crate::testing::event;

    const STYLE: Style<'_> = Style {
        title: None,
        text: None,
        fields: None,
        link: None,
        links: &[],
        assessment: AssessmentOptions::NONE,
        details: true,
        fields_max: 3,
        rest_bytes_max: 3_000,
    };

    fn at(time: &str, event: Event) -> Event {
        Event { timestamp: format!("2026-01-28T{time}.000Z"), ..event }
    }

    #[test]
    fn a_digest_counts_and_takes_the_worst() {
        let opened = || event("circuit_breaker.opened", "{}");
        let events = [opened(), event("database.down", "{}"), opened()];
        let digest = Digest::new(&events, &STYLE, 1);
        assert_eq!((digest.title.as_str(), digest.severity, digest.hidden), ("3 events", Severity::Critical, 1));
        assert_eq!(digest.counts_line(), "2 × Circuit breaker opened · 1 × Database down");
        assert_eq!(digest.groups[0].headline(), "Circuit breaker opened × 2 in 0 s, first 10:30, last 10:30 UTC");
    }

    #[test]
    fn a_group_names_the_thing_the_count_and_the_times() {
        let failed = |time: &str| at(time, event("service.5xx", r#"{"service":"checkout","message":"HTTP 503"}"#));
        let events = [failed("10:33:00"), failed("10:31:10"), failed("10:36:20")];
        let digest = Digest::new(&events, &STYLE, 20);
        assert_eq!(digest.counts_line(), "Service 5xx × 3 for checkout in 5 min, first 10:31, last 10:36 UTC");
        assert_eq!(digest.groups[0].sample.line(), "HTTP 503");
        let days = [
            at("10:00:00", event("a.failed", "{}")),
            Event { timestamp: "2026-01-30T11:00:00Z".to_owned(), ..event("a.failed", "{}") },
        ];
        let digest = Digest::new(&days, &STYLE, 20);
        assert_eq!(digest.counts_line(), "A failed × 2 in 2 d, first 2026-01-28 10:00, last 2026-01-30 11:00 UTC");
    }

    #[test]
    fn things_are_told_apart() {
        let failed = |service: &str| event("a.failed", &format!(r#"{{"service":"{service}"}}"#));
        let events = [failed("x"), failed("y"), failed("x")];
        let digest = Digest::new(&events, &STYLE, 20);
        let groups: Vec<(usize, &str)> = digest.groups.iter().map(|group| (group.count, group.thing.as_str())).collect();
        assert_eq!(groups, [(2, "x"), (1, "y")]);
    }
}
