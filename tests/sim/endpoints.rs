//! Endpoints without a network: each path misbehaves in its own way, by the seed, until it is healed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tenterhook::dispatch::{Answering, Simulation};
use tenterhook::model::{Cause, Timings};
use tenterhook::outbound::{Response, SendError, SendLimits, Shortage};
use tokio::time::Instant;

/// An endpoint that answers takes less than this.
pub const ANSWER_MAX: Duration = Duration::from_millis(200);

/// One request, as the endpoint saw it.
#[derive(Debug, Clone)]
pub struct Call {
    pub path: String,
    pub at: Instant,
    pub body: Bytes,
    /// `None` when it never answered.
    pub status: Option<u16>,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    in_flight: HashMap<String, usize>,
    most_in_flight: HashMap<String, usize>,
    healed: bool,
    down: HashMap<String, bool>,
    shortages: Vec<Lack>,
    put_back: usize,
}

/// What the machine lacks for requests whose path begins so, until then.
struct Lack {
    path: String,
    shortage: Shortage,
    until: Instant,
}

#[derive(Clone)]
pub struct Network {
    state: Arc<Mutex<State>>,
    rng: Arc<Mutex<StdRng>>,
}

/// Leaves also when the attempt is cut off.
struct InFlight(Network, String);

impl Drop for InFlight {
    fn drop(&mut self) {
        *self.0.state.lock().unwrap().in_flight.get_mut(&self.1).unwrap() -= 1;
    }
}

impl Network {
    pub fn new(seed: u64) -> Self {
        Self { state: Arc::default(), rng: Arc::new(Mutex::new(StdRng::seed_from_u64(seed ^ 0xe7d))) }
    }

    /// For one life of the dispatcher.
    pub fn simulation(&self) -> Simulation {
        let network = self.clone();
        let endpoints = Arc::new(move |request, limits| -> Answering { Box::pin(network.clone().answer(request, limits)) });
        Simulation::new(endpoints, self.rng.lock().unwrap().random())
    }

    pub fn all_calls(&self) -> Vec<Call> {
        self.state.lock().unwrap().calls.clone()
    }

    pub fn calls(&self, path: &str) -> Vec<Call> {
        self.state.lock().unwrap().calls.iter().filter(|call| call.path == path).cloned().collect()
    }

    pub fn most_in_flight(&self, path: &str) -> usize {
        self.state.lock().unwrap().most_in_flight.get(path).copied().unwrap_or(0)
    }

    /// From now on every endpoint but the one that hangs answers 200.
    pub fn heal(&self) {
        self.state.lock().unwrap().healed = true;
    }

    /// For this long nothing can be sent.
    pub fn run_short(&self, shortage: Shortage, span: Duration) {
        self.run_short_at("/", shortage, span);
    }

    /// As [`Self::run_short`], to one endpoint.
    pub fn run_short_at(&self, path: &str, shortage: Shortage, span: Duration) {
        let lack = Lack { path: path.to_owned(), shortage, until: Instant::now() + span };
        self.state.lock().unwrap().shortages.push(lack);
    }

    /// Requests that could not be sent.
    pub fn put_back(&self) -> usize {
        self.state.lock().unwrap().put_back
    }

    fn shortage(&self, path: &str) -> Option<Shortage> {
        let mut state = self.state.lock().unwrap();
        let now = Instant::now();
        let lack = state.shortages.iter().find(|lack| !state.healed && lack.until > now && path.starts_with(&lack.path));
        let shortage = lack.map(|lack| lack.shortage);
        state.put_back += usize::from(shortage.is_some());
        shortage
    }

    pub fn set_down(&self, path: &str, down: bool) {
        self.state.lock().unwrap().down.insert(path.to_owned(), down);
    }

    fn enter(&self, path: &str) -> InFlight {
        let mut state = self.state.lock().unwrap();
        let now = state.in_flight.entry(path.to_owned()).or_default();
        *now += 1;
        let now = *now;
        let most = state.most_in_flight.entry(path.to_owned()).or_default();
        *most = now.max(*most);
        InFlight(self.clone(), path.to_owned())
    }

    fn draw(&self, range: std::ops::Range<u32>) -> u32 {
        self.rng.lock().unwrap().random_range(range)
    }

    async fn answer(self, request: Request<Bytes>, limits: SendLimits) -> Result<Response, SendError> {
        let path = request.uri().path().to_owned();
        let at = Instant::now();
        if let Some(shortage) = self.shortage(&path) {
            let (detail, timings) = ("as the seed says".to_owned(), Timings::default());
            return Err(SendError { cause: Cause::Connect, detail, timings, partial: None, shortage: Some(shortage) });
        }
        let _in_flight = self.enter(&path);
        let events = serde_json::from_slice::<Vec<serde_json::Value>>(request.body()).map_or(1, |events| events.len());
        let planned = self.plan(&path, events);
        let number = {
            let mut state = self.state.lock().unwrap();
            state.calls.push(Call { path, at, body: request.into_body(), status: None });
            state.calls.len() - 1
        };
        let error = |cause, detail: &str| SendError {
            cause,
            detail: detail.to_owned(),
            timings: Timings::default(),
            partial: None,
            shortage: None,
        };
        let work = async {
            let Some((delay, status, headers)) = planned else { return std::future::pending().await };
            tokio::time::sleep(delay).await;
            (status, headers)
        };
        let Ok((status, headers)) = tokio::time::timeout(limits.timeout, work).await else {
            return Err(error(Cause::Timeout, "no answer in time"));
        };
        self.state.lock().unwrap().calls[number].status = Some(status);
        if status == 0 {
            return Err(error(Cause::Connection, "the connection broke"));
        }
        Ok(Response { status, headers, body: Bytes::new(), truncated: false, timings: Timings::default(), via: None })
    }

    /// Delay, status (0: the connection breaks) and headers; `None`: hangs.
    fn plan(&self, path: &str, events: usize) -> Option<(Duration, u16, HeaderMap)> {
        let delay = Duration::from_millis(u64::from(self.draw(1..ANSWER_MAX.as_millis().try_into().unwrap())));
        let (healed, down) = {
            let state = self.state.lock().unwrap();
            (state.healed, state.down.get(path).copied().unwrap_or(false))
        };
        let mut headers = HeaderMap::new();
        let status = match (path, self.draw(0..100)) {
            (path, _) if path.starts_with("/stuck") => return None,
            ("/steady", _) => 200,
            ("/expiring", _) if !healed => 503,
            (_, _) if healed => 200,
            (_, _) if down => 503,
            ("/batched", n) if events > 2 && n < 40 => 413,
            (_, 0..=14) => 503,
            (_, 15..=19) => 0,
            (_, 20..=22) => return None,
            (_, 23..=26) => {
                headers.insert("retry-after", "2".parse().unwrap());
                429
            }
            ("/flaky", 27) => 400,
            _ => 200,
        };
        Some((delay, status, headers))
    }
}
