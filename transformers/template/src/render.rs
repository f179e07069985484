//! Templates over an event: what they see, what they may spend, how their values are escaped.

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use serde::de::IgnoredAny;
use tenterhook_transformer::{Body, Event, Request};

use crate::{Options, document, output, structure};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Whether every template can be read.
pub fn check(options: &Options) -> Result<(), String> {
    let environment = environment(options);
    if let Some(text) = &options.text {
        compile(&environment, "text", text)?;
    }
    if let Some(json) = &options.json {
        structure::check(&environment, "json", json)?;
    }
    for (name, text) in &options.headers {
        compile(&environment, &format!("headers.{name}"), text)?;
    }
    options.url.iter().try_for_each(|url| compile(&environment, "url", url))?;
    try_names(options)
}

/// Filters, tests and functions are looked up when they are used: over an event without data, that says which of them
/// are unknown. All else that it says is for real events to say.
fn try_names(options: &Options) -> Result<(), String> {
    let sample = Event {
        id: "evt_sample".to_owned(),
        type_: "sample".to_owned(),
        timestamp: "2026-01-28T10:30:45.123Z".to_owned(),
        data: "{}".to_owned(),
        metadata: None,
        tenant: None,
    };
    let said = request(&[sample], options).err().unwrap_or_default();
    let unknown = ["unknown filter", "unknown function", "unknown test"].iter().any(|kind| said.contains(kind));
    if unknown { Err(said) } else { Ok(()) }
}

pub fn request(events: &[Event], options: &Options) -> Result<Request, String> {
    let environment = environment(options);
    let context = context(events);
    let content_type = options.content_type.as_deref().unwrap_or(if options.json.is_some() { JSON } else { TEXT });
    let body = match (&options.json, &options.text) {
        (Some(json), _) => structure::render(&environment, json, &context)?,
        (None, text) => {
            let escape = escape_of(content_type);
            let body = render(&environment, "text", text.as_deref().unwrap_or_default(), escape.clone(), &context)?;
            if escape == AutoEscape::Json {
                serde_json::from_str::<IgnoredAny>(&body).map_err(|error| {
                    format!("option `text` makes no JSON, which its content type promises: {error}; values bring their quotes along, as in {{\"user\": {{{{ data.user }}}}}}")
                })?;
            }
            body
        }
    };
    let mut request = Request { body: Body::Text(body), method: options.method.clone(), ..Request::json("") };
    for (name, text) in &options.headers {
        request = request.header(name, render(&environment, &format!("headers.{name}"), text, AutoEscape::None, &context)?);
    }
    request.url = options.url.as_ref().map(|url| render(&environment, "url", url, AutoEscape::None, &context)).transpose()?;
    Ok(request.header("content-type", content_type))
}

/// JSON values in JSON, entities in HTML and XML, percent-encoding in forms, text as it is in all else.
fn escape_of(content_type: &str) -> AutoEscape {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == JSON || essence.ends_with("+json") {
        AutoEscape::Json
    } else if essence == "application/x-www-form-urlencoded" {
        output::FORM
    } else if essence.ends_with("html") || essence.ends_with("xml") {
        AutoEscape::Html
    } else {
        AutoEscape::None
    }
}

fn environment(options: &Options) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(options.fuel));
    environment.set_undefined_behavior(if options.strict { UndefinedBehavior::Strict } else { UndefinedBehavior::Chainable });
    output::install(&mut environment);
    environment
}

/// `id`, `type`, `timestamp`, `data`, `metadata`, `tenant` of the (first) event, `raw` (its data as it was published), and
/// all `events`.
fn context(events: &[Event]) -> Value {
    let all: Vec<Value> = events.iter().map(one).collect();
    let first = all.first().cloned().unwrap_or_default();
    let raw = events.first().map_or("", |event| &event.data);
    let mut names: Vec<(&str, Value)> = ["id", "type", "timestamp", "data", "metadata", "tenant"]
        .into_iter()
        .map(|name| (name, first.get_attr(name).unwrap_or_default()))
        .collect();
    names.push(("raw", Value::from(raw)));
    names.push(("events", Value::from(all)));
    Value::from_pairs(names)
}

fn one(event: &Event) -> Value {
    Value::from_pairs([
        ("id", Value::from(event.id.as_str())),
        ("type", Value::from(event.type_.as_str())),
        ("timestamp", Value::from(event.timestamp.as_str())),
        ("data", document::value(&event.data)),
        ("metadata", event.metadata.as_deref().map(document::value).unwrap_or_default()),
        ("tenant", event.tenant.as_deref().map_or(Value::UNDEFINED, Value::from)),
    ])
}

pub fn compile(environment: &Environment<'_>, option: &str, text: &str) -> Result<(), String> {
    environment.template_from_str(text).map(|_| ()).map_err(|error| explain(option, &error))
}

pub fn render(
    environment: &Environment<'_>,
    option: &str,
    text: &str,
    escape: AutoEscape,
    context: &Value,
) -> Result<String, String> {
    let mut environment = environment.clone();
    environment.set_auto_escape_callback(move |_| escape.clone());
    let template = environment.template_from_str(text).map_err(|error| explain(option, &error))?;
    template.render(context.clone()).map_err(|error| explain(option, &error))
}

/// With the line of the template, for templates of several lines.
pub fn explain(option: &str, error: &minijinja::Error) -> String {
    if error.kind() == ErrorKind::OutOfFuel {
        return format!("option `{option}`: the template takes more than its `fuel`: check its loops, or raise it");
    }
    let line = error.line().filter(|line| *line > 1).map(|line| format!(", line {line}")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("option `{option}`{line}: {}{detail}", error.kind())
}
