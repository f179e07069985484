//! Connections in the hands of one request, and sending on them.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use super::meter::Meter;

type Body = Full<Bytes>;

/// A connection as the dialler hands it over. Its driver, and with it the socket, ends when it is dropped.
pub(super) enum Opened {
    H1(H1),
    H2(H2),
}

pub(super) struct H1 {
    pub(super) sender: http1::SendRequest<Body>,
    pub(super) driver: AbortOnDropHandle<()>,
    pub(super) meter: Arc<Meter>,
    /// The `Host` header that all requests on it carry.
    pub(super) host: HeaderValue,
    pub(super) form: Form,
}

/// How requests on a connection name what they are for.
pub(super) enum Form {
    /// RFC 9112 §3.2.1, to the endpoint itself.
    Origin,
    /// RFC 9112 §3.2.2, to the proxy of this name, with the credentials that it wants.
    Absolute { proxy: Arc<str>, credentials: Option<HeaderValue> },
}

impl H1 {
    /// Closes an idle connection in good order (TLS's farewell and all) instead of cutting it off.
    pub(super) fn retire(self) {
        drop(self.sender);
        drop(self.driver.detach());
    }
}

pub(super) struct H2 {
    pub(super) sender: http2::SendRequest<Body>,
    pub(super) driver: AbortOnDropHandle<()>,
}

impl H2 {
    /// As [`H1::retire`].
    pub(super) fn retire(self) {
        drop(self.sender);
        drop(self.driver.detach());
    }
}

/// An HTTP/2 connection and permits for its free streams.
pub(super) struct Shared {
    pub(super) h2: H2,
    pub(super) permits: Arc<Semaphore>,
}

/// A connection in the hands of one request. Dropped, it is closed, or for HTTP/2 its stream is free.
pub(super) struct Lease(pub(super) Hold);

pub(super) enum Hold {
    H1(H1),
    H2 { shared: Arc<Shared>, _permit: OwnedSemaphorePermit },
}

/// A request that got no answer.
pub(super) enum Unsent {
    /// Not a byte of it was written.
    Untouched(hyper::Error),
    /// The endpoint may have seen it.
    Lost(hyper::Error),
}

impl Unsent {
    pub(super) fn into_error(self) -> hyper::Error {
        match self {
            Self::Untouched(error) | Self::Lost(error) => error,
        }
    }
}

impl Lease {
    /// A stream of an HTTP/2 connection, if one is free.
    pub(super) fn shared(shared: &Arc<Shared>) -> Option<Self> {
        let permit = shared.permits.clone().try_acquire_owned().ok()?;
        Some(Self(Hold::H2 { shared: shared.clone(), _permit: permit }))
    }

    /// All of an HTTP/2 connection.
    pub(super) fn alone(h2: H2) -> Self {
        let permits = Arc::new(Semaphore::new(1));
        let permit = permits.clone().try_acquire_owned().expect("a new semaphore has all its permits free");
        Self(Hold::H2 { shared: Arc::new(Shared { h2, permits }), _permit: permit })
    }

    pub(super) fn is_h2(&self) -> bool {
        matches!(self.0, Hold::H2 { .. })
    }

    /// The proxy that the requests themselves are handed to: what it says looks like the endpoint's word.
    pub(super) fn via(&self) -> Option<&Arc<str>> {
        match &self.0 {
            Hold::H1(H1 { form: Form::Absolute { proxy, .. }, .. }) => Some(proxy),
            _ => None,
        }
    }

    /// Whether that proxy was given credentials.
    pub(super) fn is_authorized(&self) -> bool {
        matches!(&self.0, Hold::H1(H1 { form: Form::Absolute { credentials: Some(_), .. }, .. }))
    }

    /// Whether not a byte of an answer came; of HTTP/2 only the protocol itself can say.
    pub(super) fn is_silent(&self) -> bool {
        matches!(&self.0, Hold::H1(h1) if h1.meter.is_silent())
    }

    /// Sends a request with an absolute URI, in the form that the connection's protocol wants.
    pub(super) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Unsent> {
        match &mut self.0 {
            Hold::H1(h1) => h1.send(request).await,
            Hold::H2 { shared, .. } => {
                let mut sender = shared.h2.sender.clone();
                sender.try_send_request(request).await.map_err(unsent)
            }
        }
    }
}

impl H1 {
    /// In the form of the connection, with `Host`.
    async fn send(&mut self, mut request: Request<Body>) -> Result<Response<Incoming>, Unsent> {
        if !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, self.host.clone());
        }
        match &self.form {
            Form::Origin => *request.uri_mut() = origin_form(request.uri()),
            Form::Absolute { credentials: None, .. } => {}
            Form::Absolute { credentials: Some(credentials), .. } => {
                request.headers_mut().insert(header::PROXY_AUTHORIZATION, credentials.clone());
            }
        }
        self.meter.begin();
        let answer = self.sender.try_send_request(request).await.map_err(unsent)?;
        self.meter.answered();
        Ok(answer)
    }
}

fn origin_form(absolute: &Uri) -> Uri {
    absolute.path_and_query().map_or_else(Uri::default, |path| Uri::from(path.clone()))
}

fn unsent(mut error: TrySendError<Request<Body>>) -> Unsent {
    match error.take_message() {
        Some(_) => Unsent::Untouched(error.into_error()),
        None => Unsent::Lost(error.into_error()),
    }
}
