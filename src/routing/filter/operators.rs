//! The operators of the filter language: their names, words and examples. The parser's messages, the JSON Schema of
//! config.toml and the reference in docs/config.md follow from this table.

/// One operator, as documentation shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorRow {
    pub name: &'static str,
    /// When it holds; completes "the field …".
    pub doc: &'static str,
    /// What is written behind it.
    pub operand: &'static str,
    /// Values that it can be asked of; any other value fails it.
    pub values: &'static str,
    /// A filter within `data`, as TOML writes it.
    pub example: &'static str,
}

const fn row(
    name: &'static str,
    doc: &'static str,
    operand: &'static str,
    values: &'static str,
    example: &'static str,
) -> OperatorRow {
    OperatorRow { name, doc, operand, values, example }
}

const ORDERED: &str = "text, number";

/// In the order of the documentation.
pub static OPERATORS: [OperatorRow; 17] = [
    row("$eq", "equals the value", "any value", "any", "status = { \"$eq\" = \"open\" }"),
    row("$neq", "is there, and does not equal the value", "any value", "any", "status = { \"$neq\" = \"test\" }"),
    row("$gt", "is greater than the value", "number or text", ORDERED, "errorRate = { \"$gt\" = 0.5 }"),
    row("$gte", "is greater than the value, or equal", "number or text", ORDERED, "errorRate = { \"$gte\" = 0.5 }"),
    row("$lt", "is less than the value", "number or text", ORDERED, "at = { \"$lt\" = \"2026-07\" }"),
    row("$lte", "is less than the value, or equal", "number or text", ORDERED, "priority = { \"$lte\" = 2 }"),
    row(
        "$in",
        "is one of the list; with a text as operand: is a part of that field's text",
        "list of plain values, or a text",
        "text, number, boolean, null",
        "country = { \"$in\" = [\"DE\", \"AT\"] }",
    ),
    row(
        "$nin",
        "is there, and is none of the list",
        "list of plain values, or a text",
        "text, number, boolean, null",
        "country = { \"$nin\" = [\"US\"] }",
    ),
    row(
        "$contains",
        "has the text within it, or one of the texts",
        "text or list of texts",
        "text",
        "message = { \"$contains\" = \"timeout\" }",
    ),
    row(
        "$startsWith",
        "begins with the text, or one of the texts",
        "text or list of texts",
        "text",
        "path = { \"$startsWith\" = \"/api/\" }",
    ),
    row(
        "$endsWith",
        "ends with the text, or one of the texts",
        "text or list of texts",
        "text",
        "file = { \"$endsWith\" = [\".png\", \".jpg\"] }",
    ),
    row(
        "$regex",
        "matches the regular expression anywhere",
        "text of at most 1 KiB",
        "text",
        "host = { \"$regex\" = '^web-\\d+\\.' }",
    ),
    row("$exist", "is there (`true`, also with null) or is not (`false`)", "boolean", "any", "error = { \"$exist\" = true }"),
    row(
        "$or",
        "satisfies at least one of the conditions",
        "list of conditions",
        "any",
        "level = { \"$or\" = [\"high\", { \"$gt\" = 7 }] }",
    ),
    row("$and", "satisfies all conditions", "list of conditions", "any", "n = { \"$and\" = [{ \"$gt\" = 1 }, { \"$lt\" = 9 }] }"),
    row(
        "$not",
        "is there, and does not satisfy the condition",
        "condition",
        "any",
        "name = { \"$not\" = { \"$startsWith\" = \"test-\" } }",
    ),
    row(
        "$ref",
        "equals another field of the same event",
        "path of a field",
        "any",
        "approver = { \"$neq\" = { \"$ref\" = \"data.author\" } }",
    ),
];

/// What people write for an operator, from other languages.
const ALIASES: [(&str, &str); 24] = [
    (">", "$gt"),
    (">=", "$gte"),
    ("<", "$lt"),
    ("<=", "$lte"),
    ("=", "$eq"),
    ("==", "$eq"),
    ("===", "$eq"),
    ("!=", "$neq"),
    ("!==", "$neq"),
    ("<>", "$neq"),
    ("ne", "$neq"),
    ("equals", "$eq"),
    ("not_in", "$nin"),
    ("notin", "$nin"),
    ("match", "$regex"),
    ("matches", "$regex"),
    ("=~", "$regex"),
    ("~", "$regex"),
    ("like", "$contains"),
    ("includes", "$contains"),
    ("prefix", "$startsWith"),
    ("suffix", "$endsWith"),
    ("exists", "$exist"),
    ("nor", "$not"),
];

