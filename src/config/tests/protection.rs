//! `[server.rate_limit]`, `[server.cors]`, `[server.tls]` and the tenant of a token: what they come to, and what is
//! said when they are wrong.

use super::*;

#[test]
fn protection_is_off_unless_it_is_declared() {
    let server = load("").settings.server;
    assert_eq!(server.protection, crate::config::ProtectionSettings::default());
    assert!(server.protection.rate_limit.publish.is_none() && !server.protection.cors.any && server.protection.tls.is_none());
}

#[test]
fn limits_and_origins_are_read() {
    let text =
        "[server.rate_limit]\npublish = \"5000/s\"\ntest = \"5/m\"\n[server.cors]\norigins = [\"https://App.example.com\"]";
    let protection = load(text).settings.server.protection;
    let read = |quota: Option<crate::config::Quota>| quota.map(|quota| (quota.count.get(), quota.period.as_secs()));
    let limits = protection.rate_limit;
    assert_eq!((read(limits.publish), read(limits.manage), read(limits.test)), (Some((5000, 1)), None, Some((5, 60))));
    assert_eq!(protection.cors.origins, ["https://app.example.com"]);
    assert!(load("[server.cors]\norigins = [\"*\"]").settings.server.protection.cors.any);
}

#[test]
fn a_certificate_is_read_with_the_files_and_watched_like_them() {
    let files = [("tls/cert.pem", "-----BEGIN CERTIFICATE-----"), ("tls/key.pem", "-----BEGIN PRIVATE KEY-----")];
    let text = "[server.tls]\ncert = \"tls/cert.pem\"\nkey = \"tls/key.pem\"";
    let loaded = load_files(text, &files).unwrap();
    let tls = loaded.settings.server.protection.tls.clone().unwrap();
    assert_eq!((tls.cert.as_str(), tls.key.as_str(), tls.cert_place.line), (files[0].1, files[1].1, 2));
    assert!(!format!("{tls:?}").contains("PRIVATE"));
    for (path, _) in files {
        assert!(loaded.files.contains(&PathBuf::from(path)), "{:?}", loaded.files);
    }
    let renewed = load_files(text, &[("tls/cert.pem", "-----BEGIN CERTIFICATE----- 2"), files[1]]).unwrap();
    assert_ne!(renewed.fingerprint, loaded.fingerprint);
    let inline = load_files("[server.tls]\ncert = \"${file:tls/cert.pem}\"\nkey = \"${file:tls/key.pem}\"", &files).unwrap();
    assert_eq!(inline.settings.server.protection.tls.unwrap().key.as_str(), files[1].1);
}

#[test]
fn a_token_may_belong_to_a_tenant() {
    let text = "[tokens.a]\ntoken = \"0123456789abcdef\"\nscopes = [\"read\"]\ntenant = \"acme\"";
    assert_eq!(load(text).settings.tokens[0].tenant.as_deref(), Some("acme"));
}

#[test]
fn what_is_wrong_is_said_with_how_to_mend_it() {
    const RATE: &str = "write a number from 1 to 1000000 per s, m or h, as in";
    let token = "[tokens.a]\ntoken = \"0123456789abcdef\"\nscopes = [\"read\"]\n";
    expect(&[
        (
            "[server.rate_limit]\nmanage = \"60\"",
            &format!("2:10 `manage` is not a rate: `60` | {RATE} \"60/m\"; without it there is no limit"),
        ),
        (
            "[server.rate_limit]\nmanage = 60",
            "2:10 `manage` must be a rate such as \"60/m\", found the number 60 | write the unit of time: \"60/m\"",
        ),
        ("[server.rate_limit]\nmanag = \"60/m\"", "2:1 unknown key `manag`, did you mean `manage`?"),
        (
            "[server]\nrate_limit = \"60/m\"",
            "2:14 `server.rate_limit` must be a table such as [server.rate_limit], found a string",
        ),
        (
            "[server.cors]\norigins = [\"https://a.com/app\"]",
            "2:12 `origins`: not an origin: `https://a.com/app` | write \"https://a.com\": an origin has no path",
        ),
        (
            "[server.tls]\ncert = \"a.pem\"\nkey = \"-----BEGIN\"",
            "2:8 `cert`: the file `a.pem` cannot be read: there is no such file",
        ),
        ("[server.tls]\nkey = \"-----BEGIN\"", "1:1 [server.tls] has no `cert` | add cert = \"tls/cert.pem\""),
        (
            &format!("{token}tenant = \" \""),
            "4:10 `tenant` must be 1 to 100 characters, none of them a control character: as events name it",
        ),
        (&format!("{token}tenants = \"a\""), "4:1 unknown key `tenants`, did you mean `tenant`?"),
    ]);
}
