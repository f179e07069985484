//! One pass over an event's JSON text: what is redacted is replaced, all else is copied byte for byte. Nothing recurses:
//! a document may be as deep as it is long.

use tenterhook_message::{Json, Kind, Step, write_string};
use tenterhook_transformer::Event;

use crate::Options;
use crate::sha256;
use crate::target::{self, Target, plain};

/// What happens to a value; the strongest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Redacted {
    Hash,
    Mask,
    Drop,
}

/// A target of the options, and how many values it was.
#[derive(Debug)]
pub struct Rule<'o> {
    pub redacted: Redacted,
    pub target: &'o Target,
    pub count: usize,
}

pub struct Redaction<'o> {
    options: &'o Options,
    pub rules: Vec<Rule<'o>>,
}

/// A path that goes on: the rule it is of, and the steps that are left.
type Open<'o> = (usize, &'o [Step]);

/// A container that is being copied.
struct Frame<'o> {
    is_array: bool,
    /// Members or elements that were read, and whether one was written.
    position: usize,
    is_written: bool,
    paths: Vec<Open<'o>>,
}

impl<'o> Redaction<'o> {
    pub fn new(options: &'o Options) -> Self {
        let lists = [(Redacted::Drop, &options.drop), (Redacted::Mask, &options.mask), (Redacted::Hash, &options.hash)];
        let rules = lists
            .into_iter()
            .flat_map(|(redacted, targets)| targets.iter().map(move |target| Rule { redacted, target, count: 0 }));
        Self { options, rules: rules.collect() }
    }

    pub fn event(&mut self, event: &Event) -> Event {
        let data = self.text(&event.data, "data").unwrap_or_else(|| "null".to_owned());
        // Metadata is an object or nothing: a mask instead of it would be neither.
        let metadata = event.metadata.as_ref().and_then(|metadata| self.text(metadata, "metadata"));
        let metadata = metadata.filter(|text| Json::new(text).kind() == Kind::Object);
        Event { data, metadata, ..event.clone() }
    }

    /// The text with its values redacted; `None` when all of it is dropped.
    fn text(&mut self, text: &str, root: &str) -> Option<String> {
        let under = |(at, rule): (usize, &Rule<'o>)| match &rule.target.kind {
            target::Kind::Path(steps) => {
                let (first, rest) = steps.split_first()?;
                (first.key() == Some(root)).then_some((at, rest))
            }
            target::Kind::Key(_) | target::Kind::ExactKey(_) => None,
        };
        let paths: Vec<Open<'o>> = self.rules.iter().enumerate().filter_map(under).collect();
        let json = Json::new(text);
        let mut out = String::with_capacity(text.len());
        match self.strongest(&paths, None) {
            Some(Redacted::Drop) => return None,
            Some(redacted) => self.write(&mut out, json, redacted),
            None => self.copy(&mut out, json, paths),
        }
        Some(out)
    }

    /// Copies a value; `paths` are those that lead into it.
    fn copy(&mut self, out: &mut String, json: Json<'_>, paths: Vec<Open<'o>>) {
        if json.is_scalar() {
            out.push_str(json.text());
            return;
        }
        let mut frames: Vec<Frame<'o>> = vec![open(out, json, paths)];
        let mut rest = &json.text()[1..];
        while let Some(frame) = frames.last_mut() {
            rest = rest.trim_start_matches([' ', '\t', '\r', '\n', ',']);
            if rest.starts_with(['}', ']']) || rest.is_empty() {
                out.push(if frame.is_array { ']' } else { '}' });
                frames.pop();
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let mut raw_key = "";
            if !frame.is_array {
                let Some((key, after)) = Json::split_first(rest) else { break };
                raw_key = key.text();
                rest = after.trim_start_matches([' ', '\t', '\r', '\n', ':']);
            }
            let step = if frame.is_array { Step::bare(&frame.position.to_string()) } else { key_step(raw_key) };
            frame.position += 1;
            let inner = goes_on(&frame.paths, &step, frame.is_array);
            let key = if frame.is_array { None } else { step.key() };
            let redacted = self.strongest(&inner, key);
            if redacted != Some(Redacted::Drop) {
                out.push_str(if std::mem::replace(&mut frame.is_written, true) { "," } else { "" });
                if !frame.is_array {
                    out.push_str(raw_key);
                    out.push(':');
                }
            }
            // A container without anything to redact in it is walked too: keys are redacted at any depth.
            let is_container = rest.starts_with(['{', '[']);
            if redacted.is_none() && is_container {
                frames.push(open(out, Json::new(rest), inner));
                rest = &rest[1..];
                continue;
            }
            let Some((value, after)) = Json::split_first(rest) else { break };
            rest = after;
            match redacted {
                Some(Redacted::Drop) => {}
                Some(redacted) => self.write(out, value, redacted),
                None => out.push_str(value.text()),
            }
        }
    }

    /// What happens to the value that these paths have come to, under this key; the rules that say so are counted.
    fn strongest(&mut self, paths: &[Open<'o>], key: Option<&str>) -> Option<Redacted> {
        let name = key.map(plain);
        let mut strongest = None;
        for (at, rule) in self.rules.iter_mut().enumerate() {
            let is_it = match &rule.target.kind {
                target::Kind::Path(_) => paths.iter().any(|(of, steps)| *of == at && steps.is_empty()),
                target::Kind::Key(known) => name.as_ref() == Some(known),
                target::Kind::ExactKey(known) => key == Some(known.as_str()),
            };
            if is_it {
                rule.count += 1;
                strongest = strongest.max(Some(rule.redacted));
            }
        }
        strongest
    }

    /// What replaces a value. A null says nothing and stays.
    fn write(&self, out: &mut String, json: Json<'_>, redacted: Redacted) {
        let Some(shown) = json.display() else {
            out.push_str("null");
            return;
        };
        if redacted == Redacted::Hash {
            let key = self.options.hash_key.as_deref().map(str::as_bytes);
            write_string(out, &format!("sha256:{}", sha256::hex(key, shown.as_bytes())));
            return;
        }
        let keep = if json.is_scalar() { self.options.keep_last } else { 0 };
        let length = shown.chars().count();
        // At least as much is hidden as is shown.
        let tail: String = if length >= 2 * keep { shown.chars().skip(length - keep).collect() } else { String::new() };
        write_string(out, &format!("{}{tail}", self.options.mask_with));
    }
}

fn open<'o>(out: &mut String, json: Json<'_>, paths: Vec<Open<'o>>) -> Frame<'o> {
    let is_array = json.kind() == Kind::Array;
    out.push(if is_array { '[' } else { '{' });
    Frame { is_array, position: 0, is_written: false, paths }
}

fn key_step(raw_key: &str) -> Step {
    Step::quoted(&Json::new(raw_key).as_string().unwrap_or_default())
}

/// The paths that go on under this key or at this position, without it.
fn goes_on<'o>(paths: &[Open<'o>], at: &Step, is_array: bool) -> Vec<Open<'o>> {
    let is_it = |step: &Step| match step {
        Step::Any => true,
        step if is_array => step.index().is_some() && step.index() == at.index(),
        step => step.key() == at.key(),
    };
    let goes_on = |(rule, steps): &Open<'o>| {
        let (first, rest) = steps.split_first()?;
        is_it(first).then_some((*rule, rest))
    };
    paths.iter().filter_map(goes_on).collect()
}
