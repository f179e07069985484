//! `json`: a table whose strings are templates. The result is JSON for every event.

use minijinja::{AutoEscape, Environment, Value};
use serde_json::Value as Json;
use tenterhook_message::write_string;

use crate::{output, render};

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
    let mut out = String::new();
    write(&mut out, environment, "json", json, context)?;
    Ok(out)
}

fn write(out: &mut String, environment: &Environment<'_>, path: &str, json: &Json, context: &Value) -> Result<(), String> {
    match json {
        Json::String(text) => match expression(text) {
            // A number stays a number, a list a list.
            Some(expression) => {
                let failed = |error: minijinja::Error| render::explain(path, &error);
                let value = environment.compile_expression(expression).map_err(failed)?.eval(context.clone()).map_err(failed)?;
                out.push_str(&output::json(&value).map_err(failed)?);
            }
            None => write_string(out, &render::render(environment, path, text, AutoEscape::None, context)?),
        },
        Json::Array(list) => {
            out.push('[');
            for (at, item) in list.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                write(out, environment, &format!("{path}.{at}"), item, context)?;
            }
            out.push(']');
        }
        Json::Object(map) => {
            out.push('{');
            for (at, (key, item)) in map.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                write_string(out, key);
                out.push(':');
                write(out, environment, &format!("{path}.{key}"), item, context)?;
            }
            out.push('}');
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => out.push_str(&json.to_string()),
    }
    Ok(())
}

/// The expression of a string that is nothing else: `{{ data.total }}`.
fn expression(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inside.contains("{{") && !inside.contains("}}")).then(|| inside.trim_matches('-').trim())
}
