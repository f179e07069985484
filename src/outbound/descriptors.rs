//! How many files this process may open, and who may have how many of them. Attempts and idle connections get what a
//! reserve leaves: the listener, the store, reloads and modules must find a descriptor however many endpoints hang.

use std::sync::OnceLock;

#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Above this limit nothing is scaled down: attempts (4,096), idle connections (2 × 2,048), API clients (4,096), lookups
/// and the store fit.
pub const FILES_WANTED: u64 = 16 * 1024;

/// For the store, watches, modules, logs and API clients: a quarter of what there is, within these bounds.
const RESERVE_MIN: u64 = 64;
const RESERVE_MAX: u64 = 4096 + 512;

/// A share of the process's descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    limit: u64,
}

/// Raises the soft limit on open files to the hard one, for the whole process, and says what there is then. To be called
/// once, before anything counts on a share. Nothing here uses `select(2)`, for which the soft limit is kept low.
pub fn raise_limit() -> Descriptors {
    #[cfg(unix)]
    {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum {
            // Refused where a sandbox forbids it: what there is then is what there was.
            if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
                tracing::debug!(%error, "the limit on open files cannot be raised");
            }
        }
    }
    descriptors()
}

/// As the limit is now. `None` in [`Rlimit`] means unlimited.
pub fn descriptors() -> Descriptors {
    #[cfg(unix)]
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    #[cfg(not(unix))]
    let limit = u64::MAX;
    Descriptors { limit }
}

impl Descriptors {
    pub fn limit(self) -> u64 {
        self.limit
    }

    /// Whether fewer attempts are made at once than could be.
    pub fn are_few(self) -> bool {
        self.limit < FILES_WANTED
    }

    fn reserve(self) -> u64 {
        (self.limit / 4).clamp(RESERVE_MIN, RESERVE_MAX)
    }

    fn for_connections(self) -> u64 {
        self.limit.saturating_sub(self.reserve())
    }

    /// Connections of the API's clients: half of the reserve.
    pub fn clients(self, most: usize) -> usize {
        self.share(most, self.reserve() / 2)
    }

    /// Attempts in flight: each has one connection; trying two addresses at once for a moment is within the rest.
    pub fn attempts(self, most: usize) -> usize {
        self.share(most, self.for_connections() / 8 * 5)
    }

    /// Idle connections of one kind (HTTP/1.1, HTTP/2), all hosts together.
    pub(super) fn idle(self, most: usize) -> usize {
        self.share(most, self.for_connections() / 8)
    }

    /// Lookups of names: each opens a socket or two.
    pub(super) fn lookups(self, most: usize) -> usize {
        self.share(most, (self.limit.min(FILES_WANTED) * most as u64) / FILES_WANTED)
    }

    fn share(self, most: usize, share: u64) -> usize {
        if !self.are_few() {
            return most;
        }
        usize::try_from(share).unwrap_or(usize::MAX).clamp(1, most)
    }
}

/// As the limit was when it was first asked for: pools and semaphores do not change their size.
pub(super) fn at_first_use() -> Descriptors {
    static FIRST: OnceLock<Descriptors> = OnceLock::new();
    *FIRST.get_or_init(descriptors)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPTS: usize = 4096;
    const IDLE: usize = 2048;

    #[test]
    fn a_high_limit_scales_nothing_down() {
        for limit in [FILES_WANTED, 1 << 20, u64::MAX] {
            let all = Descriptors { limit };
            assert_eq!((all.attempts(ATTEMPTS), all.idle(IDLE), all.lookups(64)), (ATTEMPTS, IDLE, 64), "{limit}");
        }
    }

    #[test]
    fn a_low_limit_leaves_a_reserve_whatever_hangs() {
        for limit in [128, 256, 512, 1024, 4096, 8192] {
            let few = Descriptors { limit };
            let lookups: usize = [64, 32, 16, 192].into_iter().map(|most| few.lookups(most)).sum();
            let used = few.attempts(ATTEMPTS) + 2 * few.idle(IDLE) + 2 * lookups;
            let left = limit.checked_sub(used as u64);
            assert!(left.is_some_and(|left| left >= limit / 5), "{limit}: {used} used");
            assert!(few.attempts(ATTEMPTS) >= 32.min(ATTEMPTS), "{limit}");
        }
        let hardly = Descriptors { limit: 10 };
        assert_eq!((hardly.attempts(ATTEMPTS), hardly.idle(IDLE)), (1, 1), "one at a time is better than none");
    }

    #[cfg(unix)]
    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        let maximum = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert_eq!(raise_limit().limit(), maximum);
    }
}
