//! Which server a command talks to, and with which token. Refuses to send a token of this machine, or one that belongs to
//! another server, to a server that was only named.

use anyhow::Context;
use url::Url;

use super::client::{Server, TOKEN_VARIABLE, URL_VARIABLE};
use crate::app::LocalServer;
use crate::signing::Secret;

pub(super) const GIVE_TOKEN: &str = "give a token with --token or TENTERHOOK_TOKEN";

/// What the environment says of servers: a flag that differs from it is about another server.
#[derive(Debug, Default)]
pub(super) struct Environment {
    url: Option<String>,
    token: Option<String>,
}

impl Environment {
    pub(super) fn read() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        Self { url: variable(URL_VARIABLE), token: variable(TOKEN_VARIABLE) }
    }
}

pub(super) struct Target {
    pub(super) base: String,
    pub(super) token: Option<Secret>,
    /// For a server that does not know the token, or wants one.
    pub(super) token_help: String,
    /// Said when the token is a tenant's, and nobody chose it.
    pub(super) tenant: Option<String>,
    pub(super) is_local: bool,
}

impl Target {
    /// `local` reads the configuration, which may be large: it is called when it matters.
    pub(super) fn choose(
        server: &Server,
        environment: &Environment,
        local: impl FnOnce() -> anyhow::Result<LocalServer>,
    ) -> anyhow::Result<Self> {
        let named = server.url.as_deref().map(|url| url.trim_end_matches('/'));
        if let Some(url) = named {
            check(url)?;
        }
        let of_another = of_another_server(server, environment);
        let given = match &server.token {
            Some(token) if of_another.is_none() => Some(Secret::parse(token).context("the token cannot be used")?),
            _ => None,
        };
        let Some(url) = named else {
            let local = local().context(WHICH)?;
            let base = local.url().context(WHICH)?.to_owned();
            return Ok(Self::local(base, given, local));
        };
        if given.is_some() {
            let token_help = "the token (--token or TENTERHOOK_TOKEN) is not one of this server's".to_owned();
            return Ok(Self { base: url.to_owned(), token: given, token_help, tenant: None, is_local: false });
        }
        // Without a configuration there is no local server, and nothing to send.
        let local = local().ok();
        match local.and_then(|local| Some((same_server(url, local.url().ok()?)?, local))) {
            Some((base, local)) => Ok(Self::local(base, None, local)),
            None => {
                let why = of_another.unwrap_or_else(|| {
                    "no token was sent: those of the local config.toml are for the local server alone".to_owned()
                });
                Ok(Self {
                    base: url.to_owned(),
                    token: None,
                    token_help: format!("{why}; {GIVE_TOKEN}"),
                    tenant: None,
                    is_local: false,
                })
            }
        }
    }

    fn local(base: String, given: Option<Secret>, local: LocalServer) -> Self {
        let missing = local.token_problem.map(|problem| format!("{problem}: set it in this shell, or {GIVE_TOKEN}"));
        let chosen = local.token.filter(|_| given.is_none());
        let token_help = match (&given, &chosen, missing) {
            (Some(_), ..) => "the token (--token or TENTERHOOK_TOKEN) is not one of this server's".to_owned(),
            (None, _, Some(missing)) => missing,
            (None, Some(token), None) => {
                format!("the token `{}` of the local config.toml is not one of this server's; {GIVE_TOKEN}", token.name)
            }
            (None, None, None) => format!("{GIVE_TOKEN}, or run this beside the server's config.toml"),
        };
        let tenant = chosen.as_ref().and_then(|token| {
            let tenant = super::output::one_line(token.tenant.as_deref()?);
            Some(format!("acting as tenant {tenant} (token {}): no other token is declared; --token takes one", token.name))
        });
        Self { base, token: given.or(chosen.map(|token| token.secret)), token_help, tenant, is_local: true }
    }
}

const WHICH: &str = "which server? give --url, or run this beside its config.toml";

/// Something that `format!("{url}/v1/…")` makes a URL of.
fn check(url: &str) -> anyhow::Result<()> {
    let parsed = Url::parse(url).ok().filter(|parsed| ["http", "https"].contains(&parsed.scheme()) && parsed.has_host());
    anyhow::ensure!(parsed.is_some(), "the server's URL `{url}` is none: write it as http://127.0.0.1:8080");
    Ok(())
}

/// The variable with the token belongs to the variable with the URL: a flag that names another server does not take it along.
fn of_another_server(server: &Server, environment: &Environment) -> Option<String> {
    let (url, token) = (server.url.as_deref()?, server.token.as_deref()?);
    let (env_url, env_token) = (environment.url.as_deref()?, environment.token.as_deref()?);
    let origin = |url: &str| Url::parse(url).ok().map(|url| url.origin());
    let elsewhere = token == env_token && origin(url) != origin(env_url);
    elsewhere.then(|| format!("no token was sent: {TOKEN_VARIABLE} belongs to {URL_VARIABLE} ({env_url})"))
}

