//! The one parser of paths into an event, for the host and the transformers (`transformers/message` includes this file,
//! so it has no dependencies): `data.service`, `data.hosts[0].name`, `data.labels."app.kubernetes.io/name"`. It reads and
//! writes paths; the owner of the values follows the steps. Refuses a text that names no value, or more than one.

use std::fmt;

/// The steps from an event to one of its values; the first is a field of the event.
///
/// | written | step |
/// |---|---|
/// | `data.service` | a key |
/// | `data."a.b"`, `data.'a.b'` | a quoted key, as in TOML |
/// | `data["a.b"]`, `data['a.b']` | a quoted key, the older form |
/// | `data.items.0`, `data.items[0]` | an item of a list (or the key `0` of an object) |
/// | `/data/a~1b/0` | a JSON Pointer, where pointers are allowed |
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldPath {
    steps: Vec<Step>,
}

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// A key of an object. `index` is the position in a list: none if the key was quoted or is no number.
    Key { key: String, index: Option<usize> },
    /// `*`: every key and every item. Only in patterns.
    Any,
    /// `[$index]`: the position in the list that is being compared. Only in references.
    CurrentIndex,
}

/// Which steps a path may have beside keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// None: it names one value.
    Value,
    Pattern,
    Reference,
}

const EXAMPLES: &str = "write a path such as data.service, data.items[0] or data.labels.\"app.kubernetes.io/name\"";

impl Step {
    /// A key that was not quoted: a number is a position in a list.
    pub fn bare(key: &str) -> Self {
        let is_number = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
        Self::Key { key: key.to_owned(), index: if is_number { key.parse().ok() } else { None } }
    }

    /// A key of an object, even if it is a number.
    pub fn quoted(key: &str) -> Self {
        Self::Key { key: key.to_owned(), index: None }
    }

    /// The key to look up in an object.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Key { key, .. } => Some(key),
            Self::Any | Self::CurrentIndex => None,
        }
    }

    /// The position to look up in a list.
    pub fn index(&self) -> Option<usize> {
        match self {
            Self::Key { index, .. } => *index,
            Self::Any | Self::CurrentIndex => None,
        }
    }
}

impl FieldPath {
    /// A path to one value: `data.account.id`.
    ///
    /// # Errors
    /// In words, with the text and an example.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text, Kind::Value)
    }

    /// A path in which `*` stands for every key or item: `data.users.*.email`, `data.users[*].email`.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_pattern(text: &str) -> Result<Self, String> {
        Self::read(text, Kind::Pattern)
    }

    /// A path in which `[$index]` is the position in the list that is being compared: `data.items[$index].price`.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_reference(text: &str) -> Result<Self, String> {
        Self::read(text, Kind::Reference)
    }

    /// A JSON Pointer (RFC 6901) in which `*` stands for every key or item: `/data/users/*/email`.
    ///
    /// # Errors
    /// In words, if the text does not begin with `/`.
    pub fn parse_pointer(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("`{text}` is no JSON Pointer: begin it with `/`, as in /data/card/number"));
        };
        let step = |part: &str| if part == "*" { Step::Any } else { Step::bare(&part.replace("~1", "/").replace("~0", "~")) };
        Ok(Self { steps: rest.split('/').map(step).collect() })
    }

    /// The path of these steps under a field of the event.
    pub fn under(field: &str, steps: &[Step]) -> Self {
        Self { steps: std::iter::once(Step::quoted(field)).chain(steps.iter().cloned()).collect() }
    }

    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The field of the event that the path begins with: `data` of `data.service`.
    pub fn field(&self) -> &str {
        self.steps.first().and_then(Step::key).unwrap_or_default()
    }

    fn read(text: &str, kind: Kind) -> Result<Self, String> {
        let mut rest = text.strip_prefix('$').filter(|rest| rest.starts_with(['.', '['])).unwrap_or(text);
        rest = rest.strip_prefix('.').filter(|_| text.starts_with('$')).unwrap_or(rest);
        let mut steps = Vec::new();
        loop {
            let step;
            (step, rest) = match rest.strip_prefix('[') {
                Some(inside) => bracket(text, inside)?,
                None => part(text, rest)?,
            };
            match (&step, kind) {
                (Step::Any, Kind::Value | Kind::Reference) => {
                    return Err(format!("`{text}` has a `*`, which names more than one value: {EXAMPLES}"));
                }
                (Step::CurrentIndex, Kind::Value | Kind::Pattern) => {
                    return Err(format!("`{text}` has `[$index]`, which names no position here: write a number"));
                }
                _ => steps.push(step),
            }
            if rest.is_empty() {
                break;
            }
            if let Some(after) = rest.strip_prefix('.') {
                rest = after;
            } else if !rest.starts_with('[') {
                return Err(format!("`{text}` goes on without a dot at `{rest}`: {EXAMPLES}"));
            }
        }
        match steps.first() {
            Some(Step::Key { index: None, .. }) => Ok(Self { steps }),
            _ => Err(format!("`{text}` begins with no field of the event: {EXAMPLES}")),
        }
    }
}

