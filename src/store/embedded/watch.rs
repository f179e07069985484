//! Waiting for a delivery to be settled, for the few who do: a test that shows its attempt.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Embedded, read};
use crate::model::{DeliveryId, DeliveryState};
use crate::store::{DeliveryDetail, StoreError};

#[derive(Default)]
pub(super) struct Watch {
    /// So that the writer passes by without a lock while nobody waits.
    waiting: AtomicUsize,
    watched: Mutex<HashMap<i64, Arc<Notify>>>,
}

impl Watch {
    /// After the commit that settled it.
    pub(super) fn settled(&self, delivery: i64) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        if let Some(news) = self.lock().get(&delivery) {
            news.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Arc<Notify>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watching {
    watch: Arc<Watch>,
    delivery: i64,
    news: Arc<Notify>,
}

impl Watching {
    fn new(watch: &Arc<Watch>, delivery: i64) -> Self {
        let news = Arc::new(Notify::new());
        watch.lock().insert(delivery, Arc::clone(&news));
        watch.waiting.fetch_add(1, Ordering::AcqRel);
        Self { watch: Arc::clone(watch), delivery, news }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.watch.lock().remove(&self.delivery);
        self.watch.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Embedded {
    pub(in crate::store) async fn attempted(&self, delivery: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError> {
        let watching = Watching::new(&self.shared.watch, delivery.number);
        loop {
            let news = watching.news.notified();
            let detail = self.read(move |reader, _| read::delivery(reader, delivery)).await?;
            let waits = |detail: &DeliveryDetail| {
                let record = &detail.record;
                record.attempt_count == 0 && matches!(record.state, DeliveryState::Pending | DeliveryState::Retrying)
            };
            if !detail.as_ref().is_some_and(waits) {
                return Ok(detail);
            }
            news.await;
        }
    }
}
