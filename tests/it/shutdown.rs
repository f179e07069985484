//! Shutdown: SIGTERM under load with attempts in flight, a second signal, a signal during the start, as the first process
//! of a container, and the notifications to a service manager. With the real binary.
#![cfg(target_os = "linux")]

use std::collections::{HashMap, HashSet};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::crash::spawn;
use crate::harness::{Answer, Http, PATIENCE, Receiver, binary, head, webhook};

fn kill(signal: &str, pid: u32) {
    let status = std::process::Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

async fn ends(child: &mut Child) -> std::process::ExitStatus {
    timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap()
}

/// Answers every request when the gate opens, and counts how often each id was answered.
struct Gated {
    url: String,
    open: watch::Sender<bool>,
    /// A permit for each request that has come.
    begun: Arc<Semaphore>,
    answered: Arc<Mutex<HashMap<String, usize>>>,
}

impl Gated {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (open, gate) = watch::channel(false);
        let (begun, answered) = (Arc::new(Semaphore::new(0)), Arc::<Mutex<HashMap<String, usize>>>::default());
        let (tell, count) = (begun.clone(), answered.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (mut gate, tell, count) = (gate.clone(), tell.clone(), count.clone());
                tokio::spawn(async move {
                    let mut bytes = vec![0; 64 * 1024];
                    loop {
                        let read = stream.read(&mut bytes).await.unwrap_or(0);
                        if read == 0 {
                            return;
                        }
                        let head = String::from_utf8_lossy(&bytes[..read]).into_owned();
                        let Some(id) = head.lines().find_map(|line| line.strip_prefix("webhook-id: ")) else { continue };
                        tell.add_permits(1);
                        let _ = gate.wait_for(|open| *open).await;
                        *count.lock().unwrap().entry(id.to_owned()).or_default() += 1;
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                    }
                });
            }
        });
        Self { url, open, begun, answered }
    }
}

