//! `tenterhook transformer list`.

use std::io::Write;

use serde_json::json;
use tokio::task::JoinSet;

use super::{Found, Modules};
use crate::cli::{Failed, Global};
use crate::transform::{self, Source};

/// A line of the list.
struct Row {
    name: String,
    origin: String,
    /// Version and summary.
    loaded: Result<(String, String), String>,
}

pub(super) async fn run(global: &Global) -> anyhow::Result<()> {
    let modules = Modules::new(global)?;
    let mut names: Vec<String> = transform::available(&modules.dir).into_keys().collect();
    names.extend(modules.declared.keys().cloned());
    names.sort();
    names.dedup();
    let mut rows = load_all(&modules, names).await;
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    if global.json {
        let data: Vec<_> = rows.iter().map(as_json).collect();
        writeln!(std::io::stdout(), "{}", json!({ "data": data }))?;
    } else {
        print(&rows);
    }
    if rows.iter().all(|row| row.loaded.is_ok()) { Ok(()) } else { Err(Failed.into()) }
}

/// Compiling is most of it, and runs on all cores.
async fn load_all(modules: &Modules, names: Vec<String>) -> Vec<Row> {
    let mut loading = JoinSet::new();
    for name in names {
        let (host, found) = (modules.host.clone(), modules.find(&name));
        loading.spawn(async move {
            let Found { source, limits, pin, .. } = match found {
                Ok(found) => found,
                Err(error) => return Row { name, origin: "?".to_owned(), loaded: Err(error.to_string()) },
            };
            let origin = match &source {
                Source::Prebuilt => "prebuilt".to_owned(),
                Source::File(path) => path.display().to_string(),
            };
            let loaded = host.load(&name, source, limits, pin).await.map_err(|error| error.to_string());
            let loaded = loaded.map(|module| (module.description().version.clone(), module.description().summary.clone()));
            Row { name, origin, loaded }
        });
    }
    loading.join_all().await
}

fn as_json(row: &Row) -> serde_json::Value {
    match &row.loaded {
        Ok((version, summary)) => json!({ "name": row.name, "origin": row.origin, "version": version, "summary": summary }),
        Err(error) => json!({ "name": row.name, "origin": row.origin, "error": error }),
    }
}

fn print(rows: &[Row]) {
    let bold = anstyle::Style::new().bold();
    let red = anstyle::AnsiColor::Red.on_default();
    let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
    let (name_width, origin_width) = (width(|row| &row.name), width(|row| &row.origin));
    for row in rows {
        let (name, origin) = (&row.name, &row.origin);
        say_part!("{bold}{name:name_width$}{bold:#}  {origin:origin_width$}  ");
        match &row.loaded {
            Ok((version, summary)) => say!("{version:8}  {summary}"),
            Err(error) => say!("{red}{error}{red:#}"),
        }
    }
}
