//! Changes that no watcher reports: a switched link in a directory above, a file that is mounted by itself and edited on
//! the host. The slow check finds them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use tokio::task::{JoinSet, LocalSet};

use crate::harness::{Receiver, Server, head, webhook};

/// What lies behind the link.
#[derive(Debug, Clone, Copy)]
enum Linked {
    Config,
    Include,
    Secret,
}

/// One release: `current` leads to it, and what it holds is found through `current` alone.
fn release(directory: &Path, n: u32, linked: Linked, receiver: &Receiver) {
    let dir = directory.join(format!("releases/{n}"));
    fs::create_dir_all(dir.join("webhooks.d")).unwrap();
    let declared = webhook("w", &receiver.url(&format!("/v{n}")), r#"["*"]"#, "");
    match linked {
        Linked::Config => fs::write(dir.join("config.toml"), head() + "[storage]\npath = \"../../data\"\n" + &declared).unwrap(),
        Linked::Include => fs::write(dir.join("webhooks.d/w.toml"), declared).unwrap(),
        Linked::Secret => fs::write(dir.join("url"), receiver.url(&format!("/v{n}"))).unwrap(),
    }
}

fn config(linked: Linked) -> String {
    match linked {
        Linked::Config => String::new(),
        Linked::Include => format!("include = [\"current/webhooks.d/*.toml\"]\n{}", head()),
        Linked::Secret => head() + &webhook("w", "${file:current/url}", r#"["*"]"#, ""),
    }
}

/// Sees the third release, too: after the first switch everything is watched by another way.
async fn switches(linked: Linked, keeps_old: bool) {
    let receiver = Receiver::start().await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let dir = directory.path();
    release(dir, 1, linked, &receiver);
    symlink("releases/1", dir.join("current")).unwrap();
    let path = match linked {
        Linked::Config => "current/config.toml",
        Linked::Include | Linked::Secret => {
            fs::write(dir.join("config.toml"), config(linked)).unwrap();
            "config.toml"
        }
    };
    let server = Server::start_at(Arc::clone(&directory), path).await;
    for n in 2..4 {
        release(dir, n, linked, &receiver);
        symlink(format!("releases/{n}"), dir.join("next")).unwrap();
        fs::rename(dir.join("next"), dir.join("current")).unwrap();
        if !keeps_old {
            fs::remove_dir_all(dir.join(format!("releases/{}", n - 1))).unwrap();
        }
        server.wait_for_generation(n.into()).await;
        server.publish("a.b", "1").await;
        receiver.wait_for(&format!("/v{n}"), 1).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_link_switched_in_a_directory_above_is_noticed() {
    LocalSet::new()
        .run_until(async {
            let mut cases = JoinSet::new();
            for linked in [Linked::Config, Linked::Include, Linked::Secret] {
                for keeps_old in [true, false] {
                    cases.spawn_local(switches(linked, keeps_old));
                }
            }
            while let Some(ended) = cases.join_next().await {
                ended.unwrap();
            }
        })
        .await;
}

/// In a mount namespace of its own, as a container's runtime makes it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_mounted_by_itself_and_edited_on_the_host_is_noticed() {
    use std::io::Write as _;

    let mounts = |command: &mut tokio::process::Command| {
        command.args(["-rm", "sh", "-c"]).stdin(std::process::Stdio::null());
    };
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    fs::create_dir(dir.join("host")).unwrap();
    let declared = |n: u32| webhook(&format!("w{n}"), &receiver.url(&format!("/w{n}")), r#"["*"]"#, "");
    fs::write(dir.join("host/config.toml"), head() + &declared(1)).unwrap();
    fs::write(dir.join("config.toml"), "").unwrap();
    let mut probe = tokio::process::Command::new("unshare");
    mounts(&mut probe);
    let may_mount = probe.arg("mount --bind host/config.toml config.toml").current_dir(dir).status().await;
    if !may_mount.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI must be able to make a mount namespace (unshare)");
        eprintln!("\n!!! SKIPPED: unshare cannot make a mount namespace here\n");
        return;
    }
    let mut serve = tokio::process::Command::new("unshare");
    mounts(&mut serve);
    serve
        .arg("mount --bind host/config.toml config.toml && exec \"$0\" serve --config config.toml")
        .arg(crate::harness::binary());
    let (_child, http) = crate::crash::Starting::of(serve, dir).listening(dir).await;
    let mut host = fs::File::options().append(true).open(dir.join("host/config.toml")).unwrap();
    host.write_all(declared(2).as_bytes()).unwrap();
    drop(host);
    let live = async { while http.get("/v1/config").await.1["generation"] != 2 {} };
    tokio::time::timeout(crate::harness::PATIENCE, live).await.expect("the edit is noticed");
    http.post("/v1/events", r#"{"type":"a.b"}"#).await;
    receiver.wait_for("/w2", 1).await;
}
