//! `/docs`: the document as one page that needs nothing else, neither a network nor a script.

use std::fmt::Write as _;

use serde_json::Value;

const STYLE: &str = "
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--accent:light-dark(#0b57a4,#7ab7f5)}
*{box-sizing:border-box}
body{font:15px/1.55 system-ui,sans-serif;margin:0;display:grid;grid-template-columns:17rem minmax(0,1fr)}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1rem;border-right:1px solid var(--line);font-size:13px}
nav a{display:block;padding:.1rem 0;color:inherit;text-decoration:none;overflow-wrap:anywhere}
nav a:hover,nav a:focus{color:var(--accent);text-decoration:underline}
nav h2{font-size:13px;margin:1rem 0 .2rem;text-transform:capitalize}
main{padding:1rem 2rem 4rem;max-width:60rem}
h1{margin-top:.5rem}h3{margin:2.2rem 0 .4rem;border-top:1px solid var(--line);padding-top:1rem}
h4{margin:1rem 0 .3rem}
code,pre{font:13px/1.45 ui-monospace,monospace}
pre{background:var(--soft);padding:.7rem;overflow:auto;border-radius:6px;max-height:24rem}
.method{display:inline-block;min-width:3.6rem;font-weight:700;color:var(--accent)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line)}
td:first-child{white-space:nowrap}summary{cursor:pointer}
@media(max-width:50rem){body{display:block}nav{position:static;height:auto;max-height:40vh;border:0;border-bottom:1px solid var(--line)}main{padding:1rem}}
";

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

pub(super) fn render(document: &Value) -> String {
    let mut page = Page { document, out: String::with_capacity(128 * 1024) };
    page.whole();
    page.out
}

struct Page<'d> {
    document: &'d Value,
    out: String,
}

struct Operation<'d> {
    id: String,
    method: &'static str,
    path: &'d str,
    value: &'d Value,
}

impl<'d> Page<'d> {
    fn whole(&mut self) {
        let title = text(&self.document["info"]["title"]);
        let version = text(&self.document["info"]["version"]);
        let head =
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">";
        self.raw(&format!("{head}<title>{} API</title><style>{STYLE}</style><body>", escape(title)));
        let tags: Vec<(&str, &str)> =
            items(&self.document["tags"]).map(|tag| (text(&tag["name"]), text(&tag["description"]))).collect();
        self.contents(&tags);
        self.raw(&format!("<main><h1>{} API {}</h1>", escape(title), escape(version)));
        self.prose(text(&self.document["info"]["description"]));
        self.raw("<p>The same for programs: <a href=\"/openapi.json\">/openapi.json</a></p>");
        for (tag, description) in &tags {
            self.raw(&format!("<h2>{}</h2>", escape(tag)));
            self.prose(description);
            for operation in self.operations(tag) {
                self.operation(&operation);
            }
        }
        self.raw("<h2 id=\"sent\">What receivers get</h2>");
        if let Some(sent) = self.document.pointer("/webhooks/delivery/post") {
            self.operation(&Operation { id: "delivery".to_owned(), method: "post", path: "your endpoint", value: sent });
        }
        self.schemas();
        self.raw("</main></body></html>\n");
    }

    fn contents(&mut self, tags: &[(&str, &str)]) {
        self.raw("<nav aria-label=\"Contents\">");
        for (tag, _) in tags {
            self.raw(&format!("<h2>{}</h2>", escape(tag)));
            for operation in self.operations(tag) {
                let method = operation.method.to_uppercase();
                self.raw(&format!("<a href=\"#{}\"><b>{method}</b> {}</a>", operation.id, escape(operation.path)));
            }
        }
        self.raw("<h2>More</h2><a href=\"#sent\">What receivers get</a><a href=\"#schemas\">Schemas</a></nav>");
    }

    fn operations(&self, tag: &str) -> Vec<Operation<'d>> {
        let paths = self.document["paths"].as_object().into_iter().flatten();
        let all = paths.flat_map(|(path, item)| METHODS.iter().map(move |method| (path.as_str(), *method, &item[*method])));
        let tagged = all.filter(|(_, _, value)| items(&value["tags"]).any(|known| known == tag));
        let made = tagged.map(|(path, method, value)| {
            let id = format!("{method}{}", path.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
            Operation { id, method, path, value }
        });
        made.collect()
    }

