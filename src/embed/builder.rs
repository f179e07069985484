//! The options of a Tenterhook, and its start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bus::{Bus, Follower};
use super::error::EndError;
use super::webhook::Webhook;
use super::{Inner, Tenterhook, queue};
use crate::app::{App, AppOptions, Serving, StartError};
use crate::clock::Clock;
use crate::config::{Texts, toml_value};
use crate::publish::Publisher;

/// Some 100 ms of the fastest store: for the bursts of a gateway, not for storing events.
const QUEUE_DEFAULT: usize = 8_192;
const QUEUE_MAX: usize = 1 << 20;

/// The size that event buses of gateways have.
const HISTORY_DEFAULT: usize = 1_000;
const HISTORY_MAX: usize = 100_000;

const BUFFER_DEFAULT: usize = 1_024;
const BUFFER_MAX: usize = 1 << 16;

/// The path that stands for a configuration in code in messages; relative paths in it begin in the working directory.
const CODE: &str = "<code>";

/// The configuration.
#[derive(Clone)]
enum Source {
    File(PathBuf),
    Text(String),
}

/// Options of a [`Tenterhook`]; see [`Tenterhook::builder`].
#[derive(Clone)]
#[must_use = "nothing runs before `start`"]
pub struct Builder {
    source: Source,
    webhooks: Vec<Webhook>,
    listen: Option<SocketAddr>,
    serving: Serving,
    queue: usize,
    history: usize,
    buffer: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            source: Source::File(PathBuf::from("config.toml")),
            webhooks: Vec::new(),
            listen: None,
            serving: Serving::Listener,
            queue: QUEUE_DEFAULT,
            history: HISTORY_DEFAULT,
            buffer: BUFFER_DEFAULT,
        }
    }
}

impl Builder {
    /// The configuration file; `config.toml` by default. It is watched: saving it takes effect within a second, as does
    /// `SIGHUP`.
    pub fn config(mut self, path: impl Into<PathBuf>) -> Self {
        self.source = Source::File(path.into());
        self
    }

    /// The configuration itself, in place of a file: the text of a config.toml. Relative paths in it (`[storage] path`,
    /// `include`) begin in the working directory; files that it names are watched.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), tenterhook::StartError> {
    /// use tenterhook::{Tenterhook, Webhook};
    ///
    /// let tenterhook = Tenterhook::builder()
    ///     .config_str("[storage]\npath = \"/var/lib/gateway\"\n")
    ///     .webhook(Webhook::new("audit", "https://audit.example.com/hooks").events(["user.**"]))
    ///     .http_listener(false)
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn config_str(mut self, text: impl Into<String>) -> Self {
        self.source = Source::Text(text.into());
        self
    }

    /// A webhook declared in code, beside those of the configuration. It may be called several times.
    pub fn webhook(mut self, webhook: Webhook) -> Self {
        self.webhooks.push(webhook);
        self
    }

    /// The address to listen on instead of `[server] listen`; port 0 is any free one, see [`Tenterhook::address`].
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Whether the API and the web UI are served on `[server] listen`, as by the binary (the default). With `false` only the
    /// engine runs, and [`Tenterhook::router`] is there to be mounted in a server of yours.
    pub fn http_listener(mut self, on: bool) -> Self {
        self.serving = if on { Serving::Listener } else { Serving::Routes };
        self
    }

    /// Events that [`Tenterhook::emit`] queues before they are stored: 1 to 1,048,576, by default 8,192. Together they have
    /// at most 64 MiB.
    pub fn queue(mut self, events: usize) -> Self {
        self.queue = events.clamp(1, QUEUE_MAX);
        self
    }

    /// The most events that [`Tenterhook::history`] returns: by default 1,000, at most 100,000. They are read from the store,
    /// so a long history costs no memory until it is read.
    pub fn history(mut self, events: usize) -> Self {
        self.history = events.min(HISTORY_MAX);
        self
    }

    /// Events that a [`Subscription`](super::Subscription) may leave unread before it misses some: 1 to 65,536, by default
    /// 1,024, rounded up to a power of two.
    pub fn subscription_buffer(mut self, events: usize) -> Self {
        self.buffer = events.clamp(1, BUFFER_MAX);
        self
    }

