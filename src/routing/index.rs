//! The index over all patterns: a trie over segments, walked with a set of positions. An event's cost grows with the
//! patterns that are still possible after each of its segments, not with the number of webhooks.

use std::collections::HashMap;
use std::num::NonZeroU32;

use super::Pattern;
use super::pattern::Segment;
use crate::model::EventType;

/// Patterns of many webhooks, asked by event type. Flat, and numbers of 32 bits: of a hundred thousand webhooks each with
/// types of its own it takes some 15 MB.
#[derive(Debug)]
pub struct Index {
    /// Names that patterns have.
    names: HashMap<Box<str>, Name>,
    /// From a node by a name to the next.
    literals: HashMap<(NodeId, Name), NodeId>,
    /// The first is the root.
    nodes: Vec<Node>,
    /// Webhooks, by the node that their patterns end at.
    ends: Vec<u32>,
}

type Name = u32;
type NodeId = u32;

#[derive(Debug, Default)]
struct Node {
    one: Option<NonZeroU32>,
    any: Option<NonZeroU32>,
    /// Reached by `**`: stays where it is on every further segment.
    repeats: bool,
    /// Where in [`Index::ends`] those end that end before this node; its own end before the next one's.
    ends_from: u32,
}

const ROOT: NodeId = 0;

impl Index {
    /// Webhooks by the caller's own numbers (below 2³²), each with its patterns.
    pub fn new<'a>(webhooks: impl IntoIterator<Item = (usize, &'a [Pattern])>) -> Self {
        let mut index = Self { names: HashMap::new(), literals: HashMap::new(), nodes: vec![Node::default()], ends: Vec::new() };
        let mut ends = Vec::new();
        for (webhook, patterns) in webhooks {
            for pattern in patterns {
                ends.push((index.insert(pattern), number(webhook)));
            }
        }
        ends.sort_unstable();
        ends.dedup();
        let mut taken = 0;
        for (at, node) in (0..).zip(&mut index.nodes) {
            node.ends_from = number(taken);
            taken += ends[taken..].iter().take_while(|(end, _)| *end == at).count();
        }
        index.ends = ends.into_iter().map(|(_, webhook)| webhook).collect();
        index.names.shrink_to_fit();
        index.literals.shrink_to_fit();
        index.nodes.shrink_to_fit();
        index
    }

    /// Fills `out` with the numbers of the webhooks that a pattern gives the event to: ascending, each once.
    pub fn matches(&self, kind: &EventType, out: &mut Vec<usize>) {
        out.clear();
        // A wildcard never takes an operational event's first segment: at the root only the literal counts then.
        let mut literal_only = kind.is_reserved();
        let mut here = Vec::with_capacity(8);
        let mut next = Vec::with_capacity(8);
        self.enter(ROOT, literal_only, &mut here);
        for segment in kind.as_str().split('.') {
            next.clear();
            let name = self.names.get(segment);
            for at in here.drain(..) {
                if let Some(to) = name.and_then(|name| self.literals.get(&(at, *name))) {
                    self.enter(*to, false, &mut next);
                }
                if literal_only {
                    continue;
                }
                let node = &self.nodes[at as usize];
                if let Some(to) = node.one {
                    self.enter(to.get(), false, &mut next);
                }
                if node.repeats {
                    next.push(at);
                }
            }
            literal_only = false;
            // Several ways lead to one node (`**` before and after): without this the set doubles with each of them.
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut here, &mut next);
        }
        for at in here {
            out.extend(self.ends_at(at).iter().map(|webhook| *webhook as usize));
        }
        out.sort_unstable();
        out.dedup();
    }

    fn ends_at(&self, at: NodeId) -> &[u32] {
        let from = self.nodes[at as usize].ends_from as usize;
        let to = self.nodes.get(at as usize + 1).map_or(self.ends.len(), |next| next.ends_from as usize);
        &self.ends[from..to]
    }

    /// Adds a node to the set, and what `**` reaches from it without taking a segment.
    fn enter(&self, at: NodeId, literal_only: bool, set: &mut Vec<NodeId>) {
        set.push(at);
        // `**.**` is one `**` in the trie, so one step is the whole closure.
        if let Some(to) = self.nodes[at as usize].any.filter(|_| !literal_only) {
            set.push(to.get());
        }
    }

    /// Answers where the pattern ends.
    fn insert(&mut self, pattern: &Pattern) -> NodeId {
        let mut at = ROOT;
        for segment in pattern.segments() {
            let fresh = NonZeroU32::new(number(self.nodes.len())).unwrap_or(NonZeroU32::MAX);
            let node = &mut self.nodes[at as usize];
            let to = match segment {
                Segment::Any if node.repeats => continue,
                Segment::Any => node.any.get_or_insert(fresh).get(),
                Segment::One => node.one.get_or_insert(fresh).get(),
                Segment::Literal(text) => {
                    let next = number(self.names.len());
                    let name = match self.names.get(text) {
                        Some(name) => *name,
                        None => *self.names.entry(text.into()).or_insert(next),
                    };
                    *self.literals.entry((at, name)).or_insert(fresh.get())
                }
            };
            if to == fresh.get() {
                self.nodes.push(Node { repeats: segment == Segment::Any, ..Node::default() });
            }
            at = to;
        }
        at
    }
}

