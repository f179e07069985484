//! Links: those of the options, with values of the event in them, and those that the event brings along. Refuses what
//! does not lead to the web: a target would refuse the message for it, or worse, open it.

use serde::Deserialize;
use tenterhook_transformer::{Level, log};

use crate::{Json, Template, View, blank};

/// A link of the options: `{ text = "Runbook", url = "https://…/{data.service}" }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    text: Template,
    url: Template,
}

/// A link with the event's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedLink {
    pub text: String,
    pub url: String,
}

/// What the first link is called where it has no name of its own.
const OPEN: &str = "Open";

/// Keys of data that hold the address of what the event is about, the best first.
const URL_KEYS: [&str; 7] = ["url", "html_url", "htmlUrl", "generatorURL", "generatorUrl", "generator_url", "permalink"];

/// Keys of data, and of `annotations` in it, whose address has a name.
const NAMED_URL_KEYS: [(&str, &str); 8] = [
    ("runbook_url", "Runbook"),
    ("runbookURL", "Runbook"),
    ("runbookUrl", "Runbook"),
    ("dashboard_url", "Dashboard"),
    ("dashboardURL", "Dashboard"),
    ("silence_url", "Silence"),
    ("silenceURL", "Silence"),
    ("panelURL", "Panel"),
];

/// A longer URL is refused by one target or another.
const OWN_URL_BYTES_MAX: usize = 2_000;

/// Whether the links of the options can lead to the web, and how many there are.
pub fn check_links(link: Option<&Template>, links: &[Link], links_max: usize) -> Result<(), String> {
    let may_lead_to_the_web =
        |url: &Template| url.starts_with("https://") || url.starts_with("http://") || url.starts_with_value();
    if link.is_some_and(|link| !link.is_empty() && !may_lead_to_the_web(link)) {
        return Err("option `link` must begin with https:// or http://, or with a value such as {data.url}".to_owned());
    }
    if links.iter().any(|link| !may_lead_to_the_web(&link.url)) {
        return Err(
            "option `links`: every `url` must begin with https:// or http://, or with a value such as {data.url}".to_owned()
        );
    }
    if links.len() > links_max {
        return Err(format!("option `links` has {} links, {links_max} are allowed", links.len()));
    }
    Ok(())
}

/// The link of the options; without the option, the address that the event brings along. `key` is the member it is from.
pub(crate) fn main_link(view: &View<'_>, option: Option<&Template>) -> (Option<String>, Option<&'static str>) {
    if let Some(template) = option {
        return (render(view, template, "link"), None);
    }
    let own = URL_KEYS.into_iter().find_map(|key| Some((own_url(view.get(key)?)?, key)));
    own.map_or((None, None), |(url, key)| (Some(url), Some(key)))
}

/// The links of the options; then those with a name that the event brings along.
pub(crate) fn other_links(view: &View<'_>, options: &[Link]) -> Vec<RenderedLink> {
    let from_options = options.iter().filter_map(|link| {
        let text = link.text.render(view);
        let text = if blank(&text) { OPEN.to_owned() } else { text };
        Some(RenderedLink { text, url: render(view, &link.url, "links")? })
    });
    let mut links: Vec<RenderedLink> = from_options.collect();
    // Who names links wants those.
    if !options.is_empty() {
        return links;
    }
    let annotations = view.get("annotations");
    for (key, text) in NAMED_URL_KEYS {
        let value = view.get(key).or_else(|| annotations?.get(key));
        if let Some(url) = value.and_then(own_url)
            && links.iter().all(|link| link.text != text)
        {
            links.push(RenderedLink { text: text.to_owned(), url });
        }
    }
    links
}

/// The members of the data that [`other_links`] shows when the options name no links.
pub(crate) fn named_link_keys(view: &View<'_>) -> impl Iterator<Item = &'static str> {
    NAMED_URL_KEYS.into_iter().map(|(key, _)| key).filter(|key| view.get(key).and_then(own_url).is_some())
}

/// `None` for what is no address; nobody asked for it, so nothing is said.
fn own_url(json: Json<'_>) -> Option<String> {
    let text = json.as_string()?;
    let url = written(text.trim());
    (url.len() <= OWN_URL_BYTES_MAX && leads_to_the_web(&url)).then_some(url)
}

/// The template as a URL. Nothing if it is empty for this event; what leads elsewhere is left out, and the log says so.
fn render(view: &View<'_>, template: &Template, option: &str) -> Option<String> {
    let url = template.render_with(view, push_value);
    if blank(&url) {
        return None;
    }
    if leads_to_the_web(&url) {
        return Some(url);
    }
    let shown: String = url.chars().take(100).collect();
    log(Level::Warn, format!("option `{option}`: `{shown}` is no https or http URL: the link is left out"));
    None
}

/// At the beginning of a URL a value is the URL, or its first part. In a path its slashes stay, unless they would climb
/// out of it. Everywhere else it cannot leave its part.
fn push_value(value: &str, out: &mut String) {
    if out.is_empty() {
        out.push_str(&written(value.trim()));
        return;
    }
    let after_authority = out.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    let in_path = after_authority.is_some_and(|(_, path)| !path.contains(['?', '#']));
    let climbs = value.split('/').any(|segment| matches!(segment, "." | ".."));
    push_encoded(value, out, |byte| byte == b'/' && in_path && !climbs);
}

fn push_encoded(value: &str, out: &mut String, stays: impl Fn(u8) -> bool) {
    let hex = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble & 15)]);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || stays(byte) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', hex(byte >> 4), hex(byte)]);
        }
    }
}

