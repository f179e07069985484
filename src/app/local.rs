//! How commands on the same machine find the server and its token: by the file that a running server keeps in its data
//! directory, and by config.toml. Other problems of config.toml do not matter here: the server runs on the one before.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};

use super::announcement::{self, announced};
use crate::config::{Problem, Settings, TokenSettings};
use crate::reload;
use crate::signing::Secret;

/// The server of this machine, as far as it can be known without asking it.
pub struct LocalServer {
    url: Result<String, String>,
    pub token: Option<LocalToken>,
    /// What keeps the token from being read, such as a variable that is not set in this shell.
    pub token_problem: Option<String>,
}

pub struct LocalToken {
    pub secret: Secret,
    /// As `[tokens.NAME]` has it; `admin` for the one in the data directory.
    pub name: String,
    /// Requests with it act as this tenant.
    pub tenant: Option<Arc<str>>,
}

impl LocalServer {
    #[cfg(test)]
    pub(crate) fn known(url: &str, token: LocalToken) -> Self {
        Self { url: Ok(url.to_owned()), token: Some(token), token_problem: None }
    }

    /// # Errors
    /// Why it is not known, in words.
    pub fn url(&self) -> anyhow::Result<&str> {
        self.url.as_deref().map_err(|reason| anyhow!("{reason}"))
    }
}

/// Where the server that runs on this configuration keeps its data.
///
/// # Errors
/// There is no such configuration, it cannot be read, or `[storage] path` cannot.
pub fn data_directory(config: &Path) -> anyhow::Result<PathBuf> {
    let known = Known::read(config)?;
    match known.problem("storage.path") {
        Some(problem) => Err(anyhow!("`[storage] path` cannot be read: {problem}")),
        None => Ok(known.settings.storage.path),
    }
}

/// # Errors
/// There is no such configuration, or it cannot be read.
pub fn local_server(config: &Path) -> anyhow::Result<LocalServer> {
    let known = Known::read(config)?;
    let directory = &known.settings.storage.path;
    let token_problem = known.problem("tokens");
    let token = match best_token(&known.settings.tokens) {
        Some(token) => Some(token),
        None => super::token::read(&directory.join("admin-token"))
            .with_context(|| format!("cannot read the admin token in {}", directory.display()))?
            .map(|secret| LocalToken { secret, name: "admin".to_owned(), tenant: None }),
    };
    Ok(LocalServer { url: known.url(), token, token_problem })
}

/// A tenant's token sees and reaches less than its scopes say: it is the last choice. Of equal ones the first in the file.
fn best_token(tokens: &[TokenSettings]) -> Option<LocalToken> {
    let strength = |token: &TokenSettings| (token.tenant.is_none(), token.scopes.iter().max().copied());
    let best = tokens.iter().rev().max_by_key(|token| strength(token))?;
    Some(LocalToken { secret: best.token.clone(), name: best.name.clone(), tenant: best.tenant.clone() })
}

/// As much of a configuration as can be read.
struct Known {
    settings: Settings,
    problems: Vec<Problem>,
}

impl Known {
    fn read(config: &Path) -> anyhow::Result<Self> {
        match File::open(config) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(anyhow!("there is no {}", config.display())),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", config.display())),
        }
        Ok(match reload::load(config) {
            Ok(loaded) => Self { settings: loaded.settings, problems: Vec::new() },
            Err(refused) => Self { settings: refused.draft.settings.clone(), problems: refused.problems },
        })
    }

    /// The first problem within this table or key.
    fn problem(&self, path: &str) -> Option<String> {
        let within = |problem: &&Problem| {
            let place = place(problem);
            place
                .as_deref()
                .and_then(|place| place.strip_prefix(path))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.problems.iter().find(within).map(ToString::to_string)
    }

    fn url(&self) -> Result<String, String> {
        let server = &self.settings.server;
        match announced(&self.settings.storage.path) {
            Some(url) => Ok(url),
            None => match self.problem("server.listen") {
                Some(problem) => Err(format!("`[server] listen` cannot be read: {problem}")),
                None => Ok(announcement::url(server.listen, server.protection.tls.is_some())),
            },
        }
    }
}

/// The table and the key that a problem is about, such as `tokens.admin.token`, as the text of its file has it.
fn place(problem: &Problem) -> Option<String> {
    let text = std::fs::read_to_string(&problem.file).ok()?;
    let mut table = String::new();
    let mut key = String::new();
    for line in text.lines().take(problem.line) {
        let line = line.trim();
        key.clear();
        match line.strip_prefix('[').and_then(|rest| Some(rest.trim_start_matches('[').split_once(']')?.0)) {
            Some(name) if !line.contains('=') || line.find(']') < line.find('=') => table = dotted(name),
            _ => key = line.split_once('=').map(|(key, _)| dotted(key)).unwrap_or_default(),
        }
    }
    let parts: Vec<String> = [table, key].into_iter().filter(|part| !part.is_empty()).collect();
    Some(parts.join("."))
}

