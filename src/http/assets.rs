//! The web UI's files, as they are in `ui/`, in the binary: one page for every path of the UI, and what it loads.
//!
//! What the page loads lives under `/ui/<fingerprint of all files>/…`: relative imports between modules just work, an
//! address never changes its content, and so a browser asks for each file once.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};

use crate::http::Shared;
use crate::http::problem::{Kind, Problem};
use crate::http::routes::health;

/// Paths of the UI's pages; what is behind them (an id) is the page's own business.
const PAGES: [&str; 9] = [
    "/webhooks",
    "/webhooks/{id}",
    "/deliveries",
    "/deliveries/{id}",
    "/events",
    "/events/{id}",
    "/transformers",
    "/transformers/{id}",
    "/config",
];

/// The pages and their files, beside the API's routes; none without the feature `ui`.
pub(crate) fn add_to(router: Router<Shared>) -> Router<Shared> {
    if !cfg!(feature = "ui") {
        return router;
    }
    let router = PAGES.iter().fold(router, |router, path| router.route(path, get(page)));
    router.route("/", get(index)).route("/ui/{fingerprint}/{*path}", get(file))
}

/// Where the page finds the other files.
const FILES_PLACEHOLDER: &str = "{{files}}";

/// Nothing from elsewhere, nothing inline, no markup made of text, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Pages ask for none of what browsers let pages ask for.
pub(crate) const PERMISSIONS_POLICY: &str = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()";

const FOREVER: &str = "public, max-age=31536000, immutable";

#[cfg(feature = "ui")]
macro_rules! files {
    ($($path:literal),* $(,)?) => { &[$(($path, include_bytes!(concat!("ui/", $path)))),*] };
}

#[cfg(feature = "ui")]
static FILES: &[(&str, &[u8])] = files![
    "app.js",
    "icon.svg",
    "lib/api.js",
    "lib/dom.js",
    "lib/filter.js",
    "lib/format.js",
    "lib/list.js",
    "lib/live.js",
    "lib/router.js",
    "lib/session.js",
    "pages/config.js",
    "pages/deliveries.js",
    "pages/events.js",
    "pages/overview.js",
    "pages/transformers.js",
    "pages/webhook-dialog.js",
    "pages/webhooks.js",
    "parts/attempt.js",
    "parts/basics.js",
    "parts/chart.js",
    "parts/dialog.js",
    "parts/event-picker.js",
    "parts/icons.js",
    "parts/json.js",
    "parts/logs.js",
    "parts/plan.js",
    "parts/replay.js",
    "parts/retry-editor.js",
    "parts/schema.js",
    "parts/test-result.js",
    "parts/transform-editor.js",
    "parts/windowed.js",
    "style.css",
];
#[cfg(not(feature = "ui"))]
static FILES: &[(&str, &[u8])] = &[];

/// Modules that are written from the program's own tables.
fn generated() -> [(&'static str, Vec<u8>); 1] {
    let names = crate::signing::scheme_names();
    let signatures = format!("// The signature dialects, as `signature` takes them.\n\nexport const SIGNATURES = {names:?};\n");
    [("lib/signatures.js", signatures.into_bytes())]
}

#[cfg(feature = "ui")]
static PAGE: &[u8] = include_bytes!("ui/index.html");
#[cfg(not(feature = "ui"))]
static PAGE: &[u8] = b"";

static ASSETS: LazyLock<Assets> = LazyLock::new(Assets::new);

struct Assets {
    fingerprint: String,
    page: Asset,
    files: Vec<(&'static str, Asset)>,
}

struct Asset {
    content_type: &'static str,
    etag: HeaderValue,
    plain: Vec<u8>,
    gzip: Vec<u8>,
}

impl Assets {
    fn new() -> Self {
        let mut hash = Sha256::new();
        let generated = generated();
        let files = || FILES.iter().copied().chain(generated.iter().map(|(path, content)| (*path, content.as_slice())));
        for (path, content) in files() {
            hash.update(path);
            hash.update(content.len().to_le_bytes());
            hash.update(content);
        }
        let fingerprint = hex::encode(&hash.finalize()[..8]);
        let page = String::from_utf8_lossy(PAGE).replace(FILES_PLACEHOLDER, &format!("/ui/{fingerprint}"));
        Self {
            fingerprint,
            page: Asset::new("index.html", page.as_bytes()),
            files: files().map(|(path, content)| (path, Asset::new(path, content))).collect(),
        }
    }

    fn file(&self, fingerprint: &str, path: &str) -> Option<&Asset> {
        let known = self.files.iter().find(|(known, _)| *known == path);
        known.filter(|_| fingerprint == self.fingerprint).map(|(_, asset)| asset)
    }
}

impl Asset {
    fn new(path: &str, content: &[u8]) -> Self {
        let etag = format!("\"{}\"", hex::encode(&Sha256::digest(content)[..8]));
        Self {
            content_type: content_type(path),
            etag: HeaderValue::from_str(&etag).expect("hexadecimal digits in quotes are a header's value"),
            plain: content.to_vec(),
            gzip: gzip(content),
        }
    }

    fn answer(&'static self, headers: &HeaderMap, cache: &'static str) -> Response {
        let mut response = if holds(headers, &IF_NONE_MATCH, |tag| tag == "*" || tag.trim_start_matches("W/") == self.etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else if holds(headers, &ACCEPT_ENCODING, |coding| accepts(coding, "gzip")) {
            ([(CONTENT_ENCODING, "gzip")], self.gzip.as_slice()).into_response()
        } else {
            self.plain.as_slice().into_response()
        };
        let answered = response.headers_mut();
        answered.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        answered.insert(ETAG, self.etag.clone());
        answered.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
        answered.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
        protect(answered);
        response
    }
}

/// Whether a client would rather have a page than JSON.
pub(crate) fn is_browser(headers: &HeaderMap) -> bool {
    holds(headers, &ACCEPT, |kind| accepts(kind, "text/html"))
}

/// Where the files of this version are.
pub(crate) fn files_path() -> String {
    format!("/ui/{}", ASSETS.fingerprint)
}

/// The page at `/`; for what is no browser, a few words about the API.
pub(crate) async fn index(headers: HeaderMap) -> Response {
    if is_browser(&headers) {
        return page(headers).await;
    }
    let mut response = health::index().await.into_response();
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    protect(response.headers_mut());
    response
}

pub(crate) async fn page(headers: HeaderMap) -> Response {
    #[cfg(debug_assertions)]
    if let Some(response) = workshop::file("index.html", &ASSETS.fingerprint) {
        return response;
    }
    ASSETS.page.answer(&headers, "no-cache")
}

pub(crate) async fn file(Path((fingerprint, path)): Path<(String, String)>, headers: HeaderMap) -> Result<Response, Problem> {
    #[cfg(debug_assertions)]
    if let Some(response) = workshop::file(&path, &fingerprint) {
        return Ok(response);
    }
    let asset = ASSETS.file(&fingerprint, &path);
    asset.map(|asset| asset.answer(&headers, FOREVER)).ok_or_else(|| {
        let detail = "this version of the UI has no such file: load the page again, the server may have been upgraded";
        Problem::new(Kind::NotFound, detail)
    })
}

/// What keeps a page to itself: a policy for its content, no frames, no sensors.
pub(crate) fn protect(headers: &mut HeaderMap) {
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let own = HeaderValue::from_static("same-origin");
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), own.clone());
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), own);
    headers.insert(HeaderName::from_static("permissions-policy"), HeaderValue::from_static(PERMISSIONS_POLICY));
}

