//! `tenterhook verify`: is the signature of this request right, and if not, why? Refuses the network: the request is
//! given as options or as a file.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::builder::PossibleValuesParser;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use serde_json::json;

use super::{Failed, Global};
use crate::clock::Clock;
use crate::signing::{
    self, Encoding, Scheme, Secret, SignatureSpec, SignedRequest, Template, Verified, VerifyError, verify, verify_as,
};

/// Larger than any delivery; a wrong file should not fill the memory.
const INPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  tenterhook verify --secret whsec_… --header 'webhook-id: evt_1' \\
      --header 'webhook-timestamp: 1614265330' \\
      --header 'webhook-signature: v1,…' --body @body.json
  tenterhook verify --secret \"It's a Secret\" \\
      --header 'X-Hub-Signature-256: sha256=…' --body 'Hello, World!'
  tenterhook verify --secret whsec_… --request @request.txt --no-tolerance
  tenterhook verify --secret whpk_… --request @request.txt    # Ed25519 (v1a)
  tenterhook verify --secret $KEY --template 't={timestamp},s={signature}' \\
      --content '{timestamp}.{body}' --signature-header X-My-Sig \\
      --request @request.txt    # a custom dialect")]
pub(crate) struct Args {
    /// The webhook's secret, or its public key (whpk_…); may be given several times, any of them may have signed
    #[arg(short, long, required = true, value_name = "SECRET", env = "TENTERHOOK_SECRET", hide_env_values = true)]
    secret: Vec<String>,
    /// A header of the request; may be given several times
    #[arg(short = 'H', long, value_name = "NAME: VALUE", conflicts_with = "request")]
    header: Vec<String>,
    /// The request's body, byte for byte: text, @file, or - for standard input
    #[arg(short, long, value_name = "TEXT|@FILE|-", required_unless_present = "request")]
    body: Option<String>,
    /// A whole raw HTTP request, head and body: @file, or - for standard input
    #[arg(short, long, value_name = "@FILE|-", conflicts_with = "body")]
    request: Option<String>,
    /// How old (or how far ahead) the signature's time may be: 30s, 5m, 1h
    #[arg(long, default_value = "5m", value_name = "TIME", value_parser = parse_duration)]
    tolerance: Duration,
    /// Take a signature of any age, such as one from a log
    #[arg(long, conflicts_with = "tolerance")]
    no_tolerance: bool,
    /// The dialect; told by the headers when left out
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(signing::dialect_names()), conflicts_with = "template")]
    scheme: Option<String>,
    /// How the header of a dialect of your own reads, as in config.toml
    #[arg(long, value_name = "TEXT", requires = "content")]
    template: Option<String>,
    /// What a dialect of your own signs, as in config.toml
    #[arg(long, value_name = "TEXT", requires = "template")]
    content: Option<String>,
    /// How a dialect of your own writes the signature
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Encoding::NAMES), default_value = "hex")]
    encoding: String,
    /// The header that the signature is in, when it is not the dialect's own
    #[arg(long, value_name = "NAME")]
    signature_header: Option<String>,
    /// The request's method, if the dialect signs it [default: the request's, or POST]
    #[arg(long, value_name = "METHOD")]
    method: Option<Method>,
    /// The URL that the sender used, if the dialect signs it [default: of --request, https and its Host]
    #[arg(long, value_name = "URL")]
    request_url: Option<Uri>,
}

pub(crate) fn command(global: &Global, args: Args) -> anyhow::Result<()> {
    if run(args, global.json, &mut anstream::stdout())? { Ok(()) } else { Err(Failed.into()) }
}