pub(super) fn names() -> Vec<&'static str> {
    OPERATORS.iter().map(|operator| operator.name).collect()
}

/// The operator that a word means that is none: another language's, without its `$`, in other letters, or with one
/// letter wrong.
pub(super) fn meant(word: &str) -> Option<&'static str> {
    let bare = word.trim().trim_start_matches('$').to_ascii_lowercase().replace('-', "_");
    if let Some((_, operator)) = ALIASES.iter().find(|(alias, _)| *alias == bare) {
        return Some(operator);
    }
    let same = |operator: &&str| operator[1..].to_ascii_lowercase() == bare.replace('_', "");
    if let Some(operator) = names().into_iter().find(same) {
        return Some(operator);
    }
    // Three letters that differ in one may mean anything.
    let near =
        |operator: &&str| operator.len() > 4 && strsim::damerau_levenshtein(&operator[1..].to_ascii_lowercase(), &bare) == 1;
    names().into_iter().filter(|_| bare.len() <= 20).find(near)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Eq,
    Neq,
    Gt,
    Gte,
    Lt,
    Lte,
    In,
    Nin,
    Contains,
    StartsWith,
    EndsWith,
    Regex,
}

impl Operator {
    pub(super) fn from_key(key: &str) -> Option<Self> {
        Some(match key {
            "$eq" => Self::Eq,
            "$neq" => Self::Neq,
            "$gt" => Self::Gt,
            "$gte" => Self::Gte,
            "$lt" => Self::Lt,
            "$lte" => Self::Lte,
            "$in" => Self::In,
            "$nin" => Self::Nin,
            "$contains" => Self::Contains,
            "$startsWith" => Self::StartsWith,
            "$endsWith" => Self::EndsWith,
            "$regex" => Self::Regex,
            _ => return None,
        })
    }

    /// Completes "`0.2` is not …" and the like.
    pub(super) fn failed(self) -> &'static str {
        match self {
            Self::Eq => "is not equal to",
            Self::Neq => "is equal to",
            Self::Gt => "is not >",
            Self::Gte => "is not >=",
            Self::Lt => "is not <",
            Self::Lte => "is not <=",
            Self::In => "is not in",
            Self::Nin => "is in",
            Self::Contains => "does not contain",
            Self::StartsWith => "does not start with",
            Self::EndsWith => "does not end with",
            Self::Regex => "does not match",
        }
    }

    /// Completes "cannot be asked whether it …".
    pub(super) fn asked(self) -> &'static str {
        match self {
            Self::Eq => "equals",
            Self::Neq => "differs from",
            Self::Gt => "is >",
            Self::Gte => "is >=",
            Self::Lt => "is <",
            Self::Lte => "is <=",
            Self::In => "is in",
            Self::Nin => "is not in",
            Self::Contains => "contains",
            Self::StartsWith => "starts with",
            Self::EndsWith => "ends with",
            Self::Regex => "matches",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_from_another_language_leads_to_its_operator() {
        for (word, operator) in [
            (">", "$gt"),
            (" >= ", "$gte"),
            ("gt", "$gt"),
            ("GTE", "$gte"),
            ("$GT", "$gt"),
            ("$ne", "$neq"),
            ("$exists", "$exist"),
            ("$startswith", "$startsWith"),
            ("starts_with", "$startsWith"),
            ("$regexp", "$regex"),
            ("$contain", "$contains"),
            ("$like", "$contains"),
        ] {
            assert_eq!(meant(word), Some(operator), "{word}");
        }
        for word in ["$foo", "$zzz", "$geo", "x", "", "$", "amount", "$elemMatch"] {
            assert_eq!(meant(word), None, "{word}");
        }
    }

    #[test]
    fn every_operator_of_the_evaluation_is_in_the_table() {
        let compared = OPERATORS.iter().filter(|row| Operator::from_key(row.name).is_some()).count();
        assert_eq!(compared, 12);
    }
}
