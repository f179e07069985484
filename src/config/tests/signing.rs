//! Signatures, secrets and storage keys: what is taken, and what is said of the rest.

use super::*;
use crate::config::WebhookSettings;
use crate::signing::{Encoding, Scheme};

fn only(loaded: &Loaded) -> &WebhookSettings {
    loaded.settings.webhooks.values().next().expect("the test declares one")
}

const KEY: &str = "whsk_TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs=";

#[test]
fn every_dialect_arrives_with_its_header() {
    let loaded = load(&webhook(
        r#"signature = ["standard", "sha256", "timestamped", "github", "slack", "shopify",
  { scheme = "sha256", header = "X-FlexGate-Signature" },
  { template = "t={timestamp},s={signature}", content = "{timestamp}.{body}", header = "X-My-Sig", encoding = "base64url" }]"#,
    ));
    let webhook = only(&loaded);
    let headers: Vec<String> = webhook.signature.iter().map(|spec| spec.signature_header().to_string()).collect();
    assert_eq!(
        headers,
        [
            "webhook-signature",
            "x-webhook-signature",
            "x-tenterhook-signature",
            "x-hub-signature-256",
            "x-slack-signature",
            "x-shopify-hmac-sha256",
            "x-flexgate-signature",
            "x-my-sig"
        ]
    );
    let Scheme::Template(own) = &webhook.signature[7].scheme else { panic!("{:?}", webhook.signature[7]) };
    assert_eq!(
        (own.template(), own.content(), own.encoding()),
        ("t={timestamp},s={signature}", "{timestamp}.{body}", Encoding::Base64Url)
    );
}

#[test]
fn dialects_that_are_none_say_why() {
    const TEMPLATE: &str = "{ template = \"t={timestamp},s={signature}\", content = \"{timestamp}.{body}\", header = \"X-My-Signature\", encoding = \"hex\" }";
    let of = |signature: &str| one(&webhook(&format!("signature = {signature}")));
    assert_eq!(
        of("\"stripe\""),
        "4:13 unknown signature scheme `stripe` | there are `standard`, `sha256`, `timestamped`, `github`, `slack`, `shopify` and `none`"
    );
    assert_eq!(of("\"slak\""), "4:13 unknown signature scheme `slak` | did you mean \"slack\"?");
    assert_eq!(
        of("{ template = \"{signature}\" }"),
        "4:15 the signature's `template` has no `content`, which says what is signed | add content = \"{timestamp}.{body}\""
    );
    assert_eq!(
        of("{ template = \"t={timestamp}\", content = \"{body}\" }"),
        "4:26 `template`: there is no {signature} in it: nothing would be proved"
    );
    assert_eq!(
        of("{ template = \"{signature}\", content = \"{bdy}\" }"),
        "4:51 `content`: unknown placeholder `{bdy}`: there are {id}, {timestamp} (in seconds), {method}, {url}, {header:NAME} and {body}; a brace itself is written twice"
    );
    assert_eq!(
        of("{ template = \"{signature}\", content = \"{body}\", encoding = \"hexx\" }"),
        "4:72 `signature.encoding` cannot be `hexx` | did you mean \"hex\"?"
    );
    assert_eq!(
        of("{ scheme = \"sha256\", template = \"{signature}\", content = \"{body}\" }"),
        "4:15 a signature has either a `scheme` or a `template` | leave one of them out, or write two signatures in a list"
    );
    assert_eq!(
        of("{ scheme = \"sha256\", encoding = \"hex\" }"),
        format!(
            "4:34 `encoding` belongs to a `template`: a `scheme` says itself what is signed | remove it, or write your own dialect: {TEMPLATE}"
        )
    );
    assert_eq!(
        of("[\"sha256\", { template = \"{signature}\", content = \"{body}\" }]"),
        "4:24 two signatures would be written to `x-webhook-signature` (the other one is at config.toml:4:14) | give one of them another `header`"
    );
    assert_eq!(
        of("{ scheme = \"sha256\", header = \"X-GitHub-Event\" }"),
        "4:43 a signature cannot go to `x-github-event`, which has a meaning of its own"
    );
    assert!(of("{ header = \"X-My-Sig\" }").starts_with("4:13 the signature has no `scheme` | write "));
    let taken = one(&webhook("signature = { scheme = \"sha256\", header = \"X-S\" }\nheaders = { X-S-Previous = \"a\" }"));
    assert!(taken.starts_with("5:1 the header `x-s-previous` is set, and the signature goes there too"), "{taken}");
}