/// A bare or quoted part, and what follows it.
fn part<'t>(text: &str, rest: &'t str) -> Result<(Step, &'t str), String> {
    if rest.starts_with(['"', '\'']) {
        let (key, after) = quoted(text, rest)?;
        return Ok((Step::quoted(&key), after));
    }
    let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
    let (key, after) = rest.split_at(end);
    if after.starts_with(']') {
        return Err(format!("`{text}` has a `]` without its `[`: {EXAMPLES}"));
    }
    if key.is_empty() {
        return Err(format!("`{text}` has an empty part: {EXAMPLES}"));
    }
    if key.trim() != key {
        return Err(format!("`{text}` has a space beside a dot: remove it, or quote the key"));
    }
    Ok((if key == "*" { Step::Any } else { Step::bare(key) }, after))
}

/// What is between brackets, and what follows them.
fn bracket<'t>(text: &str, inside: &'t str) -> Result<(Step, &'t str), String> {
    let unclosed = || format!("`{text}` has a `[` without its `]`: {EXAMPLES}");
    if inside.starts_with(['"', '\'']) {
        let (key, after) = quoted(text, inside)?;
        return Ok((Step::quoted(&key), after.strip_prefix(']').ok_or_else(unclosed)?));
    }
    let (content, after) = inside.split_once(']').ok_or_else(unclosed)?;
    let step = match content {
        "*" => Step::Any,
        "$index" => Step::CurrentIndex,
        _ => match Step::bare(content) {
            step @ Step::Key { index: Some(_), .. } => step,
            _ => return Err(format!("`{text}` has neither a position nor a quoted key in its brackets: {EXAMPLES}")),
        },
    };
    Ok((step, after))
}

/// A key in quotes as in TOML: `"…"` with escapes, `'…'` without; and what follows it.
fn quoted<'t>(text: &str, rest: &'t str) -> Result<(String, &'t str), String> {
    let unclosed = || format!("`{text}` has a quote that is not closed: {EXAMPLES}");
    if let Some(literal) = rest.strip_prefix('\'') {
        let (key, after) = literal.split_once('\'').ok_or_else(unclosed)?;
        return Ok((key.to_owned(), after));
    }
    let mut key = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((key, &rest[at + 1..])),
            '\\' => {
                let (_, escape) = chars.next().ok_or_else(unclosed)?;
                let digits = match escape {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    _ => 0,
                };
                let hex: String = chars.by_ref().take(digits).map(|(_, digit)| digit).collect();
                key.push(
                    unescape(escape, &hex)
                        .ok_or_else(|| format!("`{text}` has the escape `\\{escape}{hex}`, which TOML does not know"))?,
                );
            }
            c => key.push(c),
        }
    }
    Err(unclosed())
}

/// The character of an escape of TOML, with its hexadecimal digits.
fn unescape(escape: char, hex: &str) -> Option<char> {
    Some(match escape {
        '"' | '\\' => escape,
        'b' => '\u{8}',
        't' => '\t',
        'n' => '\n',
        'f' => '\u{c}',
        'r' => '\r',
        'e' => '\u{1b}',
        'x' | 'u' | 'U' => char::from_u32(u32::from_str_radix(hex, 16).ok()?)?,
        _ => return None,
    })
}

/// As it is parsed: `FieldPath::parse(&path.to_string())` is the path again.
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Key { key, index } => {
                    f.write_str(if at == 0 { "" } else { "." })?;
                    match index {
                        Some(_) => f.write_str(key)?,
                        None => write_key(f, key)?,
                    }
                }
                Step::Any => f.write_str(if at == 0 { "*" } else { ".*" })?,
                Step::CurrentIndex => f.write_str("[$index]")?,
            }
        }
        Ok(())
    }
}