/// For work on the UI, and in no release: files of a directory, read at each request.
#[cfg(debug_assertions)]
mod workshop {
    use axum::response::{IntoResponse, Response};
    use http::header::{CACHE_CONTROL, CONTENT_TYPE};

    /// `TENTERHOOK_UI_DIR=src/http/ui cargo run`
    const DIRECTORY: &str = "TENTERHOOK_UI_DIR";

    pub(crate) fn file(path: &str, fingerprint: &str) -> Option<Response> {
        let directory = std::env::var_os(DIRECTORY)?;
        let is_within = path.split('/').all(|part| !part.is_empty() && part != "..");
        let mut content = std::fs::read(std::path::Path::new(&directory).join(path)).ok().filter(|_| is_within)?;
        if path == "index.html" {
            let files = format!("/ui/{fingerprint}");
            content = String::from_utf8_lossy(&content).replace(super::FILES_PLACEHOLDER, &files).into_bytes();
        }
        let mut response = ([(CONTENT_TYPE, super::content_type(path)), (CACHE_CONTROL, "no-store")], content).into_response();
        super::protect(response.headers_mut());
        Some(response)
    }
}

/// Whether an item of a list header is as wanted.
fn holds(headers: &HeaderMap, name: &HeaderName, is: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| is(item.trim()))
}

/// `gzip`, `gzip;q=0.5`, but not `gzip;q=0`.
fn accepts(item: &str, wanted: &str) -> bool {
    let mut parts = item.split(';').map(str::trim);
    let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
    named && !parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0)))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(content).and_then(|()| encoder.finish());
    written.expect("a vector takes whatever is written to it")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path as FilePath, PathBuf};

    use super::*;

    fn listed(dir: &FilePath, root: &FilePath, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                listed(&path, root, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/"));
            }
        }
    }

    #[test]
    fn every_file_of_the_ui_is_embedded() {
        let root = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("src/http/ui");
        let mut found = BTreeSet::new();
        listed(&root, &root, &mut found);
        found.remove("index.html");
        assert_eq!(found, FILES.iter().map(|(path, _)| (*path).to_owned()).collect());
    }

    #[test]
    fn modules_import_only_files_that_are_there() {
        for (path, content) in FILES.iter().filter(|(path, _)| path.ends_with(".js")) {
            let text = std::str::from_utf8(content).unwrap();
            for line in text.lines().filter(|line| line.starts_with("import ") || line.starts_with("} from ")) {
                let target = line.split('"').nth(1).unwrap_or_else(|| panic!("{path}: {line}"));
                let base = url::Url::parse("http://ui/").unwrap().join(path).unwrap();
                let resolved = base.join(target).unwrap();
                let wanted = resolved.path().trim_start_matches('/');
                let is_there =
                    FILES.iter().any(|(known, _)| *known == wanted) || generated().iter().any(|(known, _)| *known == wanted);
                assert!(is_there, "{path} imports {target}");
            }
        }
    }

    #[test]
    fn no_file_reaches_outside_or_goes_around_the_policy() {
        for (path, content) in FILES.iter().chain([&("index.html", PAGE)]) {
            let text = std::str::from_utf8(content).unwrap();
            for banned in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "@import", " style=\""] {
                assert!(!text.contains(banned), "{path} contains {banned}");
            }
            for address in ["src=\"http", "href=\"http", "url(http", "fetch(\"http"] {
                assert!(!text.contains(address), "{path} loads from elsewhere: {address}");
            }
        }
    }

    #[test]
    fn an_encoding_is_accepted_unless_its_weight_is_zero() {
        for (item, accepted) in [("gzip", true), ("GZIP;q=0.1", true), ("gzip; q=0", false), ("br", false), ("gzip;q=0.0", false)]
        {
            assert_eq!(accepts(item, "gzip"), accepted, "{item}");
        }
    }
}
