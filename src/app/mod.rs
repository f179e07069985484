//! The composition root: builds all parts, runs them, drains them. The only file that knows every part.

mod announcement;
mod check;
#[cfg(feature = "cli")]
mod local;
mod picture;
mod removed;
mod retention;
mod service;
mod token;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Problems, Settings, Texts};
use crate::control;
use crate::dispatch::Dispatcher;
use crate::http::{self, Api};
use crate::jobs;
use crate::outbound::{self, OutboundError};
use crate::reload::{self, Hangup, ReloadError, Reloader};
use crate::snapshot::{Live, StatusBoard};
use crate::store::{Store, StoreError, StoreOptions};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::transform::{Host, HostError, HostOptions};

pub use crate::http::document as openapi;
pub use crate::http::{Change, Diff, EffectiveConfig, listen, needs_restart};
pub use crate::store::{StoreCheck, StoreCounts, Vacuumed};
pub use check::{CheckReport, check};
#[cfg(feature = "cli")]
pub use local::{LocalServer, LocalToken, data_directory, local_server};
pub use picture::{picture, webhook_defaults};
pub use service::ServiceManager;
pub use token::AdminToken;

pub struct AppOptions {
    /// The configuration file.
    pub config: PathBuf,
    /// Instead of `[server] listen`.
    pub listen: Option<SocketAddr>,
    pub clock: Clock,
}

/// What becomes of the HTTP API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// It is served where `[server] listen` says.
    Listener,
    /// It is not: its routes are for another program to mount, see [`App::routes`].
    Routes,
}

/// Why the process cannot start.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// To be shown with [`Problems::render`].
    #[error("the configuration has {} problem(s)", .0.problems.len())]
    Config(Problems),
    #[error("cannot listen on {address}: {reason}: is another program there? set `[server] listen` to a free address")]
    Listen { address: SocketAddr, reason: std::io::Error },
    #[error(
        "{address} can be reached from other machines, and without [tokens] anybody there could publish events and change \
         webhooks: add a token ([tokens.admin] with token = \"${{TENTERHOOK_TOKEN}}\" and scopes = [\"manage\"]), or listen on \
         127.0.0.1"
    )]
    Open { address: SocketAddr },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Transform(#[from] HostError),
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("cannot store the admin token at {path}: {reason}")]
    Token { path: PathBuf, reason: std::io::Error },
}

/// Why the process ended without a request to do so.
#[non_exhaustive]
#[derive(Debug, Clone, thiserror::Error)]
pub enum RunError {
    #[error("the task `{0}` ended unexpectedly: stopping, because the rest cannot work without it")]
    CoreTask(&'static str),
    #[error(transparent)]
    Store(StoreError),
}

/// A running Tenterhook.
pub struct App {
    /// Where the API is served, if it is.
    listening: Option<SocketAddr>,
    /// Where the configuration wants it.
    address: SocketAddr,
    /// For another program, if it is not served.
    routes: Option<Router>,
    live: Arc<Live>,
    store: Store,
    metrics: Arc<Metrics>,
    clock: Clock,
    tasks: Tasks,
    admin: Option<AdminToken>,
    /// Where commands on this machine find the listener.
    _announcement: Option<announcement::Announcement>,
}

impl App {
    /// Everything is ready when it returns: the store open, the configuration live, the socket listening. Raises the limit
    /// on open files for the whole process, as far as it may.
    pub async fn start(options: AppOptions) -> Result<Self, StartError> {
        let files = outbound::raise_limit();
        if files.are_few() {
            let (limit, wanted) = (files.limit(), outbound::FILES_WANTED);
            tracing::warn!(
                limit,
                wanted,
                "the limit on open files is low, so fewer attempts are made at once: raise `ulimit -n` (LimitNOFILE= in the unit)"
            );
        }
        Self::start_serving(options, Serving::Listener).await
    }

    pub async fn start_serving(options: AppOptions, serving: Serving) -> Result<Self, StartError> {
        Self::start_over(options, serving, Arc::default()).await
    }

