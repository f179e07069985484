//! `custom_details`: the event's data as a JSON object, trimmed by whole values and at character boundaries, so that it
//! stays valid whatever its size.

use tenterhook_message::{Json, Kind, View, without_half_surrogates, write_string};

/// A JSON object being written, up to a number of bytes.
pub struct Details {
    out: String,
    bytes_max: usize,
    left_out: usize,
    keys: Vec<String>,
}

/// Room for the note that something was left out, and the closing brace.
const RESERVE: usize = 64;

/// A sentence or a short list.
const SMALL_BYTES_MAX: usize = 512;

/// A longer key says nothing more.
const KEY_BYTES_MAX: usize = 256;

impl Details {
    pub fn new(bytes_max: usize) -> Self {
        Self { out: "{".to_owned(), bytes_max, left_out: 0, keys: Vec::new() }
    }

    /// All members of an object, or anything else as `data`. Where they are too many, the small ones come first: one
    /// log file among them must not push out what it is about.
    pub fn add_all(&mut self, view: &View<'_>) {
        let members = |wanted: fn(usize) -> bool| view.members.iter().filter(move |member| wanted(member.value.text().len()));
        match view.data.kind() {
            Kind::Object if view.data.text().len() + self.out.len() + RESERVE <= self.bytes_max => {
                members(|_| true).for_each(|member| self.add(&member.key, member.value));
            }
            Kind::Object => {
                members(|len| len <= SMALL_BYTES_MAX).for_each(|member| self.add(&member.key, member.value));
                members(|len| len > SMALL_BYTES_MAX).for_each(|member| self.add(&member.key, member.value));
            }
            Kind::Null => {}
            Kind::Array | Kind::String | Kind::Number | Kind::Bool => self.add("data", view.data),
        }
    }

    pub fn add_text(&mut self, key: &str, text: &str) {
        let mut quoted = String::with_capacity(text.len() + 2);
        write_string(&mut quoted, text);
        self.add(key, Json::new(&quoted));
    }

    /// The value as it is written, if there is room; a string or a piece of JSON cut to what room there is; else it is
    /// counted as left out. A key that is there already is not added again.
    pub fn add(&mut self, key: &str, value: Json<'_>) {
        let key = &key[..key.floor_char_boundary(KEY_BYTES_MAX)];
        if self.keys.iter().any(|known| known == key) {
            return;
        }
        let mut entry = String::from(if self.keys.is_empty() { "" } else { "," });
        write_string(&mut entry, key);
        entry.push(':');
        let room = self.bytes_max.saturating_sub(self.out.len() + entry.len() + RESERVE);
        let text = without_half_surrogates(value.text());
        if text.len() <= room {
            entry.push_str(&text);
        } else if let Some(cut) = cut_into(&text, room) {
            entry.push_str(&cut);
            self.left_out += 1;
        } else {
            self.left_out += 1;
            return;
        }
        self.out.push_str(&entry);
        self.keys.push(key.to_owned());
    }

    pub fn finish(mut self) -> String {
        if self.left_out > 0 {
            self.out.push_str(if self.keys.is_empty() { "" } else { "," });
            self.out.push_str("\"_cut\":\"values cut or left out: ");
            self.out.push_str(&self.left_out.to_string());
            self.out.push('"');
        }
        self.out.push('}');
        self.out
    }
}

/// Shorter pieces than this tell nothing.
const PIECE_BYTES_MIN: usize = 64;

/// The beginning of a value as a JSON string ending in `…`, in at most `room` bytes.
fn cut_into(text: &str, room: usize) -> Option<String> {
    if room < PIECE_BYTES_MIN {
        return None;
    }
    let shown = Json::new(text).display()?;
    let mut left = room - "\"…\"".len();
    let escaped_len = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        c if c < ' ' => 6,
        c => c.len_utf8(),
    };
    let mut fits = |c: char| left.checked_sub(escaped_len(c)).map(|rest| left = rest).is_some();
    let end = shown.find(|c| !fits(c)).unwrap_or(shown.len());
    let mut quoted = String::with_capacity(room);
    write_string(&mut quoted, &shown[..end]);
    quoted.insert(quoted.len() - 1, '…');
    Some(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use tenterhook_transformer::Event;

    fn details(data: &str, max: usize) -> String {
        let event = Event {
            id: String::new(),
            type_: String::new(),
            timestamp: String::new(),
            data: data.to_owned(),
            metadata: None,
            tenant: None,
        };
        let mut details = Details::new(max);
        details.add_all(&View::new(&event));
        details.finish()
    }

    #[test]
    fn what_fits_stays_as_it_was_written() {
        assert_eq!(details(r#"{"a": 1.00,"b":{"c":[1, 2]}}"#, 1_000), r#"{"a":1.00,"b":{"c":[1, 2]}}"#);
        assert_eq!(details("[1]", 1_000), r#"{"data":[1]}"#);
        assert_eq!(details("null", 1_000), "{}");
    }

    #[test]
    fn what_does_not_fit_is_cut_and_counted() {
        let data = serde_json::json!({ "a": "\"".repeat(1_000), "b": [1, 2, 3], "c": 1 }).to_string();
        let cut = details(&data, 300);
        assert!(cut.len() <= 300);
        let value: Value = serde_json::from_str(&cut).unwrap();
        assert_eq!((&value["b"][2], &value["c"]), (&Value::from(3), &Value::from(1)));
        assert!(value["a"].as_str().unwrap().ends_with("\"…"), "{cut}");
        assert_eq!(value["_cut"], "values cut or left out: 1");
    }

    proptest! {
        #[test]
        fn it_is_always_a_valid_object_within_its_limit(
            values in prop::collection::btree_map(any::<String>(), ".{0,200}", 0..10),
            max in 150..800_usize,
        ) {
            let data = serde_json::to_string(&values).unwrap();
            let cut = details(&data, max);
            prop_assert!(cut.len() <= max);
            prop_assert!(serde_json::from_str::<Value>(&cut).unwrap().is_object());
        }
    }
}
