//! The TOML tree: every key and value with its place. Owns the rules of tables (what may be extended, what is set
//! twice); refuses to know any key by name.

use std::collections::HashMap;

use zeroize::Zeroizing;

/// Index of a file in [`super::source_map::SourceMap`], in the order of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId(pub(crate) usize);

/// Bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) file: FileId,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) struct Node {
    /// Of a table with a header: the header.
    pub(crate) span: Span,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    String(Text),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// As written; RFC 3339 or a part of it.
    Datetime(String),
    Array(Vec<Node>),
    /// `[[name]]`, one table each.
    Tables(Vec<Node>),
    Table(Table),
    /// What is wrong with it has been reported: readers pass it by in silence.
    Broken,
}

/// A string, and what its `${…}` came to.
pub(crate) struct Text {
    pub(crate) written: String,
    /// Boxed: few strings have one, and trees of 100,000 webhooks have half a million strings.
    pub(crate) expanded: Option<Box<Expanded>>,
}

pub(crate) struct Expanded {
    pub(crate) value: Zeroizing<String>,
    /// The values that came from outside of the file: never shown.
    pub(crate) foreign: Vec<Zeroizing<String>>,
}

/// How a table came to be, which decides what may be added to it later (TOML 1.1, "Table" and "Inline Table").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// By its own header, `[a]`.
    Header,
    /// By the header of a table within it, `[a.b]`.
    Implicit,
    /// By a dotted key, `a.b = 1`.
    Dotted,
    Inline,
}

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) form: Form,
    /// In the order of the file.
    entries: Vec<Entry>,
    /// Where each key is, once there are more than [`SCANNED_MAX`].
    #[expect(clippy::box_collection, reason = "most tables have none, and there may be 100,000")]
    index: Option<Box<HashMap<String, usize>>>,
}

/// Entries up to which a table is searched one by one: that is as fast as hashing, and most tables are that small.
const SCANNED_MAX: usize = 16;

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) node: Node,
}

/// Why a key or a header is not allowed where it is.
#[derive(Debug)]
pub(crate) struct Clash {
    pub(crate) key: Key,
    /// What was there first.
    pub(crate) first: Span,
    pub(crate) kind: ClashKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClashKind {
    /// The same key or header again.
    Twice,
    /// More keys for an inline table, or for a table that has a header of its own elsewhere.
    Closed,
    /// A table where there is a value of another kind.
    NotATable,
}

impl Text {
    pub(crate) fn new(written: String) -> Self {
        Self { written, expanded: None }
    }

    pub(crate) fn value(&self) -> &str {
        self.expanded.as_ref().map_or(&self.written, |expanded| &expanded.value)
    }

    pub(crate) fn foreign(&self) -> impl Iterator<Item = &str> {
        self.expanded.iter().flat_map(|expanded| expanded.foreign.iter().map(|value| value.as_str()))
    }
}

/// Without what `${…}` came to.
impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Text(…)")
    }
}

impl Table {
    pub(crate) fn new(form: Form) -> Self {
        Self { form, entries: Vec::new(), index: None }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut()
    }

    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.position(name).map(|position| &self.entries[position])
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut Entry> {
        self.position(name).map(|position| &mut self.entries[position])
    }

