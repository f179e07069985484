//! TOML text to a [`Table`] with places, whatever the text: each syntax error is reported, and what can be read
//! around it is still read. Lexing and parsing are `toml_parser`'s; how its events make a tree is ours, because the
//! `toml` crate's own tree forgets where a doubled key was set first.

use toml_parser::decoder::ScalarKind;
use toml_parser::parser::{Event, EventKind, RecursionGuard, ValidateWhitespace, parse_document};
use toml_parser::{ParseError, Source};

use super::report::Report;
use super::syntax::{report_clash, report_syntax};
use super::tree::{Clash, FileId, Form, Key, Node, Span, Table, Text, Value};

/// Nesting of lists and inline tables; no setting needs more than a handful, and the walks over the tree recurse.
const DEPTH_MAX: u32 = 24;

/// Parts of one dotted key or header, for the same reason.
pub(crate) const KEY_PARTS_MAX: usize = 16;

/// The tree of a file that is in `report.sources`. Problems go to the report.
pub(crate) fn parse(file: FileId, report: &mut Report) -> Table {
    let text = report.sources.text(file);
    let source = Source::new(&text);
    let mut errors: Vec<ParseError> = Vec::new();
    let tokens = source.lex().into_vec();
    let mut events: Vec<Event> = Vec::with_capacity(tokens.len());
    let mut whitespace = ValidateWhitespace::new(&mut events, source);
    let mut guard = RecursionGuard::new(&mut whitespace, DEPTH_MAX);
    parse_document(&tokens, &mut guard, &mut errors);
    let mut builder = Builder { file, source, events: &events, next: 0, errors, clashes: Vec::new() };
    let root = builder.document();
    let Builder { errors, clashes, .. } = builder;
    report_syntax(file, &text, errors, report);
    for clash in clashes {
        report_clash(&clash, report);
    }
    root
}

struct Builder<'a> {
    file: FileId,
    source: Source<'a>,
    events: &'a [Event],
    next: usize,
    errors: Vec<ParseError>,
    clashes: Vec<Clash>,
}

/// Where the keys of the lines below a header go.
enum Section {
    At(Vec<Key>),
    /// Its header was refused: its keys are read, and dropped with it.
    Nowhere(Table),
}

impl<'a> Builder<'a> {
    fn document(&mut self) -> Table {
        let mut root = Table::new(Form::Header);
        let mut section = Section::At(Vec::new());
        while let Some(event) = self.take() {
            match event.kind() {
                EventKind::StdTableOpen | EventKind::ArrayTableOpen => section = self.header(event, &mut root),
                EventKind::SimpleKey => {
                    let path = self.key(event);
                    let node = self.assigned();
                    let table = match &mut section {
                        Section::At(path) => root.section(path),
                        Section::Nowhere(table) => Some(table),
                    };
                    if let (Some(table), Some(path)) = (table, path) {
                        self.set(table, path, node);
                    }
                }
                _ => {}
            }
        }
        root
    }

    fn header(&mut self, open: Event, root: &mut Table) -> Section {
        let repeated = open.kind() == EventKind::ArrayTableOpen;
        let mut end = open.span().end();
        let mut path = None;
        while let Some(event) = self.peek() {
            match event.kind() {
                EventKind::SimpleKey => {
                    self.next += 1;
                    path = self.key(event);
                    end = end.max(path.as_deref().and_then(<[Key]>::last).map_or(end, |key| key.span.end));
                }
                EventKind::StdTableClose | EventKind::ArrayTableClose => {
                    end = event.span().end();
                    self.next += 1;
                    break;
                }
                EventKind::Whitespace | EventKind::Error | EventKind::KeySep => self.next += 1,
                _ => break,
            }
        }
        let span = self.span(open.span().start(), end);
        let nowhere = || Section::Nowhere(Table::new(Form::Header));
        let Some(path) = path else { return nowhere() };
        let Some((key, parents)) = path.split_last() else { return nowhere() };
        match root.open(parents, key, span, repeated) {
            Ok(()) => Section::At(path),
            Err(clash) => {
                self.clashes.push(clash);
                nowhere()
            }
        }
    }

