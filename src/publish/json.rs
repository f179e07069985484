//! JSON that a common parser cannot hold: half a surrogate pair, a number beyond a double's range, nesting that is too
//! deep. The grammar of JSON (RFC 8259) allows all three, and receivers fail on them (RFC 8259 §8.2, §6, §9), so they are
//! refused when an event comes in, with their place. One pass over the text; refuses to judge syntax, which the caller
//! has checked.

use std::borrow::Cow;
use std::fmt;

/// Levels of `data` and of `metadata`. Delivered in a batch they are two levels further in, `[{"data": …}]`, and common
/// parsers stop at 128.
pub const DEPTH_MAX: usize = 126;

/// Digits of a number without an exponent that are certainly within a double's range, whose largest has 309.
const DIGITS_CERTAIN: usize = 300;

/// Characters of a key, and of a whole path, that a message repeats.
const KEY_CHARS_SHOWN: usize = 40;
const PATH_CHARS_SHOWN: usize = 200;

/// U+FFFD as an escape: as long as the half that it replaces.
const REPLACEMENT: &[u8; 6] = b"\\ufffd";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    HalfSurrogate,
    Number,
    Depth,
}

/// What cannot be held, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    pub fault: Fault,
    /// From the outermost value: `data.items[3].name`.
    pub path: String,
    /// Byte of the text where it begins.
    pub at: usize,
    /// The text at fault, shortened.
    shown: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, shown, .. } = self;
        match self.fault {
            Fault::HalfSurrogate => write!(
                f,
                "`{path}` has {shown}, one half of a surrogate pair, which is no character: do not cut a text within a \
                 character (an emoji), or write \\ufffd in its place"
            ),
            Fault::Number => write!(
                f,
                "`{path}` is {shown}, a number beyond the range of a double (1.8e308), which common parsers refuse: send it as \
                 a string"
            ),
            Fault::Depth => write!(
                f,
                "`{path}` is nested more than {DEPTH_MAX} levels deep, which common parsers refuse in a delivery: flatten it, or \
                 send it as a string"
            ),
        }
    }
}

/// Judges one JSON value, known to be well-formed; `root` is what its path begins with. Nothing of a text that is not
/// well-formed makes this panic or read without end.
///
/// # Errors
/// The first thing in it that common parsers cannot hold.
pub fn check(json: &[u8], root: &str) -> Result<(), Unreadable> {
    let mut scan = Scan { json, at: 0, open: Vec::new(), root };
    while let Some(byte) = json.get(scan.at) {
        match byte {
            b'{' | b'[' => {
                if scan.open.len() == DEPTH_MAX {
                    return Err(scan.fault(Fault::Depth, scan.at, scan.at));
                }
                scan.open.push(if *byte == b'{' { Open::Object(None) } else { Open::Array(0) });
                scan.at += 1;
            }
            b'}' | b']' => {
                scan.open.pop();
                scan.at += 1;
            }
            b',' => {
                match scan.open.last_mut() {
                    Some(Open::Array(index)) => *index += 1,
                    Some(Open::Object(key)) => *key = None,
                    None => {}
                }
                scan.at += 1;
            }
            b'"' => scan.string()?,
            b'-' | b'0'..=b'9' => scan.number()?,
            _ => scan.at += 1,
        }
    }
    Ok(())
}

/// The same text with U+FFFD in place of every half of a surrogate pair: for senders that do not send again.
pub fn replace_half_surrogates(json: &[u8]) -> Cow<'_, [u8]> {
    let mut replaced: Option<Vec<u8>> = None;
    let (mut at, mut in_string) = (0, false);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                let (length, is_half) = escape(json, at);
                if is_half {
                    replaced.get_or_insert_with(|| json.to_vec())[at..at + REPLACEMENT.len()].copy_from_slice(REPLACEMENT);
                }
                at += length;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    replaced.map_or(Cow::Borrowed(json), Cow::Owned)
}

struct Scan<'j> {
    json: &'j [u8],
    at: usize,
    open: Vec<Open>,
    root: &'j str,
}

enum Open {
    /// Where the quotes of the current key are; `None` until it has been read.
    Object(Option<(usize, usize)>),
    /// Index of the current element.
    Array(usize),
}

