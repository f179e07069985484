//! Compressed bodies (`Content-Encoding`, RFC 9110 §8.4): decoded off the runtime, capped while they are decoded, so that a
//! few bytes that stand for gigabytes cost no more than the cap.

use std::io::Read;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::{self, Cap, Received};
use crate::http::problem::{Kind, Problem};

/// Codings in the words of `Accept-Encoding`.
const ACCEPTED: &str = "gzip, zstd";

/// Base-2 logarithm of the largest window of zstd: 8 MiB, which RFC 9659 allows a sender at most.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Decoded at a time; also what is taken of the budget at a time.
const CHUNK_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Zstd,
}

impl Coding {
    /// # Errors
    /// 415 for other codings and for several, naming in `Accept-Encoding` those that are understood.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut found = None;
        for value in headers.get_all(CONTENT_ENCODING) {
            let text = value.to_str().unwrap_or("?");
            for name in text.split(',').map(str::trim).filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity")) {
                let coding = match &*name.to_ascii_lowercase() {
                    "gzip" | "x-gzip" => Self::Gzip,
                    "zstd" => Self::Zstd,
                    _ => return Err(unsupported(format!("Content-Encoding {name:?} is not understood"))),
                };
                if found.replace(coding).is_some() {
                    return Err(unsupported(format!("the body is encoded more than once ({text})")));
                }
            }
        }
        Ok(found)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

fn unsupported(what: String) -> Problem {
    Problem::new(Kind::UnsupportedMediaType, format!("{what}: send the body as it is, or as gzip or zstd"))
        .with_header(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED))
}

/// # Errors
/// 400 when it is not of this coding or ends too early; 413 over the cap; 503 when the budget is spent.
pub(super) async fn decoded(budget: &Arc<Semaphore>, coding: Coding, received: Received, cap: Cap) -> Result<Received, Problem> {
    let budget = Arc::clone(budget);
    let work = tokio::task::spawn_blocking(move || {
        let (bytes, shares) = decode(&budget, coding, &received.bytes, cap)?;
        Ok(Received::new(bytes, shares))
    });
    work.await.unwrap_or_else(|_| Err(Problem::new(Kind::Internal, "decoding the body failed: nothing was stored")))
}

fn decode(
    budget: &Arc<Semaphore>,
    coding: Coding,
    encoded: &Bytes,
    cap: Cap,
) -> Result<(Bytes, Vec<OwnedSemaphorePermit>), Problem> {
    match coding {
        Coding::Gzip => read_all(budget, MultiGzDecoder::new(&encoded[..]), coding, cap),
        Coding::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(&encoded[..]).map_err(|error| malformed(coding, &error))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|error| malformed(coding, &error))?;
            read_all(budget, decoder, coding, cap)
        }
    }
}

fn read_all(
    budget: &Arc<Semaphore>,
    mut decoder: impl Read,
    coding: Coding,
    cap: Cap,
) -> Result<(Bytes, Vec<OwnedSemaphorePermit>), Problem> {
    let (mut out, mut shares) = (BytesMut::new(), Vec::new());
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = decoder.read(&mut chunk).map_err(|error| malformed(coding, &error))?;
        if length == 0 {
            return Ok((out.freeze(), shares));
        }
        if out.len() + length > cap.bytes {
            return Err(body::too_large(cap));
        }
        while out.len() + length > shares.len() * CHUNK_BYTES {
            shares.push(body::share(budget, CHUNK_BYTES)?);
        }
        out.extend_from_slice(&chunk[..length]);
    }
}

fn malformed(coding: Coding, error: &std::io::Error) -> Problem {
    let hint = match coding {
        Coding::Gzip => "",
        Coding::Zstd => " (a window has 8 MiB at most, RFC 9659)",
    };
    let detail = format!("the body is not {}, as its Content-Encoding says: {error}{hint}", coding.name());
    Problem::new(Kind::MalformedBody, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const CAP: Cap = Cap { bytes: 1 << 20, because: "raise it" };

    fn gzip(content: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap().into()
    }

    fn zstd(content: &[u8]) -> Bytes {
        zstd::encode_all(content, 3).unwrap().into()
    }

    fn read(coding: Coding, encoded: &Bytes, budget_kib: usize) -> Result<Bytes, (u16, String)> {
        let budget = Arc::new(Semaphore::new(budget_kib));
        let read = decode(&budget, coding, encoded, CAP).map(|(bytes, _)| bytes);
        read.map_err(|problem| (problem.status().as_u16(), problem.to_json()["detail"].as_str().unwrap().to_owned()))
    }

    #[test]
    fn both_codings_are_decoded_also_in_several_parts() {
        let content = b"{\"type\":\"a.b\"}\n".repeat(20_000);
        for (coding, encoded) in [(Coding::Gzip, gzip(&content)), (Coding::Zstd, zstd(&content))] {
            assert_eq!(read(coding, &encoded, 4096).unwrap(), content, "{coding:?}");
            let twice = Bytes::from([&encoded[..], &encoded[..]].concat());
            assert_eq!(read(coding, &twice, 4096).unwrap().len(), content.len() * 2, "{coding:?}");
        }
    }

    #[test]
    fn a_bomb_ends_at_the_cap() {
        let content = vec![0; 64 << 20];
        for (coding, encoded) in [(Coding::Gzip, gzip(&content)), (Coding::Zstd, zstd(&content))] {
            assert!(encoded.len() < 1 << 20, "small enough to be read");
            assert_eq!(read(coding, &encoded, 4096).unwrap_err().0, 413, "{coding:?}");
            assert_eq!(read(coding, &encoded, 512).unwrap_err().0, 503, "{coding:?}: the budget of all requests counts too");
        }
    }

    #[test]
    fn what_is_cut_or_of_another_coding_is_refused() {
        let content = b"{\"type\":\"a.b\"}".repeat(100);
        for (coding, encoded) in [(Coding::Gzip, gzip(&content)), (Coding::Zstd, zstd(&content))] {
            for bad in [encoded.slice(..encoded.len() - 5), Bytes::from_static(b"{\"type\":\"a.b\"}")] {
                let (status, detail) = read(coding, &bad, 4096).unwrap_err();
                assert_eq!(status, 400);
                assert!(detail.starts_with(&format!("the body is not {}", coding.name())), "{detail}");
            }
        }
    }

    #[test]
    fn a_window_beyond_the_limit_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(ZSTD_WINDOW_LOG_MAX + 2).unwrap();
        encoder.write_all(&[b'x'; 100_000]).unwrap();
        let encoded = Bytes::from(encoder.finish().unwrap());
        assert_eq!(read(Coding::Zstd, &encoded, 4096).unwrap_err().0, 400);
    }

    #[test]
    fn codings_are_told_apart() {
        let of = |values: &[&'static str]| {
            let headers = values.iter().map(|value| (CONTENT_ENCODING, HeaderValue::from_static(value))).collect();
            Coding::of(&headers).map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["identity"]), Ok(None));
        assert_eq!(of(&["GZIP"]), Ok(Some(Coding::Gzip)));
        assert_eq!(of(&["identity, zstd"]), Ok(Some(Coding::Zstd)));
        for other in [&["br"][..], &["gzip, gzip"], &["gzip", "zstd"], &["deflate"]] {
            assert_eq!(of(other), Err(415), "{other:?}");
        }
    }
}