    /// `first.second.third`; `None` when a part is no key (reported).
    fn key(&mut self, first: Event) -> Option<Vec<Key>> {
        let errors_before = self.errors.len();
        let mut parts = vec![self.simple_key(first)];
        loop {
            let mut ahead = self.events[self.next..].iter().filter(|event| event.kind() != EventKind::Whitespace);
            if ahead.next().map(Event::kind) != Some(EventKind::KeySep) {
                break;
            }
            while let Some(event) = self.peek() {
                match event.kind() {
                    EventKind::KeySep | EventKind::Whitespace => self.next += 1,
                    EventKind::SimpleKey => {
                        self.next += 1;
                        parts.push(self.simple_key(event));
                        break;
                    }
                    _ => return None,
                }
            }
        }
        if parts.len() > KEY_PARTS_MAX {
            let span = toml_parser::Span::new_unchecked(first.span().start(), parts.last().map_or(0, |key| key.span.end));
            self.errors.push(ParseError::new("too many parts in one key").with_unexpected(span));
        }
        (self.errors.len() == errors_before).then_some(parts)
    }

    fn simple_key(&mut self, event: Event) -> Key {
        let mut name = std::borrow::Cow::Borrowed("");
        if let Some(raw) = self.source.get(event) {
            raw.decode_key(&mut name, &mut self.errors);
        }
        Key { name: name.into_owned(), span: self.span(event.span().start(), event.span().end()) }
    }

    /// What follows a key: `= value`, or nothing (reported by the parser).
    fn assigned(&mut self) -> Node {
        self.skip(&[EventKind::Whitespace]);
        match self.peek() {
            Some(event) if event.kind() == EventKind::KeyValSep => {
                self.next += 1;
                self.value()
            }
            other => self.broken(other),
        }
    }

    fn value(&mut self) -> Node {
        self.skip(&[EventKind::Whitespace, EventKind::Error]);
        match self.peek() {
            Some(event) => match event.kind() {
                EventKind::Scalar => {
                    self.next += 1;
                    self.scalar(event)
                }
                EventKind::ArrayOpen => {
                    self.next += 1;
                    self.array(event)
                }
                EventKind::InlineTableOpen => {
                    self.next += 1;
                    self.inline_table(event)
                }
                _ => self.broken(Some(event)),
            },
            None => self.broken(None),
        }
    }

    fn broken(&self, at: Option<Event>) -> Node {
        let at = at.map_or(self.source.input().len(), |event| event.span().start());
        Node { span: self.span(at, at), value: Value::Broken }
    }

    fn scalar(&mut self, event: Event) -> Node {
        let span = self.span(event.span().start(), event.span().end());
        let errors_before = self.errors.len();
        let mut decoded = std::borrow::Cow::Borrowed("");
        let Some(raw) = self.source.get(event) else { return Node { span, value: Value::Broken } };
        let kind = raw.decode_scalar(&mut decoded, &mut self.errors);
        if self.errors.len() > errors_before {
            return Node { span, value: Value::Broken };
        }
        let value = match kind {
            ScalarKind::String => Some(Value::String(Text::new(decoded.into_owned()))),
            ScalarKind::Boolean(value) => Some(Value::Boolean(value)),
            ScalarKind::DateTime => Some(Value::Datetime(decoded.into_owned())).filter(|_| is_datetime(raw.as_str())),
            ScalarKind::Float => decoded
                .parse()
                .ok()
                .filter(|f: &f64| f.is_finite() || decoded.contains("inf") || decoded.contains("nan"))
                .map(Value::Float),
            ScalarKind::Integer(radix) => i64::from_str_radix(&decoded, radix.value()).ok().map(Value::Integer),
        };
        if value.is_none() {
            let what = match kind {
                ScalarKind::DateTime => "not a date or time",
                _ => "the number is out of range",
            };
            self.errors.push(ParseError::new(what).with_unexpected(event.span()));
        }
        Node { span, value: value.unwrap_or(Value::Broken) }
    }

