//! `json`: a table whose strings are templates. What comes out is JSON whatever the event says.

use minijinja::{AutoEscape, Environment, Value};
use serde_json::{Map, Value as Json};

use crate::render;

/// Whether every string in it is a template.
pub fn check(environment: &Environment<'_>, path: &str, json: &Json) -> Result<(), String> {
    match json {
        Json::String(text) => match expression(text) {
            Some(expression) => {
                environment.compile_expression(expression).map(|_| ()).map_err(|error| render::explain(path, &error))
            }
            None => render::compile(environment, path, text),
        },
        Json::Array(list) => list.iter().enumerate().try_for_each(|(at, item)| check(environment, &format!("{path}.{at}"), item)),
        Json::Object(map) => map.iter().try_for_each(|(key, item)| check(environment, &format!("{path}.{key}"), item)),
        Json::Null | Json::Bool(_) | Json::Number(_) => Ok(()),
    }
}

pub fn render(environment: &Environment<'_>, json: &Json, context: &Value) -> Result<String, String> {
    let rendered = value(environment, "json", json, context)?;
    serde_json::to_string(&rendered).map_err(|error| format!("option `json`: {error}"))
}

fn value(environment: &Environment<'_>, path: &str, json: &Json, context: &Value) -> Result<Json, String> {
    Ok(match json {
        Json::String(text) => match expression(text) {
            // A number stays a number, a list a list.
            Some(expression) => {
                let failed = |error: minijinja::Error| render::explain(path, &error);
                let value = environment.compile_expression(expression).map_err(failed)?.eval(context.clone()).map_err(failed)?;
                serde_json::to_value(&value).map_err(|error| format!("option `{path}`: {error}"))?
            }
            None => Json::String(render::render(environment, path, text, AutoEscape::None, context)?),
        },
        Json::Array(list) => {
            let item = |(at, item): (usize, &Json)| value(environment, &format!("{path}.{at}"), item, context);
            Json::Array(list.iter().enumerate().map(item).collect::<Result<_, _>>()?)
        }
        Json::Object(map) => {
            let item = |(key, item): (&String, &Json)| {
                Ok::<_, String>((key.clone(), value(environment, &format!("{path}.{key}"), item, context)?))
            };
            Json::Object(map.iter().map(item).collect::<Result<Map<_, _>, _>>()?)
        }
        other => other.clone(),
    })
}

/// The expression of a string that is nothing else: `{{ data.total }}`.
fn expression(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inside.contains("{{") && !inside.contains("}}")).then(|| inside.trim_matches('-').trim())
}
