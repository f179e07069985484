//! How requests leave, seen from a real nginx (TLS, client certificates, HTTP/2) and from receivers that want to know
//! who asks.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::harness::{Answer, PATIENCE, Receiver, SECRET, Server, head, webhook};

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// `NAME.pem` and `NAME.key`, signed by the authority.
fn issue(directory: &Path, file: &str, authority: &CertifiedIssuer<'static, KeyPair>, name: &str) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.signed_by(&key, authority).unwrap();
    std::fs::write(directory.join(format!("{file}.pem")), certificate.pem()).unwrap();
    std::fs::write(directory.join(format!("{file}.key")), key.serialize_pem()).unwrap();
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Nginx {
    _child: Child,
    modern: u16,
    mutual: u16,
    old: u16,
}

/// `None`, loudly, where nginx is not installed.
async fn nginx(directory: &Path) -> Option<Nginx> {
    let found = Command::new("nginx").arg("-v").output().await.is_ok();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "CI must have nginx (on Debian: apt install nginx-light)");
        eprintln!("\n!!! SKIPPED: nginx is not installed, TLS was not tried against it (on Debian: apt install nginx-light)\n");
        return None;
    }
    let (modern, mutual, old) = (free_port(), free_port(), free_port());
    let dir = directory.display();
    let server = |port: u16, more: &str| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl http2; server_name localhost; ssl_certificate {dir}/server.pem;
             ssl_certificate_key {dir}/server.key; {more}
             add_header X-Protocol $server_protocol always; add_header X-Tls $ssl_protocol always;
             add_header X-Sni $ssl_server_name always; add_header X-Client $ssl_client_s_dn always;
             location / {{ return 200 ok; }} }}\n"
        )
    };
    let config = format!(
        "daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.log; worker_processes 1; events {{}}
         http {{ access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
         uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n{}{}{}}}",
        server(modern, "ssl_protocols TLSv1.2 TLSv1.3;"),
        server(mutual, &format!("ssl_client_certificate {dir}/clients.pem; ssl_verify_client on;")),
        server(old, "ssl_protocols TLSv1.2;"),
    );
    std::fs::write(directory.join("nginx.conf"), config).unwrap();
    let child = Command::new("nginx")
        .args(["-p", &dir.to_string(), "-e", &format!("{dir}/nginx.log"), "-c", &format!("{dir}/nginx.conf")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let up = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", old)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let log = || std::fs::read_to_string(directory.join("nginx.log")).unwrap_or_default();
    tokio::time::timeout(PATIENCE, up).await.unwrap_or_else(|_| panic!("nginx does not start:\n{}", log()));
    Some(Nginx { _child: child, modern, mutual, old })
}

fn response_header(delivery: &Value, name: &str) -> String {
    let headers = &delivery["attempts"][0]["response"]["headers"];
    headers[name].as_str().unwrap_or_else(|| panic!("no {name} in {delivery}")).to_owned()
}

#[tokio::test]
async fn nginx_is_reached_over_http2_and_tls_1_3_with_a_certificate() {
    let files = tempfile::tempdir().unwrap();
    let (ours, clients, strangers) = (authority("our authority"), authority("the clients'"), authority("somebody else"));
    std::fs::write(files.path().join("ca.pem"), ours.pem()).unwrap();
    std::fs::write(files.path().join("clients.pem"), clients.pem()).unwrap();
    issue(files.path(), "server", &ours, "localhost");
    issue(files.path(), "client", &strangers, "a stranger");
    let Some(nginx) = nginx(files.path()).await else { return };
    let dir = files.path().display();
    let own = |id: &str, port: u16, more: &str| {
        webhook(
            id,
            &format!("https://localhost:{port}/in"),
            &format!(r#"["{id}.*"]"#),
            &format!("retry = {{ max_retries = 0 }}\n{more}"),
        )
    };
    let identity = format!("cert_file = \"{dir}/client.pem\", key_file = \"{dir}/client.key\"");
    let config = head().replace("[\"127.0.0.0/8\"]", &format!("[\"127.0.0.0/8\", \"::1/128\"]\nca_file = \"{dir}/ca.pem\""))
        + &own("modern", nginx.modern, "")
        + &own("mutual", nginx.mutual, &format!("tls = {{ {identity} }}"))
        + &own("old", nginx.old, "")
        + &own("strict", nginx.old, "tls = { min_version = \"1.3\" }");
    let server = Server::start(&config).await;

    let delivery = server.delivery_in(&server.publish("modern.a", "1").await, "succeeded").await;
    let header = |name| response_header(&delivery, name);
    assert_eq!(
        (header("x-protocol"), header("x-tls"), header("x-sni")),
        ("HTTP/2.0".into(), "TLSv1.3".into(), "localhost".into())
    );
    let delivery = server.delivery_in(&server.publish("old.a", "1").await, "succeeded").await;
    assert_eq!(response_header(&delivery, "x-tls"), "TLSv1.2");
    let delivery = server.delivery_in(&server.publish("strict.a", "1").await, "failed").await;
    assert_eq!(delivery["attempts"][0]["error_class"], "tls", "{delivery}");

    // A certificate of somebody else's is refused by nginx; the right one, put in its place, is taken without a restart.
    let delivery = server.delivery_in(&server.publish("mutual.a", "1").await, "failed").await;
    assert_eq!(delivery["attempts"][0]["status"], 400, "{delivery}");
    let generation = server.http().get("/v1/config").await.1["generation"].as_u64().unwrap();
    issue(files.path(), "client", &clients, "tenterhook");
    server.wait_for_generation(generation + 1).await;
    server
        .eventually("both files are live", async || {
            let id = server.publish("mutual.b", "1").await;
            let (_, event) = server.http().get(&format!("/v1/events/{id}")).await;
            let delivery = event["deliveries"][0]["id"].as_str().unwrap().to_owned();
            let mut delivery = server.http().get(&format!("/v1/deliveries/{delivery}")).await.1;
            while delivery["state"] == "pending" {
                tokio::time::sleep(Duration::from_millis(20)).await;
                delivery = server.http().get(&format!("/v1/deliveries/{}", delivery["id"].as_str().unwrap())).await.1;
            }
            delivery["state"] == "succeeded" && response_header(&delivery, "x-client") == "CN=tenterhook"
        })
        .await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_is_a_problem_of_the_configuration() {
    let server = Server::start(&head()).await;
    let config = head() + &webhook("a", "https://example.com/", r#"["*"]"#, "tls = { ca_file = \"missing.pem\" }");
    std::fs::write(server.path("config.toml"), config).unwrap();
    server
        .eventually("it is refused at its webhook", async || {
            let problem = &server.http().get("/v1/config").await.1["last_error"]["problems"][0];
            problem["line"] == 5 && problem["message"].as_str().unwrap().starts_with("cannot read `tls.ca_file`, ")
        })
        .await;
}

#[tokio::test]
async fn endpoints_learn_who_asks_and_the_record_does_not() {
    let receiver = Receiver::start().await;
    let token = "{\"access_token\":\"the-token\",\"token_type\":\"Bearer\",\"expires_in\":60}".to_owned();
    receiver.answer_always("/token", Answer::With { status: 200, headers: vec![], body: token });
    let oauth2 = format!(
        "auth.oauth2 = {{ token_url = \"{}\", client_id = \"me\", client_secret = \"hunter22hunter22\" }}",
        receiver.url("/token")
    );
    let basic = "auth.basic = { username = \"me\", password = \"hunter22hunter22\" }";
    let config = head()
        + &webhook("bearer", &receiver.url("/bearer"), r#"["*"]"#, "auth = { bearer = \"hunter22hunter22\" }")
        + &webhook("basic", &receiver.url("/basic"), r#"["*"]"#, basic)
        + &webhook("oauth2", &receiver.url("/oauth2"), r#"["*"]"#, &oauth2)
        + &webhook(
            "session",
            &receiver.url("/session"),
            r#"["*"]"#,
            "headers = { X-Session = \"hunter22hunter22\", Accept = \"text/plain\" }",
        );
    // Endpoints that show the request that came.
    let echo = "you sent Bearer hunter22hunter22, Basic bWU6aHVudGVyMjJodW50ZXIyMg==, Bearer the-token, text/plain".to_owned();
    for path in ["/bearer", "/basic", "/oauth2", "/session"] {
        let headers = vec![("x-echo", echo.clone())];
        receiver.answer_always(path, Answer::With { status: 200, headers, body: echo.clone() });
    }
    let server = Server::start(&config).await;
    server.publish("order.created", "1").await;
    for (path, expected) in [
        ("/bearer", "Bearer hunter22hunter22"),
        ("/basic", "Basic bWU6aHVudGVyMjJodW50ZXIyMg=="),
        ("/oauth2", "Bearer the-token"),
    ] {
        let request = receiver.wait_for(path, 1).await.remove(0);
        assert_eq!(request.header("authorization"), expected);
    }
    let asked = receiver.received("/token").remove(0);
    assert_eq!(asked.header("authorization"), "Basic bWU6aHVudGVyMjJodW50ZXIyMg==");
    assert_eq!(receiver.wait_for("/session", 1).await[0].header("x-session"), "hunter22hunter22");
    server.eventually("all are recorded", async || server.http().get("/v1/stats").await.1["deliveries"]["succeeded"] == 4).await;
    let (_, list) = server.http().get("/v1/deliveries").await;
    for delivery in list["data"].as_array().unwrap() {
        let (_, delivery) = server.http().get(&format!("/v1/deliveries/{}", delivery["id"].as_str().unwrap())).await;
        let attempt = &delivery["attempts"][0];
        // Each webhook's own credential, and nothing else of what is said.
        let (own, header, masked) = match delivery["webhook"].as_str().unwrap() {
            "bearer" => ("hunter22hunter22", "authorization", "you sent Bearer …, Basic bWU"),
            "basic" => ("bWU6aHVudGVyMjJodW50ZXIyMg==", "authorization", "22, Basic …, Bearer the"),
            "oauth2" => ("the-token", "authorization", "==, Bearer …, text/plain"),
            _ => ("hunter22hunter22", "x-session", "you sent Bearer …, Basic bWU"),
        };
        assert_eq!(attempt["request"]["headers"][header], "…", "{delivery}");
        assert!(!delivery.to_string().contains(own), "{delivery}");
        for echoed in [&attempt["response"]["body"], &attempt["response"]["headers"]["x-echo"]] {
            assert!(echoed.as_str().unwrap().contains(masked) && echoed.as_str().unwrap().ends_with("text/plain"), "{delivery}");
        }
    }
    let (_, webhooks) = server.http().get("/v1/webhooks").await;
    assert!(!webhooks.to_string().contains("hunter22hunter") && !webhooks.to_string().contains(SECRET));
    assert_eq!(webhooks["data"][1]["auth"]["bearer"], "…er22");
}

#[tokio::test]
async fn echoed_secrets_of_the_url_and_of_options_are_masked() {
    let receiver = Receiver::start().await;
    let (token, key) = ("s3cr3t-t0ken-of-the-url", "0123456789abcdef0123456789abcdef");
    let echo = format!("<h1>Not Found</h1> /in?token={token}&from=production; your key was {key}");
    let headers = vec![("x-echo", echo.clone())];
    receiver.answer_always("/in", Answer::With { status: 404, headers, body: echo });
    let options = format!("transform = {{ use = \"pagerduty\", options = {{ routing_key = \"{key}\" }} }}");
    let url = receiver.url(&format!("/in?token={token}&from=production"));
    let server = Server::start(&(head() + &webhook("ops", &url, r#"["*"]"#, &options))).await;
    let id = server.publish("a.b", "{}").await;
    let delivery = server.delivery_in(&id, "failed").await;
    let attempt = &delivery["attempts"][0];
    for echoed in [&attempt["response"]["body"], &attempt["response"]["headers"]["x-echo"]] {
        assert_eq!(*echoed, "<h1>Not Found</h1> /in?token=…&from=production; your key was …", "{delivery}");
    }
    assert!(!delivery.to_string().contains(token) && !delivery.to_string().contains(key), "{delivery}");
    // What was sent has both.
    let received = receiver.received("/in").remove(0);
    assert_eq!(received.json()["routing_key"], key);
}
