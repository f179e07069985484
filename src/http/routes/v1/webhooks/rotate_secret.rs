//! `POST /v1/webhooks/{id}/rotate-secret`: a new secret, and the old one signs too for a while.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use http::header::CACHE_CONTROL;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::config::parse_duration;
use crate::http::middleware::auth::MayManageOwn;
use crate::http::middleware::body::{self, Cap};
use crate::http::problem::{Kind, Problem};
use crate::http::routes::v1::webhooks;
use crate::http::{PathId, Shared};
use crate::model::Timestamp;
use crate::signing::{LiveSecret, Secret, Signer, slip};
use crate::snapshot::Webhook;
use crate::store::{StoreError, StoredSecret};

/// Time for every receiver to learn the new secret, a night's sleep included.
const OVERLAP_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);

/// A secret that signs for longer was not retired.
const OVERLAP_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

const CAP: Cap = Cap { bytes: 16 * 1024, because: "a rotation says a secret and a duration at most" };

type NoStore = [(http::HeaderName, &'static str); 1];

/// The new secret, made unless the body gives one.
pub(crate) async fn rotate(
    MayManageOwn(caller): MayManageOwn,
    State(shared): State<Shared>,
    PathId(id): PathId,
    headers: HeaderMap,
    body: Body,
) -> Result<(NoStore, Json<Value>), Problem> {
    let webhook = webhooks::find(&caller, &id)?;
    let current = replaceable(webhook)?;
    let asked = Asked::read(&body::read(&shared.bodies, &headers, body, CAP).await?.bytes)?;
    let secret = asked.secret.unwrap_or_else(|| current.generate_like());
    let fits = Signer::new(webhook.settings.signature.clone(), vec![LiveSecret::lasting(secret.clone())]);
    fits.map_err(|error| Problem::new(Kind::Invalid, error.to_string()))?;
    let text = Zeroizing::new(secret.expose().to_owned());
    // In a task of its own: a client that disconnects leaves no stored secret that does not sign.
    let (store, live, key, id) = (shared.api.store.clone(), shared.api.live.clone(), webhook.key, webhook.settings.id.clone());
    let rotation = shared.work.spawn(async move {
        let secrets = store.rotate_secret(key, text, asked.overlap).await?;
        let signs = live.secret_changed(id).await;
        Ok::<_, StoreError>((secrets, signs))
    });
    let (secrets, signs) =
        rotation.await.map_err(|_| Problem::new(Kind::Internal, "the rotation broke: see the server's log"))??;
    tracing::info!(target: "audit", token = &*caller.token, webhook = %webhook.settings.id, "secret rotated");
    if !signs {
        tracing::warn!(webhook = %webhook.settings.id, "new secret stored, but not yet signing: a reload is in progress");
    }
    let until: Option<Timestamp> = secrets.get(1).and_then(|previous| previous.until);
    let mut shown = json!({
        "id": webhook.settings.id, "secret": secret.expose(), "secret_preview": secret.preview(), "previous_until": until,
        "previous": previous(&secrets),
    });
    if let Some(key) = secret.public_key() {
        shown["public_key"] = key.into();
    }
    Ok(([(CACHE_CONTROL, "no-store")], Json(shown)))
}

/// Those that sign beside the new one, and how long: all the others sign no more.
fn previous(secrets: &[StoredSecret]) -> Vec<Value> {
    let shown = |secrets: &StoredSecret| {
        let secret = Secret::parse(&secrets.text).ok()?;
        Some(json!({"secret_preview": secret.preview(), "until": secrets.until}))
    };
    secrets.iter().skip(1).filter_map(shown).collect()
}

/// The current secret, when it is ours to replace.
fn replaceable(webhook: &Webhook) -> Result<&Secret, Problem> {
    let settings = &webhook.settings;
    let (file, line) = (settings.place.file.display().to_string(), settings.place.line);
    if settings.secret.is_some() {
        let detail = format!(
            "the secret of `{}` is declared at {file}:{line}: rotate it there, with secret = [\"the new one\", \"the old one\"] for as long as both are to sign",
            settings.id
        );
        return Err(Problem::new(Kind::Conflict, detail).with("file", file).with("line", line));
    }
    webhook.secret().ok_or_else(|| {
        let detail = format!("the webhook `{}` has no secret: its requests are not signed", settings.id);
        Problem::new(Kind::Conflict, detail)
    })
}

struct Asked {
    secret: Option<Secret>,
    overlap: Duration,
}

impl Asked {
    /// `{"secret": "…", "overlap": "24h"}`, both optional, and so is the body.
    fn read(body: &[u8]) -> Result<Self, Problem> {
        let fields: Map<String, Value> = if body.is_empty() {
            Map::new()
        } else {
            let expected = "the body is not a JSON object such as {\"overlap\": \"24h\"}";
            serde_json::from_slice(body).map_err(|_| Problem::new(Kind::MalformedBody, expected))?
        };
        let mut asked = Self { secret: None, overlap: OVERLAP_DEFAULT };
        for (name, value) in &fields {
            match (name.as_str(), value) {
                ("secret", Value::String(text)) => {
                    // Neither words ever show the secret.
                    if let Some((slip, _)) = slip(text) {
                        return Err(Problem::new(Kind::Invalid, format!("the secret {slip}")));
                    }
                    let secret = Secret::parse(text).map_err(|error| Problem::new(Kind::Invalid, error.to_string()))?;
                    asked.secret = Some(secret);
                }
                ("overlap", Value::String(text)) => {
                    let overlap = parse_duration(text).filter(|overlap| *overlap <= OVERLAP_MAX);
                    asked.overlap = overlap.ok_or_else(|| {
                        Problem::new(Kind::Invalid, "`overlap` is a duration of at most 30 days, such as \"24h\" or \"0s\"")
                    })?;
                }
                ("secret" | "overlap", _) => {
                    return Err(Problem::new(Kind::Invalid, format!("`{name}` must be a string")));
                }
                _ => {
                    let name: String = name.chars().take(40).collect();
                    let detail = format!("unknown member `{}`: there are `secret` and `overlap`", name.escape_debug());
                    return Err(Problem::new(Kind::Invalid, detail));
                }
            }
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> String {
        Asked::read(body.as_bytes()).err().unwrap().to_json()["detail"].as_str().unwrap().to_owned()
    }

    #[test]
    fn what_is_asked_for_is_read_or_refused_in_words() {
        let asked = Asked::read(b"").unwrap();
        assert!(asked.secret.is_none() && asked.overlap == OVERLAP_DEFAULT);
        let asked = Asked::read(br#"{"secret": "another one", "overlap": "0s"}"#).unwrap();
        assert_eq!((asked.secret.unwrap().expose(), asked.overlap), ("another one", Duration::ZERO));
        for (body, words) in [
            ("[]", "not a JSON object"),
            ("{\"overlap\": 5}", "`overlap` must be a string"),
            ("{\"overlap\": \"31d\"}", "at most 30 days"),
            ("{\"overlap\": \"soon\"}", "at most 30 days"),
            ("{\"secret\": \"whsec_x\"}", "not base64"),
            ("{\"secret\": \"v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"}", "leave out `v1,`"),
            ("{\"grace\": \"1h\"}", "unknown member `grace`"),
        ] {
            assert!(refused(body).contains(words), "{body}: {}", refused(body));
        }
    }
}