/// Says on `out` whether the signature holds; an error is a question that cannot be answered.
pub(crate) fn run(args: Args, json: bool, out: &mut dyn Write) -> anyhow::Result<bool> {
    let tolerance = if args.no_tolerance { Duration::MAX } else { args.tolerance };
    let parse = |text: &String| Secret::parse_verifying(text).context("--secret cannot be used");
    let secrets: Vec<Secret> = args.secret.iter().map(parse).collect::<Result<_, _>>()?;
    let Request { target, headers, body } = match (&args.request, &args.body) {
        (Some(request), _) => parse_request(&read_input(request, "--request")?)?,
        (None, Some(body)) => {
            let headers = parse_headers(args.header.iter().map(String::as_str))?;
            Request { target: None, headers, body: read_input(body, "--body")? }
        }
        (None, None) => bail!("there is no body to verify: give --body or --request"),
    };
    let (sent_method, sent_url) = target.unzip();
    let method = args.method.clone().or(sent_method).unwrap_or(Method::POST);
    let url = args.request_url.clone().or(sent_url);
    let request = SignedRequest::new(&headers, &body);
    let request = url.as_ref().map_or(request, |url| request.sent_to(&method, url));
    let now = Clock::System.now();
    let verdict = match spec(&args)? {
        Some(spec) => verify_as(&spec, &request, &secrets, now, tolerance),
        None => verify(&request, &secrets, now, tolerance),
    };
    if json {
        writeln!(out, "{}", as_json(&verdict, &secrets))?;
    } else {
        writeln!(out, "{}", in_words(&verdict, &secrets))?;
    }
    Ok(verdict.is_ok())
}

/// The dialect, when the command line says which.
fn spec(args: &Args) -> anyhow::Result<Option<SignatureSpec>> {
    let parsed = |name: &String| HeaderName::from_bytes(name.as_bytes()).context("--signature-header is no header's name");
    let header = args.signature_header.as_ref().map(parsed).transpose()?;
    let scheme = match (&args.scheme, &args.template, &args.content) {
        (Some(name), ..) => Scheme::from_name(name).context("--scheme is none that there is")?,
        (None, Some(template), Some(content)) => {
            let encoding = Encoding::from_name(&args.encoding).context("--encoding is none that there is")?;
            let parsed = Template::parse(template, content, encoding);
            let parsed = parsed.map_err(|(about_template, error)| {
                anyhow::anyhow!("{}: {error}", if about_template { "--template" } else { "--content" })
            });
            Scheme::Template(Arc::new(parsed?))
        }
        _ if header.is_some() => bail!("--signature-header needs --scheme or --template: which dialect is in that header?"),
        _ => return Ok(None),
    };
    Ok(Some(SignatureSpec { scheme, header }))
}

fn in_words(verdict: &Result<Verified, VerifyError>, secrets: &[Secret]) -> String {
    let good = anstyle::AnsiColor::Green.on_default().bold();
    let bad = anstyle::AnsiColor::Red.on_default().bold();
    match verdict {
        Ok(verified) => {
            let Verified { scheme, header, age, secret } = verified;
            let age = age.map_or_else(|| ", no time signed".to_owned(), |age| format!(", signed {} s ago", age.as_secs()));
            format!("{good}ok{good:#}: {scheme} in {header}, secret {}{age}", secrets[*secret].preview())
        }
        Err(error @ VerifyError::NoTarget) => format!("{bad}not verified{bad:#}: {error} (--method, --request-url)"),
        Err(error) => format!("{bad}not verified{bad:#}: {error}"),
    }
}

fn as_json(verdict: &Result<Verified, VerifyError>, secrets: &[Secret]) -> serde_json::Value {
    match verdict {
        Ok(verified) => json!({
            "ok": true,
            "scheme": verified.scheme.name(),
            "header": verified.header.as_str(),
            "secret_preview": secrets[verified.secret].preview(),
            "age_seconds": verified.age.map(|age| age.as_secs()),
        }),
        Err(error) => json!({ "ok": false, "error": error.to_string() }),
    }
}

/// `@file`, `-` (standard input), or the text itself, which `--request` does not take.
fn read_input(argument: &str, option: &str) -> anyhow::Result<Vec<u8>> {
    let (source, reader): (&str, Box<dyn Read>) = if argument == "-" {
        ("standard input", Box::new(std::io::stdin()))
    } else if let Some(file) = argument.strip_prefix('@') {
        (file, Box::new(std::fs::File::open(file).with_context(|| format!("{option}: cannot open {file}"))?))
    } else if option == "--request" {
        bail!("--request takes @file, or - for standard input");
    } else {
        return Ok(argument.as_bytes().to_vec());
    };
    let mut bytes = Vec::new();
    reader.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(|| format!("{option}: cannot read {source}"))?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        bail!("{option}: {source} is over 64 MiB, which no delivery is");
    }
    Ok(bytes)
}

