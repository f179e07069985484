//! What replaces the network and chance in a simulation.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Request;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::outbound::{Response, SendError, SendLimits};

pub struct Simulation {
    pub(super) endpoints: Endpoints,
    chance: Mutex<StdRng>,
}

/// Endpoints that are a function.
pub type Endpoints = Arc<dyn Fn(Request<Bytes>, SendLimits) -> Answering + Send + Sync>;
pub type Answering = Pin<Box<dyn Future<Output = Result<Response, SendError>> + Send>>;

impl Simulation {
    /// With delays between attempts that are drawn by `seed`.
    pub fn new(endpoints: Endpoints, seed: u64) -> Self {
        Self { endpoints, chance: Mutex::new(StdRng::seed_from_u64(seed)) }
    }

    pub(super) fn chance(&self) -> MutexGuard<'_, StdRng> {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
