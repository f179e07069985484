//! Which parts of a file may not be shown in an excerpt: literal secrets, no matter what else is wrong with the line. Works
//! on the lexer's tokens, so that it holds for files that do not parse.

use std::ops::Range;

use toml_parser::Source;
use toml_parser::lexer::{Token, TokenKind};
use url::Url;

use crate::model::EndpointUrl;

/// What is shown instead of a hidden part.
pub(crate) const HIDDEN: &str = "…";

/// How far ahead the `=` of a dotted key is searched; longer keys are refused.
const KEY_PARTS_MAX: usize = super::parse::KEY_PARTS_MAX;

/// A part of a file and what is shown for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mask {
    pub(crate) range: Range<usize>,
    pub(crate) shown: String,
}

/// Keys whose values are credentials, by a part of their name: ours, and those of transformers' options.
const SECRET_WORDS: [&str; 13] = [
    "secret",
    "token",
    "bearer",
    "pass",
    "pwd",
    "credential",
    "cookie",
    "authorization",
    "private_key",
    "api_key",
    "api-key",
    "apikey",
    "routing_key",
];

/// What may be shown within `auth`: names, and a URL as far as URLs are shown.
const OPEN_IN_AUTH: &[&str] =
    &["token_url", "token_endpoint", "url", "username", "user", "name", "client_id", "scopes", "scope", "send_client"];

/// What may be shown of a token.
const OPEN_IN_TOKENS: &[&str] = &["scopes", "tenant"];

/// Tables whose keys are names that the user gave.
const NAMED_TABLES: [&str; 5] = ["webhooks", "tokens", "transformers", "event_types", "sources"];

/// Keys whose value is a URL, perhaps written without its scheme.
const URL_KEYS: [&str; 9] =
    ["url", "proxy", "proxy_url", "token_url", "token_endpoint", "endpoint", "endpoint_url", "target", "uri"];

/// How much of a key's value is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shade {
    /// All of it.
    Hidden,
    /// All but these keys: a table of credentials, or one of them where the table should be.
    But(&'static [&'static str]),
    /// Nothing, although it is among credentials.
    Open,
}

/// Whether the values under this key are hidden; a near miss (`secert`) counts, because its line will be shown.
pub(crate) fn is_secret_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    is_container(&name) || is_auth(&name) || name == "tokens" || is_secret_value(&name)
}

/// One whose value is a credential itself.
fn is_secret_value(name: &str) -> bool {
    is_key(name) || !matches!(name, "tokens" | "token_url" | "token_endpoint") && is_secret_word(name)
}

/// A table whose every value is hidden.
fn is_container(name: &str) -> bool {
    name.contains("header")
        || strsim::damerau_levenshtein("headers", name) <= 2
        || strsim::damerau_levenshtein("params", name) <= 1
}

/// `auth`, and the tables in it.
fn is_auth(name: &str) -> bool {
    matches!(name, "basic" | "authentication" | "basic_auth" | "client_credentials")
        || ["auth", "oauth", "oauth2"].iter().any(|word| strsim::damerau_levenshtein(word, name) <= 1)
}

/// A table that holds a credential; a value in its stead may be the credential.
fn is_table_of_secret(name: &str) -> bool {
    matches!(name, "storage" | "tls")
}

/// `key` and `previous_keys` of `[storage]`, `key` of a certificate, and other keys of such names.
fn is_key(name: &str) -> bool {
    name.ends_with("key")
        || name.ends_with("keys")
        || strsim::damerau_levenshtein("key", name) <= 1
        || strsim::damerau_levenshtein("previous_keys", name) <= 2
}

fn is_secret_word(name: &str) -> bool {
    SECRET_WORDS.iter().any(|word| name.contains(word))
        || ["secret", "token"].iter().any(|word| strsim::damerau_levenshtein(word, name) <= 2)
}

/// Whether a text has a signing key in it, anywhere in it.
pub(crate) fn shows_key(text: &str) -> bool {
    text.contains("whsec_") || text.contains("whsk_")
}

/// `https://hooks.slack.com/services/…3f2a`, `db.example/…`: as much of a URL as can be shown, parsed or not.
pub(crate) fn show_url(text: &str) -> String {
    if shows_key(text) {
        return HIDDEN.to_owned();
    }
    // Of what is no endpoint nothing is known, not even which part of it is the credential.
    if let Ok(url) = Url::parse(text)
        && url.has_host()
        && matches!(url.scheme(), "http" | "https")
    {
        let credentials = !url.username().is_empty() || url.password().is_some();
        let masked = EndpointUrl::new(url).masked();
        return if credentials { masked.replacen("://", &format!("://{HIDDEN}@"), 1) } else { masked };
    }
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (&text[..scheme.len() + 3], rest));
    let host_end = rest.find(['/', '?', '#', '@']).unwrap_or(rest.len());
    if matches!(&rest[host_end..], "" | "/") {
        return text.to_owned();
    }
    let host = if rest.contains('@') { "" } else { &rest[..host_end] };
    format!("{scheme}{host}/{HIDDEN}")
}