#[derive(Debug)]
struct Request {
    target: Option<(Method, Uri)>,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A request as it is on the wire (RFC 9112 §2.1), or as people save it: lines may end in LF alone, the request line
/// may be missing.
fn parse_request(raw: &[u8]) -> anyhow::Result<Request> {
    let mut rest = raw;
    let mut lines = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let end = end.context("--request: the head does not end: an empty line must come between the headers and the body")?;
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        lines.push(std::str::from_utf8(line).context("--request: a line of the head is not text")?);
    }
    let first_is_header = lines.first().is_none_or(|line| line.split_once(':').is_some_and(|(name, _)| !name.contains(' ')));
    let first = lines.first().filter(|_| !first_is_header).map_or("", |line| *line);
    let headers = parse_headers(lines.iter().copied().skip(usize::from(!first_is_header)))?;
    if headers.contains_key(header::TRANSFER_ENCODING) {
        bail!("--request: the body is in chunks (Transfer-Encoding): save the decoded body and give it with --body and --header");
    }
    let body = match headers.get(header::CONTENT_LENGTH) {
        None => rest,
        Some(length) => {
            let length: usize =
                length.to_str().ok().and_then(|text| text.parse().ok()).context("--request: Content-Length is no number")?;
            rest.get(..length)
                .with_context(|| format!("--request: Content-Length says {length} bytes, but the body has {}", rest.len()))?
        }
    };
    Ok(Request { target: target(first, &headers), headers, body: body.to_vec() })
}

/// Of a request line, `POST /in?x=1 HTTP/1.1`. The scheme is not on the wire; endpoints have https.
fn target(line: &str, headers: &HeaderMap) -> Option<(Method, Uri)> {
    let mut words = line.split(' ');
    let (method, path) = (Method::from_bytes(words.next()?.as_bytes()).ok()?, words.next()?);
    if !path.starts_with('/') {
        return Some((method, path.parse().ok()?));
    }
    let host = headers.get(header::HOST)?.to_str().ok()?;
    Some((method, format!("https://{host}{path}").parse().ok()?))
}

