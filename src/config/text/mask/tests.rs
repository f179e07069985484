//! What is hidden in excerpts, and what is not.

use super::*;

fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut from = 0;
    for mask in masks(text) {
        out.push_str(&text[from..mask.range.start]);
        out.push_str(&mask.shown);
        from = mask.range.end;
    }
    out + &text[from..]
}

#[test]
fn literal_secrets_are_hidden_and_references_are_not() {
    for (text, shown) in [
        ("secret = \"hunter22\" # x", "secret = \"…\" # x"),
        ("secret = \"${OPS_SECRET}\"", "secret = \"${OPS_SECRET}\""),
        ("secret = \"${OPS_SECRET:-hunter22}\"", "secret = \"…\""),
        ("secert = 'hunter22'", "secert = \"…\""),
        ("[storage]\nkye = \"hunter22\"", "[storage]\nkye = \"…\""),
        ("previous_keys = [\"hunter22\", \"${OLD}\"]", "previous_keys = [\"…\", \"${OLD}\"]"),
        ("secret = hunter22", "secret = …"),
        ("secret = \"hunter22", "secret = \"…\""),
        ("tokens.a.token = \"hunter22\"\nb = \"x\"", "tokens.a.token = \"…\"\nb = \"x\""),
        ("a = { secret = \"hunter22\", b = \"x\" }", "a = { secret = \"…\", b = \"x\" }"),
        ("headers = { \"X-A\" = \"hunter22\", b = [\"y\"] }\nc = \"z\"", "headers = { \"X-A\" = \"…\", b = [\"…\"] }\nc = \"z\""),
        ("[tokens.a]\nscopes = [\"read\"]\nb = 1", "[tokens.a]\nscopes = [\"read\"]\nb = …"),
        // A webhook of that name, or one whose name was forgotten: nobody knows.
        ("[webhooks.auth]\nid = 1", "[webhooks.auth]\nid = …"),
        ("[webhooks.headers]\nX-Gateway = \"hunter22\"", "[webhooks.headers]\nX-Gateway = \"…\""),
        ("[webhooks.auth.retry]\nmax = 1", "[webhooks.auth.retry]\nmax = 1"),
        ("[webhooks.a.headers]\nx = \"hunter22\"\n[b]\nc = \"z\"", "[webhooks.a.headers]\nx = \"…\"\n[b]\nc = \"z\""),
        ("[{= \"http:[x = \"whsec_hunter22\"", "[{= \"…\"…"),
        ("[webhooks.a] secret = \"hunter22\"", "[webhooks.a] secret = \"…\""),
        ("url = 5 # whsec_hunter22", "url = 5 …"),
        ("whsec_hunter22 = 5", "… = 5"),
        ("events = [\"whsec_hunter22\"]", "events = [\"…\"]"),
        ("headers = { a = \"1\"\n[b]\nc = \"z\"", "headers = { a = \"…\"\n[b]\nc = \"z\""),
        ("options = { routing_key = \"hunter22\", severity = \"x\" }", "options = { routing_key = \"…\", severity = \"x\" }"),
    ] {
        assert_eq!(masked(text), shown);
    }
}

#[test]
fn a_value_in_the_stead_of_a_table_of_credentials_is_hidden() {
    for (text, shown) in [
        ("auth = \"Bearer hunter22\"", "auth = \"…\""),
        ("auth = Bearer hunter22", "auth = … …"),
        ("ahth = 12345678", "ahth = …"),
        ("auth = { basic = \"me:hunter22\" }", "auth = { basic = \"…\" }"),
        (
            "auth = { basic = { user = \"me\", p = \"hunter22\" } }\nb = \"x\"",
            "auth = { basic = { user = \"me\", p = \"…\" } }\nb = \"x\"",
        ),
        ("auth.api = [\"hunter22\"]", "auth.api = [\"…\"]"),
        (
            "auth = { oauth2 = { client_id = \"me\", params = { user = \"hunter22\" }, scopes = [\"a\"], client_secret = \"hunter22\" } }",
            "auth = { oauth2 = { client_id = \"me\", params = { user = \"…\" }, scopes = [\"a\"], client_secret = \"…\" } }",
        ),
        ("auth.oauth2.params = { k = \"hunter22\" } oops", "auth.oauth2.params = { k = \"…\" } …"),
        ("auth.oauth2.token_url = \"https://login.example/t\"", "auth.oauth2.token_url = \"https://login.example/t\""),
        ("[webhooks.a.auth.oauth2.params]\nuser = \"hunter22\"", "[webhooks.a.auth.oauth2.params]\nuser = \"…\""),
        (
            "[webhooks.a.auth.basic]\nusername = \"me\"\npw = \"hunter22\"",
            "[webhooks.a.auth.basic]\nusername = \"me\"\npw = \"…\"",
        ),
        ("custom_headers = { X-A = \"hunter22\" }", "custom_headers = { X-A = \"…\" }"),
        ("encryption_key = \"hunter22\"", "encryption_key = \"…\""),
        ("target = \"h/hunter22\"", "target = \"h/…\""),
        ("tokens.user = \"hunter22\"", "tokens.user = \"…\""),
        ("storage = \"hunter22\"", "storage = \"…\""),
        ("storage = { path = \"data\", key = \"hunter22\" }", "storage = { path = \"data\", key = \"…\" }"),
        ("[network]\nproxy = \"u:hunter22@h:1\"", "[network]\nproxy = \"/…\""),
        ("[network]\n\"proxy\" = \"h/hunter22\"", "[network]\n\"proxy\" = \"h/…\""),
    ] {
        assert_eq!(masked(text), shown);
    }
}

#[test]
fn credentials_within_urls_are_hidden() {
    for (text, shown) in [
        ("url = \"https://hooks.slack.com/services/T0/B0/XXXX3f2a\"", "url = \"https://hooks.slack.com/services/…3f2a\""),
        ("url = \"hooks.slack.com/services/T0/B0/XXXX3f2a\"", "url = \"hooks.slack.com/…\""),
        ("url = \"https://example.com/in?key=hunter22\"", "url = \"https://example.com/in?…\""),
        ("url = \"https://user:hunter22@example.com/in\"", "url = \"https://…@example.com/in\""),
        ("url = \"ftp://h/hunter22\"", "url = \"ftp://h/…\""),
        ("url = \"https://example.com/in\"", "url = \"https://example.com/in\""),
        ("url = \"invalid-url\"", "url = \"invalid-url\""),
    ] {
        assert_eq!(masked(text), shown);
    }
}
