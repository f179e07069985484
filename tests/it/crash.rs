//! kill -9 in the middle of load, again and again: nothing that was accepted is lost.

use std::collections::HashSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};

use crate::harness::{Answer, Http, PATIENCE, Receiver, binary, head, webhook};

const ROUNDS: usize = 20;
const PUBLISHERS: usize = 8;

/// The real binary on a directory, perhaps not listening yet.
pub struct Starting {
    pub child: Child,
    stderr: ChildStderr,
}

impl Starting {
    pub fn new(directory: &Path) -> Self {
        let mut command = Command::new(binary());
        command.args(["serve", "--config", "config.toml"]);
        Self::of(command, directory)
    }

    /// By a command that runs it in the end.
    pub fn of(mut command: Command, directory: &Path) -> Self {
        let mut child = command
            .current_dir(directory)
            .env("TENTERHOOK_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        Self { child, stderr }
    }

    /// Answers once it listens.
    pub async fn listening(self, directory: &Path) -> (Child, Http) {
        let mut lines = BufReader::new(self.stderr).lines();
        let mut seen = Vec::new();
        let base = loop {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("the server starts").unwrap();
            let Some(line) = line else { panic!("the server ended:\n{}", seen.join("\n")) };
            if let Some((_, address)) = line.split_once("listens on ") {
                break address.trim().to_owned();
            }
            seen.push(line);
        };
        // Read on, so that the server never waits for us.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let token = std::fs::read_to_string(directory.join("data/admin-token")).unwrap();
        (self.child, Http::new(base, token.trim().to_owned()))
    }
}

pub async fn spawn(directory: &Path) -> (Child, Http) {
    Starting::new(directory).listening(directory).await
}

/// Publishes until the server is gone; remembers what it said yes to.
async fn publish(http: Http, round: usize, publisher: usize, accepted: Arc<Mutex<Vec<String>>>, count: Arc<AtomicUsize>) {
    for n in 0.. {
        let id = format!("evt_{round}_{publisher}_{n}");
        let body = format!(r#"{{"id":"{id}","type":"order.created","data":{{"n":{n}}}}}"#);
        match http.try_post("/v1/events", body).await {
            Some(202) => accepted.lock().unwrap().push(id),
            Some(other) => panic!("answered {other}"),
            None => return,
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_accepted_is_lost_by_kill_9_in_20_rounds() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/flaky", Answer::Status(200));
    let directory = tempfile::tempdir().unwrap();
    let retry = "retry = { max_retries = 10, initial_delay = \"50ms\", multiplier = 1, jitter = 0.5 }";
    let config = head()
        + &webhook("steady", &receiver.url("/steady"), r#"["*"]"#, retry)
        + &webhook("flaky", &receiver.url("/flaky"), r#"["*"]"#, retry);
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let accepted = Arc::new(Mutex::new(Vec::new()));
    for round in 0..ROUNDS {
        receiver.answer_next("/flaky", (0..20).map(|_| Answer::Status(503)));
        let (mut child, http) = spawn(directory.path()).await;
        let count = Arc::new(AtomicUsize::new(0));
        let mut publishers = tokio::task::JoinSet::new();
        for publisher in 0..PUBLISHERS {
            publishers.spawn(publish(http.clone(), round, publisher, Arc::clone(&accepted), Arc::clone(&count)));
        }
        // Killed at another moment each round, in the middle of the load.
        let enough = 20 + round * 13;
        while count.load(Ordering::Relaxed) < enough {
            tokio::task::yield_now().await;
        }
        child.kill().await.unwrap();
        while let Some(result) = publishers.join_next().await {
            result.unwrap();
        }
    }
    let accepted: HashSet<String> = accepted.lock().unwrap().iter().cloned().collect();
    assert!(accepted.len() > ROUNDS * 20);
    let (_child, _http) = spawn(directory.path()).await;
    for path in ["/steady", "/flaky"] {
        let arrived = async {
            loop {
                let ids: HashSet<String> = receiver.received(path).iter().map(|r| r.header("webhook-id").to_owned()).collect();
                if accepted.is_subset(&ids) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, arrived).await.is_err() {
            let ids: HashSet<String> = receiver.received(path).iter().map(|r| r.header("webhook-id").to_owned()).collect();
            panic!("lost on {path}: {:?}", accepted.difference(&ids).take(10).collect::<Vec<_>>());
        }
    }
}
