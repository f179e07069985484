//! Bearer tokens, their scopes and tenants. A handler gets the snapshot together with the permission, from an extractor such
//! as [`MayRead`]: it cannot have one without the other.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::config::{Scope, Settings};
use crate::http::Shared;
use crate::http::problem::{Kind, Problem};
use crate::signing::Secret;
use crate::snapshot::Snapshot;

/// The token of a request, and the snapshot that the request is answered from.
pub(crate) struct Caller {
    pub(crate) snapshot: Arc<Snapshot>,
    /// The token's name, for the audit log.
    pub(crate) token: Arc<str>,
    /// What the token is confined to; `None`: it sees everything.
    pub(crate) tenant: Option<Arc<str>>,
}

/// May publish; a tenant's token only its own events.
pub(crate) struct MayPublish(pub(crate) Caller);
/// May read what concerns the whole server. A tenant's token is refused.
pub(crate) struct MayRead(pub(crate) Caller);
/// May change what concerns the whole server. A tenant's token is refused.
pub(crate) struct MayManage(pub(crate) Caller);
/// May read; the handler takes care that a tenant's token sees only its own.
pub(crate) struct MayReadOwn(pub(crate) Caller);
/// May change things and see secrets; the handler takes care that a tenant's token reaches only its own.
pub(crate) struct MayManageOwn(pub(crate) Caller);

/// Whether a handler knows about tenants: what does not is closed to their tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Whole,
    Tenant,
}

macro_rules! admits {
    ($($who:ident => $scope:expr, $reach:expr;)*) => {$(
        impl FromRequestParts<Shared> for $who {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
                let RequestAuth { snapshot, identity } = match parts.extensions.get::<RequestAuth>() {
                    Some(auth) => auth.clone(),
                    None => RequestAuth::of(shared, &parts.headers),
                };
                // Before it is judged: a refusal for want of a scope is logged too.
                if let Identity::Known(known) = &identity {
                    crate::http::middleware::audit::identified(&parts.extensions, &known.name);
                }
                let known = identity.admit($scope, $reach)?;
                Ok(Self(Caller { snapshot, token: known.name.clone(), tenant: known.tenant.clone() }))
            }
        }
    )*};
}
admits! {
    MayPublish => Scope::Publish, Reach::Tenant;
    MayRead => Scope::Read, Reach::Whole;
    MayManage => Scope::Manage, Reach::Whole;
    MayReadOwn => Scope::Read, Reach::Tenant;
    MayManageOwn => Scope::Manage, Reach::Tenant;
}

impl Caller {
    /// Whether something of this tenant (or of none) is the caller's to see.
    pub(crate) fn sees(&self, tenant: Option<&str>) -> bool {
        self.tenant.is_none() || self.tenant.as_deref() == tenant
    }

    /// The tenant that a list is narrowed to, given what the query asks for.
    ///
    /// # Errors
    /// 403 when a tenant's token asks for another tenant.
    pub(crate) fn narrowed(&self, asked: Option<String>) -> Result<Option<String>, Problem> {
        match (&self.tenant, asked) {
            (Some(own), Some(asked)) if **own != *asked => {
                let detail = format!("the token `{}` belongs to the tenant `{own}`: leave out `tenant`", self.token);
                Err(Problem::new(Kind::Forbidden, detail).with("tenant", &**own))
            }
            (Some(own), _) => Ok(Some(own.to_string())),
            (None, asked) => Ok(asked),
        }
    }
}

/// The snapshot and the identity of one request, taken once and carried along as an extension.
#[derive(Clone)]
pub(crate) struct RequestAuth {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) identity: Identity,
}

/// What the `Authorization` of a request comes to.
#[derive(Clone)]
pub(crate) enum Identity {
    Known(Arc<Known>),
    Unknown,
    Missing,
    Malformed,
}

impl RequestAuth {
    pub(crate) fn of(shared: &Shared, headers: &HeaderMap) -> Self {
        let snapshot = shared.api.live.snapshot();
        let identity = shared.tokens.identify(&snapshot.settings, headers);
        Self { snapshot, identity }
    }
}

impl Identity {
    /// # Errors
    /// 401 without a token or with an unknown one, 403 when it lacks the scope or does not reach so far.
    pub(crate) fn admit(&self, wanted: Scope, reach: Reach) -> Result<&Known, Problem> {
        const CHALLENGE: &str = "Bearer realm=\"tenterhook\"";
        let known = match self {
            Self::Known(known) => known,
            Self::Missing => return Err(unauthorized(CHALLENGE, "send a token: Authorization: Bearer <token>")),
            Self::Malformed => {
                return Err(unauthorized(CHALLENGE, "the Authorization header is not of the form: Bearer <token>"));
            }
            Self::Unknown => {
                return Err(unauthorized(
                    "Bearer realm=\"tenterhook\", error=\"invalid_token\"",
                    "this token is not known: use one from [tokens] in config.toml, or the one that was printed at first start",
                ));
            }
        };
        if !known.scopes.iter().any(|scope| *scope == wanted || *scope == Scope::Manage) {
            return Err(lacks(known, wanted));
        }
        match &known.tenant {
            Some(tenant) if reach == Reach::Whole => {
                let detail = format!(
                    "the token `{}` belongs to the tenant `{tenant}`, and this is about the whole server: use a token without \
                     `tenant`",
                    known.name
                );
                Err(Problem::new(Kind::Forbidden, detail).with("tenant", &**tenant))
            }
            _ => Ok(known),
        }
    }
}