    fn operation(&mut self, operation: &Operation<'_>) {
        let Operation { id, method, path, value } = operation;
        let method = method.to_uppercase();
        self.raw(&format!("<h3 id=\"{id}\"><code><span class=\"method\">{method}</span> {}</code></h3>", escape(path)));
        self.raw(&format!("<p><b>{}</b></p>", escape(text(&value["summary"]))));
        self.prose(text(&value["description"]));
        let parameters: Vec<&Value> = items(&value["parameters"]).collect();
        if !parameters.is_empty() {
            self.raw("<h4>Parameters</h4><table>");
            for parameter in parameters {
                self.parameter(parameter);
            }
            self.raw("</table>");
        }
        if value["requestBody"].is_object() {
            self.raw("<h4>Body</h4>");
            self.content(&value["requestBody"]["content"]);
        }
        self.raw("<h4>Answers</h4><table>");
        for (status, response) in value["responses"].as_object().into_iter().flatten() {
            self.raw(&format!("<tr><td><b>{}</b></td><td>", escape(status)));
            self.prose(text(&response["description"]));
            if status.starts_with('2') {
                self.content(&response["content"]);
            }
            self.raw("</td></tr>");
        }
        self.raw("</table>");
    }

    fn parameter(&mut self, parameter: &Value) {
        let required = if parameter["required"] == true { ", required" } else { "" };
        let location = format!("{}{required}", text(&parameter["in"]));
        let name = escape(text(&parameter["name"]));
        self.raw(&format!(
            "<tr><td><code>{name}</code></td><td>{} <small>({})</small>",
            kind(&parameter["schema"]),
            escape(&location)
        ));
        self.prose(text(&parameter["description"]));
        self.raw("</td></tr>");
    }

    /// By media type: what it is, and an example.
    fn content(&mut self, content: &Value) {
        for (media, value) in content.as_object().into_iter().flatten() {
            self.raw(&format!("<p><code>{}</code>: {}</p>", escape(media), kind(&value["schema"])));
            let example = self.example(value);
            if let Some(example) = example {
                let shown = example.as_str().map_or_else(|| format!("{example:#}"), str::to_owned);
                self.raw(&format!("<pre>{}</pre>", escape(&shown)));
            }
        }
    }

    /// Its own, or that of its schema.
    fn example(&self, media: &'d Value) -> Option<&'d Value> {
        let own = media.get("example");
        // A body that may be left out is one of two: null, or what it is.
        let optional = items(&media["schema"]["oneOf"]).find_map(|part| part["$ref"].as_str());
        let reference = || media["schema"]["$ref"].as_str().or(optional)?.rsplit('/').next();
        own.or_else(|| self.document["components"]["schemas"][reference()?].get("example"))
    }

    fn schemas(&mut self) {
        self.raw("<h2 id=\"schemas\">Schemas</h2>");
        for (name, schema) in self.document["components"]["schemas"].as_object().into_iter().flatten() {
            self.raw(&format!("<h3 id=\"schema-{0}\">{0}</h3>", escape(name)));
            self.prose(text(&schema["description"]));
            let required: Vec<&str> = items(&schema["required"]).map(text).collect();
            let properties = schema["properties"].as_object();
            if properties.is_none() {
                self.raw(&format!("<p>{}</p>", kind(schema)));
            }
            self.raw("<table>");
            for (field, value) in properties.into_iter().flatten() {
                let always = if required.contains(&field.as_str()) { "" } else { " <small>(optional)</small>" };
                self.raw(&format!("<tr><td><code>{}</code></td><td>{}{always}", escape(field), kind(value)));
                self.prose(text(&value["description"]));
                self.raw("</td></tr>");
            }
            self.raw("</table>");
            if let Some(example) = schema.get("example") {
                self.raw(&format!("<details><summary>Example</summary><pre>{}</pre></details>", escape(&format!("{example:#}"))));
            }
        }
    }

    /// Paragraphs, with `code` in backticks.
    fn prose(&mut self, text: &str) {
        for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
            let mut out = String::from("<p>");
            for (at, part) in paragraph.split('`').enumerate() {
                let _ = if at % 2 == 1 { write!(out, "<code>{}</code>", escape(part)) } else { write!(out, "{}", escape(part)) };
            }
            self.raw(&out);
            self.raw("</p>");
        }
    }

    fn raw(&mut self, html: &str) {
        self.out.push_str(html);
    }
}

/// A schema in a few words, as HTML.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escape(name));
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        if let Some(parts) = schema[word].as_array() {
            return parts.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(names) = schema["enum"].as_array() {
        return names.iter().map(|name| format!("<code>{}</code>", escape(text(name)))).collect::<Vec<_>>().join(", ");
    }
    let name = match &schema["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => names.iter().map(text).collect::<Vec<_>>().join(" or "),
        _ => "any JSON".to_owned(),
    };
    let format = schema["format"].as_str().map(|format| format!(" ({format})")).unwrap_or_default();
    let of = if schema["items"].is_object() { format!(" of {}", kind(&schema["items"])) } else { String::new() };
    format!("{}{}{of}", escape(&name), escape(&format))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}