fn parse_headers<'a>(lines: impl Iterator<Item = &'a str>) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) =
            line.split_once(':').with_context(|| format!("`{line}` is not a header: write it as `name: value`"))?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).with_context(|| format!("`{name}` is not a header's name"))?;
        let value =
            HeaderValue::from_str(value.trim()).with_context(|| format!("the value of `{name}` is not a header's value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// `500ms`, `30s`, `5m`, `1h`, `7d`, as config.toml writes them.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("write a duration as 500ms, 30s, 5m, 1h or 7d".to_owned()),
    };
    let millis = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms));
    millis.map(Duration::from_millis).ok_or_else(|| "write a duration as 500ms, 30s, 5m, 1h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, FromArgMatches as _};
    use proptest::prelude::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIME: &str = "webhook-timestamp: 1614265330";
    const SIGNATURE: &str = "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const BODY: &str = r#"{"test": 2432232314}"#;

    fn verified(arguments: &[&str], json: bool) -> (anyhow::Result<bool>, String) {
        let command = Args::augment_args(clap::Command::new("verify"));
        let matches = command.try_get_matches_from(["verify"].iter().chain(arguments)).unwrap();
        let mut out = Vec::new();
        let result = run(Args::from_arg_matches(&matches).unwrap(), json, &mut out);
        (result, anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string())
    }

    #[test]
    fn the_published_vector_verifies_from_the_command_line() {
        let arguments = ["-s", SECRET, "-H", ID, "-H", TIME, "-H", SIGNATURE, "--body", BODY];
        let (result, text) = verified(&[&arguments[..], &["--no-tolerance"]].concat(), false);
        assert!(result.unwrap());
        assert!(text.starts_with("ok: standard in webhook-signature, secret whsec_…LaSw, signed "), "{text}");
        let (result, text) = verified(&arguments, false);
        assert!(!result.unwrap());
        assert!(
            text.starts_with("not verified: the signature is right but ") && text.contains("over the tolerance of 5 min"),
            "{text}"
        );
        let (_, text) = verified(&arguments, true);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["ok"], false);
    }

    #[test]
    fn a_whole_request_from_a_file_verifies_however_its_lines_end() {
        let directory = tempfile::tempdir().unwrap();
        for (number, request) in [
            format!("POST /in HTTP/1.1\r\nhost: a\r\n{ID}\r\n{TIME}\r\n{SIGNATURE}\r\ncontent-length: 20\r\n\r\n{BODY}\n"),
            format!("{ID}\n{TIME}\n{SIGNATURE}\n\n{BODY}"),
        ]
        .iter()
        .enumerate()
        {
            let file = directory.path().join(number.to_string());
            std::fs::write(&file, request).unwrap();
            let argument = format!("@{}", file.display());
            assert!(verified(&["--secret", SECRET, "--request", &argument, "--no-tolerance"], false).0.unwrap());
        }
    }

    #[test]
    fn a_dialect_of_your_own_verifies_when_it_is_described() {
        let arguments = |body| {
            ["-s", "It's a Secret to Everybody", "-H", "x-my-sig: dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc=", "--body", body]
        };
        let own = ["--template", "{signature}", "--content", "{body}", "--encoding", "base64", "--signature-header", "x-my-sig"];
        let (result, text) = verified(&[&arguments("Hello, World!")[..], &own].concat(), false);
        assert!(result.unwrap() && text.starts_with("ok: template in x-my-sig"), "{text}");
        assert!(!verified(&[&arguments("Hello!")[..], &own].concat(), false).0.unwrap());
        let named = ["--scheme", "shopify", "--signature-header", "x-my-sig"];
        assert!(verified(&[&arguments("Hello, World!")[..], &named].concat(), false).0.unwrap());
        let error = |more: &[&str]| verified(&[&arguments("")[..], more].concat(), false).0.unwrap_err().to_string();
        assert!(error(&["--signature-header", "a"]).contains("needs --scheme or --template"));
        assert!(error(&["--template", "{sig}", "--content", "{body}"]).starts_with("--template: unknown placeholder `{sig}`"));
    }

    #[test]
    fn a_dialect_that_signs_the_url_is_given_the_request_line() {
        let request = parse_request(b"PUT /in?x=1 HTTP/1.1\nhost: hooks.example:8443\n\n{}").unwrap();
        let (method, url) = request.target.unwrap();
        assert_eq!((method, url.to_string().as_str()), (Method::PUT, "https://hooks.example:8443/in?x=1"));
        assert!(parse_request(b"host: hooks.example\n\n{}").unwrap().target.is_none());
        let own = ["--template", "{signature}", "--content", "{method}{url}{body}", "--signature-header", "x-my-sig"];
        // `printf 'POSThttps://a.example/in{}' | openssl dgst -sha256 -hmac key`
        let header = "x-my-sig: 98f5e576edb90d850afc6a0798db87eaa2a22312ad41ca944456454f5d647e01";
        let arguments = [&["-s", "key", "-H", header, "--body", "{}"][..], &own].concat();
        let (_, text) = verified(&arguments, false);
        assert!(text.contains("(--method, --request-url)"), "{text}");
        for (url, holds) in [("https://a.example/in", true), ("https://a.example/", false)] {
            let (result, text) = verified(&[&arguments[..], &["--request-url", url]].concat(), false);
            assert_eq!(result.unwrap(), holds, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_answered_says_why() {
        let error = |arguments: &[&str]| format!("{:#}", verified(arguments, false).0.unwrap_err());
        assert!(
            error(&["--secret", "whsec_x", "--body", ""]).starts_with("--secret cannot be used: the secret begins with `whsec_`")
        );
        assert_eq!(error(&["--secret", "x", "--request", "text"]), "--request takes @file, or - for standard input");
        assert!(error(&["--secret", "x", "--body", "@/does/not/exist"]).starts_with("--body: cannot open /does/not/exist: "));
        assert_eq!(error(&["--secret", "x", "-H", "oops", "--body", ""]), "`oops` is not a header: write it as `name: value`");
        let text = |raw: &str| format!("{:#}", parse_request(raw.as_bytes()).unwrap_err());
        assert!(text("POST / HTTP/1.1\r\na: b\r\n").starts_with("--request: the head does not end"));
        assert!(text("a: b\ncontent-length: 5\n\nabc").ends_with("Content-Length says 5 bytes, but the body has 3"));
        assert!(text("a: b\ntransfer-encoding: chunked\n\n0\n").contains("the body is in chunks"));
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        for bad in ["", "5", "s", "-1s", "1.5s", "5 m", "99999999999999999999d", "18446744073709551615d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_request_panics_the_parser(raw in proptest::collection::vec(any::<u8>(), 0..200), text in "([a-z]{0,4}[: ]{0,2}[a-z0-9]{0,4}\r?\n){0,6}.{0,10}") {
            let _ = (parse_request(&raw), parse_request(text.as_bytes()));
        }
    }
}
