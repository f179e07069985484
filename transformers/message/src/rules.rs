//! Options by event type: `{ "circuit_breaker.*" = "critical", "**" = "info" }`. The most exact pattern wins, whatever
//! their order.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Values by pattern of event type: `*` is one whole segment, `**` any number of them, and a bare `*` all types.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, T>", bound(deserialize = "T: Deserialize<'de>"))]
pub struct Rules<T> {
    /// The most exact first.
    rules: Vec<(String, T)>,
}

impl<T> Default for Rules<T> {
    fn default() -> Self {
        Self { rules: Vec::new() }
    }
}

impl<T> Rules<T> {
    /// Nothing said about any type.
    pub const NONE: Self = Self { rules: Vec::new() };

    pub fn find(&self, event_type: &str) -> Option<&T> {
        self.rules.iter().find(|(pattern, _)| pattern == "*" || matches(pattern, event_type)).map(|(_, value)| value)
    }
}

impl<T> TryFrom<BTreeMap<String, T>> for Rules<T> {
    type Error = String;

    fn try_from(map: BTreeMap<String, T>) -> Result<Self, String> {
        for pattern in map.keys() {
            if pattern.split('.').any(str::is_empty) {
                return Err(format!("the pattern `{pattern}` has an empty segment: write it as `circuit_breaker.*`"));
            }
            if pattern.split('.').any(|segment| segment.contains('*') && segment != "*" && segment != "**") {
                return Err(format!(
                    "the pattern `{pattern}` has a `*` within a segment: `*` is a whole segment, `**` any number"
                ));
            }
        }
        let mut rules: Vec<(String, T)> = map.into_iter().collect();
        // Stable: among equals the alphabet decides.
        rules.sort_by_key(|(pattern, _)| std::cmp::Reverse(exactness(pattern)));
        Ok(Self { rules })
    }
}

/// More named segments first, then fewer wildcards of any length.
fn exactness(pattern: &str) -> (usize, std::cmp::Reverse<usize>, usize) {
    let count = |wanted: &dyn Fn(&str) -> bool| pattern.split('.').filter(|segment| wanted(segment)).count();
    let any_length = count(&|segment| segment == "**") + usize::from(pattern == "*");
    (count(&|segment| !segment.starts_with('*')), std::cmp::Reverse(any_length), count(&|segment| segment == "*"))
}

fn matches(pattern: &str, name: &str) -> bool {
    // At most 200 characters against a pattern of the configuration's author: one `**` after another is only as slow
    // as they make it, so the usual backtracking to the last `**` is enough.
    let pattern: Vec<&str> = pattern.split('.').collect();
    let name: Vec<&str> = name.split('.').collect();
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(&"**") => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(&segment) if segment == "*" || segment == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((after, from)) = retry else { return false };
                retry = Some((after, from + 1));
                p = after;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|segment| *segment == "**")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<Rules<u8>, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_most_exact_pattern_wins() {
        let rules = rules(r#"{"*":0,"**.opened":1,"circuit_breaker.*":2,"circuit_breaker.opened":3,"**":9}"#).unwrap();
        assert_eq!(rules.find("circuit_breaker.opened"), Some(&3));
        assert_eq!(rules.find("circuit_breaker.closed"), Some(&2));
        assert_eq!(rules.find("x.y.opened"), Some(&1));
        assert_eq!(rules.find("x"), Some(&0));
    }

    #[test]
    fn two_stars_are_any_number_of_segments() {
        assert!(matches("a.**.z", "a.z") && matches("a.**.z", "a.b.c.z") && matches("**", "a.b"));
        assert!(matches("**.b.**.d", "a.b.x.b.c.d") && !matches("a.**.z", "a.b") && !matches("a.*", "a.b.c"));
        assert!(matches("a.**", "a") && !matches("a.*", "a"));
    }

    #[test]
    fn bad_patterns_are_named() {
        assert!(rules(r#"{"a..b":1}"#).unwrap_err().contains("`a..b` has an empty segment"));
        assert!(rules(r#"{"a.b*":1}"#).unwrap_err().contains("`a.b*` has a `*` within a segment"));
    }
}