    /// As [`App::start_serving`], with texts in place of some of the configuration's files.
    pub async fn start_over(options: AppOptions, serving: Serving, texts: Arc<Texts>) -> Result<Self, StartError> {
        // Before anything that takes time: a SIGHUP during the start causes a reload after it, instead of ending the process.
        let hangup = Hangup::new();
        let path = options.config.clone();
        let loaded = reload::load_over(&path, &texts).map_err(StartError::Config)?;
        let settings = &loaded.settings;
        let address = options.listen.unwrap_or(settings.server.listen);
        let listener = match serving {
            Serving::Listener if settings.tokens.is_empty() && !address.ip().to_canonical().is_loopback() => {
                return Err(StartError::Open { address });
            }
            Serving::Listener => Some(http::listen(address).map_err(|reason| StartError::Listen { address, reason })?),
            Serving::Routes => None,
        };
        let listening = listener.as_ref().map(TcpListener::local_addr).transpose();
        let listening = listening.map_err(|reason| StartError::Listen { address, reason })?;
        let address = listening.unwrap_or(address);

        let metrics = Arc::new(Metrics::new());
        let store = open_store(settings, &options.clock, &metrics).await?;
        let admin = admin_token(settings)?;
        let announcement = match listening {
            Some(at) => {
                announcement::Announcement::make(&settings.storage.path, at, settings.server.protection.tls.is_some()).await
            }
            None => None,
        };
        let host = Host::new(HostOptions { cache_dir: Some(settings.storage.path.join("modules")), ..HostOptions::default() })?;
        let board = StatusBoard::new(store.webhook_statuses().await?);
        let reloader = Reloader::new(path, store.clone(), host, options.clock.clone(), Arc::clone(&metrics), board);
        let reloader = Arc::new(reloader.with_texts(texts));
        let snapshot = reloader.first(loaded).await?;
        let live = Arc::new(Live::new(snapshot));

        let tasks = Tasks::default();
        let clock = options.clock;
        let mut app =
            Self { listening, address, routes: None, live, store, metrics, clock, tasks, admin, _announcement: announcement };
        app.routes = app.spawn_all(listener, (reloader, hangup));
        Ok(app)
    }

    /// The routes of the API, when nothing listens for it.
    fn spawn_all(&self, listener: Option<TcpListener>, reload: (Arc<Reloader>, Hangup)) -> Option<Router> {
        let (reloader, hangup) = reload;
        let Self { live, store, tasks, .. } = self;
        let (clock, metrics) = (self.clock.clone(), Arc::clone(&self.metrics));
        let (control, requests) = control::channel();
        let jobs = Arc::new(Notify::new());
        let api = Api {
            store: store.clone(),
            live: Arc::clone(live),
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
            control: control.clone(),
            jobs: Arc::clone(&jobs),
            admin: self.admin.as_ref().map(AdminToken::secret),
            // With another program's listener it is unknown who can connect: assume everybody.
            listen: self.listening.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)),
            work: TaskTracker::new(),
        };
        let work = api.work.clone();
        let router = http::router(api);
        let cancelled = tasks.cancelled();
        let routes = match listener {
            Some(listener) => {
                let tls = Arc::clone(live);
                let tls = Arc::new(move || tls.snapshot().tls.clone());
                let served = http::serve(listener, router, tls, cancelled);
                tasks.spawn_core("http", async move {
                    served.await;
                    http::finish(work).await;
                });
                None
            }
            None => {
                let routes = http::mountable(router, cancelled.clone());
                tasks.spawn_core("http", async move {
                    cancelled.cancelled().await;
                    http::finish(work).await;
                });
                Some(routes)
            }
        };
        tasks.spawn_core("reload", reloader.run(Arc::clone(live), hangup, requests, tasks.cancelled()));
        tasks.spawn_core("retention", retention::run(store.clone(), Arc::clone(live), clock.clone(), tasks.cancelled()));
        tasks.spawn_core("removed", removed::run(store.clone(), Arc::clone(live), clock.clone(), tasks.cancelled()));
        let worker = jobs::Worker::new(store.clone(), Arc::clone(live), clock.clone(), control);
        tasks.spawn_core("jobs", worker.run(jobs, tasks.cancelled()));
        let dispatcher = Dispatcher::new(store.clone(), Arc::clone(live), clock, metrics);
        let snapshot = Arc::clone(live);
        let grace = move || snapshot.snapshot().settings.server.shutdown_grace;
        tasks.spawn_core("dispatch", dispatcher.run(tasks.cancelled(), grace));
        routes
    }

    /// Where the API is served; where it would be, when it is not.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn listening(&self) -> Option<SocketAddr> {
        self.listening
    }

    /// The API, to be mounted at the root of another program's server; `None` when it is served already.
    pub fn routes(&self) -> Option<&Router> {
        self.routes.as_ref()
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What is spawned here is waited for, and ends with the rest.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// The token that was made because `[tokens]` is empty.
    pub fn admin_token(&self) -> Option<&AdminToken> {
        self.admin.as_ref()
    }

    /// Runs until `shutdown` resolves or something breaks, then drains: no new events, attempts finish, all is
    /// written.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let result = tokio::select! {
            () = shutdown => Ok(()),
            name = self.tasks.core_died() => Err(RunError::CoreTask(name)),
            error = self.store.failed() => Err(RunError::Store(error)),
        };
        tracing::info!("stopping: no new events, attempts in flight may finish");
        self.tasks.cancel();
        self.tasks.join().await;
        self.store.close().await;
        result
    }
}