async fn publish_until_gone(http: Http, publisher: usize) -> Vec<String> {
    let mut accepted = Vec::new();
    for n in 0.. {
        let id = format!("evt_{publisher}_{n}");
        match http.try_post("/v1/events", format!(r#"{{"id":"{id}","type":"order.created","data":{n}}}"#)).await {
            Some(202) => accepted.push(id),
            Some(503) => {}
            Some(other) => panic!("answered {other}"),
            None => break,
        }
    }
    accepted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_lets_attempts_finish_and_the_next_start_resumes() {
    let receiver = Receiver::start().await;
    let gated = Gated::start().await;
    let directory = tempfile::tempdir().unwrap();
    let config = head().replace("[network]", "shutdown_grace = \"1m\"\n[network]")
        + &webhook("all", &receiver.url("/all"), r#"["*"]"#, "")
        + &webhook("slow", &gated.url, r#"["*"]"#, "timeout = \"30s\"\nconcurrency = 5");
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let (mut child, http) = spawn(directory.path()).await;
    let publishers: Vec<_> = (0..4).map(|n| tokio::spawn(publish_until_gone(http.clone(), n))).collect();
    timeout(PATIENCE, gated.begun.acquire_many(5)).await.expect("five attempts begin").unwrap().forget();
    kill("-TERM", child.id().unwrap());
    let mut accepted = HashSet::new();
    for publisher in publishers {
        accepted.extend(timeout(PATIENCE, publisher).await.expect("no more events are taken").unwrap());
    }
    assert!(child.try_wait().unwrap().is_none(), "it waits for what is in flight");
    gated.open.send_replace(true);
    assert_eq!(ends(&mut child).await.code(), Some(0));
    let finished = gated.answered.lock().unwrap().clone();
    assert!(finished.len() >= 5, "{finished:?}");

    let (mut child, http) = spawn(directory.path()).await;
    let all = |seen: &HashSet<String>| accepted.iter().all(|id| seen.contains(id));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let slow: HashSet<String> = gated.answered.lock().unwrap().keys().cloned().collect();
        let fast: HashSet<String> = receiver.received("/all").iter().map(|r| r.header("webhook-id").to_owned()).collect();
        if all(&slow) && all(&fast) {
            break;
        }
        assert!(Instant::now() < deadline, "{} accepted, {} and {} arrived", accepted.len(), slow.len(), fast.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for id in finished.keys() {
        let (_, event) = http.get(&format!("/v1/events/{id}")).await;
        let slow = event["deliveries"].as_array().unwrap().iter().find(|delivery| delivery["webhook"] == "slow").unwrap();
        let (_, delivery) = http.get(&format!("/v1/deliveries/{}", slow["id"].as_str().unwrap())).await;
        let times = gated.answered.lock().unwrap()[id];
        assert_eq!(times, 1, "{id} was answered, recorded, and is not repeated: {delivery:#}");
    }
    let (_, stats) = http.get("/v1/webhooks/slow/stats").await;
    assert_eq!(stats["deliveries"]["failed"], 0, "{stats}");
    kill("-INT", child.id().unwrap());
    assert_eq!(ends(&mut child).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grace_period_or_a_second_signal_ends_a_drain() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/hang", Answer::Hang);
    for (grace, second) in [("300ms", false), ("5m", true)] {
        let directory = tempfile::tempdir().unwrap();
        let config = head().replace("[network]", &format!("shutdown_grace = \"{grace}\"\n[network]"))
            + &webhook("hang", &receiver.url("/hang"), r#"["*"]"#, "timeout = \"5m\"");
        std::fs::write(directory.path().join("config.toml"), &config).unwrap();
        let (mut child, http) = spawn(directory.path()).await;
        let before = receiver.received("/hang").len();
        assert_eq!(http.try_post("/v1/events", r#"{"id":"evt_held","type":"a.b","data":1}"#).await, Some(202));
        receiver.wait_for("/hang", before + 1).await;
        kill("-TERM", child.id().unwrap());
        if second {
            // The first has been taken when nobody listens any more.
            while http.try_post("/v1/events", "{}").await.is_some() {}
            kill("-TERM", child.id().unwrap());
            assert_eq!(ends(&mut child).await.code(), Some(130));
        } else {
            assert_eq!(ends(&mut child).await.code(), Some(0));
        }
        let (_again, _) = spawn(directory.path()).await;
        let requests = receiver.wait_for("/hang", before + 2).await;
        assert_eq!(requests[before + 1].header("webhook-id"), "evt_held", "what was cut off is made again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_is_notified_of_start_life_and_stop() {
    for abstract_name in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.toml"), head()).unwrap();
        let path = directory.path().join("notify");
        let (socket, name) = if abstract_name {
            let name = format!("tenterhook-test-{}", std::process::id());
            let address = SocketAddr::from_abstract_name(&name).unwrap();
            (UnixDatagram::bind_addr(&address).unwrap(), format!("@{name}"))
        } else {
            (UnixDatagram::bind(&path).unwrap(), path.display().to_string())
        };
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let socket = Arc::new(socket);
        let next = || {
            let socket = socket.clone();
            tokio::task::spawn_blocking(move || {
                let mut bytes = [0; 1024];
                let read = socket.recv(&mut bytes).unwrap();
                String::from_utf8_lossy(&bytes[..read]).into_owned()
            })
        };
        let mut child = serve(directory.path()).env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", "100000").spawn().unwrap();
        let ready = next().await.unwrap();
        assert!(ready.starts_with("READY=1\nSTATUS=listening on 127.0.0.1:"), "{ready}");
        assert_eq!(next().await.unwrap(), "WATCHDOG=1");
        assert_eq!(next().await.unwrap(), "WATCHDOG=1");
        kill("-TERM", child.id().unwrap());
        while next().await.unwrap() == "WATCHDOG=1" {}
        assert_eq!(ends(&mut child).await.code(), Some(0));
    }
}

fn serve(directory: &Path) -> Command {
    let mut command = Command::new(binary());
    command.args(["serve", "--config", "config.toml"]).current_dir(directory).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unused_signal_does_not_end_the_process() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), head()).unwrap();
    let mut child = serve(directory.path()).env("TENTERHOOK_LOG", "info").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut line = async || timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("it goes on");
    while !line().await.contains("listens on") {}
    for signal in ["USR1", "USR2"] {
        kill(&format!("-{signal}"), child.id().unwrap());
        while !line().await.contains(&format!("SIG{signal} ignored: it has no meaning here")) {}
    }
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    kill("-TERM", child.id().unwrap());
    assert_eq!(ends(&mut child).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_process_of_a_container_ends_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), head()).unwrap();
    let probe = Command::new("unshare").args(["--user", "--map-root-user", "--pid", "--fork", "true"]).output().await;
    if !probe.is_ok_and(|probe| probe.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI must be able to make a process namespace (unshare)");
        eprintln!("\n!!! SKIPPED: unshare cannot make a process namespace here\n");
        return;
    }
    let mut child = Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child"])
        .arg(binary())
        .args(["serve", "--config", "config.toml"])
        .current_dir(directory.path())
        .env("TENTERHOOK_LOG", "info")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while !timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("it starts").contains("listens on") {}
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let parent = child.id().unwrap();
    let inner = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let inner: u32 = inner.trim().parse().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{inner}/status")).unwrap();
    assert!(status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1")), "{status}");
    kill("-TERM", inner);
    assert_eq!(ends(&mut child).await.code(), Some(0));
}