/// What is numbered here comes from configuration files, of which all together have far fewer than 2³² bytes.
fn number(number: usize) -> u32 {
    u32::try_from(number).expect("2^32 patterns do not fit into the files of a configuration")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index_of(webhooks: &[&[&str]]) -> Index {
        let parsed: Vec<Vec<Pattern>> =
            webhooks.iter().map(|texts| texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()).collect();
        Index::new(parsed.iter().enumerate().map(|(number, patterns)| (number, patterns.as_slice())))
    }

    fn matched(index: &Index, kind: &str) -> Vec<usize> {
        let mut out = vec![99];
        index.matches(&EventType::parse(kind).unwrap(), &mut out);
        out
    }

    #[test]
    fn a_webhook_comes_once_however_many_of_its_patterns_match() {
        let index = index_of(&[&["order.*", "order.created", "**"], &["user.*"], &["*"]]);
        assert_eq!(matched(&index, "order.created"), [0, 2]);
        assert_eq!(matched(&index, "user.created"), [0, 1, 2]);
    }

    #[test]
    fn operational_events_reach_only_those_who_named_them() {
        let index = index_of(&[&["*"], &["**.failed"], &["webhook.**"], &["*.delivery.failed"], &["webhook.*.failed"]]);
        assert_eq!(matched(&index, "webhook.delivery.failed"), [2, 4]);
        assert_eq!(matched(&index, "other.delivery.failed"), [0, 1, 3]);
        assert_eq!(matched(&index, "webhook"), [2]);
    }

    #[test]
    fn a_hundred_thousand_webhooks_of_other_types_cost_as_much_as_one() {
        let patterns: Vec<Vec<Pattern>> =
            (0..100_000).map(|n| vec![Pattern::parse(&format!("tenant.t{n}.order.created")).unwrap()]).collect();
        let index = Index::new(patterns.iter().enumerate().map(|(number, patterns)| (number, patterns.as_slice())));
        let started = std::time::Instant::now();
        for n in (0..100_000).step_by(100) {
            assert_eq!(matched(&index, &format!("tenant.t{n}.order.created")), [n]);
            assert!(matched(&index, &format!("tenant.t{n}.order.deleted")).is_empty());
        }
        // 2,000 look-ups take a few milliseconds; a scan would compare 200,000,000 patterns.
        assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
    }

    #[test]
    fn many_double_stars_do_not_multiply() {
        let pattern = format!("{}.**.b", vec!["**.a"; 38].join("."));
        let index = index_of(&[&[pattern.as_str()]]);
        let kind = vec!["a"; 100].join(".");
        let started = std::time::Instant::now();
        assert!(matched(&index, &kind).is_empty());
        assert!(started.elapsed() < std::time::Duration::from_secs(1), "{:?}", started.elapsed());
    }

    /// What the words say, by recursion.
    fn oracle(pattern: &[&str], names: &[&str]) -> bool {
        match pattern.split_first() {
            None => names.is_empty(),
            Some((&"**", rest)) => (0..=names.len()).any(|taken| oracle(rest, &names[taken..])),
            Some((&"*", rest)) => !names.is_empty() && oracle(rest, &names[1..]),
            Some((literal, rest)) => names.first() == Some(literal) && oracle(rest, &names[1..]),
        }
    }

    fn oracle_text(pattern: &str, kind: &str) -> bool {
        let pattern = if pattern == "*" { "**" } else { pattern };
        let (pattern, names): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), kind.split('.').collect());
        let operational = matches!(names[0], "webhook" | "tenterhook");
        !(operational && pattern[0].starts_with('*')) && oracle(&pattern, &names)
    }

    fn dotted(names: &'static [&'static str], longest: usize) -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(names), 1..=longest).prop_map(|parts| parts.join("."))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn the_index_and_the_single_match_say_what_the_words_say(
            webhooks in proptest::collection::vec(
                proptest::collection::vec(dotted(&["a", "b", "webhook", "*", "**", "**"], 6), 1..4), 1..8),
            kind in dotted(&["a", "b", "c", "webhook", "tenterhook"], 6),
        ) {
            let texts: Vec<Vec<&str>> = webhooks.iter().map(|w| w.iter().map(String::as_str).collect()).collect();
            let slices: Vec<&[&str]> = texts.iter().map(Vec::as_slice).collect();
            let expected: Vec<usize> = (0..webhooks.len())
                .filter(|n| webhooks[*n].iter().any(|pattern| oracle_text(pattern, &kind)))
                .collect();
            prop_assert_eq!(matched(&index_of(&slices), &kind), expected);
            let event_type = EventType::parse(&kind).unwrap();
            for text in webhooks.iter().flatten() {
                prop_assert_eq!(Pattern::parse(text).unwrap().matches(&event_type), oracle_text(text, &kind), "{}", text);
            }
        }

        #[test]
        fn no_text_panics_the_pattern_parser(text in ".{0,220}") {
            let _ = Pattern::parse(&text);
        }
    }
}
