//! SIGHUP: an operator asks for a reload.

/// The signal, taken over by the process. Made before anything else at start: until then the signal ends the process,
/// and from then on one that comes early is stored until the reload loop waits for it.
pub struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    /// Takes the signal over. Must run within a runtime.
    #[expect(clippy::new_without_default, reason = "it changes what the process does with a signal")]
    pub fn new() -> Self {
        #[cfg(unix)]
        let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
            .map_err(|error| tracing::warn!(%error, "SIGHUP will not reload the configuration"))
            .ok();
        Self {
            #[cfg(unix)]
            signal,
        }
    }

    /// Cancel-safe.
    pub(super) async fn received(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