#[test]
fn a_signature_has_its_header_to_itself() {
    const AUTH: &str = "auth = { bearer = \"${TOKEN}\" }\n";
    for more in [
        "signature = { scheme = \"sha256\", header = \"Authorization\" }",
        "signature = [\"standard\", { scheme = \"sha256\", header = \"AUTHORIZATION\" }]",
    ] {
        assert_eq!(
            one(&webhook(&format!("{AUTH}{more}"))),
            "4:1 `auth` is set, and a signature goes to the header `Authorization` too, where only one can be | give the signature another header: { scheme = \"…\", header = \"X-My-Signature\" }"
        );
        load(&webhook(more));
    }
    let inherited = format!("[defaults]\nsignature = {{ scheme = \"sha256\", header = \"Authorization\" }}\n{}", webhook(AUTH));
    assert!(one(&inherited).contains("`auth` is set, and a signature goes to the header `Authorization` too"));
    assert_eq!(
        one(&webhook(
            "signature = [{ scheme = \"sha256\", header = \"X-S\" }, { scheme = \"github\", header = \"X-S-Previous\" }]"
        )),
        "4:53 two signatures would be written to `x-s-previous` when a rotation moves one to `…-previous` (the other one is at config.toml:4:14) | give one of them another `header`"
    );
    assert!(
        one(&webhook(
            "signature = [{ scheme = \"sha256\", header = \"X-S-Previous\" }, { scheme = \"github\", header = \"X-S\" }]"
        ))
        .contains("two signatures would be written to `x-s`")
    );
    assert!(
        one(&webhook("signature = { scheme = \"sha256\", header = \"X-S\" }\nheaders = { x-s = \"a\" }"))
            .contains("the header `x-s` is set, and the signature goes there too")
    );
}

#[test]
fn several_secrets_sign_and_the_first_is_the_newest() {
    let loaded = load(&webhook("secret = [\"the new one\", \"the old one\"]"));
    let webhook = only(&loaded);
    assert_eq!(webhook.secret.as_ref().unwrap().expose(), "the new one");
    assert_eq!(webhook.previous_secrets.len(), 1);
    let of = |secret: &str| one(&super::webhook(&format!("secret = {secret}")));
    assert_eq!(of("[]"), "4:10 `secret` is an empty list | leave it out to have one generated");
    assert!(of("[\"a\", \"whsec_x\"]").starts_with("4:16 `secret`: the secret begins with `whsec_`"));
    assert_eq!(of("[\"a\", \"b\", \"c\", \"d\", \"e\", \"f\"]"), "4:10 there are 6 secrets, at most 5 are allowed");
}

#[test]
fn an_ed25519_key_goes_with_standard_alone() {
    let loaded = load(&webhook(&format!("secret = \"{KEY}\"")));
    assert!(only(&loaded).secret.as_ref().unwrap().is_asymmetric());
    load(&webhook(&format!("secret = [\"a symmetric one\", \"{KEY}\"]\nsignature = [\"standard\", \"sha256\"]")));
    assert_eq!(
        one(&webhook(&format!("secret = \"{KEY}\"\nsignature = \"github\""))),
        "4:10 `secret`: the secret is an Ed25519 key (`whsk_`), and the dialect `github` has no such signatures: use it with `standard` alone, or a symmetric secret (`whsec_…`)"
    );
    assert_eq!(
        one(&webhook("secret = \"whpk_PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\"")),
        "4:10 `secret`: the secret is a public key (`whpk_`), which only verifies: sign with the key that begins with `whsk_`"
    );
}

#[test]
fn storage_keys_are_read_and_never_shown() {
    let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let loaded = load(&format!("[storage]\nkey = \"{base64}\"\nprevious_keys = [\"{}\"]", "00".repeat(32)));
    let keys = &loaded.settings.storage.keys;
    assert_eq!((keys.current.as_ref().unwrap().expose()[31], keys.previous.len()), (31, 1));
    assert!(!format!("{:?}", loaded.settings).contains("AAECAw"));
    assert_eq!(
        one("[storage]\nkey = \"hunter22\""),
        "2:7 `key`: a storage key is 32 bytes in base64 or in 64 hexadecimal digits: make one with `openssl rand -base64 32`"
    );
    assert!(one("[storage]\nprevious_keys = [\"hunter22\"]").starts_with("2:18 `previous_keys[]`: a storage key is"));
    let problems = problems("[storage]\nkey = \"hunter22hunter22\"");
    assert!(!problems.render(false).contains("hunter22"), "{}", problems.render(false));
}
