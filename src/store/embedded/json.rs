//! JSON of stored events. An older version took what serde cannot hold as a value: half a surrogate pair, a number beyond a
//! double, more than 128 levels. One such member must not hide the others.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Whether an object has this member. Of several members of one name the last counts, as for other readers.
pub(super) fn has_member(object: &[u8], name: &str, value: &Value) -> bool {
    let mut reader = serde_json::Deserializer::from_slice(object);
    reader.deserialize_map(Member { name, value }).unwrap_or(false)
}

struct Member<'a> {
    name: &'a str,
    value: &'a Value,
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let mut found = false;
        // As text: serde checks neither names nor values that it only passes on.
        while let Some((name, value)) = members.next_entry::<&RawValue, &RawValue>()? {
            if serde_json::from_str::<String>(name.get()).is_ok_and(|name| name == self.name) {
                found = serde_json::from_str::<Value>(value.get()).is_ok_and(|value| value == *self.value);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_beside_others_that_serde_cannot_hold() {
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        for other in [r#""\ud800""#, "1e400", &"9".repeat(400), &deep, "{}"] {
            let metadata = format!(r#"{{"a": {other}, "user": 7, "\ud800": 1}}"#);
            assert!(has_member(metadata.as_bytes(), "user", &7.into()), "beside {other}");
            assert!(!has_member(metadata.as_bytes(), "user", &8.into()));
            assert!(!has_member(metadata.as_bytes(), "other", &7.into()));
        }
        assert!(has_member(br#"{"user": 1, "us\u0065r": "x"}"#, "user", &"x".into()), "escaped, and the last counts");
        assert!(!has_member(b"[1]", "user", &7.into()));
    }
}
