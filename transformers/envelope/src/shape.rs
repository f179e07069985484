//! From the options to a list of fields, and from an event to the text of them.

use tenterhook_message::{Path, View, blank, write_string};

use crate::preset::{Field, Preset, Source};
use crate::time::Format;
use crate::{Added, Options};

/// As many as a body has that a person wrote.
const FIELDS_MAX: usize = 200;

/// What an event is written as.
pub struct Shape {
    fields: Vec<Field>,
    /// Keys around it, the outermost first.
    wrap: Vec<String>,
    timestamp: Format,
    data_only: bool,
}

impl Shape {
    pub fn new(options: &Options) -> Result<Self, String> {
        let preset = options.preset;
        if options.pick.is_some() && preset.is_some() {
            return Err("options `preset` and `pick` exclude each other: a preset has its fields".to_owned());
        }
        let data_only = options.data_only || preset == Some(Preset::Data);
        if data_only && !(options.rename.is_empty() && options.add.is_empty() && options.pick.is_none()) {
            return Err("where the body is the data alone, nothing can be picked, renamed or added: leave out `data_only` or the preset `data`".to_owned());
        }
        let mut fields = match (preset, &options.pick) {
            (Some(preset), _) => preset.fields(),
            (None, Some(paths)) => paths.iter().map(|path| (path.name().to_owned(), Source::Path(path.clone()))).collect(),
            (None, None) => usual(),
        };
        rename(&mut fields, options)?;
        add(&mut fields, options);
        let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("the field `{}` would be there twice: give one of them another name with `rename`", twice[0]));
        }
        if fields.len() > FIELDS_MAX {
            return Err(format!("{} fields, {FIELDS_MAX} are allowed", fields.len()));
        }
        let wrap: Vec<String> = options.wrap.iter().flat_map(|wrap| wrap.split('.')).map(str::to_owned).collect();
        if wrap.iter().any(|key| blank(key)) || options.batch_key.as_deref().is_some_and(blank) {
            return Err("option `wrap` or `batch_key` has an empty key: write it as `payload` or `payload.event`".to_owned());
        }
        let timestamp = options.timestamp.unwrap_or_else(|| preset.map(Preset::timestamp).unwrap_or_default());
        Ok(Self { fields, wrap, timestamp, data_only })
    }

    pub fn write(&self, out: &mut String, view: &View<'_>) {
        for key in &self.wrap {
            out.push('{');
            write_string(out, key);
            out.push(':');
        }
        if self.data_only {
            out.push_str(view.data.text());
        } else {
            out.push('{');
            let mut first = true;
            for (name, source) in &self.fields {
                let mut value = String::new();
                if self.write_value(&mut value, source, view) {
                    out.push_str(if first { "" } else { "," });
                    first = false;
                    write_string(out, name);
                    out.push(':');
                    out.push_str(&value);
                }
            }
            out.push('}');
        }
        self.wrap.iter().for_each(|_| out.push('}'));
    }

    /// Whether there is a value.
    fn write_value(&self, out: &mut String, source: &Source, view: &View<'_>) -> bool {
        match source {
            Source::Path(Path::Timestamp) => self.timestamp.write(out, &view.event.timestamp),
            Source::Path(path) => match view.json(path) {
                Some(json) => out.push_str(&json),
                None => return false,
            },
            Source::ObjectAt(path) => out.push_str(&view.json(path).unwrap_or("{}".into())),
            Source::FirstOf(paths) => {
                let found = paths.iter().find_map(|path| view.json(path));
                out.push_str(found.as_deref().unwrap_or("null"));
            }
            Source::Text(template) => match template.only_path() {
                // A text that is one value keeps the value's type.
                Some(Path::Timestamp) => self.timestamp.write(out, &view.event.timestamp),
                Some(path) => out.push_str(&view.json(path).unwrap_or("null".into())),
                None => write_string(out, &template.render(view)),
            },
            Source::Json(json) => out.push_str(json),
        }
        true
    }
}

/// As without any transformer.
fn usual() -> Vec<Field> {
    let field = |name: &str, path: Path| (name.to_owned(), Source::Path(path));
    vec![
        field("id", Path::Id),
        field("type", Path::Type),
        field("timestamp", Path::Timestamp),
        field("data", Path::Data(Vec::new())),
        field("metadata", Path::Metadata(Vec::new())),
    ]
}

fn rename(fields: &mut [Field], options: &Options) -> Result<(), String> {
    for (old, new) in &options.rename {
        if blank(new) {
            return Err(format!("option `rename`: `{old}` would get an empty name"));
        }
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        if !names.contains(&old.as_str()) {
            return Err(format!("option `rename`: there is no field `{old}`; there are: {}", names.join(", ")));
        }
    }
    for (name, _) in fields {
        if let Some(new) = options.rename.get(name) {
            name.clone_from(new);
        }
    }
    Ok(())
}

/// New fields at the end; one that is there already gets the new value where it is.
fn add(fields: &mut Vec<Field>, options: &Options) {
    for (name, added) in &options.add {
        let source = match added {
            Added::Text(template) => Source::Text(template.clone()),
            Added::Json(json) => Source::Json(json.get().to_owned()),
        };
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some(field) => field.1 = source,
            None => fields.push((name.clone(), source)),
        }
    }
}
