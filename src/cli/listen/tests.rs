//! The receiver over real sockets, its output caught.

use super::*;
use crate::signing::{Encoding, LiveSecret, Message, Scheme, SignatureSpec, Signer, Template};
use anstream::adapter::strip_str;
use hyper_util::client::legacy::Client;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Hands what is printed to the test.
struct Caught(std::sync::mpsc::SyncSender<String>);

impl Write for Caught {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.0.send(text).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn options(json: bool) -> ListenOptions {
    let secrets = vec![
        KnownSecret::new("other", Secret::parse("something else").unwrap()),
        KnownSecret::new("ops-slack", Secret::parse(SECRET).unwrap()),
    ];
    ListenOptions { port: 0, secrets, forward_to: None, status: StatusCode::OK, fail_first: 0, delay: Duration::ZERO, json }
}

/// Sends the requests one after the other; what was printed, and the statuses.
async fn play(options: ListenOptions, requests: Vec<Request<Full<Bytes>>>) -> (Vec<String>, Vec<u16>) {
    let (printed, lines) = std::sync::mpsc::sync_channel(64);
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, address) = oneshot::channel();
    let stopped = async move { drop(stopped.await) };
    let mut server = JoinSet::new();
    server.spawn(serve(options, stopped, move |address| _ = ready.send(address), Caught(printed)));
    let address = address.await.unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut statuses = Vec::new();
    for mut request in requests {
        *request.uri_mut() = format!("http://{address}{}", request.uri()).parse().unwrap();
        let answer = client.request(request).await.unwrap();
        statuses.push(answer.status().as_u16());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(b"{\"received\":") || body.starts_with(b"application:"));
    }
    drop(stop);
    server.join_next().await.unwrap().unwrap().unwrap();
    (lines.try_iter().collect(), statuses)
}

fn signed(body: &str) -> Request<Full<Bytes>> {
    let secrets = vec![LiveSecret::lasting(Secret::parse(SECRET).unwrap())];
    let signer = Signer::new([SignatureSpec::new(Scheme::STANDARD)].into(), secrets).unwrap();
    let mut request = Request::post("/in?x=1").body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    let uri = request.uri().clone();
    let (timestamp, method) = (Clock::System.now(), &http::Method::POST);
    let message = Message { id: "evt_1", timestamp, event_type: "order.paid", method, uri: &uri, body: body.as_bytes() };
    signer.sign(&message, request.headers_mut());
    request.headers_mut().insert("authorization", "Bearer very-secret".parse().unwrap());
    request
}

#[tokio::test]
async fn a_signed_delivery_is_shown_with_who_signed_it() {
    let (lines, statuses) = play(options(false), vec![signed("{\"n\":1}"), signed("{\"n\":1}")]).await;
    assert_eq!(statuses, [200, 200]);
    let first = strip_str(&lines[0]).to_string();
    assert!(first.contains("POST /in?x=1  → 200\n"), "{first}");
    assert!(
        first.contains("  signature ok: standard in webhook-signature, secret of ops-slack (whsec_…LaSw), signed 0 s ago\n"),
        "{first}"
    );
    assert!(first.contains("  webhook-id: evt_1\n") && first.contains("  authorization: Bearer …\n"), "{first}");
    assert!(first.ends_with("  {\n    \"n\": 1\n  }\n\n"), "{first}");
    assert!(strip_str(&lines[1]).to_string().contains("→ 200  the same delivery, time 2\n"));
}

#[tokio::test]
async fn bad_and_missing_signatures_are_told_apart() {
    let mut tampered = signed("{}");
    *tampered.body_mut() = Full::new(Bytes::from_static(b"{ }"));
    let plain = Request::post("/").body(Full::new(Bytes::new())).unwrap();
    let (lines, _) = play(options(false), vec![tampered, plain]).await;
    assert!(
        lines[0].contains("signature does NOT match: no signature in `webhook-signature` (standard) matches"),
        "{}",
        lines[0]
    );
    assert!(strip_str(&lines[1]).to_string().contains("  unsigned\n  (no body)\n"), "{}", lines[1]);
    let (lines, _) = play(ListenOptions { secrets: vec![], ..options(false) }, vec![signed("{}")]).await;
    assert!(lines[0].contains("signature not checked"), "{}", lines[0]);
}