    /// Starts the engine. When it returns the store is open, the configuration live, and the socket (if any) listening.
    /// It needs a tokio runtime that runs for as long as events are to be delivered.
    ///
    /// # Errors
    /// The configuration has problems ([`StartError::Config`] renders them with their lines), the address is taken, the
    /// data directory cannot be used or is in use by another process.
    pub async fn start(self) -> Result<Tenterhook, StartError> {
        let (config, texts) = self.files();
        let options = AppOptions { config, listen: self.listen, clock: Clock::System };
        let app = App::start_over(options, self.serving, Arc::new(texts)).await?;
        let closing = CancellationToken::new();
        let publisher = Publisher::new(app.store().clone(), Arc::clone(app.metrics()));
        let (queue, mut worker) = queue::queue(self.queue, (publisher.clone(), Arc::clone(app.live())), closing.clone());
        let bus = Bus::new(self.buffer);
        let cancelled = app.tasks().cancelled();
        let follower = match Follower::new(Arc::clone(&bus), app.store().clone(), cancelled.clone()).await {
            Ok(follower) => follower,
            Err(error) => {
                // What was started is ended in order; the caller gets the reason.
                let _ = app.run(std::future::ready(())).await;
                return Err(error.into());
            }
        };
        app.tasks().spawn_core("bus", follower.run());
        let (report, drained) = watch::channel(None);
        app.tasks().spawn_core("emit", async move {
            tokio::select! {
                () = worker.run() => {}
                () = cancelled.cancelled() => {}
            }
            report.send_replace(Some(worker.left()));
            // The end of this task alone would look like a failure.
            cancelled.cancelled().await;
        });
        let (ended, end) = watch::channel(None);
        let inner = Inner {
            queue,
            bus,
            store: app.store().clone(),
            live: Arc::clone(app.live()),
            publisher,
            routes: app.routes().cloned(),
            listening: app.listening(),
            admin: app.admin_token().map(crate::app::AdminToken::secret),
            history: self.history,
            closing: closing.clone(),
            end,
        };
        // A task of its own: it runs to the end also when nobody waits for it.
        TaskTracker::new().spawn(run(app, closing, drained, ended));
        Ok(Tenterhook { inner: Arc::new(inner) })
    }

    /// The file to load, and the texts that stand in for files: webhooks in code are a text that includes the file.
    fn files(&self) -> (PathBuf, Texts) {
        let tables: String = self.webhooks.iter().map(Webhook::table).collect();
        match &self.source {
            Source::File(path) if self.webhooks.is_empty() => (path.clone(), Texts::new()),
            Source::File(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let include = toml_value(&serde_json::Value::from(&*name)).unwrap_or_default();
                let code = path.with_file_name(CODE);
                let text = format!("include = [{include}]\n{tables}");
                (code.clone(), Texts::from([(code, text.into_bytes())]))
            }
            Source::Text(text) => {
                let code = PathBuf::from(CODE);
                (code.clone(), Texts::from([(code, format!("{text}\n{tables}").into_bytes())]))
            }
        }
    }
}

/// The text and the webhooks may hold secrets.
impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let source: &dyn std::fmt::Debug = match &self.source {
            Source::File(path) => path,
            Source::Text(_) => &CODE,
        };
        let Self { webhooks, listen, serving, queue, history, buffer, .. } = self;
        f.debug_struct("Builder")
            .field("config", source)
            .field("webhooks", webhooks)
            .field("listen", listen)
            .field("serving", serving)
            .field("queue", queue)
            .field("history", history)
            .field("subscription_buffer", buffer)
            .finish()
    }
}

/// Runs until it fails or is to close; then what was emitted is stored, within `shutdown_grace`.
async fn run(
    app: App,
    closing: CancellationToken,
    drained: watch::Receiver<Option<usize>>,
    ended: watch::Sender<Option<Result<(), EndError>>>,
) {
    let live = Arc::clone(app.live());
    let mut is_drained = drained.clone();
    let shutdown = async move {
        closing.cancelled().await;
        let grace = live.snapshot().settings.server.shutdown_grace;
        if tokio::time::timeout(grace, is_drained.wait_for(Option::is_some)).await.is_err() {
            tracing::error!("emitted events were not stored within `shutdown_grace`");
        }
    };
    let result = match app.run(shutdown).await {
        Err(error) => Err(EndError::Failed(error)),
        Ok(()) => match *drained.borrow() {
            None | Some(0) => Ok(()),
            Some(events) => Err(EndError::NotStored { events }),
        },
    };
    ended.send_replace(Some(result));
}
