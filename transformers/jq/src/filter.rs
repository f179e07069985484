//! A jq filter: compiled, run once over a value.

use std::fmt::Write as _;

use jaq_core::load::parse::Def;
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Val, read};
use serde::de::IgnoredAny;
use tenterhook_message::{limit_depth, without_half_surrogates};

use crate::{Options, assign};

type Data = data::JustLut<Val>;

/// A filter with its variables.
pub struct Filter<'f> {
    compiled: &'f jaq_core::Filter<Data>,
    vars: Vec<Val>,
}

/// Compiles the filter of the options and hands it to `then`: it lives no longer than its text.
pub fn compile<T>(options: &Options, then: impl FnOnce(&Filter<'_>) -> T) -> Result<T, String> {
    let names: Vec<String> = options.args.keys().map(|name| format!("${name}")).collect();
    let arena = Arena::default();
    let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs()).chain(own_defs()).map(shortened);
    let funs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs()).chain([assign::fill()]);
    let code = options.filter.as_str();
    // The filter becomes a definition, since only those can be given to the compiler as a tree.
    let main = load::parse(code, |parser| parser.term()).map(|term| Def {
        name: MAIN,
        args: Vec::new(),
        body: assign::with_path_creation(term),
    });
    let called = if main.is_some() { MAIN } else { code };
    let modules =
        Loader::new(defs.chain(main)).load(&arena, File { code: called, path: () }).map_err(|errors| load_error(code, errors))?;
    let compiled = Compiler::default()
        .with_global_vars(names.iter().map(String::as_str))
        // Their names live longer than those of the variables.
        .with_funs(funs.map(|(name, args, run)| {
            let name: &str = name;
            (name, args, run)
        }))
        .compile(modules)
        .map_err(|errors| undefined(&options.filter, errors))?;
    let mut vars = Vec::with_capacity(options.args.len());
    for (name, value) in &options.args {
        vars.push(parse(value.get()).map_err(|error| format!("option `args`: `{name}` cannot be read: {error}"))?);
    }
    Ok(then(&Filter { compiled: &compiled, vars }))
}

/// What the user's filter is called.
const MAIN: &str = "__filter";

/// Definitions that live as long as the filter, which joins them.
fn shortened<'s>(def: Def<&'static str>) -> Def<&'s str> {
    def
}

/// What jq has and jaq has not.
fn own_defs() -> impl Iterator<Item = Def<&'static str>> {
    load::parse(include_str!("defs.jq"), |parser| parser.defs()).unwrap_or_default().into_iter()
}

/// jaq reads and writes values recursively: what is nested deeper is given as its text.
const DEPTH_MAX: usize = 512;

fn parse(json: &str) -> Result<Val, String> {
    let json = without_half_surrogates(json);
    read::parse_single(limit_depth(&json, DEPTH_MAX).as_bytes()).map_err(|error| error.to_string())
}

impl Filter<'_> {
    /// The only result, as JSON text; `None` when there is none.
    pub fn run(&self, input: &str) -> Result<Option<String>, String> {
        let input = parse(input).map_err(|error| format!("the event cannot be read: {error}"))?;
        let context = Ctx::<Data>::new(&self.compiled.lut, Vars::new(self.vars.clone()));
        let mut results = self.compiled.id.run((context, input)).map(unwrap_valr);
        let Some(first) = results.next() else { return Ok(None) };
        let first = first.map_err(|error| format!("the filter failed: {error}"))?;
        match results.next() {
            None => {}
            Some(Ok(_)) => return Err("the filter gave more than one result: collect them, as in [.data.items[]]".to_owned()),
            Some(Err(error)) => return Err(format!("the filter failed: {error}")),
        }
        let mut text = String::new();
        let _ = write!(text, "{first}");
        // jaq writes NaN, and keys that are no strings, as they are.
        serde_json::from_str::<IgnoredAny>(&text).map_err(|error| no_json(&text, &error))?;
        Ok(Some(text))
    }
}

fn no_json(text: &str, error: &serde_json::Error) -> String {
    let numbers = ["NaN", "Infinity"].into_iter().find(|number| text.contains(number));
    match numbers {
        Some(number) => format!(
            "the filter's result has {number} in it, which JSON cannot hold: a division by zero? Guard it, as in if .n == 0 then null else 1 / .n end"
        ),
        None => format!("the filter's result is no JSON: {error}"),
    }
}

/// Line and column of a part of the filter.
fn position(code: &str, part: &str) -> String {
    let before = &code[..load::span(code, part).start.min(code.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    if code.contains('\n') { format!("line {line}, column {column}") } else { format!("column {column}") }
}

fn load_error(code: &str, errors: load::Errors<&str, ()>) -> String {
    let first = errors.into_iter().next().map(|(_, error)| error);
    let text = match first {
        Some(load::Error::Lex(errors)) => {
            errors.into_iter().next().map(|(expected, rest)| format!("{}: expected {}", position(code, rest), expected.as_str()))
        }
        Some(load::Error::Parse(errors)) => {
            errors.into_iter().next().map(|(expected, rest)| format!("{}: expected {}", position(code, rest), expected.as_str()))
        }
        Some(load::Error::Io(errors)) => {
            errors.into_iter().next().map(|(part, _)| format!("{}: there are no modules to import", position(code, part)))
        }
        None => None,
    };
    format!("option `filter`: {}", text.unwrap_or_else(|| "it cannot be read".to_owned()))
}

fn undefined(code: &str, errors: jaq_core::compile::Errors<&str, ()>) -> String {
    let first = errors.into_iter().next().and_then(|(_, errors)| errors.into_iter().next());
    match first {
        Some((name, kind)) => {
            let arity = if let jaq_core::compile::Undefined::Filter(arity) = kind { format!("/{arity}") } else { String::new() };
            format!("option `filter`: {}: there is no {} `{name}{arity}`", position(code, name), kind.as_str())
        }
        None => "option `filter`: it cannot be compiled".to_owned(),
    }
}
