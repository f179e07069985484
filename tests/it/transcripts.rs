//! Every command as a user sees it: the transcripts in `tests/cmd`, played by trycmd. Those in `alone` need no server;
//! each of those in `server` has a fresh one, with the same history. `cli::tests` fails when a command has none.
//!
//! `TRYCMD=overwrite cargo test --test it transcripts` writes what the commands print now into the files; what differs from
//! run to run is then to be made `[..]` again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::harness::{Answer, Receiver, SECRET, Server, binary};

/// No command takes so long on the slowest machine.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd").join(name)
}

/// The transcripts of a folder. An empty one would prove nothing.
fn transcripts(name: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder(name)).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    files.sort();
    assert!(!files.is_empty(), "no transcript in {}", folder(name).display());
    files
}

fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&file.path(), &to);
        } else {
            std::fs::copy(file.path(), to).unwrap();
        }
    }
}

/// Where a transcript is played: a directory with the name that trycmd expects, beside the transcript itself.
struct Stage {
    around: tempfile::TempDir,
    /// `x.in`; with `x.md` beside it.
    within: Arc<tempfile::TempDir>,
}

impl Stage {
    fn new() -> Self {
        let around = tempfile::tempdir().unwrap();
        let within = tempfile::Builder::new().prefix("play").suffix(".in").tempdir_in(around.path()).unwrap();
        copy(&folder("files"), within.path());
        Self { around, within: Arc::new(within) }
    }

    /// Plays it with these values in place of the names that its commands have.
    fn play(&self, transcript: &Path, values: &[(&'static str, String)], env: &[(&str, String)]) {
        let source = std::fs::read_to_string(transcript).unwrap();
        let name = self.within.path().file_stem().unwrap().to_owned();
        let played = self.around.path().join(name).with_extension("md");
        std::fs::write(&played, commands(&source, values)).unwrap();
        let cases = trycmd::TestCases::new();
        cases.register_bin("tenterhook", binary()).register_bin("until", folder("until").as_path());
        cases.timeout(TIMEOUT).env("NO_COLOR", "1").env("COLUMNS", "120").env("TENTERHOOK_CONFIG", "config.toml");
        let bin = binary().parent().unwrap().display();
        cases.env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap_or_default()));
        for (name, value) in env {
            cases.env(*name, value.as_str());
        }
        for (name, value) in values {
            cases.insert_var(name, value.clone()).unwrap();
        }
        eprintln!("{}", transcript.display());
        cases.case(&played).run();
        if std::env::var_os("TRYCMD").is_some_and(|mode| mode == "overwrite") {
            let text = std::fs::read_to_string(&played).unwrap();
            let text = values.iter().fold(text, |text, (name, value)| text.replace(value.as_str(), name));
            std::fs::write(transcript, text).unwrap();
        }
    }
}

/// A transcript with the names in its commands replaced. trycmd skips programs that it does not know, so that a command
/// which is misspelt would pass: here it does not.
fn commands(source: &str, values: &[(&str, String)]) -> String {
    let line = |line: &str| match line.strip_prefix("$ ") {
        None => line.to_owned(),
        Some(command) => {
            let program = command.split_whitespace().find(|word| !word.contains('='));
            assert!(matches!(program, Some("tenterhook" | "until")), "not a command of ours: {command}");
            values.iter().fold(line.to_owned(), |line, (name, value)| line.replace(name, value))
        }
    };
    source.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn commands_that_need_no_server_do_as_their_transcripts_say() {
    for transcript in transcripts("alone") {
        // A port that is taken for as long as this is played.
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        Stage::new().play(&transcript, &[("[TAKEN]", port.to_string())], &[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_talk_to_a_server_do_as_their_transcripts_say() {
    for transcript in transcripts("server") {
        let (stage, receiver) = (Stage::new(), Receiver::start().await);
        let config = std::fs::read_to_string(folder("files/server.toml")).unwrap();
        let config = config.replace("[RECEIVER]", &receiver.url("")).replace("[SECRET]", SECRET);
        std::fs::write(stage.within.path().join("config.toml"), config).unwrap();
        let server = Server::start_in(Arc::clone(&stage.within)).await;
        let mut values = history(&server, &receiver).await;
        values.extend([("[SERVER]", server.http().base.clone()), ("[RECEIVER]", receiver.url(""))]);
        let env = [("TENTERHOOK_URL", server.http().base.clone()), ("TENTERHOOK_TOKEN", server.http().token.clone())];
        tokio::task::spawn_blocking(move || stage.play(&transcript, &values, &env)).await.unwrap();
        server.stop().await;
    }
}

/// What has happened before each transcript: one delivery of each fate, a webhook made over the API, a job that has
/// ended. Answers the ids by the names that transcripts have for them.
async fn history(server: &Server, receiver: &Receiver) -> Vec<(&'static str, String)> {
    let publish = async |body: &str| {
        let (status, answer) = server.http().post("/v1/events", body.to_owned()).await;
        assert_eq!(status, 202, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    };
    let billing = format!(r#"{{"id":"billing","url":"{}","events":["invoice.*"]}}"#, receiver.url("/billing"));
    assert_eq!(server.http().post("/v1/webhooks", billing).await.0, 201);
    let delivered = publish(r#"{"id":"order-1","type":"order.created","data":{"total":250}}"#).await;
    let delivered = server.delivery_in(&delivered, "succeeded").await["id"].clone();
    receiver.answer_next("/orders", [Answer::Status(404)]);
    let failed = publish(r#"{"id":"order-2","type":"order.created","data":{"total":5}}"#).await;
    let failed = server.delivery_in(&failed, "failed").await["id"].clone();
    receiver.answer_next("/slow", [Answer::Status(503)]);
    let waiting = publish(r#"{"id":"slow-1","type":"slow.started","data":null}"#).await;
    let waiting = server.delivery_in(&waiting, "retrying").await["id"].clone();
    let erase = r#"{"metadata":{"user_id":"nobody"}}"#;
    let (status, job) = server.http().post("/v1/erase", erase).await;
    assert_eq!(status, 202, "{job}");
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    server.eventually("the job has ended", async || server.http().get(&path).await.1["state"] == "succeeded").await;
    let text = |id: &serde_json::Value| id.as_str().unwrap().to_owned();
    vec![
        ("[DELIVERED]", text(&delivered)),
        ("[FAILED]", text(&failed)),
        ("[WAITING]", text(&waiting)),
        ("[JOB]", text(&job["id"])),
    ]
}
