//! Names whose name servers hang, beside those that answer.

use super::*;
use std::sync::{Condvar, Mutex};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_endpoints_whose_names_hang_delay_no_other() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let open = gate.clone();
    let client = client_resolving(&["127.0.0.0/8"], move |name| {
        if name.starts_with("hang") {
            let shut = open.0.lock().unwrap();
            drop(open.1.wait_while(shut, |open| !*open).unwrap());
        }
        Ok(vec![[127, 0, 0, 1].into()])
    });
    // Closes every connection, so that each attempt has to resolve again.
    let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let receiver = Receiver::answering(answer).await;
    let port = receiver.address.port();
    let url = |name: &str| format!("http://{name}.test:{port}/");
    assert_eq!(client.send(post(&url("good")), LIMITS).await.unwrap().status, 200);
    let mut hanging = JoinSet::new();
    for n in 0..200 {
        let (client, url) = (client.clone(), url(&format!("hang-{n}")));
        hanging.spawn(async move {
            // As retries do, one after the other.
            loop {
                let limits = SendLimits { connect_timeout: Duration::from_secs(1), ..LIMITS };
                assert_eq!(client.send(post(&url), limits).await.unwrap_err().cause, Cause::Timeout);
            }
        });
    }
    let begun = Instant::now();
    let limits = SendLimits { connect_timeout: Duration::from_secs(2), ..LIMITS };
    let mut sent = 0;
    while sent < 60 || begun.elapsed() < Duration::from_secs(3) {
        let answer = client.send(post(&url("good")), limits).await;
        assert_eq!(answer.unwrap_or_else(|error| panic!("after {sent}: {error}")).status, 200);
        sent += 1;
    }
    assert_eq!(receiver.connections(), sent + 1);
    // Those who look for an unknown name have a place as well, once the hanging ones are known to.
    assert_eq!(client.send(post(&url("another")), limits).await.unwrap().status, 200);
    hanging.shutdown().await;
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}