impl Scan<'_> {
    /// From the opening quote to behind the closing one.
    fn string(&mut self) -> Result<(), Unreadable> {
        let start = self.at;
        self.at += 1;
        let mut half = None;
        loop {
            match self.json.get(self.at) {
                None => break,
                Some(b'"') => {
                    self.at += 1;
                    break;
                }
                Some(b'\\') => {
                    let (length, is_half) = escape(self.json, self.at);
                    if is_half && half.is_none() {
                        half = Some(self.at);
                    }
                    self.at += length;
                }
                Some(_) => self.at += 1,
            }
        }
        let end = self.at.min(self.json.len());
        if let Some(Open::Object(key @ None)) = self.open.last_mut() {
            *key = Some((start, end));
        }
        match half {
            Some(half) => Err(self.fault(Fault::HalfSurrogate, half, half + REPLACEMENT.len())),
            None => Ok(()),
        }
    }

    fn number(&mut self) -> Result<(), Unreadable> {
        let start = self.at;
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let length = self.json[start..].iter().take_while(is_part).count();
        self.at += length;
        let text = &self.json[start..self.at];
        if length <= DIGITS_CERTAIN && !text.iter().any(|byte| matches!(byte, b'e' | b'E')) {
            return Ok(());
        }
        let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
        match parsed {
            Some(number) if number.is_infinite() => Err(self.fault(Fault::Number, start, self.at)),
            _ => Ok(()),
        }
    }

    fn fault(&self, fault: Fault, start: usize, end: usize) -> Unreadable {
        let end = end.min(self.json.len());
        let text = String::from_utf8_lossy(&self.json[start.min(end)..end]);
        let mut shown: String = text.chars().take(KEY_CHARS_SHOWN).collect();
        if shown.len() < text.len() {
            shown = format!("{shown}… ({} characters)", text.len());
        }
        Unreadable { fault, path: self.path(), at: start, shown }
    }

    fn path(&self) -> String {
        let mut path = self.root.to_owned();
        for open in &self.open {
            match open {
                Open::Array(index) => path.push_str(&format!("[{index}]")),
                Open::Object(None) => {}
                Open::Object(Some((start, end))) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(&key(&self.json[*start..*end]));
                }
            }
            if path.chars().count() > PATH_CHARS_SHOWN {
                path.push('…');
                break;
            }
        }
        path
    }
}

/// A key for a message: bare where it is a word, as it is written otherwise.
fn key(quoted: &[u8]) -> String {
    let text = String::from_utf8_lossy(quoted);
    let bare = text.trim_matches('"');
    let is_word = !bare.is_empty() && bare.chars().all(|c| c.is_alphanumeric() || "_-$@".contains(c));
    let mut shown: String = if is_word { bare } else { &text }.chars().take(KEY_CHARS_SHOWN).collect();
    if shown.len() < if is_word { bare.len() } else { text.len() } {
        shown.push('…');
    }
    shown
}

/// The escape at a backslash: its length, and whether it is one half of a surrogate pair without the other.
fn escape(json: &[u8], at: usize) -> (usize, bool) {
    match unit(json, at) {
        None => (2, false),
        Some(0xd800..=0xdbff) => match unit(json, at + 6) {
            Some(0xdc00..=0xdfff) => (12, false),
            _ => (6, true),
        },
        Some(0xdc00..=0xdfff) => (6, true),
        Some(_) => (6, false),
    }
}

