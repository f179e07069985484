//! Query strings of lists: known parameters only, each at most once, all problems at once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use serde_json::{Value, json};

use crate::http::problem::{Kind, Problem};
use crate::model::Timestamp;
use crate::store::Cursor;

const LIMIT_MAX: usize = 250;
const LIMIT_DEFAULT: usize = 50;

/// How alike two words must be for the one to be suggested for the other.
const LIKENESS_MIN: f64 = 0.7;

pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    problems: Vec<Value>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) limit: usize,
    pub(crate) after: Option<Cursor>,
}

/// A [`Window`] for a list sorted by name. The cursor is the last name of the page before: rows added or removed shift nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    limit: usize,
    after: Option<String>,
}

impl Names {
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The page of `rows`, which are in the order of their names, and the cursor of the next.
    pub(crate) fn page<T>(&self, rows: impl IntoIterator<Item = T>, name: impl Fn(&T) -> &str) -> (Vec<T>, Option<String>) {
        let after = |row: &T| self.after.as_deref().is_none_or(|after| name(row) > after);
        let mut rows: Vec<T> = rows.into_iter().filter(after).take(self.limit + 1).collect();
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = rows.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(name(last)));
        (rows, next)
    }
}

impl Query {
    pub(crate) fn read(uri: &Uri, known: &[&str]) -> Self {
        let mut query = Self { pairs: Vec::new(), problems: Vec::new() };
        for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                let detail = unknown(&name, known);
                query.refuse(&name, detail);
            } else if query.pairs.iter().any(|(seen, _)| *seen == name) {
                query.refuse(&name, "is given twice: give it once".to_owned());
            } else {
                query.pairs.push((name.into_owned(), value.into_owned()));
            }
        }
        query
    }

    /// `None` when it is not given, is empty, or was refused.
    pub(crate) fn take<T, E: ToString>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let at = self.pairs.iter().position(|(known, value)| known == name && !value.is_empty())?;
        match parse(&self.pairs[at].1) {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(name, error.to_string());
                None
            }
        }
    }

    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
        self.take(name, Timestamp::parse)
    }

    pub(crate) fn window(&mut self) -> Window {
        let limit = self.take("limit", |text| match text.parse::<usize>() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            _ => Err(format!("is a number from 1 to {LIMIT_MAX}")),
        });
        let after =
            self.take("cursor", |text| parse_cursor(text).ok_or("is none of ours: take it from `next` of the page before"));
        Window { limit: limit.unwrap_or(LIMIT_DEFAULT), after }
    }

    /// As [`Query::window`], for lists in the order of names.
    pub(crate) fn names(&mut self) -> Names {
        let after = self.take("cursor", |text| {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok();
            bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or("is none of ours: take it from `next` of the page before")
        });
        self.pairs.retain(|(name, _)| name != "cursor");
        Names { limit: self.window().limit, after }
    }

    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.problems.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> =
            self.problems.iter().map(|p| format!("`{}` {}", text(&p["parameter"]), text(&p["detail"]))).collect();
        Err(Problem::new(Kind::BadRequest, texts.join("; ")).with("errors", self.problems))
    }

    fn refuse(&mut self, name: &str, detail: String) {
        let name: String = name.chars().take(60).collect();
        self.problems.push(json!({"parameter": name, "detail": detail}));
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn unknown(name: &str, known: &[&str]) -> String {
    let scored = known.iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let closest = scored.filter(|(score, _)| *score >= LIKENESS_MIN).max_by(|a, b| a.0.total_cmp(&b.0));
    match closest {
        Some((_, near)) => format!("is not known here, did you mean `{near}`?"),
        None if known.is_empty() => "is not known here: there are no parameters".to_owned(),
        None => format!("is not known here: there are {}", known.join(", ")),
    }
}

/// Opaque to clients, so that it may become something else.
pub(crate) fn show_cursor(cursor: Cursor) -> String {
    URL_SAFE_NO_PAD.encode(cursor.0.to_be_bytes())
}

fn parse_cursor(text: &str) -> Option<Cursor> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(Cursor(i64::from_be_bytes(bytes.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KNOWN: [&str; 4] = ["webhook", "state", "limit", "cursor"];

    fn read(text: &str) -> (Window, Result<(), String>) {
        let uri: Uri = format!("/v1/deliveries?{text}").parse().unwrap();
        let mut query = Query::read(&uri, &KNOWN);
        let window = query.window();
        (window, query.finish().map_err(|problem| problem.to_json()["detail"].as_str().unwrap().to_owned()))
    }

    #[test]
    fn all_problems_are_named_at_once_with_suggestions() {
        let (_, result) = read("webhok=a&limit=0&state=a&state=b&colour=red&cursor=!");
        assert_eq!(
            result.unwrap_err(),
            "`webhok` is not known here, did you mean `webhook`?; `state` is given twice: give it once; `colour` is not known \
             here: there are webhook, state, limit, cursor; `limit` is a number from 1 to 250; `cursor` is none of ours: take it \
             from `next` of the page before"
        );
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        assert_eq!(read("").0, Window { limit: 50, after: None });
        assert_eq!(read("limit=&cursor=").0, Window { limit: 50, after: None });
        assert_eq!(read("limit=250").0.limit, 250);
    }

    #[test]
    fn a_page_of_names_goes_on_after_the_last_one() {
        let page = |names: &[&'static str], query: &str| {
            let uri: Uri = format!("/x?{query}").parse().unwrap();
            let mut query = Query::read(&uri, &["limit", "cursor"]);
            let window = query.names();
            query.finish().unwrap();
            window.page(names.to_vec(), |name| name)
        };
        let (first, next) = page(&["a", "b", "c"], "limit=2");
        assert_eq!(first, ["a", "b"]);
        let query = format!("limit=2&cursor={}", next.unwrap());
        assert_eq!(page(&["a", "aa", "c", "d"], &query), (vec!["c", "d"], None));
    }

    proptest! {
        #[test]
        fn cursors_come_back_as_they_went(number in any::<i64>()) {
            prop_assert_eq!(parse_cursor(&show_cursor(Cursor(number))), Some(Cursor(number)));
        }

        #[test]
        fn no_query_panics(text in "[ -~]{0,80}") {
            if let Ok(uri) = format!("/v1/deliveries?{text}").parse::<Uri>() {
                let mut query = Query::read(&uri, &KNOWN);
                query.window();
                let _ = query.finish();
            }
        }
    }
}