#[tokio::test]
async fn a_dialect_of_the_configuration_is_verified_where_no_other_is() {
    let template = Template::parse("t={timestamp},s={signature}", "{timestamp}.{body}", Encoding::Hex).unwrap();
    let spec = SignatureSpec { scheme: Scheme::Template(Arc::new(template)), header: "x-my-sig".parse().ok() };
    let secret = Secret::parse(SECRET).unwrap();
    let signer = Signer::new([spec.clone()].into(), vec![LiveSecret::lasting(secret.clone())]).unwrap();
    let request = |body: &str| {
        let mut request = Request::post("/").body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let (timestamp, method, uri) = (Clock::System.now(), &http::Method::POST, &http::Uri::from_static("/in"));
        let message = Message { id: "evt_1", timestamp, event_type: "a.b", method, uri, body: b"{}" };
        signer.sign(&message, request.headers_mut());
        request
    };
    let own = KnownSecret { templates: vec![spec.clone()], ..KnownSecret::new("own", secret) };
    let secrets = vec![KnownSecret::new("other", Secret::parse("something else").unwrap()), own];
    let (lines, _) = play(ListenOptions { secrets, ..options(false) }, vec![request("{}"), request("{ }")]).await;
    let first = strip_str(&lines[0]).to_string();
    assert!(first.contains("signature ok: template in x-my-sig, secret of own"), "{first}");
    assert!(lines[1].contains("signature does NOT match: no signature in `x-my-sig` (template) matches"), "{}", lines[1]);
}

#[tokio::test]
async fn the_first_requests_fail_when_asked_to_and_the_rest_get_the_status() {
    let options = ListenOptions { fail_first: 2, status: StatusCode::ACCEPTED, ..options(false) };
    let (_, statuses) = play(options, (0..4).map(|_| signed("{}")).collect()).await;
    assert_eq!(statuses, [503, 503, 202, 202]);
}

#[tokio::test]
async fn json_is_one_object_a_line_whatever_the_body() {
    let binary = Request::post("/b").body(Full::new(Bytes::from_static(b"\xff\x00"))).unwrap();
    let text = Request::post("/t").body(Full::new(Bytes::from("a\u{1b}[31m\u{9b}b"))).unwrap();
    let (lines, _) = play(options(true), vec![signed("{\n\"n\":\n1}"), binary, text]).await;
    let values: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line.matches('\n').count() == 1));
    assert_eq!(values[0]["body"]["n"], 1);
    assert_eq!(values[0]["signature"]["secret_of"], "ops-slack");
    assert_eq!(values[0]["headers"]["authorization"], "Bearer …");
    assert_eq!(values[1]["body_base64"], "/wA=");
    assert_eq!(values[1]["signature"]["result"], "unsigned");
    assert_eq!(values[2]["body_text"], "a\u{1b}[31m\u{9b}b");
    assert!(!lines[2].contains('\u{9b}'));
}

#[tokio::test]
async fn nothing_from_the_network_reaches_the_terminal_raw() {
    let body = "\u{1b}]0;owned\u{7}\n\u{202e}gnp.exe";
    let mut request = Request::post("/").body(Full::new(Bytes::from(body))).unwrap();
    request.headers_mut().insert("x-evil", http::HeaderValue::from_bytes(b"\xc2\x9b31m").unwrap());
    let (lines, _) = play(options(false), vec![request]).await;
    let shown = strip_str(&lines[0]).to_string();
    assert!(shown.contains("\\u{1b}]0;owned\\u{7}\n") && shown.contains("\\u{202e}gnp.exe"), "{shown}");
    assert!(shown.contains("x-evil: \\u{9b}31m"), "{shown}");
    assert!(shown.chars().all(|c| c == '\n' || !crate::cli::terminal::is_dangerous(c)));
}

