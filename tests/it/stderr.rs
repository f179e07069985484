//! The log cannot be written: standard error is a pipe whose reader is gone, or a full disk. Deliveries go on. With the
//! real binary.
#![cfg(target_os = "linux")]

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Answer, Http, PATIENCE, Receiver, binary, head, webhook};

/// A pipe whose reader is gone.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full_disk() -> Stdio {
    std::fs::File::options().write(true).open("/dev/full").unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_stops_no_delivery() {
    let outlets: [fn() -> Stdio; 2] = [closed_pipe, full_disk];
    for outlet in outlets {
        let receiver = Receiver::start().await;
        // A failed attempt is a line in the log, before the attempt is recorded.
        receiver.answer_next("/in", (0..3).map(|_| Answer::Status(500)));
        let directory = tempfile::tempdir().unwrap();
        let retry = "retry = { schedule = [\"10ms\", \"10ms\"], jitter = 0 }\nconcurrency = 1";
        let config = head() + &webhook("w", &receiver.url("/in"), r#"["*"]"#, retry);
        std::fs::write(directory.path().join("config.toml"), config).unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut child = Command::new(binary())
            .args(["serve", "--config", "config.toml"])
            .current_dir(directory.path())
            .env("NOTIFY_SOCKET", directory.path().join("notify"))
            .env("TENTERHOOK_LOG", "debug")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(outlet())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let told = tokio::task::spawn_blocking(move || {
            let mut bytes = [0; 1024];
            let read = socket.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..read]).into_owned()
        });
        let told = told.await.unwrap();
        let (_, address) = told.rsplit_once("listening on ").unwrap_or_else(|| panic!("it starts: {told}"));
        let token = std::fs::read_to_string(directory.path().join("data/admin-token")).unwrap();
        let http = Http::new(format!("http://{address}"), token.trim().to_owned());

        for n in 0..5 {
            let (status, answer) = http.post("/v1/events", format!(r#"{{"id":"evt_{n}","type":"a.b","data":{n}}}"#)).await;
            assert_eq!(status, 202, "{answer}");
        }
        receiver.wait_for("/in", 8).await;
        let (status, answer) = http.post("/v1/webhooks/w/disable", "{}").await;
        assert_eq!(status, 200, "an action that succeeded is not answered with an error: {answer}");
        let settled = async || http.get("/v1/webhooks/w/stats").await.1["deliveries"]["succeeded"] == 5;
        timeout(PATIENCE, async { while !settled().await {} }).await.expect("every attempt is recorded");
        let (_, stats) = http.get("/v1/webhooks/w/stats").await;
        assert_eq!(stats["attempts"], 8, "{stats}");

        let pid = child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let ended = timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
        assert_eq!(ended.code(), Some(0));
    }
}

/// The reader of the output has closed it.
#[test]
fn a_closed_standard_output_ends_a_command_quietly() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), head()).unwrap();
    for arguments in [&["schema"][..], &["check"], &["transformer", "list"], &["completions", "bash"]] {
        let mut command = std::process::Command::new(binary());
        let output = command.args(arguments).current_dir(directory.path()).stdout(closed_pipe()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
    let full =
        std::process::Command::new(binary()).arg("check").current_dir(directory.path()).stdout(full_disk()).output().unwrap();
    let said = String::from_utf8_lossy(&full.stderr).into_owned();
    assert!(full.status.code() == Some(1) && said.starts_with("error: cannot write to standard output: "), "{said}");
    let refused = std::process::Command::new(binary()).args(["check", "--config", "nowhere.toml"]).stderr(full_disk()).output();
    assert_eq!(refused.unwrap().status.code(), Some(1), "it cannot print the reason, and still fails");
}
