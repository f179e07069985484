//! Many endpoints that hang, one after another: together they want more permits than there are.

use std::fmt::Write as _;
use std::time::Duration;

use tenterhook::model::EventId;
use tokio::time::Instant;

use crate::world::{World, in_virtual_time, webhook};

const HANGING: usize = 60;
const CONCURRENCY: usize = 100;

#[test]
fn endpoints_that_hang_leave_permits_to_others() {
    in_virtual_time(async {
        let mut config = webhook("steady", "good.*", "");
        for n in 0..HANGING {
            write!(config, "{}", webhook(&format!("stuck{n}"), &format!("bad{n}.*"), &format!("concurrency = {CONCURRENCY}")))
                .unwrap();
        }
        let mut world = World::new(1, config).await;
        let mut published = Vec::new();
        for n in 0..HANGING {
            let event = |m| (EventId::parse(&format!("bad_{n}_{m}")).unwrap(), format!("bad{n}.x"), "1".to_owned());
            world.append((0..CONCURRENCY).map(event).collect()).await.unwrap();
            let id = EventId::parse(&format!("good_{n}")).unwrap();
            published.push((id.clone(), Instant::now()));
            world.append(vec![(id, "good.x".to_owned(), "1".to_owned())]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let calls = world.network.calls("/steady");
        for (id, at) in published {
            let call = calls.iter().find(|call| String::from_utf8_lossy(&call.body).contains(&format!("\"{id}\"")));
            let waited = call.unwrap_or_else(|| panic!("{id} waits for those that hang")).at - at;
            assert!(waited < Duration::from_millis(500), "{id} waited {waited:?}");
        }
        world.close().await;
    });
}
