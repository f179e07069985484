//! Reading an answer's body: frame by frame, up to a cap.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

/// Bytes worth reading and throwing away to keep a connection: about what a new TLS session costs.
const DRAIN_BYTES_MAX: u64 = 64 * 1024;

/// Time worth it: a few round trips.
const DRAIN_TIME_MAX: Duration = Duration::from_millis(50);

/// The first bytes of a body. Most answers come in one frame, which is stored as it is.
#[derive(Debug, Default)]
pub(super) struct BodyPrefix {
    first: Bytes,
    rest: BytesMut,
}

impl BodyPrefix {
    fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    /// Reads to the body's end, or until it is longer than `max` bytes; says whether it was.
    pub(super) async fn read(&mut self, body: &mut Incoming, max: usize) -> Result<bool, hyper::Error> {
        while let Some(frame) = body.frame().await {
            let Ok(mut data) = frame?.into_data() else { continue };
            let room = max - self.len();
            let over = data.len() > room;
            data.truncate(room);
            if self.first.is_empty() {
                self.first = data;
            } else {
                self.rest.extend_from_slice(&data);
            }
            if over {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() {
            return self.first;
        }
        let mut all = BytesMut::with_capacity(self.len());
        all.extend_from_slice(&self.first);
        all.extend_from_slice(&self.rest);
        all.freeze()
    }
}

/// Reads what is left of a body if that is little and quick, so that its connection can be used again; says whether
/// the end was reached.
pub(super) async fn drain(body: &mut Incoming) -> bool {
    if body.size_hint().lower() > DRAIN_BYTES_MAX {
        return false;
    }
    let to_the_end = async {
        let mut left = DRAIN_BYTES_MAX;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(rest) = left.checked_sub(length) else { return false };
            left = rest;
        }
        true
    };
    tokio::time::timeout(DRAIN_TIME_MAX, to_the_end).await.unwrap_or(false)
}