/// A URL as it can be sent: characters that a URL may have stay, all else is percent-encoded.
fn written(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    push_encoded(url, &mut out, |byte| b"!#$%&'()*+,/:;=?@[]".contains(&byte));
    out
}

fn leads_to_the_web(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    // A host has no escapes: what has them there was a whole URL put behind `https://`.
    is_web && !host.is_empty() && !host.starts_with([':', '@']) && !host.contains('%')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::event;

    fn link(template: &str, data: &str) -> Option<String> {
        main_link(&View::new(&event("a.b", data)), Some(&Template::parse(template).unwrap())).0
    }

    #[test]
    fn a_value_that_is_the_whole_link_is_taken_as_it_is() {
        let url = "https://github.com/octo/hello/pull/2?x=1&y=%20#c";
        assert_eq!(link("{data.url}", &format!(r#"{{"url":"{url}"}}"#)).as_deref(), Some(url));
        assert_eq!(
            link("{data.base}/runs/{data.id}", r#"{"base":"http://ci.test","id":"a/b c"}"#).unwrap(),
            "http://ci.test/runs/a/b%20c"
        );
        assert_eq!(link("{data.url}", r#"{"url":"https://x.test/a b<é>"}"#).unwrap(), "https://x.test/a%20b%3C%C3%A9%3E");
        for data in [
            r#"{"url":"javascript:alert(1)"}"#,
            r#"{"url":"//x.test"}"#,
            r#"{"url":"https://"}"#,
            r#"{"url":" file:///x"}"#,
            "{}",
        ] {
            assert_eq!(link("{data.url}", data), None, "{data}");
        }
    }

    #[test]
    fn a_value_within_a_link_cannot_leave_its_part() {
        let within = |template: &str, value: &str| link(template, &format!(r#"{{"x":"{value}"}}"#)).unwrap();
        assert_eq!(within("https://github.com/{data.x}/pulls", "acme/app"), "https://github.com/acme/app/pulls");
        assert_eq!(within("https://x.test/{data.x}", "../é?&#"), "https://x.test/..%2F%C3%A9%3F%26%23");
        assert_eq!(within("https://x.test/a?q={data.x}", "a/b&c"), "https://x.test/a?q=a%2Fb%26c");
        assert_eq!(within("https://{data.x}/a", "x.test"), "https://x.test/a");
        for value in ["x.test/evil@", "https://x.test/a"] {
            assert_eq!(link("https://{data.x}/a", &format!(r#"{{"x":"{value}"}}"#)), None, "{value}");
        }
    }

    #[test]
    fn an_event_brings_its_links_along() {
        let data = r#"{"html_url":"https://x.test/1","annotations":{"runbook_url":"https://wiki.test"},"silenceURL":"nope"}"#;
        let event = event("a.b", data);
        let view = View::new(&event);
        assert_eq!(main_link(&view, None), (Some("https://x.test/1".to_owned()), Some("html_url")));
        assert_eq!(other_links(&view, &[]), [RenderedLink { text: "Runbook".to_owned(), url: "https://wiki.test".to_owned() }]);
        assert_eq!(main_link(&view, Some(&Template::parse("").unwrap())), (None, None));
    }

    #[test]
    fn links_that_cannot_lead_to_the_web_are_refused() {
        let links: Vec<Link> = serde_json::from_str(r#"[{"text":"x","url":"javascript:{data.x}"}]"#).unwrap();
        assert!(check_links(None, &links, 5).unwrap_err().starts_with("option `links`: every `url` must begin with https://"));
        assert!(check_links(Some(&Template::parse("ftp://{data.x}").unwrap()), &[], 5).is_err());
        for text in ["{data.url}", "https://x.test", ""] {
            assert_eq!(check_links(Some(&Template::parse(text).unwrap()), &[], 5), Ok(()));
        }
    }
}
