//! JSON that `serde_json::Value` cannot hold, read all the same: half of a surrogate pair becomes U+FFFD, a number out of
//! range is held as its text (which comparisons read as a number), and what is nested deeper than any filter can ask of
//! becomes null. Events that were stored by older versions may have such data; refuses what is not JSON.

use serde_json::{Map, Number, Value};

/// Levels that are read: a filter is at most a fourth as deep, and evaluation recurses.
const DEPTH_MAX: usize = 128;

/// `None`: this is not JSON.
pub(super) fn read(text: &[u8]) -> Option<Value> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    (reader.at == text.len()).then_some(value)
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        self.text[self.at..].starts_with(word.as_bytes()).then(|| {
            self.at += word.len();
            value
        })
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.space();
        match self.peek()? {
            b'{' | b'[' if depth == DEPTH_MAX => self.skip(),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Value::String),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        let mut fields = Map::new();
        self.at += 1;
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(Value::Object(fields));
        }
        loop {
            self.space();
            let name = self.string()?;
            self.expect(b':')?;
            let value = self.value(depth + 1)?;
            fields.insert(name, value);
            self.space();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(Value::Object(fields));
                }
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Some(Value::Array(items));
                }
                _ => return None,
            }
        }
    }

    /// A whole object or array, without recursion.
    fn skip(&mut self) -> Option<Value> {
        let mut open = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return Some(Value::Null);
            }
        }
    }

    fn number(&mut self) -> Option<Value> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).ok()?;
        if let Ok(number) = serde_json::from_str::<Number>(text) {
            return Some(Value::Number(number));
        }
        // Out of range, or no number at all.
        text.parse::<f64>().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit() || c == '-'))?;
        Some(Value::String(text.to_owned()))
    }

    fn string(&mut self) -> Option<String> {
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        let mut out = String::new();
        loop {
            let start = self.at;
            while !matches!(self.peek()?, b'"' | b'\\') {
                self.at += 1;
            }
            out.push_str(std::str::from_utf8(&self.text[start..self.at]).ok()?);
            self.at += 1;
            if self.text[self.at - 1] == b'"' {
                return Some(out);
            }
            out.push(self.escape()?);
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Option<char> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'"' | b'\\' | b'/' => char::from(byte),
            b'u' => {
                let unit = self.unit()?;
                if !(0xd800..0xdc00).contains(&unit) {
                    return Some(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                let after = self.at;
                if self.text[after..].starts_with(b"\\u") {
                    self.at += 2;
                    let low = self.unit()?;
                    if (0xdc00..0xe000).contains(&low) {
                        return char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
                    }
                    // The second is a character of its own.
                    self.at = after;
                }
                char::REPLACEMENT_CHARACTER
            }
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_serde_cannot_hold_is_read_around() {
        let pair = r#"{"ok": "\ud83d\ude00", "cut \udc00": "x\ud83d", "two": "\ud83d\ud83d\ude00y", "n": 1e400, "i": -1e-400, "big": 12345678901234567890123}"#;
        assert_eq!(
            read(pair.as_bytes()).unwrap(),
            json!({"ok": "😀", "cut \u{fffd}": "x\u{fffd}", "two": "\u{fffd}😀y", "n": "1e400", "i": -0.0, "big": 12345678901234567890123_f64})
        );
        let long = "9".repeat(400);
        assert_eq!(read(long.as_bytes()), Some(json!(long)));
    }

    #[test]
    fn the_deepest_levels_become_null_and_the_others_are_read() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let text = format!(r#"{{"deep": {}, "after": 1}}"#, nested(100_000));
        let value = read(text.as_bytes()).unwrap();
        assert_eq!(value["after"], 1);
        let mut inner = &value["deep"];
        while let Some(next) = inner.get(0) {
            inner = next;
        }
        assert_eq!(inner, &Value::Null);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "[1,", "{\"a\" 1}", "nul", "+1", "1 2", "\"\\x\"", "\"\\u12\"", "e", "inf", "[1}", "--1"] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(".{0,6}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn other_json_is_read_as_serde_reads_it(value in any_json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            prop_assert_eq!(read(text.as_bytes()), serde_json::from_str(&text).ok());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), text in r#"[\[\]{}":,\\u0-9a-fdDeE.+ -]{0,30}"#) {
            let _ = (read(&bytes), read(text.as_bytes()));
        }
    }
}
