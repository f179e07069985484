//! `tenterhook init`: a first config.toml. Refuses to write over one.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::json;

use super::{Global, output};

const STARTER: &str = include_str!("init/config.toml");

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook init
  tenterhook init --config hooks/config.toml
  tenterhook init --print")]
pub(crate) struct Args {
    /// Print it instead of writing it
    #[arg(long)]
    print: bool,
}

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<()> {
    if args.print {
        return output::print(STARTER);
    }
    let path = &global.config;
    write(path)?;
    if global.json {
        return output::line(&json!({"written": path.display().to_string()}).to_string());
    }
    say!("{} written. Next, in three terminals:", path.display());
    let config = if path == Path::new("config.toml") { String::new() } else { format!(" --config {}", path.display()) };
    say!("  tenterhook{config}             # the server");
    say!("  tenterhook listen{config}      # a receiver on this machine, which verifies what comes");
    say!("  tenterhook send{config} order.created --data '{{\"total\":99.99}}' --wait");
    Ok(())
}

fn write(path: &Path) -> anyhow::Result<()> {
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    let mut file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} is there already and is left as it is: write another with --config FILE", path.display())
        }
        Err(error) => return Err(error).with_context(|| format!("cannot write {}", path.display())),
    };
    let written = file.write_all(STARTER.as_bytes()).and_then(|()| file.sync_all());
    written.with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn the_first_configuration_is_good_and_has_no_variables() {
        let loaded = config::load_str(STARTER, &std::collections::BTreeMap::new(), &|_| None);
        let loaded = loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        assert!(loaded.warnings.is_empty());
        assert_eq!(loaded.settings.webhooks.len(), 1);
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        write(&path).unwrap();
        assert!(write(&path).unwrap_err().to_string().contains("is there already"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), STARTER);
    }
}
