//! Whether an export is whole: lists come in pages, and an endpoint on a page that was not fetched gets nothing. Pure.

use serde_json::Value;

/// A page of a list and its number of rows.
pub(super) struct Page<'v> {
    pub(super) document: &'v Value,
    pub(super) rows: usize,
}

/// Members whose value says whether another page follows, and which value that is.
const FOLLOWS: [(&str, bool); 6] = [
    ("done", false),
    ("has_next_page", true),
    ("has_more", true),
    ("hasMore", true),
    ("hasNextPage", true),
    ("is_last_page", false),
];

/// Members with the number of all rows, of all pages together.
const TOTALS: [&str; 4] = ["total", "total_count", "totalCount", "count"];

/// Members with the page's own number, and with the number of pages.
const NUMBERED: [(&str, &str); 3] = [("page", "totalPage"), ("page", "total_pages"), ("page", "pages")];

/// Why these pages of one list are not the whole list, if they are not.
pub(super) fn missing(pages: &[Page<'_>]) -> Option<String> {
    // Each page but the last is followed by another one.
    let more: Vec<String> = pages.iter().filter_map(|page| follows(page.document)).collect();
    if !more.is_empty() && more.len() == pages.len() {
        return more.into_iter().next_back();
    }
    let rows: usize = pages.iter().map(|page| page.rows).sum();
    let total = pages
        .iter()
        .flat_map(|page| envelopes(page.document))
        .find_map(|envelope| TOTALS.iter().find_map(|name| Some((*name, usize::try_from(envelope.get(*name)?.as_u64()?).ok()?))));
    total.filter(|(_, total)| *total > rows).map(|(name, total)| format!("`{name}` is {total}, and there are {rows} entries"))
}

fn follows(document: &Value) -> Option<String> {
    envelopes(document).into_iter().find_map(|envelope| {
        let flag = FOLLOWS.iter().find(|(name, more)| envelope.get(*name).and_then(Value::as_bool) == Some(*more));
        if let Some((name, more)) = flag {
            let cursors = ["iterator", "next_page_cursor", "nextPageCursor", "next"];
            let cursor = cursors.iter().find_map(|key| Some((*key, envelope.get(*key)?.as_str()?)));
            let cursor = cursor.map_or_else(String::new, |(key, value)| format!(" ({key}: {value})"));
            return Some(format!("`{name}` is {more}{cursor}"));
        }
        let number = |name: &str| envelope.get(name).and_then(Value::as_u64);
        NUMBERED.iter().find_map(|(page, pages)| {
            let (at, of) = (number(page)?, number(pages)?);
            (at < of).then(|| format!("it is page {at} of {of}"))
        })
    })
}

/// Where systems put what they say of a list: beside it, or in an object of its own.
fn envelopes(document: &Value) -> Vec<&Value> {
    let outer = [Some(document), document.get("data"), document.get("content")];
    let mut found = Vec::new();
    for envelope in outer.into_iter().flatten().filter(|value| value.is_object()) {
        found.push(envelope);
        let inner = ["pagination", "meta", "page_info", "pageInfo", "paging"].iter().filter_map(|name| envelope.get(*name));
        found.extend(inner.filter(|value| value.is_object()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_that_goes_on_elsewhere_is_recognised() {
        let missing_of = |documents: &[Value], rows: usize| {
            super::missing(&documents.iter().map(|document| Page { document, rows }).collect::<Vec<_>>())
        };
        for (document, why) in [
            (json!({"data": [], "done": false, "iterator": "ep_9"}), "`done` is false (iterator: ep_9)"),
            (
                json!({"data": {"content": [], "pagination": {"has_next_page": true, "next_page_cursor": "c"}}}),
                "`has_next_page` is true (next_page_cursor: c)",
            ),
            (json!({"webhooks": [], "has_more": true}), "`has_more` is true"),
            (json!({"webhooks": [], "total": 3}), "`total` is 3, and there are 2 entries"),
            (json!({"data": {"content": [], "pagination": {"page": 1, "perPage": 20, "totalPage": 4}}}), "it is page 1 of 4"),
        ] {
            assert_eq!(missing_of(&[document], 2).as_deref(), Some(why));
        }
        for documents in [
            vec![json!([])],
            vec![json!({"data": [], "done": true, "iterator": "ep_9"})],
            vec![json!({"data": [], "done": false}), json!({"data": [], "done": true})],
            vec![json!({"data": {"content": [], "pagination": {"has_next_page": false, "next_page_cursor": ""}}})],
            vec![json!({"webhooks": [], "total": 4}), json!({"webhooks": [], "total": 4})],
        ] {
            assert_eq!(missing_of(&documents, 2), None, "{documents:?}");
        }
    }
}