/// In the order of the file, none overlapping another.
pub(crate) fn masks(text: &str) -> Vec<Mask> {
    let tokens: Vec<Token> = Source::new(text).lex().into_vec();
    let mut scan = Scan { text, tokens: &tokens, masks: Vec::new(), section: None };
    let mut next = 0;
    while next < tokens.len() {
        next = scan.line(next);
    }
    scan.masks
}

struct Scan<'a> {
    text: &'a str,
    tokens: &'a [Token],
    masks: Vec<Mask>,
    /// Within `[….headers]`, `[….auth]` and the like.
    section: Option<Shade>,
}

/// The keys that decide what is shown, innermost last, each with the depth of brackets at which it stood: it holds until
/// its value ends.
#[derive(Default)]
struct Shades(Vec<(usize, Shade)>);

impl Shades {
    fn add(&mut self, depth: usize, name: &str, is_table: bool, section: Option<Shade>) {
        let around = self.0.last().map(|(_, shade)| *shade).or(section);
        let shade = match around {
            Some(Shade::Hidden) => return,
            Some(Shade::But(open)) if open.contains(&name) => Shade::Open,
            _ => match Shade::of(name, is_table) {
                Some(shade) => shade,
                None => return,
            },
        };
        self.0.push((depth, shade));
    }

    fn hides(&self, section: Option<Shade>) -> bool {
        matches!(self.0.last().map(|(_, shade)| *shade).or(section), Some(Shade::Hidden | Shade::But(_)))
    }
}

impl Shade {
    fn of(name: &str, is_table: bool) -> Option<Self> {
        if is_secret_value(name) || is_table_of_secret(name) && !is_table { Some(Self::Hidden) } else { Self::of_table(name) }
    }

    fn of_table(name: &str) -> Option<Self> {
        match name {
            _ if is_container(name) => Some(Self::Hidden),
            "tokens" => Some(Self::But(OPEN_IN_TOKENS)),
            _ => is_auth(name).then_some(Self::But(OPEN_IN_AUTH)),
        }
    }
}

