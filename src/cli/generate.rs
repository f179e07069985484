//! `tenterhook schema`, `completions` and `man`: what is made of the command line and the configuration's own lists.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;

use super::output;
use crate::config;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook schema > config.schema.json
  sed -i '1i #:schema ./config.schema.json' config.toml

The second line is for editors with Taplo or \"Even Better TOML\".")]
pub(crate) struct SchemaArgs {}

pub(crate) fn schema(_: &SchemaArgs) -> anyhow::Result<()> {
    output::line(&serde_json::to_string_pretty(&config::schema())?)
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook completions bash > /etc/bash_completion.d/tenterhook
  tenterhook completions zsh > \"${fpath[1]}/_tenterhook\"
  tenterhook completions fish > ~/.config/fish/completions/tenterhook.fish")]
pub(crate) struct CompletionsArgs {
    shell: clap_complete::Shell,
}

pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "tenterhook", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook man | man -l -
  tenterhook man --out /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Write a page for every command into this directory, instead of the first to standard output
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
}

pub(crate) fn man(args: &ManArgs) -> anyhow::Result<()> {
    let command = super::Cli::command();
    match &args.out {
        Some(directory) => {
            std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
            clap_mangen::generate_to(command, directory)
                .with_context(|| format!("cannot write the pages into {}", directory.display()))
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            std::io::stdout().write_all(&page)?;
            Ok(())
        }
    }
}