/// A key, in quotes if it would be read as something else without them.
fn write_key(f: &mut fmt::Formatter<'_>, key: &str) -> fmt::Result {
    let special = |c: char| matches!(c, '.' | '[' | ']' | '"' | '\'' | '\\' | '$') || c.is_control();
    let is_number = key.bytes().all(|byte| byte.is_ascii_digit());
    if !(is_number || key == "*" || key.trim() != key || key.contains(special)) {
        return f.write_str(key);
    }
    f.write_str("\"")?;
    for c in key.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            c if c.is_control() => write!(f, "\\u{:04X}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<String> {
        let path = FieldPath::parse(text).unwrap();
        path.steps().iter().map(|step| step.key().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_form_of_a_path_is_read() {
        for (text, expected) in [
            ("data", &["data"][..]),
            ("data.service", &["data", "service"]),
            ("data.items.0", &["data", "items", "0"]),
            ("data.items[0].name", &["data", "items", "0", "name"]),
            (r#"data.labels."app.kubernetes.io/name""#, &["data", "labels", "app.kubernetes.io/name"]),
            ("data.'a\"b\\c'.x", &["data", "a\"b\\c", "x"]),
            (r#"data["x.y"]['z.w'][3]"#, &["data", "x.y", "z.w", "3"]),
            (r#"data."tab\tquote\"u\u00e9\U0001F600x\x41""#, &["data", "tab\tquote\"u\u{e9}\u{1f600}xA"]),
            ("$.data.n", &["data", "n"]),
            ("$['data'].n", &["data", "n"]),
            (r#"data."""#, &["data", ""]),
            ("data.it's.a b.é", &["data", "it's", "a b", "é"]),
        ] {
            assert_eq!(keys(text), expected, "{text}");
        }
    }

    #[test]
    fn an_unquoted_number_is_also_a_position() {
        let index = |text: &str| FieldPath::parse(text).unwrap().steps()[1].index();
        assert_eq!((index("data.7"), index("data[7]")), (Some(7), Some(7)));
        assert_eq!((index("data.\"7\""), index("data['7']"), index("data.7a")), (None, None, None));
        assert_eq!(index("data.99999999999999999999999999"), None);
    }

    #[test]
    fn what_names_no_single_value_is_refused_with_an_example() {
        for text in [
            "",
            ".",
            "data..x",
            "data.",
            ".data",
            "data[",
            "data[]",
            "data[1",
            "data[x]",
            "data[-1]",
            "data[\"x\"",
            "data.\"x",
            "data.'x",
            "data[0]x",
            "data.\"x\"y",
            "[0]",
            "0.x",
            "data.*",
            "data[*]",
            "*",
            "data.x]",
            "data[?(@.x)]",
        ] {
            let error = FieldPath::parse(text).unwrap_err();
            assert!(error.contains(text) && error.contains("app.kubernetes.io/name"), "{text}: {error}");
        }
        assert!(FieldPath::parse("data . x").unwrap_err().contains("has a space beside a dot"));
        assert!(FieldPath::parse(r#"data."\q""#).unwrap_err().contains(r"has the escape `\q`"));
        assert!(FieldPath::parse(r#"data."\ud800""#).unwrap_err().contains(r"has the escape `\ud800`"));
        assert!(FieldPath::parse("data[$index]").unwrap_err().contains("write a number"));
    }

    #[test]
    fn patterns_and_references_have_steps_of_their_own() {
        let steps = |path: Result<FieldPath, String>| path.unwrap().steps()[2].clone();
        assert_eq!(steps(FieldPath::parse_pattern("data.users.*.email")), Step::Any);
        assert_eq!(steps(FieldPath::parse_pattern("data.users[*].email")), Step::Any);
        assert_eq!(steps(FieldPath::parse_pattern("data.users.\"*\"")), Step::quoted("*"));
        assert_eq!(steps(FieldPath::parse_reference("data.items[$index].price")), Step::CurrentIndex);
        assert!(FieldPath::parse_reference("data.*").is_err() && FieldPath::parse_pattern("data[$index]").is_err());
    }

    #[test]
    fn a_json_pointer_is_a_path_too() {
        let path = FieldPath::parse_pointer("/data/a~1b.c/~0/0/*").unwrap();
        assert_eq!(path, FieldPath::parse_pattern(r#"data."a/b.c".~.0.*"#).unwrap());
        assert_eq!(path.to_string(), r#"data."a/b.c".~.0.*"#);
        assert!(FieldPath::parse_pointer("data/x").is_err());
    }

    /// A generator of its own: this file has no dependencies. Numerical Recipes' linear congruential constants.
    fn random(state: &mut u64, below: usize) -> usize {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*state >> 33).unwrap() % below
    }

    const PIECES: [&str; 20] = [
        "a", "b7", "0", "12", ".", "[", "]", "\"", "'", "\\", "*", "$", " ", "é", "😀", "\n", "\u{7f}", "/", "$index", "\\u00e9",
    ];

    #[test]
    fn every_path_is_written_as_it_is_read() {
        let mut state = 1;
        for _ in 0..20_000 {
            let mut steps = vec![Step::quoted("data")];
            for _ in 0..random(&mut state, 5) {
                let key: String = (0..random(&mut state, 5)).map(|_| PIECES[random(&mut state, PIECES.len())]).collect();
                steps.push(match random(&mut state, 4) {
                    0 => Step::bare(&random(&mut state, 1_000).to_string()),
                    1 => Step::Any,
                    _ => Step::quoted(&key),
                });
            }
            let path = FieldPath { steps };
            assert_eq!(FieldPath::parse_pattern(&path.to_string()).as_ref(), Ok(&path), "{path}");
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic() {
        let mut state = 2;
        for _ in 0..20_000 {
            let text: String = (0..random(&mut state, 12)).map(|_| PIECES[random(&mut state, PIECES.len())]).collect();
            if let Ok(path) = FieldPath::parse(&text) {
                assert_eq!(FieldPath::parse(&path.to_string()).as_ref(), Ok(&path), "{text}");
            }
            let _ = (FieldPath::parse_pattern(&text), FieldPath::parse_reference(&text), FieldPath::parse_pointer(&text));
        }
    }
}
