//! The files that were read: line and column of a byte, and the excerpt to show for it, secrets hidden. Refuses to give the
//! text of a file to anybody but the parser.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::mask::{Mask, masks};
use super::problem::Excerpt;
use super::tree::{FileId, Span};
use crate::config::settings::Location;

/// Some editors write it before the first line; it is no character of that line.
const BYTE_ORDER_MARK: char = '\u{feff}';

#[derive(Default)]
pub(crate) struct SourceMap {
    files: Vec<SourceFile>,
}

struct SourceFile {
    path: Arc<Path>,
    text: Arc<Zeroizing<String>>,
    line_starts: Vec<usize>,
    masks: Vec<Mask>,
    broken: bool,
    /// Everything after this byte is inside a bracket that is never closed.
    readable_to: usize,
}

impl SourceMap {
    pub(crate) fn add(&mut self, path: PathBuf, text: Zeroizing<String>) -> FileId {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(position, _)| position + 1);
        let text_start = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
        let line_starts = std::iter::once(text_start).chain(breaks).collect();
        let masks = masks(&text);
        let path = Arc::from(path);
        self.files.push(SourceFile { path, text: Arc::new(text), line_starts, masks, broken: false, readable_to: usize::MAX });
        FileId(self.files.len() - 1)
    }

    pub(crate) fn path(&self, file: FileId) -> &Path {
        &self.files[file.0].path
    }

    pub(crate) fn text(&self, file: FileId) -> Arc<Zeroizing<String>> {
        Arc::clone(&self.files[file.0].text)
    }

    /// The text of a span, as written.
    pub(crate) fn raw(&self, span: Span) -> &str {
        self.files[span.file.0].text.get(span.start..span.end).unwrap_or_default()
    }

    /// The parts within a span that excerpts hide.
    pub(crate) fn hidden(&self, span: Span) -> impl Iterator<Item = &str> {
        let file = &self.files[span.file.0];
        let first = file.masks.partition_point(|mask| mask.range.end <= span.start);
        let within = file.masks[first..].iter().take_while(move |mask| mask.range.start < span.end);
        within.filter_map(|mask| Some(file.text.get(mask.range.clone())?.trim_matches(['"', '\''])))
    }

    /// It has syntax errors: what seems to be missing in it may be what could not be read.
    pub(crate) fn mark_broken(&mut self, file: FileId) {
        self.files[file.0].broken = true;
    }

    pub(crate) fn is_broken(&self, file: FileId) -> bool {
        self.files[file.0].broken
    }

    pub(crate) fn any_broken(&self) -> bool {
        self.files.iter().any(|file| file.broken)
    }

    /// Everything after this byte was read as a part of something that is never closed: what is said of it is moot.
    pub(crate) fn mark_unreadable_after(&mut self, file: FileId, offset: usize) {
        self.files[file.0].readable_to = offset;
    }

    pub(crate) fn is_readable(&self, span: Span) -> bool {
        span.start <= self.files[span.file.0].readable_to
    }

    /// From 0.
    pub(crate) fn line(&self, file: FileId, offset: usize) -> usize {
        self.files[file.0].line_starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// Line and column, both from 1, the column in characters.
    pub(crate) fn position(&self, span: Span) -> (usize, usize) {
        let line = self.line(span.file, span.start);
        let file = &self.files[span.file.0];
        let before = file.text.get(file.line_starts[line]..span.start).unwrap_or_default();
        (line + 1, before.chars().count() + 1)
    }

    /// A place that [`SourceMap::span_of`] can find again.
    pub(crate) fn place(&self, span: Span) -> Location {
        let (line, column) = self.position(span);
        // Files are bounded far below 4 GiB.
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let file = Arc::clone(&self.files[span.file.0].path);
        Location { file, line: number(line), column: number(column), length: number(span.end.saturating_sub(span.start)) }
    }

    pub(crate) fn span_of(&self, place: &Location) -> Option<Span> {
        let at = self.files.iter().position(|file| file.path == place.file)?;
        let (line, column) = (place.line as usize, place.column as usize);
        let line_start = *self.files[at].line_starts.get(line.checked_sub(1)?)?;
        let before: usize = self.files[at].text.get(line_start..)?.chars().take(column.checked_sub(1)?).map(char::len_utf8).sum();
        let start = line_start + before;
        Some(Span { file: FileId(at), start, end: start + place.length as usize })
    }

    /// The line where a span begins, with the part of the span that is on it; `None` for a file that could not be read.
    pub(crate) fn excerpt(&self, span: Span, label: Option<String>) -> Option<Excerpt> {
        let file = &self.files[span.file.0];
        if file.text.is_empty() {
            return None;
        }
        let (line, column) = self.position(span);
        let line_start = file.line_starts[line - 1];
        let line_end = file.text[line_start..].find('\n').map_or(file.text.len(), |length| line_start + length);
        let line_range = (line_start, line_end);
        let mut shown = String::new();
        let mut marked = 0..0;
        let mut copied = line_start;
        let (from, to) = (span.start.clamp(line_range.0, line_range.1), span.end.clamp(line_range.0, line_range.1));
        for mask in &file.masks[file.masks.partition_point(|mask| mask.range.end <= line_start)..] {
            if mask.range.start >= line_end {
                break;
            }
            let hidden = mask.range.start.max(line_start)..mask.range.end.min(line_end);
            copy_marking(&file.text, copied..hidden.start, (from, to), &mut shown, &mut marked);
            let before = shown.len();
            shown.push_str(&mask.shown);
            if from < hidden.end && to > hidden.start {
                marked = if marked.start >= marked.end { before..shown.len() } else { marked.start..shown.len() };
            }
            copied = hidden.end;
        }
        copy_marking(&file.text, copied..line_end, (from, to), &mut shown, &mut marked);
        if (marked.start >= marked.end) && from == to {
            // An empty span: a caret at its position.
            let position = shown_offset(file, line_range, from);
            marked = position..position;
        }
        let shown_trimmed = shown.trim_end_matches('\r').len();
        shown.truncate(shown_trimmed);
        let marked = shown.floor_char_boundary(marked.start)..shown.floor_char_boundary(marked.end);
        Some(Excerpt { file: file.path.to_path_buf(), line, column, text: shown, marked, label })
    }
}

/// Copies a part that is not hidden, and marks what of it lies within `wanted`.
fn copy_marking(
    text: &str,
    part: std::ops::Range<usize>,
    wanted: (usize, usize),
    shown: &mut String,
    marked: &mut std::ops::Range<usize>,
) {
    let Some(copy) = text.get(part.clone()) else { return };
    let base = shown.len();
    shown.push_str(copy);
    let (from, to) = (wanted.0.max(part.start), wanted.1.min(part.end));
    if from < to {
        let (start, end) = (base + from - part.start, base + to - part.start);
        *marked = if marked.start >= marked.end { start..end } else { marked.start..end };
    }
}

/// The position of a byte within the shown line, in which secrets are hidden.
fn shown_offset(file: &SourceFile, line: (usize, usize), offset: usize) -> usize {
    let mut shown = offset - line.0;
    for mask in &file.masks {
        let hidden = mask.range.start.max(line.0)..mask.range.end.min(line.1);
        if hidden.start < hidden.end && hidden.start < offset {
            shown = (shown + mask.shown.len()).saturating_sub(hidden.end.min(offset) - hidden.start);
        }
    }
    shown
}

/// Paths only: the text may hold secrets.
impl std::fmt::Debug for SourceMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.files.iter().map(|file| &file.path)).finish()
    }
}
