//! A path followed within an event: `$ref` of a filter, and the key of `order_by`. How paths are written is
//! `model::field_path`'s.

use serde_json::Value;

use super::FIELDS;
use crate::model::{FieldPath, Step};

/// `data.items[$index].price`, from the event's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    text: String,
    path: FieldPath,
}

/// Fields of an event that are texts: nothing is below them.
const TEXTS: [&str; 4] = ["id", "type", "timestamp", "tenant"];

impl Reference {
    /// A path with `[$index]`, the position in the list that is being compared.
    ///
    /// # Errors
    /// In words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Self::checked(text, FieldPath::parse_reference(text)?)
    }

    /// A path to one value, whatever is being compared.
    ///
    /// # Errors
    /// In words.
    pub(super) fn parse_single(text: &str) -> Result<Self, String> {
        Self::checked(text, FieldPath::parse(text)?)
    }

    fn checked(text: &str, path: FieldPath) -> Result<Self, String> {
        let field = path.field();
        if !FIELDS.contains(&field) {
            let near = FIELDS.into_iter().find(|known| strsim::damerau_levenshtein(known, field) <= 1);
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("what was published is under data, so write data.{text}"),
            };
            return Err(format!("`{text}` begins with `{field}`, which an event does not have: {help}"));
        }
        if TEXTS.contains(&field) && path.steps().len() > 1 {
            return Err(format!("`{text}` never leads to a value: `{field}` of an event is a text, which has no fields"));
        }
        Ok(Self { text: text.to_owned(), path })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// A part that looks as if it were the end of a key with dots: the path may lead nowhere.
    pub(super) fn suspicion(&self) -> Option<String> {
        let steps = self.path.steps();
        let at = steps.iter().position(|step| step.key().is_some_and(|key| key.contains('/')))?;
        let key = steps[at].key()?;
        // Quoted on purpose, or a key with a slash and no dots around it.
        if at < 2 || self.text.contains(['"', '\'']) {
            return None;
        }
        Some(format!(
            "`{}` has the part `{key}`: if dots belong to a key, quote it, as in data.labels.\"app.kubernetes.io/name\"",
            self.text
        ))
    }

    /// The value that it leads to; null where there is none. `None` when an `[$index]` is outside of an array.
    pub(super) fn resolve<'v>(&self, root: &'v Value, indexes: &[usize]) -> Option<&'v Value> {
        let mut at = Some(root);
        let mut indexes = indexes.iter();
        for step in self.path.steps() {
            let index = match step {
                Step::CurrentIndex => Some(*indexes.next()?),
                step => step.index(),
            };
            at = at.and_then(|value| match value {
                Value::Array(items) => items.get(index?),
                other => other.get(step.key()?),
            });
        }
        Some(at.unwrap_or(&Value::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_to_one_value() {
        let root = json!({"data": {"a b": [{"x": 1}, {"x": 2}], "n": 7, "labels": {"k8s.io/name": "web"}, "0": "zero"}});
        for (text, indexes, expected) in [
            ("data.n", &[][..], json!(7)),
            ("$.data.n", &[], json!(7)),
            ("data['a b'][1].x", &[], json!(2)),
            ("data.'a b'.1.x", &[], json!(2)),
            ("data.a b.0.x", &[], json!(1)),
            ("data.labels.\"k8s.io/name\"", &[], json!("web")),
            ("data.0", &[], json!("zero")),
            ("data[\"a b\"][$index].x", &[1][..], json!(2)),
            ("data.nope.deeper", &[], json!(null)),
            ("data.\"a b\".\"0\"", &[], json!(null)),
        ] {
            assert_eq!(Reference::parse(text).unwrap().resolve(&root, indexes), Some(&expected), "{text}");
        }
        assert_eq!(Reference::parse("data['a b'][$index]").unwrap().resolve(&root, &[]), None);
    }

    #[test]
    fn what_can_never_lead_to_a_value_is_refused_or_suspected() {
        for (text, words) in [
            ("body.id", "begins with `body`"),
            ("dat.id", "did you mean `data`?"),
            ("account_id", "so write data.account_id"),
            ("type.name", "`type` of an event is a text"),
            ("data.*", "more than one value"),
            ("", "empty part"),
        ] {
            let error = Reference::parse_single(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        let suspicion = |text: &str| Reference::parse_single(text).unwrap().suspicion();
        assert!(suspicion("data.labels.app.kubernetes.io/name").unwrap().contains("quote it"));
        assert_eq!(suspicion("data.labels.\"app.kubernetes.io/name\""), None);
        assert_eq!(suspicion("data.and/or"), None);
    }
}
