//! How a Tenterhook is to be, and its start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bus::{Bus, Follower};
use super::error::EndError;
use super::{Inner, Tenterhook, queue};
use crate::app::{App, AppOptions, Serving, StartError};
use crate::clock::Clock;

/// Some 100 ms of the fastest store: a burst of a gateway's, not a place to keep events in.
const QUEUE_DEFAULT: usize = 8_192;
const QUEUE_MAX: usize = 1 << 20;

/// As the event buses of gateways have it.
const HISTORY_DEFAULT: usize = 1_000;
const HISTORY_MAX: usize = 100_000;

const BUFFER_DEFAULT: usize = 1_024;
const BUFFER_MAX: usize = 1 << 16;

/// Options of a [`Tenterhook`]; see [`Tenterhook::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing runs before `start`"]
pub struct Builder {
    config: PathBuf,
    listen: Option<SocketAddr>,
    serving: Serving,
    queue: usize,
    history: usize,
    buffer: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            config: PathBuf::from("config.toml"),
            listen: None,
            serving: Serving::Listener,
            queue: QUEUE_DEFAULT,
            history: HISTORY_DEFAULT,
            buffer: BUFFER_DEFAULT,
        }
    }
}

impl Builder {
    /// The configuration file; `config.toml` without. It is watched: saving it takes effect at once, as does `SIGHUP`.
    pub fn config(mut self, path: impl Into<PathBuf>) -> Self {
        self.config = path.into();
        self
    }

    /// Instead of `[server] listen`; port 0 is any free one, see [`Tenterhook::address`].
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Whether the API and the web UI are served on `[server] listen`, as by the binary (the default). Without, there is
    /// the engine alone, and [`Tenterhook::router`] to mount where you like.
    pub fn http_listener(mut self, on: bool) -> Self {
        self.serving = if on { Serving::Listener } else { Serving::Routes };
        self
    }

    /// Events that [`Tenterhook::emit`] takes before they are stored; 8,192 without, at least 1, at most 1,048,576.
    /// They have 64 MiB together, whatever their number.
    pub fn queue(mut self, events: usize) -> Self {
        self.queue = events.clamp(1, QUEUE_MAX);
        self
    }

    /// How far [`Tenterhook::history`] goes back at most; 1,000 events without, at most 100,000. It is read from the
    /// store, so a long one costs no memory until it is asked for.
    pub fn history(mut self, events: usize) -> Self {
        self.history = events.min(HISTORY_MAX);
        self
    }

    /// Events that a [`Subscription`](super::Subscription) may leave unread before it misses some; 1,024 without, at
    /// least 1, at most 65,536, rounded up to a power of two.
    pub fn subscription_buffer(mut self, events: usize) -> Self {
        self.buffer = events.clamp(1, BUFFER_MAX);
        self
    }

    /// Everything is ready when it returns: the store open, the configuration live, the socket (if any) listening.
    /// Within a tokio runtime, which has to live on for as long as events are to be delivered.
    ///
    /// # Errors
    /// The configuration has problems ([`StartError::Config`] renders them with their lines), the address is taken, the
    /// data directory cannot be used or is another's.
    pub async fn start(self) -> Result<Tenterhook, StartError> {
        let options = AppOptions { config: self.config, listen: self.listen, clock: Clock::System };
        let app = App::start_serving(options, self.serving).await?;
        let closing = CancellationToken::new();
        let shared = (app.store().clone(), Arc::clone(app.live()), Arc::clone(app.metrics()));
        let (queue, mut worker) = queue::queue(self.queue, shared, closing.clone());
        let bus = Bus::new(self.buffer);
        let cancelled = app.tasks().cancelled();
        let follower = match Follower::new(Arc::clone(&bus), app.store().clone(), cancelled.clone()).await {
            Ok(follower) => follower,
            Err(error) => {
                // What has begun is ended in order; the reason is why there is nothing to begin with.
                let _ = app.run(std::future::ready(())).await;
                return Err(error.into());
            }
        };
        app.tasks().spawn_core("bus", follower.run());
        let (told, drained) = watch::channel(None);
        app.tasks().spawn_core("emit", async move {
            tokio::select! {
                () = worker.run() => {}
                () = cancelled.cancelled() => {}
            }
            told.send_replace(Some(worker.left()));
            // The end of this task alone would look like a failure.
            cancelled.cancelled().await;
        });
        let (ended, end) = watch::channel(None);
        let inner = Inner {
            queue,
            bus,
            store: app.store().clone(),
            live: Arc::clone(app.live()),
            metrics: Arc::clone(app.metrics()),
            routes: app.routes().cloned(),
            listening: app.listening(),
            admin: app.admin_token().map(crate::app::AdminToken::secret),
            history: self.history,
            closing: closing.clone(),
            end,
        };
        // On its own: it goes on to the end also when nobody waits for it.
        TaskTracker::new().spawn(run(app, closing, drained, ended));
        Ok(Tenterhook { inner: Arc::new(inner) })
    }
}

/// Runs until it fails or is to close; then what was emitted is stored, within the time that attempts have, too.
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
            tracing::error!("emitted events could not be stored within the time for a shutdown");
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