/// A key without the white space and the quotes that it may be written with.
fn dotted(key: &str) -> String {
    key.split('.').map(|part| part.trim().trim_matches(['"', '\''])).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &tempfile::TempDir, config: &str) -> PathBuf {
        let path = directory.path().join("config.toml");
        std::fs::write(&path, config).unwrap();
        path
    }

    fn token(config: &str) -> (Option<String>, Option<String>) {
        let directory = tempfile::tempdir().unwrap();
        let local = local_server(&write(&directory, config)).unwrap();
        (local.token.map(|token| token.name), local.token_problem)
    }

    fn table(name: &str, more: &str) -> String {
        format!("[tokens.{name}]\ntoken = \"{name}-0123456789abcdef\"\n{more}\n")
    }

    #[test]
    fn a_tenants_token_is_the_last_choice() {
        let admin = table("zz-admin", "scopes = [\"manage\", \"publish\"]");
        let acme = table("acme", "scopes = [\"manage\", \"publish\"]\ntenant = \"acme\"");
        let reader = table("reader", "scopes = [\"read\"]");
        let other = table("other", "scopes = [\"manage\"]");
        for (config, chosen) in [
            (format!("{admin}{acme}"), "zz-admin"),
            (format!("{acme}{admin}"), "zz-admin"),
            (format!("{acme}{reader}"), "reader"),
            (format!("{reader}{admin}{other}"), "zz-admin"),
            (acme.clone(), "acme"),
        ] {
            assert_eq!(token(&config).0.as_deref(), Some(chosen), "{config}");
        }
    }

    #[test]
    fn other_problems_of_the_configuration_do_not_matter() {
        let admin = table("admin", "scopes = [\"manage\"]");
        for broken in [
            "[webhooks.a]\nurl = \"${NO_SUCH_VARIABLE_1}\"\nevents = [\"*\"]\n",
            "[webhooks.a]\nurl = \"${file:/nowhere/at/all}\"\nevents = [\"*\"]\n",
            "[webhooks.a]\nfliter.data.n = 1\nurl = \"nowhere\"\n",
            "[webhooks.a\nurl = \n",
            "[webhooks.a]\ndescription = \"never closed\n",
            "include = [\"nowhere.toml\"]\n",
        ] {
            let text = format!("[server]\nlisten = \"127.0.0.1:9471\"\n{admin}{broken}");
            let text = if broken.starts_with("include") { format!("{broken}{text}") } else { text };
            let directory = tempfile::tempdir().unwrap();
            let local = local_server(&write(&directory, &text)).unwrap();
            assert_eq!(local.url().unwrap(), "http://127.0.0.1:9471", "{broken}");
            assert_eq!(local.token.map(|token| token.name).as_deref(), Some("admin"), "{broken}");
        }
    }

    #[test]
    fn what_the_client_needs_and_cannot_read_is_named() {
        for config in [
            "[tokens.admin]\ntoken = \"${NO_SUCH_VARIABLE_1}\"\nscopes = [\"manage\"]\n",
            "[tokens]\nadmin = { token = \"${NO_SUCH_VARIABLE_1}\", scopes = [\"manage\"] }\n",
            "tokens.admin.token = \"${NO_SUCH_VARIABLE_1}\"\ntokens.admin.scopes = [\"manage\"]\n",
        ] {
            let (token, problem) = token(config);
            assert_eq!(token, None);
            assert!(problem.unwrap().contains("NO_SUCH_VARIABLE_1"), "{config}");
        }
        let directory = tempfile::tempdir().unwrap();
        let local = local_server(&write(&directory, "[server]\nlisten = \"${NO_SUCH_VARIABLE_1}\"\n")).unwrap();
        assert!(local.url().unwrap_err().to_string().contains("NO_SUCH_VARIABLE_1"));
        let error = data_directory(&write(&directory, "[storage]\npath = \"${NO_SUCH_VARIABLE_1}\"\n")).unwrap_err();
        assert!(error.to_string().contains("NO_SUCH_VARIABLE_1"), "{error}");
    }

    #[tokio::test]
    async fn the_address_of_a_running_server_wins_and_a_left_one_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let config = write(&directory, "[server]\nlisten = \"127.0.0.1:9471\"\n[storage]\npath = \"d\"\n");
        let data = directory.path().join("d");
        std::fs::create_dir(&data).unwrap();
        let here = || local_server(&config).unwrap().url().unwrap().to_owned();
        assert_eq!(here(), "http://127.0.0.1:9471");
        let running = announcement::Announcement::make(&data, "0.0.0.0:9472".parse().unwrap(), true).await.unwrap();
        assert_eq!(here(), "https://127.0.0.1:9472");
        let left = std::fs::read(data.join(announcement::FILE_NAME)).unwrap();
        drop(running);
        assert!(!data.join(announcement::FILE_NAME).exists());
        std::fs::write(data.join(announcement::FILE_NAME), left).unwrap();
        assert_eq!(here(), "http://127.0.0.1:9471", "nobody holds it");
    }
}
