//! How two values compare: JavaScript's rules for `==` and `<` between strings, numbers, booleans and null, because the
//! filters' authors know them from there; exact where JavaScript would round.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::Operator;

pub(super) fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

/// JavaScript's `==` of two plain values; false for anything else.
pub(super) fn loosely_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::String(left), Value::String(right)) => left == right,
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right) == Some(Ordering::Equal),
        _ => match (number_of(left), number_of(right)) {
            (Some(left), Some(right)) => left == right,
            _ => false,
        },
    }
}

/// Same kind and same value, however deep; numbers by value (`1.0` is `1`).
pub(super) fn deeply_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right) == Some(Ordering::Equal),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| deeply_equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| deeply_equal(left, right)))
        }
        _ => left == right,
    }
}

/// `None`: the operator cannot be asked of these kinds of values.
pub(super) fn compare(operator: Operator, value: &Value, operand: &Value) -> Option<bool> {
    match operator {
        Operator::Eq => Some(equal(value, operand)),
        Operator::Neq => Some(!equal(value, operand)),
        Operator::Gt => ordered(value, operand, Ordering::is_gt),
        Operator::Gte => ordered(value, operand, Ordering::is_ge),
        Operator::Lt => ordered(value, operand, Ordering::is_lt),
        Operator::Lte => ordered(value, operand, Ordering::is_le),
        Operator::In => within(value, operand),
        Operator::Nin => within(value, operand).map(|inside| !inside),
        Operator::Contains => edge(value, operand, |text, part| text.contains(part)),
        // Its operand is no value.
        Operator::Regex => None,
        Operator::StartsWith => edge(value, operand, |text, part| text.starts_with(part)),
        Operator::EndsWith => edge(value, operand, |text, part| text.ends_with(part)),
    }
}

fn equal(value: &Value, operand: &Value) -> bool {
    if is_plain(value) && is_plain(operand) { loosely_equal(value, operand) } else { deeply_equal(value, operand) }
}

/// Texts by UTF-16 units, everything else as numbers; what is no number (`"abc" > 5`) is never ordered.
fn ordered(value: &Value, operand: &Value, wanted: fn(Ordering) -> bool) -> Option<bool> {
    let ordering = match (value, operand) {
        (Value::String(left), Value::String(right)) => Some(left.encode_utf16().cmp(right.encode_utf16())),
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right),
        (Value::String(_), Value::Number(_)) | (Value::Number(_), Value::String(_)) => {
            number_of(value)?.partial_cmp(&number_of(operand)?)
        }
        _ => return None,
    };
    Some(ordering.is_some_and(wanted))
}

/// A member of a list (without conversion), or a part of a text.
fn within(value: &Value, operand: &Value) -> Option<bool> {
    match (value, operand) {
        (Value::Array(_) | Value::Object(_), _) => None,
        (value, Value::Array(list)) => Some(list.iter().any(|member| is_plain(member) && deeply_equal(value, member))),
        (Value::String(text), Value::String(part)) => Some(text.contains(part.as_str())),
        (Value::String(text), Value::Number(part)) => Some(text.contains(&number_text(part))),
        _ => None,
    }
}

fn edge(value: &Value, operand: &Value, found: fn(&str, &str) -> bool) -> Option<bool> {
    let text = value.as_str()?;
    match operand {
        Value::String(part) => Some(found(text, part)),
        Value::Array(parts) => {
            let parts: Vec<&str> = parts.iter().map(Value::as_str).collect::<Option<_>>()?;
            Some(parts.into_iter().any(|part| found(text, part)))
        }
        _ => None,
    }
}

/// Exact for whole numbers, where JavaScript would round both to 53 bits.
fn compare_numbers(left: &Number, right: &Number) -> Option<Ordering> {
    let whole = |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// JavaScript's `Number(…)` of a plain value other than null, which equals nothing but itself.
fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => Some(number_from(text)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// ECMA-262 §7.1.4.1, `StringToNumber`; NaN for what is no number.
fn number_from(text: &str) -> f64 {
    let text = text.trim_matches(|c: char| (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}');
    if text.is_empty() {
        return 0.0;
    }
    for (prefixes, radix) in [(["0x", "0X"], 16), (["0o", "0O"], 8), (["0b", "0B"], 2)] {
        if let Some(digits) = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)) {
            let fold = |sum: f64, digit: char| Some(sum * f64::from(radix) + f64::from(digit.to_digit(radix)?));
            return if digits.is_empty() { f64::NAN } else { digits.chars().try_fold(0.0, fold).unwrap_or(f64::NAN) };
        }
    }
    match text {
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ if text.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b)) => text.parse().unwrap_or(f64::NAN),
        _ => f64::NAN,
    }
}

fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_values_are_equal_as_in_javascript() {
        for (left, right, equal) in [
            (json!(1), json!("1"), true),
            (json!(1), json!(" 1.0 "), true),
            (json!(true), json!(1), true),
            (json!(true), json!("true"), false),
            (json!(false), json!(""), true),
            (json!(null), json!(0), false),
            (json!(null), json!(null), true),
            (json!("0x10"), json!(16), true),
            (json!("nan"), json!(0), false),
            (json!("inf"), json!(1e308), false),
            (json!([1]), json!(1), false),
        ] {
            assert_eq!(loosely_equal(&left, &right), equal, "{left} == {right}");
            assert_eq!(loosely_equal(&right, &left), equal, "{right} == {left}");
        }
    }

    #[test]
    fn whole_numbers_are_exact_beyond_what_a_float_holds() {
        assert!(!loosely_equal(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992_u64)));
        assert_eq!(compare(Operator::Gt, &json!(u64::MAX), &json!(u64::MAX - 1)), Some(true));
        assert_eq!(compare(Operator::Gt, &json!(u64::MAX), &json!(i64::MIN)), Some(true));
    }

    #[test]
    fn texts_are_ordered_as_texts_and_numbers_as_numbers() {
        assert_eq!(compare(Operator::Gt, &json!("10"), &json!("9")), Some(false));
        assert_eq!(compare(Operator::Gt, &json!("10"), &json!(9)), Some(true));
        assert_eq!(compare(Operator::Lt, &json!("abc"), &json!(9)), Some(false));
        assert_eq!(compare(Operator::Lt, &json!(true), &json!(9)), None);
        assert_eq!(compare(Operator::Lte, &json!("2026-01-28T10:30:45Z"), &json!("2026-02")), Some(true));
    }
}
