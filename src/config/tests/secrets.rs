//! Secrets and tokens that came along with something that is no part of them.

use std::collections::BTreeMap;

use serde_json::json;

use super::{load_files, one, webhook};
use crate::config::{Judge, load_str};
use crate::model::{Timestamp, WebhookId};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The secret of the webhook with this line, where `${S}` is that value, and the warnings.
fn signed_with(line: &str, value: &str) -> Result<(String, Vec<String>), String> {
    let env = |name: &str| (name == "S").then(|| value.to_owned());
    let loaded = load_str(&webhook(line), &BTreeMap::new(), &env).map_err(|problems| problems.problems[0].message.clone())?;
    let webhook = loaded.settings.webhooks.values().next().unwrap();
    let warnings = loaded.warnings.iter().map(|warning| warning.message.clone()).collect();
    Ok((webhook.secret.as_ref().unwrap().expose().to_owned(), warnings))
}

#[test]
fn white_space_around_what_a_variable_holds_is_trimmed() {
    for end in ["\n", "\r\n", "", " \n", "\n\n"] {
        assert_eq!(signed_with("secret = \"${S}\"", &format!("{KEY}{end}")), Ok((KEY.to_owned(), Vec::new())), "{end:?}");
        assert_eq!(signed_with("secret = \"${S}\"", &format!("plain text{end}")), Ok(("plain text".to_owned(), Vec::new())));
    }
    let token = load_str("[tokens.a]\ntoken = \"${S}\"\nscopes = [\"read\"]\n", &BTreeMap::new(), &|_| {
        Some("0123456789abcdef0123\n".to_owned())
    });
    assert_eq!(token.unwrap().settings.tokens[0].token.expose(), "0123456789abcdef0123");
    // Line ends are no part of any variable; other white space is a value's own.
    let described = load_str(&webhook("description = \"${S}\""), &BTreeMap::new(), &|_| Some(" x \n".to_owned())).unwrap();
    assert_eq!(described.settings.webhooks.values().next().unwrap().description.as_deref(), Some(" x "));
}

#[test]
fn a_signing_key_with_something_before_it_is_refused_with_words() {
    for (text, words) in [
        (format!("v1,{KEY}"), "leave out `v1,`"),
        (format!(" {KEY}"), "white space around it"),
        (format!("'{KEY}'"), "quotes within it"),
        (KEY.replace("whsec", "WHSEC"), "lower case"),
        (format!("Bearer {KEY}"), "leave out `Bearer `"),
        (format!("OPS_SECRET={KEY}"), "write only what follows"),
    ] {
        for line in [format!("secret = \"{text}\""), format!("secret = [\"{KEY}\", \"{text}\"]")] {
            let problem = signed_with(&line, "").unwrap_err();
            assert!(problem.contains(words) && !problem.contains("MfKQ"), "{text}: {problem}");
        }
        // Of what a variable brings, white space is trimmed.
        if !text.starts_with(' ') {
            assert!(signed_with("secret = \"${S}\"", &text).unwrap_err().contains(words), "{text}");
        }
    }
}

#[test]
fn an_odd_plain_text_is_used_and_warned_of() {
    for (text, words) in
        [(" s3cr3t ", "white space"), ("'s3cr3t'", "quotes"), ("Bearer s3cr3t", "`Bearer `"), ("$OPS_SECRET", "not filled in")]
    {
        let (secret, warnings) = signed_with(&format!("secret = \"{text}\""), "").unwrap();
        assert_eq!(secret, text);
        assert!(warnings.len() == 1 && warnings[0].contains(words) && !warnings[0].contains("s3cr3t"), "{text}: {warnings:?}");
    }
}

#[test]
fn the_api_refuses_a_slip_in_a_new_secret_and_leaves_accepted_ones() {
    let loaded = load_str("", &BTreeMap::new(), &|_| None).unwrap();
    let id = WebhookId::parse("ops").unwrap();
    for secret in [format!("v1,{KEY}"), "'s3cr3t'".to_owned()] {
        let body = json!({"url": "https://example.com/hook", "events": ["*"], "secret": secret});
        let body = body.as_object().unwrap();
        let judge = |judge| loaded.api_webhook(&id, body, (Timestamp::default(), Timestamp::default()), judge);
        let problems = judge(Judge::New).unwrap_err();
        assert_eq!(problems[0].field, "/secret", "{problems:?}");
        assert!(judge(Judge::Accepted).is_ok());
    }
}

#[test]
fn tokens_and_credentials_name_the_slip() {
    let token = |text: &str| one(&format!("[tokens.a]\ntoken = \"{text}\"\nscopes = [\"read\"]\n"));
    assert!(token("Bearer 0123456789abcdef").contains("leave out `Bearer `"));
    assert!(token(" 0123456789abcdef").contains("white space around it"));
    assert!(token("0123 456789abcdef").contains("visible ASCII characters, without spaces"));
    let bearer = one(&webhook("auth = { bearer = \"Bearer 0123456789abcdef\" }"));
    assert!(bearer.contains("`auth.bearer` begins with `Bearer `") && bearer.contains("leave out"), "{bearer}");
    let key = one("[storage]\nkey = \"'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='\"");
    assert!(key.contains("`key` has quotes within it"), "{key}");
    assert!(load_files("[storage]\nkey = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"", &[]).is_ok());
}
