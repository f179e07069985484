//! The answers to what no route takes.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

use crate::http::assets;
use crate::http::problem::{Kind, Problem};

/// A page for a browser, a problem for everything else.
pub(crate) async fn no_route(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let is_api = uri.path().starts_with("/v1/");
    if cfg!(feature = "ui") && !is_api && method == Method::GET && assets::is_browser(&headers) {
        return page();
    }
    let path: String = uri.path().chars().take(120).collect();
    let detail = format!("nothing is at {path}: the API is under /v1, as in POST /v1/events");
    Problem::new(Kind::NotFound, detail).into_response()
}

fn page() -> Response {
    let files = assets::files_path();
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Not found · Tenterhook</title>\n\
         <link rel=\"icon\" href=\"{files}/icon.svg\">\n<link rel=\"stylesheet\" href=\"{files}/style.css\">\n</head>\n<body>\n\
         <main>\n<h1>There is no page at this address</h1>\n<p><a href=\"/\">Overview</a> · <a href=\"/docs\">API reference</a></p>\n\
         </main>\n</body>\n</html>\n"
    );
    let mut response = (StatusCode::NOT_FOUND, page).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    assets::protect(headers);
    response
}

/// The router adds `Allow`, after this.
pub(crate) async fn no_method(method: Method) -> Problem {
    let method: String = method.as_str().chars().take(20).collect();
    Problem::new(Kind::MethodNotAllowed, format!("{method} does not fit here: use one of those in the Allow header"))
}