#[tokio::test]
async fn credentials_are_not_shown_but_for_their_scheme() {
    let request = || {
        Request::post("/hook")
            .header("authorization", "Bearer s3cret-token")
            .header("cookie", "session=s3cret-session; theme=dark")
            .body(Full::new(Bytes::from_static(b"{}")))
            .unwrap()
    };
    for json in [false, true] {
        let (lines, _) = play(options(json), vec![request()]).await;
        let shown = lines.join("\n");
        assert!(shown.contains("Bearer …") && !shown.contains("s3cret"), "{shown}");
    }
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused() {
    let huge = Request::post("/").body(Full::new(Bytes::from(vec![b'x'; BODY_BYTES_MAX + 1]))).unwrap();
    let (lines, statuses) = play(options(false), vec![huge]).await;
    assert_eq!((lines.len(), statuses), (0, vec![413]));
}

#[tokio::test]
async fn a_taken_port_says_how_to_go_on() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ListenOptions { port: taken.local_addr().unwrap().port(), ..options(false) };
    let error = run(options, std::future::pending(), |_| ()).await.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot listen on 127.0.0.1:") && error.ends_with("take another port with --port (0 takes a free one)")
    );
}

#[test]
fn old_ids_are_forgotten_and_repeated_ones_counted() {
    let mut seen = Seen::default();
    assert_eq!((seen.count(b"a"), seen.count(b"a"), seen.count(b"b")), (1, 2, 1));
    for number in 0..SEEN_MAX {
        seen.count(number.to_string().as_bytes());
    }
    assert_eq!((seen.times.len(), seen.count(b"a")), (SEEN_MAX, 1));
}

/// An application behind the receiver: answers 201 with what it got, and says what came.
async fn application() -> (String, tokio::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (tell, came) = mpsc::channel(8);
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tell = tell.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let tell = tell.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let signature = head.headers.get("webhook-signature").map(|value| value.to_str().unwrap().to_owned());
                    let target = head.uri.path_and_query().unwrap().to_string();
                    tell.send(format!("{} {target} {} {signature:?}", head.method, String::from_utf8_lossy(&body)))
                        .await
                        .unwrap();
                    let answer =
                        Response::builder().status(201).header("x-own", "1").body(Full::new(Bytes::from("application: ok")));
                    Ok::<_, Infallible>(answer.unwrap())
                }
            });
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        }
    });
    (base, came)
}

#[tokio::test]
async fn a_request_is_forwarded_and_answered_as_the_application_does() {
    let (base, mut came) = application().await;
    let options = ListenOptions { forward_to: Some(base.parse().unwrap()), fail_first: 1, ..options(false) };
    let body = "{\"n\": 1.00}";
    let (printed, statuses) = play(options, vec![signed(body), signed(body)]).await;
    assert_eq!(statuses, [503, 201], "a failure that was asked for is not forwarded");
    let got = came.recv().await.unwrap();
    assert!(got.starts_with(&format!("POST /in?x=1 {body} Some(\"v1,")), "{got}");
    assert!(came.try_recv().is_err());
    let shown = strip_str(&printed[1]).to_string();
    assert!(shown.contains("signature ok") && shown.contains(&format!("forwarded to {base}/in?x=1: 201")), "{shown}");
}

#[tokio::test]
async fn an_application_that_is_away_is_a_502_with_the_reason() {
    let options = ListenOptions { forward_to: Some("http://127.0.0.1:1/hooks".parse().unwrap()), ..options(false) };
    let (printed, statuses) = play(options, vec![signed("{}")]).await;
    assert_eq!(statuses, [502]);
    let shown = strip_str(&printed[0]).to_string();
    assert!(shown.contains("NOT forwarded to http://127.0.0.1:1/hooks: no connection to 127.0.0.1:1"), "{shown}");
}