fn lacks(known: &Known, wanted: Scope) -> Problem {
    let (scope, challenge) = match wanted {
        Scope::Publish => ("publish", "Bearer realm=\"tenterhook\", error=\"insufficient_scope\", scope=\"publish\""),
        Scope::Read => ("read", "Bearer realm=\"tenterhook\", error=\"insufficient_scope\", scope=\"read\""),
        Scope::Manage => ("manage", "Bearer realm=\"tenterhook\", error=\"insufficient_scope\", scope=\"manage\""),
    };
    let detail = format!("the token `{}` lacks the scope `{scope}`: add it to `scopes` of [tokens.{}]", known.name, known.name);
    Problem::new(Kind::Forbidden, detail).with("scope", scope).with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// The name that the token made at first start goes by.
const ADMIN_NAME: &str = "admin";

/// Digests of the current tokens.
pub(crate) struct TokenTable {
    admin: Option<Arc<Known>>,
    /// With the settings that they were made from: a reload makes new ones.
    digests: Mutex<Option<MadeFrom>>,
}

struct MadeFrom {
    settings: Arc<Settings>,
    known: Arc<[Arc<Known>]>,
}

/// A token in memory, without its text.
pub(crate) struct Known {
    digest: [u8; 32],
    pub(crate) name: Arc<str>,
    scopes: Vec<Scope>,
    pub(crate) tenant: Option<Arc<str>>,
}

impl Known {
    /// What it may do, as text: different for tokens that may do different things.
    pub(crate) fn rights(&self) -> String {
        format!("{:?} {:?}", self.scopes, self.tenant)
    }
}

impl TokenTable {
    pub(crate) fn new(admin: Option<Secret>) -> Self {
        let admin = admin.map(|admin| {
            let (digest, scopes) = (digest(admin.expose()), vec![Scope::Manage]);
            Arc::new(Known { digest, name: ADMIN_NAME.into(), scopes, tenant: None })
        });
        Self { admin, digests: Mutex::new(None) }
    }

    pub(crate) fn identify(&self, settings: &Arc<Settings>, headers: &HeaderMap) -> Identity {
        let token = match bearer(headers) {
            Ok(token) => token,
            Err(identity) => return identity,
        };
        find(&self.known(settings), token).map_or(Identity::Unknown, |known| Identity::Known(known.clone()))
    }

    fn known(&self, settings: &Arc<Settings>) -> Arc<[Arc<Known>]> {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = digests.as_ref().filter(|made| Arc::ptr_eq(&made.settings, settings)) {
            return made.known.clone();
        }
        let declared = settings.tokens.iter().map(|token| {
            Arc::new(Known {
                digest: digest(token.token.expose()),
                name: token.name.as_str().into(),
                scopes: token.scopes.clone(),
                tenant: token.tenant.clone(),
            })
        });
        // Declared tokens replace the generated one.
        let admin = self.admin.iter().filter(|_| settings.tokens.is_empty()).cloned();
        let known: Arc<[Arc<Known>]> = declared.chain(admin).collect();
        *digests = Some(MadeFrom { settings: settings.clone(), known: known.clone() });
        known
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Compares all of them, and digests of equal length: time tells neither which token was near nor how near.
fn find<'k>(known: &'k [Arc<Known>], token: &str) -> Option<&'k Arc<Known>> {
    let digest = digest(token);
    let mut found = u32::MAX;
    for (at, known) in (0_u32..).zip(known) {
        found.conditional_assign(&at, known.digest.ct_eq(&digest));
    }
    usize::try_from(found).ok().and_then(|at| known.get(at))
}

fn bearer(headers: &HeaderMap) -> Result<&str, Identity> {
    let value = headers.get(AUTHORIZATION).ok_or(Identity::Missing)?;
    let parts = value.to_str().ok().and_then(|text| text.trim().split_once(' '));
    match parts {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => Ok(token.trim()),
        _ => Err(Identity::Malformed),
    }
}

fn unauthorized(challenge: &'static str, detail: &'static str) -> Problem {
    Problem::new(Kind::Unauthorized, detail).with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, scope: Scope, tenant: Option<&str>) -> Arc<Known> {
        Arc::new(Known { digest: digest(name), name: name.into(), scopes: vec![scope], tenant: tenant.map(Arc::from) })
    }

    #[test]
    fn the_whole_token_has_to_be_right() {
        let known: Vec<Arc<Known>> = ["alpha", "beta", "gamma"].iter().map(|name| token(name, Scope::Read, None)).collect();
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
        assert_eq!(bearer(&headers("bEaReR  abc ")).ok(), Some("abc"));
        for value in ["abc", "Bearer", "Bearer ", "Basic abc"] {
            assert!(matches!(bearer(&headers(value)), Err(Identity::Malformed)), "{value}");
        }
        assert!(matches!(bearer(&HeaderMap::new()), Err(Identity::Missing)));
    }

    #[test]
    fn what_knows_nothing_of_tenants_is_closed_to_their_tokens() {
        let own = Identity::Known(token("acme-admin", Scope::Manage, Some("acme")));
        assert!(own.admit(Scope::Read, Reach::Tenant).is_ok());
        let refused = own.admit(Scope::Read, Reach::Whole).err().unwrap();
        assert_eq!(refused.status(), 403);
        assert_eq!(
            refused.to_json()["detail"],
            "the token `acme-admin` belongs to the tenant `acme`, and this is about the whole server: use a token without `tenant`"
        );
        let whole = Identity::Known(token("admin", Scope::Manage, None));
        assert!(whole.admit(Scope::Publish, Reach::Whole).is_ok());
        assert_eq!(Identity::Unknown.admit(Scope::Read, Reach::Tenant).err().unwrap().status(), 401);
    }
}