/// Proves the invariants of the store in a data directory.
///
/// # Errors
/// There is none, or it cannot be read.
pub async fn check_store(directory: PathBuf) -> Result<StoreCheck, StoreError> {
    Store::check(directory, Clock::System.now()).await
}

/// Writes a copy of the store in a data directory as the file `to`, also while a server runs on it.
///
/// # Errors
/// There is no store, `to` is there already, or it cannot be written.
pub async fn backup_store(directory: PathBuf, to: PathBuf) -> Result<StoreCheck, StoreError> {
    Store::backup(directory, to, Clock::System.now()).await
}

/// Puts the backup `from` into a data directory that has no store.
///
/// # Errors
/// `from` is no store, there is one in the directory, or it cannot be written.
pub async fn restore_store(from: PathBuf, directory: PathBuf) -> Result<StoreCheck, StoreError> {
    Store::restore(from, directory, Clock::System.now()).await
}

/// Rewrites the store in a data directory without its free space.
///
/// # Errors
/// There is none, a server runs on it, or there is no room for a second copy.
pub async fn vacuum_store(directory: PathBuf) -> Result<Vacuumed, StoreError> {
    Store::vacuum(directory).await
}

async fn open_store(settings: &Settings, clock: &Clock, metrics: &Arc<Metrics>) -> Result<Store, StoreError> {
    let observer = Arc::clone(metrics);
    let on_commit = Box::new(move |duration, commands| observer.commit(duration, commands));
    Store::open(StoreOptions { path: settings.storage.path.clone(), clock: clock.clone(), on_commit: Some(on_commit) }).await
}

fn admin_token(settings: &Settings) -> Result<Option<AdminToken>, StartError> {
    if !settings.tokens.is_empty() {
        return Ok(None);
    }
    let path = settings.storage.path.join("admin-token");
    AdminToken::load_or_generate(&path).map(Some).map_err(|reason| StartError::Token { path, reason })
}

impl From<ReloadError> for StartError {
    fn from(error: ReloadError) -> Self {
        match error {
            ReloadError::Refused(problems) => Self::Config(problems),
            ReloadError::Store(error) => Self::Store(error),
            ReloadError::Outbound(error) => Self::Outbound(error),
            ReloadError::Host(reason) => Self::Store(StoreError::Unavailable { reason }),
        }
    }
}
