//! A disk that is mostly quick, stalls now and then, and is full or unreadable for a while, by the seed, until it is healed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tenterhook::store::{Access, Served, StoreError};
use tokio::time::Instant;

/// How long a disk that fails does so.
pub const TROUBLE: Duration = Duration::from_secs(3);

/// Begins with one of the next accesses up to this, so that it comes in the midst of something.
const TROUBLE_WITHIN: u32 = 8;

#[derive(Debug, Clone, Copy)]
struct Trouble {
    /// What fails.
    with: Access,
    /// Accesses of that kind until then.
    after: u32,
    from: Option<Instant>,
    healed: bool,
}

impl Trouble {
    fn is_on(&self, now: Instant) -> bool {
        !self.healed && self.from.is_some_and(|from| now < from + TROUBLE)
    }
}

#[derive(Clone)]
pub struct Disk {
    troubles: Arc<Mutex<Vec<Trouble>>>,
    rng: Arc<Mutex<StdRng>>,
}

impl Disk {
    pub fn new(seed: u64) -> Self {
        Self { troubles: Arc::default(), rng: Arc::new(Mutex::new(StdRng::seed_from_u64(seed ^ 0xd15c))) }
    }

    pub fn simulated(&self) -> tenterhook::store::Disk {
        let disk = self.clone();
        Arc::new(move |access| disk.serve(access))
    }

    /// Soon every such access fails for a while: commits because it is full, reads because it cannot be read.
    pub fn fail(&self, with: Access) {
        let after = self.rng.lock().unwrap().random_range(0..TROUBLE_WITHIN);
        self.troubles.lock().unwrap().push(Trouble { with, after, from: None, healed: false });
    }

    pub fn heal(&self) {
        self.troubles.lock().unwrap().iter_mut().for_each(|trouble| trouble.healed = true);
    }

    /// Whether it was in trouble between these, or shortly before.
    pub fn was_in_trouble(&self, from: Instant, until: Instant) -> bool {
        self.troubles().into_iter().any(|began| began <= until && began + TROUBLE * 2 >= from)
    }

    /// When it began to fail, each time for [`TROUBLE`].
    pub fn troubles(&self) -> Vec<Instant> {
        self.troubles.lock().unwrap().iter().filter_map(|trouble| trouble.from).collect()
    }

    fn serve(&self, access: Access) -> Served {
        let mut rng = self.rng.lock().unwrap();
        let micros = match (access, rng.random_range(0..100)) {
            (_, 0) => rng.random_range(10_000..200_000),
            (Access::Commit, _) => rng.random_range(200..3_000),
            (Access::Read, _) => rng.random_range(50..1_000),
        };
        let now = Instant::now();
        let mut troubles = self.troubles.lock().unwrap();
        for trouble in troubles.iter_mut().filter(|trouble| trouble.with == access && trouble.from.is_none()) {
            match trouble.after.checked_sub(1) {
                Some(left) => trouble.after = left,
                None => trouble.from = Some(now),
            }
        }
        let fault = troubles.iter().any(|trouble| trouble.with == access && trouble.is_on(now)).then(|| match access {
            Access::Commit => StoreError::Full { path: "simulated".to_owned() },
            Access::Read => StoreError::Unavailable { reason: "the simulated disk cannot be read".to_owned() },
        });
        Served { after: Duration::from_micros(micros), fault }
    }
}
