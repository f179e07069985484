//! Options from JSON text, with errors for the person who wrote them.

use serde::de::DeserializeOwned;

/// An error names the option; an unknown one is answered with the nearest known one and with all there are.
pub(crate) fn read<O: DeserializeOwned>(text: &str) -> Result<O, String> {
    serde_json::from_str(text).map_err(|error| {
        let offset = offset_of(text, error.line(), error.column());
        explain(&error.to_string(), option_at(text, offset))
    })
}

/// serde says "unknown field `a`, expected one of `b`, `c` at line 1 column 2"; the options were written as TOML, so
/// line and column of the JSON text help nobody, but the key before them does.
fn explain(error: &str, option: Option<&str>) -> String {
    let error = error.rfind(" at line ").map_or(error, |at| &error[..at]);
    let mut names = error.split('`').skip(1).step_by(2);
    if let Some(rest) = error.strip_prefix("missing field ") {
        return format!("the option {rest} is required");
    }
    let (true, Some(unknown)) = (error.starts_with("unknown field `"), names.next()) else {
        return option.map_or_else(|| error.to_owned(), |option| format!("option `{option}`: {error}"));
    };
    let known: Vec<&str> = names.collect();
    if known.is_empty() {
        return format!("unknown option `{unknown}`: there are none");
    }
    let near = known.iter().map(|name| (distance(unknown, name), name)).min().filter(|(far, _)| *far <= 1 + unknown.len() / 3);
    match near {
        Some((_, name)) => format!("unknown option `{unknown}`, did you mean `{name}`? There are: {}", known.join(", ")),
        None => format!("unknown option `{unknown}`; there are: {}", known.join(", ")),
    }
}

fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    before + column
}

/// The key of the outermost object whose value `offset` lies in.
fn option_at(text: &str, offset: usize) -> Option<&str> {
    let (mut depth, mut in_string, mut escaped, mut string_start) = (0_usize, false, false, 0);
    let mut last_string = None;
    let mut option = None;
    for (at, byte) in text.bytes().enumerate().take(offset) {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => (in_string, last_string) = (false, text.get(string_start..at)),
            (true, _) => {}
            (false, b'"') => (in_string, string_start) = (true, at + 1),
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            (false, b':') if depth == 1 => option = last_string,
            (false, _) => {}
        }
    }
    option
}

/// Levenshtein's, over bytes: option names are ASCII.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Options {
        channel: Option<String>,
        username: Option<String>,
        count: u8,
    }

    fn error(text: &str) -> String {
        read::<Options>(text).unwrap_err()
    }

    #[test]
    fn a_misspelt_option_is_answered_with_the_nearest_one() {
        assert_eq!(
            error(r##"{"chanel":"#ops","count":1}"##),
            "unknown option `chanel`, did you mean `channel`? There are: channel, username, count"
        );
        assert_eq!(error(r#"{"zzz":1}"#), "unknown option `zzz`; there are: channel, username, count");
    }

    #[test]
    fn a_missing_option_and_a_wrong_type_are_named_without_json_positions() {
        assert_eq!(error("{}"), "the option `count` is required");
        assert_eq!(error(r#"{"count":"x"}"#), "option `count`: invalid type: string \"x\", expected u8");
        assert_eq!(error("{\n\"channel\": \"a:b\",\n\"count\": -1}"), "option `count`: invalid value: integer `-1`, expected u8");
        assert_eq!(error("[]"), "invalid length 0, expected struct Options with 3 elements");
    }

    #[test]
    fn distances_are_levenshtein_s() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
