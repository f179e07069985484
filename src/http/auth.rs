//! Who may do what: bearer tokens with scopes. Every request takes its snapshot here, once, with its permission: a
//! handler cannot have one without the other.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::Shared;
use super::problem::{Kind, Problem};
use crate::config::{Scope, Settings};
use crate::signing::Secret;
use crate::snapshot::Snapshot;

/// Who asks, and the configuration that answers.
pub(super) struct Caller {
    pub(super) snapshot: Arc<Snapshot>,
    /// The token's name, for the audit log.
    pub(super) token: Arc<str>,
}

/// May publish.
pub(super) struct Publisher(pub(super) Caller);
/// May read.
pub(super) struct Reader(pub(super) Caller);
/// May change things and see secrets.
pub(super) struct Manager(pub(super) Caller);

macro_rules! admits {
    ($($who:ident => $scope:expr),*) => {$(
        impl FromRequestParts<Shared> for $who {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
                let snapshot = shared.api.live.snapshot();
                let token = shared.tokens.admit(&snapshot.settings, &parts.headers, $scope)?;
                super::audit::admitted(&parts.extensions, &token);
                Ok(Self(Caller { snapshot, token }))
            }
        }
    )*};
}
admits!(Publisher => Scope::Publish, Reader => Scope::Read, Manager => Scope::Manage);

/// The name that the token made at first start goes by.
const ADMIN_NAME: &str = "admin";

/// Digests of the tokens of the moment.
pub(super) struct TokenTable {
    admin: Option<Secret>,
    /// For the settings that they were made from: a reload makes them anew.
    digests: Mutex<Option<MadeFrom>>,
}

struct MadeFrom {
    settings: Arc<Settings>,
    known: Arc<[Known]>,
}

struct Known {
    digest: [u8; 32],
    name: Arc<str>,
    scopes: Vec<Scope>,
}

impl TokenTable {
    pub(super) fn new(admin: Option<Secret>) -> Self {
        Self { admin, digests: Mutex::new(None) }
    }

    /// The name of the token that the request carries.
    ///
    /// # Errors
    /// 401 without a token or with an unknown one, 403 when it lacks the scope.
    pub(super) fn admit(&self, settings: &Arc<Settings>, headers: &HeaderMap, wanted: Scope) -> Result<Arc<str>, Problem> {
        let token = bearer(headers)?;
        let known = self.known(settings);
        let Some(found) = find(&known, token) else {
            return Err(unauthorized(
                "Bearer realm=\"tenterhook\", error=\"invalid_token\"",
                "this token is not known: use one from [tokens] in config.toml, or the one that was printed at first start",
            ));
        };
        if found.scopes.iter().any(|scope| *scope == wanted || *scope == Scope::Manage) {
            return Ok(found.name.clone());
        }
        let (scope, challenge) = match wanted {
            Scope::Publish => ("publish", "Bearer realm=\"tenterhook\", error=\"insufficient_scope\", scope=\"publish\""),
            Scope::Read => ("read", "Bearer realm=\"tenterhook\", error=\"insufficient_scope\", scope=\"read\""),
            Scope::Manage => ("manage", "Bearer realm=\"tenterhook\", error=\"insufficient_scope\", scope=\"manage\""),
        };
        let detail =
            format!("the token `{}` lacks the scope `{scope}`: add it to `scopes` of [tokens.{}]", found.name, found.name);
        Err(Problem::new(Kind::Forbidden, detail)
            .with("scope", scope)
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge)))
    }

    fn known(&self, settings: &Arc<Settings>) -> Arc<[Known]> {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = digests.as_ref().filter(|made| Arc::ptr_eq(&made.settings, settings)) {
            return made.known.clone();
        }
        let declared = settings.tokens.iter().map(|token| Known {
            digest: digest(token.token.expose()),
            name: token.name.as_str().into(),
            scopes: token.scopes.clone(),
        });
        // What is declared replaces the token that was made for want of any.
        let admin = self.admin.iter().filter(|_| settings.tokens.is_empty()).map(|admin| Known {
            digest: digest(admin.expose()),
            name: ADMIN_NAME.into(),
            scopes: vec![Scope::Manage],
        });
        let known: Arc<[Known]> = declared.chain(admin).collect();
        *digests = Some(MadeFrom { settings: settings.clone(), known: known.clone() });
        known
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Compares all of them, and digests of equal length: time tells neither which token was near nor how near.
fn find<'k>(known: &'k [Known], token: &str) -> Option<&'k Known> {
    let digest = digest(token);
    let mut found = u32::MAX;
    for (at, known) in (0_u32..).zip(known) {
        found.conditional_assign(&at, known.digest.ct_eq(&digest));
    }
    usize::try_from(found).ok().and_then(|at| known.get(at))
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    const CHALLENGE: &str = "Bearer realm=\"tenterhook\"";
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Err(unauthorized(CHALLENGE, "send a token: Authorization: Bearer <token>"));
    };
    let parts = value.to_str().ok().and_then(|text| text.trim().split_once(' '));
    match parts {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => Ok(token.trim()),
        _ => Err(unauthorized(CHALLENGE, "the Authorization header is not of the form: Bearer <token>")),
    }
}

fn unauthorized(challenge: &'static str, detail: &'static str) -> Problem {
    Problem::new(Kind::Unauthorized, detail).with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(tokens: &[&str]) -> Vec<Known> {
        tokens.iter().map(|token| Known { digest: digest(token), name: (*token).into(), scopes: vec![Scope::Read] }).collect()
    }

    #[test]
    fn the_whole_token_has_to_be_right() {
        let known = known(&["alpha", "beta", "gamma"]);
        for token in ["alpha", "beta", "gamma"] {
            assert_eq!(&*find(&known, token).unwrap().name, token);
        }
        for token in ["", "alph", "alphaa", "Alpha"] {
            assert!(find(&known, token).is_none(), "{token}");
        }
        assert!(find(&[], "alpha").is_none());
    }

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        let headers = |value: &str| HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())]);
        assert_eq!(bearer(&headers("bEaReR  abc ")).unwrap(), "abc");
        for value in ["abc", "Bearer", "Bearer ", "Basic abc"] {
            assert_eq!(bearer(&headers(value)).unwrap_err().status(), 401, "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()).unwrap_err().status(), 401);
    }
}