    fn array(&mut self, open: Event) -> Node {
        let mut nodes = Vec::new();
        let mut end = open.span().end();
        while let Some(event) = self.peek() {
            match event.kind() {
                EventKind::Scalar | EventKind::ArrayOpen | EventKind::InlineTableOpen => {
                    let node = self.value();
                    end = end.max(node.span.end);
                    nodes.push(node);
                }
                EventKind::ArrayClose => {
                    end = event.span().end();
                    self.next += 1;
                    break;
                }
                EventKind::StdTableOpen | EventKind::ArrayTableOpen => break,
                _ => self.next += 1,
            }
        }
        Node { span: self.span(open.span().start(), end), value: Value::Array(nodes) }
    }

    fn inline_table(&mut self, open: Event) -> Node {
        let mut table = Table::new(Form::Inline);
        let mut end = open.span().end();
        while let Some(event) = self.peek() {
            match event.kind() {
                EventKind::SimpleKey => {
                    self.next += 1;
                    let path = self.key(event);
                    let node = self.inline_assigned();
                    end = end.max(node.span.end);
                    if let Some(path) = path {
                        self.set(&mut table, path, node);
                    }
                }
                EventKind::InlineTableClose => {
                    end = event.span().end();
                    self.next += 1;
                    break;
                }
                EventKind::StdTableOpen | EventKind::ArrayTableOpen => break,
                _ => self.next += 1,
            }
        }
        Node { span: self.span(open.span().start(), end), value: Value::Table(table) }
    }

    /// As [`Builder::assigned`]; within braces, newlines and comments are allowed around the `=`.
    fn inline_assigned(&mut self) -> Node {
        let around = [EventKind::Whitespace, EventKind::Newline, EventKind::Comment, EventKind::Error];
        self.skip(&around);
        match self.peek() {
            Some(event) if event.kind() == EventKind::KeyValSep => {
                self.next += 1;
                self.skip(&around);
                self.value()
            }
            other => self.broken(other),
        }
    }

    fn set(&mut self, table: &mut Table, mut path: Vec<Key>, node: Node) {
        let Some(key) = path.pop() else { return };
        if let Err(clash) = table.insert_dotted(&path, key, node) {
            self.clashes.push(clash);
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start, end }
    }

    fn peek(&self) -> Option<Event> {
        self.events.get(self.next).copied()
    }

    fn take(&mut self) -> Option<Event> {
        let event = self.peek();
        self.next += 1;
        event
    }

    fn skip(&mut self, kinds: &[EventKind]) {
        while self.peek().is_some_and(|event| kinds.contains(&event.kind())) {
            self.next += 1;
        }
    }
}

/// What `toml_parser` takes for a date by its first characters, checked to be one: a date, a time, or both.
fn is_datetime(text: &str) -> bool {
    let full = text.replacen([' ', 't'], "T", 1).replace('z', "Z");
    let short_seconds = |time: &str| time.len() == 5;
    let with_seconds = match full.split_once('T') {
        Some((date, time)) if time.len() >= 5 && time.is_char_boundary(5) && !time[5..].starts_with(':') => {
            format!("{date}T{}:00{}", &time[..5], &time[5..])
        }
        None if short_seconds(&full) => format!("{full}:00"),
        _ => full,
    };
    chrono::DateTime::parse_from_rfc3339(&with_seconds).is_ok()
        || with_seconds.parse::<chrono::NaiveDateTime>().is_ok()
        || with_seconds.parse::<chrono::NaiveDate>().is_ok()
        || with_seconds.parse::<chrono::NaiveTime>().is_ok()
}
