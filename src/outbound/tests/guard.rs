//! The SSRF guard, from the outside: whatever an endpoint is called, refused addresses are never dialled.

use super::*;

async fn refused(client: &Client, url: &str) -> String {
    let error = client.send(post(url), LIMITS).await.unwrap_err();
    assert_eq!(error.cause, Cause::BlockedAddress, "{url}: {}", error.detail);
    error.detail
}

#[tokio::test]
async fn loopback_is_refused_unless_allowed_and_not_even_dialled() {
    let receiver = Receiver::answering(OK).await;
    let closed = Client::new(options(&[])).unwrap();
    let detail = refused(&closed, &receiver.url("/")).await;
    assert!(detail.contains("loopback") && detail.contains("allow = [\"127.0.0.1/32\"]"), "{detail}");
    assert_eq!(receiver.connections(), 0);
    assert_eq!(client().send(post(&receiver.url("/")), LIMITS).await.unwrap().status, 200);
}

#[tokio::test]
async fn odd_spellings_that_only_the_resolver_understands_are_refused_too() {
    let closed = Client::new(options(&["10.0.0.0/8"])).unwrap();
    for host in ["127.1", "0x7f.1", "2130706433", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0"] {
        let error = closed.send(post(&format!("https://{host}/")), LIMITS).await.unwrap_err();
        assert!(matches!(error.cause, Cause::BlockedAddress | Cause::Resolve), "{host}: {:?} {}", error.cause, error.detail);
    }
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_refused_by_name() {
    let client = client_resolving(&[], |_| Ok(vec![[10, 0, 0, 7].into(), [169, 254, 169, 254].into()]));
    let detail = refused(&client, "https://hooks.example.com/").await;
    assert!(detail.starts_with("`hooks.example.com` resolves to a refused address: 10.0.0.7 is in a blocked range"), "{detail}");
}

#[tokio::test]
async fn an_address_in_disguise_is_judged_as_what_it_leads_to_whatever_its_name() {
    for (address, rule) in [
        ("::ffff:10.0.0.7", "in disguise"),
        ("64:ff9b::a00:7", "private"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("2002:a00:7::1", "6to4"),
        ("fd00:ec2::254", "metadata"),
        ("fe80::1", "link-local"),
    ] {
        let address: IpAddr = address.parse().unwrap();
        let client = client_resolving(&[], move |_| Ok(vec![address]));
        let detail = refused(&client, "https://hooks.example.com/").await;
        assert!(detail.contains(rule), "{address}: {detail}");
        refused(&client, &format!("https://[{address}]/")).await;
    }
}

#[tokio::test]
async fn metadata_is_refused_even_when_everything_is_allowed() {
    let client = client_resolving(&["0.0.0.0/0", "::/0"], |_| Ok(vec![[169, 254, 169, 254].into()]));
    assert!(refused(&client, "https://innocent.example.com/").await.contains("metadata"));
    assert!(refused(&client, "http://169.254.169.254/").await.contains("metadata"));
    assert!(refused(&client, "http://[::ffff:169.254.169.254]/").await.contains("metadata"));
}

#[tokio::test]
async fn of_several_addresses_only_permitted_ones_are_dialled() {
    let receiver = Receiver::answering(OK).await;
    // 127.0.0.2 would answer as well: the receiver's listener is on 127.0.0.1 alone, so a dial would be refused.
    let client =
        client_resolving(&["127.0.0.1/32"], |_| Ok(vec![[10, 0, 0, 7].into(), [127, 0, 0, 2].into(), [127, 0, 0, 1].into()]));
    let url = format!("http://mixed.test:{}/", receiver.address.port());
    assert_eq!(client.send(post(&url), LIMITS).await.unwrap().status, 200);
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let receiver = Receiver::answering(OK).await;
    let client = client_resolving(&["127.0.0.0/8"], |_| Ok(vec![[127, 0, 0, 2].into(), [127, 0, 0, 1].into()]));
    let url = format!("http://two.test:{}/", receiver.address.port());
    assert_eq!(client.send(post(&url), LIMITS).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_second_answer_of_the_resolver_is_checked_like_the_first() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    let calls = AtomicUsize::new(0);
    let client = client_resolving(&["127.0.0.1/32"], move |_| {
        let last = if calls.fetch_add(1, Ordering::SeqCst) == 0 { 1 } else { 2 };
        Ok(vec![[127, 0, 0, last].into()])
    });
    let url = format!("http://rebinding.test:{}/", receiver.address.port());
    assert_eq!(client.send(post(&url), LIMITS).await.unwrap().status, 200);
    assert!(refused(&client, &url).await.contains("127.0.0.2"));
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn plain_http_to_a_public_address_is_refused_with_the_way_out() {
    let client = client_resolving(&["10.0.0.0/8"], |_| Ok(vec![[8, 8, 8, 8].into()]));
    let detail = refused(&client, "http://example.com/").await;
    assert!(detail.contains("HTTPS required"), "{detail}");
}

#[tokio::test]
async fn a_uri_that_is_no_endpoint_is_refused() {
    for url in ["ftp://example.com/", "https://user:pw@example.com/", "/relative"] {
        refused(&client(), url).await;
    }
}

#[tokio::test]
async fn a_name_without_addresses_says_so() {
    let client = client_resolving(&[], |name| match name {
        "none.test" => Ok(vec![]),
        _ => Err(io::Error::other("no such host")),
    });
    let none = client.send(post("https://none.test/"), LIMITS).await.unwrap_err();
    assert_eq!((none.cause, none.detail.as_str()), (Cause::Resolve, "`none.test` has no address: check its DNS records"));
    let unknown = client.send(post("https://nxdomain.test/"), LIMITS).await.unwrap_err();
    assert_eq!(unknown.cause, Cause::Resolve);
    assert_eq!(unknown.detail, "`nxdomain.test` does not resolve: no such host: check its spelling, and this machine's DNS");
}