impl Scan<'_> {
    /// One line, or one key with a value of several lines; gives the token after it.
    fn line(&mut self, start: usize) -> usize {
        let first = self.skip_whitespace(start);
        if self.kind(first) == TokenKind::LeftSquareBracket {
            return self.header(first);
        }
        let mut depth = 0_usize;
        let mut shades = Shades::default();
        let mut position = first;
        while position < self.tokens.len() {
            match self.kind(position) {
                TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => depth += 1,
                TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                    depth = depth.saturating_sub(1);
                    shades.0.retain(|(at, _)| depth >= *at);
                }
                // At no depth a comma is a mistake, and what follows it may be more of the same.
                TokenKind::Comma => shades.0.retain(|(at, _)| depth > *at || depth == 0),
                // A new header ends a value whose brackets were never closed.
                TokenKind::Newline if depth == 0 || self.opens_header(position + 1) => return position + 1,
                TokenKind::Eof => break,
                TokenKind::Comment => self.scalar(position, false),
                _ if self.is_name(position) => {
                    self.scalar(position, false);
                    // Of `headers.x` and `tokens.a.token`, any part that holds secrets counts.
                    if let Some(name) = self.name(position) {
                        shades.add(depth, &name, self.has_table(position), self.section);
                    }
                }
                _ => self.scalar(position, shades.hides(self.section)),
            }
            position += 1;
        }
        position + 1
    }

    /// `[….headers]`, `[tokens.a]`: each part of it counts.
    fn header(&mut self, first: usize) -> usize {
        let end = self.line_end(first);
        // A header has no `=`: what follows one is a line that lost its beginning, or its newline.
        let assigned = (first..end).find(|position| self.kind(*position) == TokenKind::Equals).unwrap_or(end);
        let mut parts: Vec<String> = (first..assigned).filter_map(|position| self.name(position)).collect();
        if parts.first().is_some_and(|table| NAMED_TABLES.contains(&table.as_str())) && parts.len() > 2 {
            // The user's own name, whatever it is. Where nothing follows, it may be one that was forgotten: `[webhooks.headers]`.
            parts.remove(1);
        }
        // Of `[webhooks.a.auth.oauth2.params]` the darkest part.
        let shades = parts.iter().filter_map(|part| Shade::of_table(part));
        self.section = shades.fold(None, |darkest, shade| if darkest == Some(Shade::Hidden) { darkest } else { Some(shade) });
        for position in first..end {
            self.scalar(position, position > assigned);
        }
        end + 1
    }

    fn scalar(&mut self, position: usize, secret: bool) {
        let span = self.tokens[position].span();
        let raw = &self.text[span.start()..span.end()];
        let quoted = matches!(
            self.kind(position),
            TokenKind::BasicString | TokenKind::LiteralString | TokenKind::MlBasicString | TokenKind::MlLiteralString
        );
        let plain = raw.trim_matches(['"', '\'']);
        let shown = if !(quoted || matches!(self.kind(position), TokenKind::Atom | TokenKind::Comment)) {
            None
        } else if secret && !is_reference(plain) || shows_key(plain) {
            Some(HIDDEN.to_owned())
        } else if self.kind(position) == TokenKind::Comment {
            None
        } else if plain.contains("://") {
            Some(show_url(plain)).filter(|shown| shown.contains(HIDDEN))
        } else if self.key_before(position).is_some_and(|key| URL_KEYS.contains(&key)) {
            Some(show_url(plain)).filter(|shown| shown.contains(HIDDEN))
        } else {
            None
        };
        let Some(shown) = shown else { return };
        let shown = if quoted { format!("\"{shown}\"") } else { shown };
        self.masks.push(Mask { range: span.start()..span.end(), shown });
    }

    /// The text of the token before `=` before this token.
    fn key_before(&self, position: usize) -> Option<&str> {
        let mut before = self.tokens[..position].iter().rev().filter(|token| token.kind() != TokenKind::Whitespace);
        before.next().filter(|token| token.kind() == TokenKind::Equals)?;
        let span = before.next()?.span();
        Some(self.text.get(span.start()..span.end())?.trim_matches(['"', '\'']))
    }

    /// Whether what is assigned to this key, or this part of one, is a table: in braces, or by more parts of the key.
    fn has_table(&self, position: usize) -> bool {
        let next = self.skip_whitespace(position + 1);
        self.kind(next) == TokenKind::Dot
            || self.kind(next) == TokenKind::Equals && self.kind(self.skip_whitespace(next + 1)) == TokenKind::LeftCurlyBracket
    }

    /// Whether the token is a key: `=` follows, maybe after more parts of it.
    fn is_name(&self, position: usize) -> bool {
        let could_be = matches!(self.kind(position), TokenKind::Atom | TokenKind::BasicString | TokenKind::LiteralString);
        if !could_be || self.key_before(position).is_some() {
            return false;
        }
        let mut next = self.skip_whitespace(position + 1);
        for _ in 0..KEY_PARTS_MAX {
            if self.kind(next) != TokenKind::Dot {
                break;
            }
            next = self.skip_whitespace(self.skip_whitespace(next + 1) + 1);
        }
        self.kind(next) == TokenKind::Equals
    }

    /// The text of a token that can be a part of a key.
    fn name(&self, position: usize) -> Option<String> {
        let could_be = matches!(self.kind(position), TokenKind::Atom | TokenKind::BasicString | TokenKind::LiteralString);
        let span = self.tokens.get(position).filter(|_| could_be)?.span();
        Some(self.text.get(span.start()..span.end())?.trim_matches(['"', '\'']).to_ascii_lowercase())
    }

    fn opens_header(&self, position: usize) -> bool {
        let first = self.skip_whitespace(position);
        let mut key = first;
        while self.kind(key) == TokenKind::LeftSquareBracket {
            key += 1;
        }
        if key == first || self.kind(key) != TokenKind::Atom {
            return false;
        }
        let end = self.line_end(first);
        let mut back = self.tokens[key..end].iter().rev().map(Token::kind);
        back.find(|kind| !matches!(kind, TokenKind::Whitespace | TokenKind::Comment)) == Some(TokenKind::RightSquareBracket)
    }

    fn line_end(&self, from: usize) -> usize {
        (from..self.tokens.len())
            .find(|position| matches!(self.kind(*position), TokenKind::Newline | TokenKind::Eof))
            .unwrap_or(self.tokens.len())
    }

    fn skip_whitespace(&self, from: usize) -> usize {
        (from..self.tokens.len()).find(|position| self.kind(*position) != TokenKind::Whitespace).unwrap_or(self.tokens.len())
    }

    fn kind(&self, position: usize) -> TokenKind {
        self.tokens.get(position).map_or(TokenKind::Eof, Token::kind)
    }
}

/// `${NAME}` alone shows where a secret comes from, and nothing of it.
fn is_reference(text: &str) -> bool {
    text.starts_with("${") && text.ends_with('}') && text.matches("${").count() == 1 && !text.contains(":-")
}

#[cfg(test)]
mod tests;