    fn position(&self, name: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(name).copied(),
            None => self.entries.iter().position(|entry| entry.key.name == name),
        }
    }

    /// Gives back what its growing took too much: a table of three entries has room for four.
    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
        for entry in &mut self.entries {
            entry.node.shrink();
        }
    }

    fn index_many(&mut self) {
        if self.index.is_none() && self.entries.len() > SCANNED_MAX {
            let index = self.entries.iter().enumerate().map(|(at, entry)| (entry.key.name.clone(), at)).collect();
            self.index = Some(Box::new(index));
        }
    }

    /// `Err` with what is there already.
    pub(crate) fn insert(&mut self, key: Key, node: Node) -> Result<(), Clash> {
        if let Some(first) = self.get(&key.name) {
            return Err(Clash { first: first.key.span, key, kind: ClashKind::Twice });
        }
        if let Some(index) = &mut self.index {
            index.insert(key.name.clone(), self.entries.len());
        }
        self.entries.push(Entry { key, node });
        self.index_many();
        Ok(())
    }

    /// Sets `path.key = node`, making tables on the way: a dotted key of a section or of an inline table.
    pub(crate) fn insert_dotted(&mut self, path: &[Key], key: Key, node: Node) -> Result<(), Clash> {
        let mut table = self;
        for step in path {
            table = table.descend_dotted(step)?;
        }
        table.insert(key, node)
    }

    fn descend_dotted(&mut self, step: &Key) -> Result<&mut Table, Clash> {
        if self.get(&step.name).is_none() {
            let node = Node { span: step.span, value: Value::Table(Table::new(Form::Dotted)) };
            self.insert(step.clone(), node)?;
        }
        let clash = |first, kind| Err(Clash { key: step.clone(), first, kind });
        match self.get_mut(&step.name) {
            Some(Entry { key, node: Node { value: Value::Table(table), .. } }) => match table.form {
                Form::Dotted | Form::Implicit => {
                    table.form = Form::Dotted;
                    Ok(table)
                }
                Form::Header | Form::Inline => clash(key.span, ClashKind::Closed),
            },
            Some(Entry { key, node: Node { value: Value::Tables(_), .. } }) => clash(key.span, ClashKind::Closed),
            Some(Entry { key, .. }) => clash(key.span, ClashKind::NotATable),
            None => clash(step.span, ClashKind::NotATable),
        }
    }

    /// Opens the section `[path.key]`, or appends one to `[[path.key]]`.
    pub(crate) fn open(&mut self, path: &[Key], key: &Key, header: Span, repeated: bool) -> Result<(), Clash> {
        let mut table = self;
        for step in path {
            table = table.descend_header(step)?;
        }
        let section = || Node { span: header, value: Value::Table(Table::new(Form::Header)) };
        match table.get_mut(&key.name) {
            None if repeated => table.insert(key.clone(), Node { span: header, value: Value::Tables(vec![section()]) }),
            None => table.insert(key.clone(), section()),
            Some(Entry { node: Node { value: Value::Tables(tables), .. }, .. }) if repeated => {
                tables.push(section());
                Ok(())
            }
            Some(Entry { key: first, node: Node { span, value: Value::Table(existing) } })
                if !repeated && existing.form == Form::Implicit =>
            {
                existing.form = Form::Header;
                *span = header;
                first.span = key.span;
                Ok(())
            }
            Some(first) => Err(Clash { first: first.key.span, key: key.clone(), kind: ClashKind::Twice }),
        }
    }

    fn descend_header(&mut self, step: &Key) -> Result<&mut Table, Clash> {
        if self.get(&step.name).is_none() {
            let node = Node { span: step.span, value: Value::Table(Table::new(Form::Implicit)) };
            self.insert(step.clone(), node)?;
        }
        let clash = |first, kind| Err(Clash { key: step.clone(), first, kind });
        match self.get_mut(&step.name) {
            Some(Entry { key, node }) => match node.value.last_table() {
                Some(table) if table.form == Form::Inline => clash(key.span, ClashKind::Closed),
                Some(table) => Ok(table),
                None => clash(key.span, ClashKind::NotATable),
            },
            None => clash(step.span, ClashKind::NotATable),
        }
    }

    /// The section that [`Table::open`] opened last under this path.
    pub(crate) fn section(&mut self, path: &[Key]) -> Option<&mut Table> {
        path.iter().try_fold(self, |table, step| table.get_mut(&step.name)?.node.value.last_table())
    }
}

impl Node {
    fn shrink(&mut self) {
        match &mut self.value {
            Value::Array(nodes) | Value::Tables(nodes) => {
                nodes.shrink_to_fit();
                nodes.iter_mut().for_each(Self::shrink);
            }
            Value::Table(table) => table.shrink(),
            Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Broken => {}
        }
    }
}

impl Value {
    fn last_table(&mut self) -> Option<&mut Table> {
        match self {
            Self::Table(table) => Some(table),
            Self::Tables(tables) => tables.last_mut()?.value.last_table(),
            _ => None,
        }
    }
}