/// Where to talk to when `url` is another way to write the local server's.
fn same_server(url: &str, local: &str) -> Option<String> {
    let (given, own) = (Url::parse(url).ok()?, Url::parse(local).ok()?);
    if given.scheme() != own.scheme() || given.port_or_known_default() != own.port_or_known_default() {
        return None;
    }
    if given.host() == own.host() {
        return Some(url.to_owned());
    }
    // A name may lead to another process than the address: the token goes to the address.
    let is_loopback = match own.host()? {
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
        url::Host::Domain(_) => false,
    };
    (is_loopback && given.scheme() == "http" && given.host_str() == Some("localhost")).then(|| local.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::LocalToken;

    const LOCAL: &str = "http://127.0.0.1:8080";

    fn local() -> LocalServer {
        let secret = Secret::parse("tk_of_the_local_server").unwrap();
        LocalServer::known(LOCAL, LocalToken { secret, name: "admin".to_owned(), tenant: None })
    }

    fn choose(
        url: Option<&str>,
        token: Option<&str>,
        environment: (Option<&str>, Option<&str>),
    ) -> (String, Option<String>, String) {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let server = Server { url: owned(url), token: owned(token) };
        let environment = Environment { url: owned(environment.0), token: owned(environment.1) };
        let target = Target::choose(&server, &environment, || Ok(local())).unwrap();
        (target.base, target.token.map(|token| token.expose().to_owned()), target.token_help)
    }

    #[test]
    fn a_local_token_goes_to_the_local_server_alone() {
        let own = Some("tk_of_the_local_server".to_owned());
        for url in [None, Some(LOCAL), Some("http://127.0.0.1:8080/"), Some("HTTP://127.1:8080"), Some("http://localhost:8080")] {
            assert_eq!(choose(url, None, (None, None)).1, own, "{url:?}");
        }
        assert_eq!(choose(Some("http://localhost:8080"), None, (None, None)).0, LOCAL, "by its address, not by a name");
        for url in [
            "http://127.0.0.1:9502",
            "https://127.0.0.1:8080",
            "http://127.0.0.2:8080",
            "http://127.0.0.1:8080@evil.example",
            "http://127.0.0.1.evil.example:8080",
            "http://localhost.evil.example:8080",
            "https://hooks.example.com",
        ] {
            let (base, token, help) = choose(Some(url), None, (None, None));
            assert_eq!((base.as_str(), token), (url, None));
            assert!(help.contains("--token"), "{help}");
        }
    }

    #[test]
    fn a_token_that_is_given_goes_to_the_server_that_is_named() {
        let given = |url, token, environment| choose(url, token, environment).1;
        assert_eq!(given(Some("https://a.example"), Some("one"), (None, None)).as_deref(), Some("one"));
        assert_eq!(given(None, Some("one"), (None, None)).as_deref(), Some("one"));
        // From the environment, with no server of its own.
        assert_eq!(given(Some("https://a.example"), Some("env"), (None, Some("env"))).as_deref(), Some("env"));
        let pair = (Some("https://a.example"), Some("env"));
        assert_eq!(given(Some("https://a.example"), Some("env"), pair).as_deref(), Some("env"));
        assert_eq!(given(Some("https://a.example:443/"), Some("env"), pair).as_deref(), Some("env"));
    }

    #[test]
    fn the_variable_with_the_token_belongs_to_the_one_with_the_url() {
        let pair = (Some("https://a.example"), Some("env"));
        let (_, token, help) = choose(Some("https://b.example"), Some("env"), pair);
        assert_eq!(token, None);
        assert!(help.contains("TENTERHOOK_TOKEN belongs to TENTERHOOK_URL (https://a.example)"), "{help}");
        assert_eq!(choose(Some("https://b.example"), Some("flag"), pair).1.as_deref(), Some("flag"));
        assert_eq!(choose(Some(LOCAL), Some("env"), pair).1.as_deref(), Some("tk_of_the_local_server"));
    }

    #[test]
    fn what_is_no_url_is_refused_before_anything_is_sent() {
        for url in ["nowhere", "127.0.0.1:8080", "ftp://a.example", "http://"] {
            let server = Server { url: Some(url.to_owned()), token: None };
            let error = Target::choose(&server, &Environment::default(), || Ok(local())).err().unwrap();
            assert!(error.to_string().contains("write it as"), "{url}: {error}");
        }
    }
}
