//! What comes of a reading: a snapshot goes live, or a configuration is refused. Owns the log lines, counts and
//! operational events about it.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::{ReloadError, Reloader, change};
use crate::config::{Loaded, Location, Problem, Problems, Settings};
use crate::operational::{Notice, Operational};
use crate::snapshot::{self, ConfigError, ConfigProblem, Live, Snapshot};
use crate::telemetry::ConfigReload;

/// Whether the new configuration is live by now, or when to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Live,
    Refused,
    /// Something else than the configuration is in the way, such as a full disk.
    Failed,
}

impl Reloader {
    /// The files say what is live. Ends a refusal, if there was one: somebody may have been alerted.
    pub(super) async fn unchanged(&self, live: &Arc<Live>) {
        self.metrics.config_reload(ConfigReload::Unchanged);
        let was_refused = live.last_error().is_some();
        live.unchanged();
        self.set_refused(None);
        if was_refused {
            let snapshot = live.snapshot();
            let (generation, webhooks) = (snapshot.generation, snapshot.webhooks().len());
            let fingerprint = snapshot.fingerprint.clone();
            tracing::info!(generation, fingerprint, "configuration is valid again and unchanged");
            self.raise(live, Notice::ConfigReloaded { generation, fingerprint, webhooks }).await;
        }
    }

    /// Builds the snapshot and makes it live, or says why not.
    pub(super) async fn take(&self, live: &Arc<Live>, loaded: Loaded, fingerprint: String, is_asked: bool) -> Outcome {
        let current = live.snapshot();
        log_warnings(&loaded);
        warn_of_restarts(&current.settings, &loaded.settings);
        match self.build(loaded, fingerprint.clone(), current.generation + 1).await {
            Ok(snapshot) => {
                self.publish(live, snapshot).await;
                Outcome::Live
            }
            Err(ReloadError::Refused(problems)) => {
                self.reject(live, &problems, fingerprint, is_asked).await;
                Outcome::Refused
            }
            Err(error) => {
                self.fail(live, &error, fingerprint);
                Outcome::Failed
            }
        }
    }

    async fn publish(&self, live: &Arc<Live>, snapshot: Snapshot) {
        let (generation, webhooks) = (snapshot.generation, snapshot.webhooks().len());
        let fingerprint = snapshot.fingerprint.clone();
        self.status_board.restore(|deleted| snapshot.by_key(deleted).is_some());
        live.publish(snapshot);
        self.set_refused(None);
        self.metrics.set_config_generation(generation);
        self.metrics.config_reload(ConfigReload::Applied);
        tracing::info!(generation, fingerprint, webhooks, "configuration reloaded");
        self.raise(live, Notice::ConfigReloaded { generation, fingerprint, webhooks }).await;
    }

    /// Keeps the old snapshot and says what is wrong. The same bad files may be read several times: they are logged,
    /// counted and reported once, and once more for each operator who asks.
    pub(super) async fn reject(&self, live: &Arc<Live>, problems: &Problems, fingerprint: String, is_asked: bool) {
        let listed: Vec<ConfigProblem> = problems.problems.iter().map(show).collect();
        let message = format!("{} problem(s) in the configuration: the previous one stays live", listed.len());
        let is_new = self.set_refused(Some(fingerprint));
        if is_new || is_asked {
            tracing::error!("{message}\n{}", problems.render(false));
            self.metrics.config_reload(ConfigReload::Rejected);
        }
        let shown = serde_json::to_value(&listed).unwrap_or_default();
        let draft = Some(Arc::clone(&problems.draft));
        live.reject(ConfigError { message: message.clone(), at: self.clock.now(), problems: listed, draft });
        if is_new {
            self.raise(live, Notice::ConfigRejected { message, problems: shown }).await;
        }
    }

    fn fail(&self, live: &Live, error: &ReloadError, fingerprint: String) {
        if self.set_refused(Some(fingerprint)) {
            tracing::error!(%error, "configuration cannot go live: it will be tried again");
            self.metrics.config_reload(ConfigReload::Rejected);
        }
        live.reject(ConfigError { message: error.to_string(), at: self.clock.now(), problems: Vec::new(), draft: None });
    }

    /// A configuration without any table where one with webhooks is live.
    pub(super) fn blank(&self, loaded: &Loaded, live: &Snapshot) -> Problems {
        let (webhooks, tokens) = (live.webhooks().len(), live.settings.tokens.len());
        let place = Location { file: Arc::<Path>::from(self.path.as_path()), line: 1, column: 1, length: 0 };
        let message = format!(
            "the configuration has no table, and {webhooks} webhook(s) and {tokens} token(s) are live: it is taken for a file that was emptied by mistake"
        );
        let help = "if it is meant to declare nothing, run `tenterhook reload --force`".to_owned();
        loaded.refused(vec![loaded.problem_at(&place, message, Some(help))])
    }

    /// Which configuration is refused by now; answers whether that is another one than before.
    fn set_refused(&self, fingerprint: Option<String>) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *refused != fingerprint;
        *refused = fingerprint;
        is_new
    }

    pub(super) async fn raise(&self, live: &Arc<Live>, notice: Notice) {
        Operational::new(self.store.clone(), Arc::clone(live), self.clock.clone()).raise(&notice).await;
    }

    pub(super) async fn build(&self, loaded: Loaded, fingerprint: String, generation: u64) -> Result<Snapshot, ReloadError> {
        let webhooks = self.api();
        let mut settled = change::validate_all(&webhooks, &loaded);
        let mut result =
            snapshot::build(self.parts(&loaded, &settled, fingerprint.clone(), generation, None).await?, &self.host).await;
        if let Err(problems) = &result
            && change::suspend_refused(&mut settled, &webhooks, &loaded, problems)
        {
            result = snapshot::build(self.parts(&loaded, &settled, fingerprint, generation, None).await?, &self.host).await;
        }
        let snapshot = result.map_err(|problems| {
            let listed = problems.into_iter().map(|p| loaded.problem_at(&p.place, p.message, p.help)).collect();
            ReloadError::Refused(loaded.refused(listed))
        })?;
        *self.good.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(loaded.without_texts()));
        Ok(snapshot)
    }
}

fn show(problem: &Problem) -> ConfigProblem {
    ConfigProblem {
        file: problem.file.display().to_string(),
        line: problem.line,
        column: problem.column,
        message: problem.message.clone(),
        help: problem.help.clone(),
        rendered: problem.render(false),
    }
}

pub(super) fn log_warnings(loaded: &Loaded) {
    for warning in &loaded.warnings {
        tracing::warn!("{}", warning.render(false));
    }
}

/// What is bound to the process cannot follow a reload; the rest does.
fn warn_of_restarts(old: &Settings, new: &Settings) {
    if old.server.listen != new.server.listen {
        tracing::warn!(now = %old.server.listen, wanted = %new.server.listen, "`server.listen` takes effect at the next start");
    }
    if old.storage.path != new.storage.path {
        tracing::warn!("`storage.path` takes effect at the next start");
    }
}