/// The UTF-16 code unit of a `\u` escape.
fn unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit: u16, digit| Some(unit << 4 | u16::try_from(char::from(*digit).to_digit(16)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    fn fault(json: &str) -> Option<(Fault, String)> {
        check(json.as_bytes(), "data").err().map(|error| (error.fault, error.path))
    }

    fn nested(levels: usize) -> String {
        "[".repeat(levels) + &"]".repeat(levels)
    }

    #[test]
    fn half_a_surrogate_pair_is_found_in_values_and_keys() {
        for (json, path) in [
            (r#""cut \ud83d""#, "data"),
            (r#"{"a":{"text":"\ud83d"}}"#, "data.a.text"),
            (r#"{"a":[0,"x",{"b c":"\uDE00"}]}"#, r#"data.a[2]."b c""#),
            (r#"{"ok":1,"\ud800":1}"#, r#"data."\ud800""#),
            (r#"["\ud83d\ud83d\ude00"]"#, "data[0]"),
            (r#"["\ud83dx\ude00"]"#, "data[0]"),
            (r#"["\ude00\ud83d"]"#, "data[0]"),
            (r#"["\\\ud83d"]"#, "data[0]"),
        ] {
            assert_eq!(fault(json), Some((Fault::HalfSurrogate, path.to_owned())), "{json}");
        }
        for json in [r#""\ud83d\ude00""#, r#""\\ud83d""#, r#"{"\ud83d\ude00":"\u0000 \uffff"}"#, r#""\\\\ud800 \"ud800""#] {
            assert_eq!(fault(json), None, "{json}");
        }
    }

    #[test]
    fn a_number_beyond_a_double_is_found_and_long_digits_are_not() {
        let digits = |count: usize| "9".repeat(count);
        for json in ["1e400".to_owned(), "-1E+309".to_owned(), digits(400), format!("[1,{{\"a\":-{}}}]", digits(310))] {
            assert!(matches!(fault(&json), Some((Fault::Number, _))), "{json}");
        }
        for json in [
            "1e308".to_owned(),
            "1.7976931348623157e308".to_owned(),
            "1e-400".to_owned(),
            "0e9999999999".to_owned(),
            digits(308),
            format!("0.{}", digits(500)),
            format!("0.{}1e400", "0".repeat(400)),
            r#""1e400""#.to_owned(),
            r#"{"1e400":1}"#.to_owned(),
        ] {
            assert_eq!(fault(&json), None, "{json}");
            serde_json::from_str::<Value>(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
        }
        assert_eq!(fault(r#"{"a":[1,1e999]}"#), Some((Fault::Number, "data.a[1]".to_owned())));
    }

    #[test]
    fn depth_is_bounded_so_that_a_batch_stays_within_128_levels() {
        assert_eq!(fault(&nested(DEPTH_MAX)), None);
        assert!(matches!(fault(&nested(DEPTH_MAX + 1)), Some((Fault::Depth, _))));
        assert!(matches!(fault(&nested(100_000)), Some((Fault::Depth, _))));
        assert_eq!(fault(&format!("[{}]", vec!["[]"; 1000].join(","))), None, "siblings are no depth");
    }

    #[test]
    fn halves_are_replaced_and_the_rest_is_left_as_it_is() {
        let replaced = |json: &str| String::from_utf8(replace_half_surrogates(json.as_bytes()).into_owned()).unwrap();
        assert_eq!(replaced(r#"{"\ud800":"a \uDE00\ud83d\ude00 b\ud83d"}"#), r#"{"\ufffd":"a \ufffd\ud83d\ude00 b\ufffd"}"#);
        assert!(matches!(replace_half_surrogates(br#"{"a":"\\ud800 \"\ud83d\ude00"}"#), Cow::Borrowed(_)));
    }

    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("\\ud83d".to_owned()),
            Just("\\ude00".to_owned()),
            Just("\\\\".to_owned()),
            Just("\\\"".to_owned()),
            Just("\\n".to_owned()),
            "[a-z{}\\[\\],:0-9 é]{0,3}",
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            text(),
            "-?[1-9][0-9]{0,20}(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?",
            Just("null".to_owned()),
            Just("1e400".to_owned()),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
                proptest::collection::vec((text(), inner), 0..4).prop_map(|members| {
                    let members: Vec<String> = members.into_iter().map(|(key, value)| format!("{key} : {value}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    proptest! {
        /// What passes is what serde can hold, and the other way round.
        #[test]
        fn the_verdict_is_that_of_a_common_parser(json in json()) {
            prop_assume!(serde_json::from_str::<&RawValue>(&json).is_ok());
            prop_assert_eq!(check(json.as_bytes(), "").is_ok(), serde_json::from_str::<Value>(&json).is_ok(), "{}", json);
        }

        #[test]
        fn a_repaired_text_has_no_halves_left(json in json()) {
            let repaired = replace_half_surrogates(json.as_bytes());
            let error = check(&repaired, "").err().map(|error| error.fault);
            prop_assert_ne!(error, Some(Fault::HalfSurrogate));
            prop_assert_eq!(repaired.len(), json.len());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = check(&bytes, "");
            let _ = replace_half_surrogates(&bytes);
        }
    }
}
