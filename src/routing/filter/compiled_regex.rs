//! `$regex`: a regular expression whose cost is bounded. The `regex` crate matches in time linear in the text; the
//! bounds here are on the pattern and on what it is compiled to.

use ::regex::{Regex, RegexBuilder};

/// Bytes of a pattern: longer ones are lists of words, for which there is `$in`.
const PATTERN_BYTES_MAX: usize = 1024;

/// Bytes that a pattern is compiled to: `\w{1,5}` and a screen of alternatives fit, a large repetition of a Unicode
/// class, which would cost as much for every event, does not.
const COMPILED_BYTES_MAX: usize = 256 << 10;

/// Bytes of states made while matching, per thread that matches.
const CACHE_BYTES_MAX: usize = 1 << 20;

/// A pattern, compiled. Equal patterns are equal.
#[derive(Debug, Clone)]
pub(super) struct CompiledRegex {
    regex: Regex,
}

impl PartialEq for CompiledRegex {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl CompiledRegex {
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(format!(
                "the pattern has {} bytes, at most {PATTERN_BYTES_MAX} are allowed: for a list of values there is $in",
                pattern.len()
            ));
        }
        match RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).dfa_size_limit(CACHE_BYTES_MAX).build() {
            Ok(regex) => Ok(Self { regex }),
            Err(::regex::Error::CompiledTooBig(_)) => Err(
                "the pattern is too large when it is compiled: repeat less, or write [0-9A-Za-z_] instead of \\w and [0-9] instead of \\d"
                    .to_owned(),
            ),
            // The last line says what is wrong; those before it draw the pattern.
            Err(error) => {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
                Err(format!("this is not a regular expression: {reason} (Rust's `regex` syntax; no look-around, no back-references)"))
            }
        }
    }

    pub(super) fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_bounded_and_its_mistakes_are_named() {
        assert!(CompiledRegex::new("(?i)^web-\\d+$").unwrap().is_match("WEB-17"));
        assert!(CompiledRegex::new("\\w{1,5}").is_ok());
        for (pattern, words) in [
            ("(", "unclosed group"),
            ("a(?=b)", "look-around"),
            ("(a)\\1", "backreferences are not supported"),
            ("\\w{1000}", "too large when it is compiled"),
            (&"a".repeat(1025), "has 1025 bytes, at most 1024"),
        ] {
            let error = CompiledRegex::new(pattern).unwrap_err();
            assert!(error.contains(words), "{pattern}: {error}");
        }
    }
}
