//! What a request says about its signature: which dialect, which header, which signatures, over which id and time.

use http::{HeaderMap, HeaderName};
use subtle::{Choice, ConstantTimeEq as _};

use super::dialect::{DIALECTS, Elsewhere, PREVIOUS, Several};
use super::ed25519::Signature;
use super::pattern::{Facts, Field, read};
use super::scheme::previous_header;
use super::sign::{Tag, keyed, tag};
use super::verify::{SignedRequest, VerifyError};
use super::{InvalidSecret, Scheme, Secret};
use crate::model::Timestamp;

pub(super) struct Claim<'a> {
    pub(super) scheme: Scheme,
    pub(super) header: HeaderName,
    pub(super) signed_at: Option<Timestamp>,
    request: SignedRequest<'a>,
    id: &'a [u8],
    seconds: &'a [u8],
    url: String,
    tags: Vec<Tag>,
    signatures: Vec<Signature>,
}

impl<'a> Claim<'a> {
    /// The strongest signature that has the form of a named dialect.
    pub(super) fn recognise(request: &SignedRequest<'a>) -> Result<Self, VerifyError> {
        let strongest = Scheme::all().map(|scheme| scheme.strength()).max().unwrap_or_default();
        for strength in (0..=strongest).rev() {
            if let Some((scheme, header)) = find(request.headers, strength) {
                return Self::read(&scheme, &header, request);
            }
        }
        // Nothing has the form of a signature: name the header that should have it.
        for scheme in Scheme::all() {
            let header = scheme.default_header();
            if request.headers.contains_key(&header) {
                return Err(malformed(&scheme, header));
            }
        }
        Err(VerifyError::NoSignature)
    }

    /// What the request says in the dialect and the header where its signature should be.
    pub(super) fn read(scheme: &Scheme, header: &HeaderName, request: &SignedRequest<'a>) -> Result<Self, VerifyError> {
        if !request.headers.contains_key(header) {
            return Err(VerifyError::NoHeader { header: header.clone(), scheme: scheme.name() });
        }
        let Entries { tags, signatures, fields } = Entries::read(scheme, header, request.headers);
        if tags.is_empty() && signatures.is_empty() {
            return Err(malformed(scheme, header.clone()));
        }
        let id = find_field(scheme, &Field::Id, &fields, header, request.headers)?;
        let seconds = find_field(scheme, &Field::Timestamp, &fields, header, request.headers)?;
        let signed_at = seconds.as_ref().map(|found| time_in(found)).transpose()?;
        let target = request.target.map(|(_, url)| url.to_string());
        if target.is_none() && (scheme.covers(&Field::Method) || scheme.covers(&Field::Url)) {
            return Err(VerifyError::NoTarget);
        }
        Ok(Self {
            scheme: scheme.clone(),
            header: header.clone(),
            signed_at,
            request: *request,
            id: id.map_or(b"", |found| found.value),
            seconds: seconds.map_or(b"", |found| found.value),
            url: target.unwrap_or_default(),
            tags,
            signatures,
        })
    }

    pub(super) fn holds(&self, secret: &Secret) -> Result<bool, InvalidSecret> {
        self.holds_for(secret, self.request.body)
    }

    fn holds_for(&self, secret: &Secret, body: &[u8]) -> Result<bool, InvalidSecret> {
        if secret.is_asymmetric() && self.scheme.form().asymmetric.is_some() {
            let key = secret.verifying_key()?;
            let message = self.facts(body).whole(self.scheme.content());
            return Ok(self.signatures.iter().any(|signature| key.holds(&message, signature)));
        }
        Ok(self.holds_with(&self.scheme.key(secret)?, body))
    }

    fn holds_with(&self, key: &[u8], body: &[u8]) -> bool {
        let expected = tag(&keyed(key), &self.scheme, &self.facts(body));
        self.tags.iter().fold(Choice::from(0), |found, tag| found | tag.ct_eq(&expected)).into()
    }

    fn facts<'b>(&'b self, body: &'b [u8]) -> Facts<'b> {
        Facts {
            id: self.id,
            seconds: self.seconds,
            event_type: b"",
            method: self.request.target.map_or(b"", |(method, _)| method.as_str().as_bytes()),
            url: self.url.as_bytes(),
            headers: self.request.headers,
            body,
        }
    }

    /// The mistakes that people make with a signature that should have held.
    pub(super) fn near_miss(&self, secret: &Secret) -> Option<&'static str> {
        let body = self.request.body;
        let holds = |body: &[u8]| self.holds_for(secret, body) == Ok(true);
        let trimmed = body.strip_suffix(b"\n").map(|rest| rest.strip_suffix(b"\r").unwrap_or(rest));
        if trimmed.is_some_and(holds) {
            return Some("it matches without the newline at the end of the body, which something has added (an editor, `echo`)");
        }
        if holds(&[body, b"\n"].concat()) {
            return Some("it matches with a newline at the end of the body, which something has cut off");
        }
        if secret.is_asymmetric() {
            let only_symmetric = self.signatures.is_empty() && !self.tags.is_empty();
            return only_symmetric.then_some("the request is signed with a symmetric secret (`v1,`), not with an Ed25519 key");
        }
        if self.tags.is_empty() {
            return Some("the request is signed with an Ed25519 key (`v1a,`): verify it with the public key (`whpk_…`)");
        }
        let key = self.scheme.key(secret).ok()?;
        let decoded = secret.decoded().ok()?;
        let text = secret.expose().as_bytes();
        let bare = text.strip_prefix(b"whsec_").unwrap_or(text);
        let others = [decoded.as_slice(), text, bare];
        let other = others.into_iter().filter(|other| *other != key.as_slice()).find(|other| self.holds_with(other, body))?;
        Some(if other == decoded.as_slice() {
            "it matches with the base64-decoded secret as key, but this scheme keys with the secret's whole text"
        } else if self.scheme.decodes_secrets() {
            "it matches with the secret's text as key, but Standard Webhooks decodes what follows `whsec_` from base64"
        } else {
            "it matches with the secret's text without `whsec_` as key, but this scheme keys with the whole text"
        })
    }
}

/// The header that carries a dialect's signature, among the dialects of one strength: a dialect's own header, else the
/// most specific rule of where it may be.
fn find(headers: &HeaderMap, strength: usize) -> Option<(Scheme, HeaderName)> {
    let dialects = || DIALECTS.into_iter().map(|dialect| (dialect, Scheme::Named(dialect)));
    let alike = || dialects().filter(|(_, scheme)| scheme.strength() == strength);
    for (_, scheme) in alike() {
        let own = scheme.default_header();
        if has_form(&scheme, &own, headers) {
            return Some((scheme, own));
        }
    }
    for rule in Elsewhere::ALL {
        for (dialect, scheme) in alike().filter(|(dialect, _)| dialect.elsewhere == rule) {
            let may_carry = |name: &HeaderName| match rule {
                Elsewhere::WithCompanion => dialect.companions.iter().any(|one| headers.contains_key(one.header)),
                Elsewhere::AnyHeader => true,
                Elsewhere::NamedLikeASignature => ["sig", "hmac"].iter().any(|part| name.as_str().contains(part)),
            };
            let names = headers.keys().filter(|name| !name.as_str().ends_with(PREVIOUS));
            if let Some(name) = names.into_iter().find(|name| may_carry(name) && has_form(&scheme, name, headers)) {
                return Some((scheme, name.clone()));
            }
        }
    }
    None
}

fn has_form(scheme: &Scheme, header: &HeaderName, headers: &HeaderMap) -> bool {
    let entries = Entries::read(scheme, header, headers);
    let lead = match scheme.form().several {
        Several::Entries { lead, .. } => lead,
        Several::Previous => &[],
    };
    let has_lead = lead.is_empty() || !entries.fields.is_empty();
    has_lead && !(entries.tags.is_empty() && entries.signatures.is_empty())
}

/// What a header holds; entries of other forms or versions are skipped.
#[derive(Default)]
struct Entries<'p, 'v> {
    tags: Vec<Tag>,
    signatures: Vec<Signature>,
    /// What its placeholders held beside the signature.
    fields: Vec<(&'p Field, &'v str)>,
}

impl<'p, 'v> Entries<'p, 'v> {
    fn read(scheme: &'p Scheme, header: &HeaderName, headers: &'v HeaderMap) -> Self {
        let mut entries = Self::default();
        match scheme.form().several {
            Several::Entries { lead, separator } => {
                for value in headers.get_all(header).iter().filter_map(|value| value.to_str().ok()) {
                    for text in value.split(separator).map(str::trim) {
                        entries.add(scheme, text);
                        if !lead.is_empty() {
                            entries.fields.extend(read(lead, text).into_iter().flatten());
                        }
                    }
                }
            }
            Several::Previous => {
                let previous = previous_header(header);
                let values = headers.get_all(header).into_iter().chain(headers.get_all(&previous));
                for value in values.filter_map(|value| value.to_str().ok()) {
                    entries.add(scheme, value);
                }
            }
        }
        entries
    }

    fn add(&mut self, scheme: &'p Scheme, text: &'v str) {
        let form = scheme.form();
        for (pattern, is_asymmetric) in [(Some(form.entry), false), (form.asymmetric, true)] {
            for (field, value) in pattern.and_then(|pattern| read(pattern, text)).into_iter().flatten() {
                match field {
                    Field::Signature if is_asymmetric => self.signatures.extend(form.encoding.decode(value)),
                    Field::Signature => self.tags.extend(form.encoding.decode(value)),
                    field => self.fields.push((field, value)),
                }
            }
        }
    }
}

/// The value of a field, and the header that it is in.
struct Found<'a> {
    value: &'a [u8],
    header: HeaderName,
}

/// `None` if the signature does not cover it.
fn find_field<'a>(
    scheme: &Scheme,
    field: &Field,
    fields: &[(&Field, &'a str)],
    signature: &HeaderName,
    headers: &'a HeaderMap,
) -> Result<Option<Found<'a>>, VerifyError> {
    if !scheme.covers(field) {
        return Ok(None);
    }
    if let Some((_, value)) = fields.iter().find(|(found, _)| *found == field) {
        return Ok(Some(Found { value: value.as_bytes(), header: signature.clone() }));
    }
    let Some(companion) = scheme.companions().iter().find(|companion| companion.value == *field) else {
        return Err(malformed(scheme, signature.clone()));
    };
    let header = HeaderName::from_static(companion.header);
    match headers.get(&header) {
        Some(value) => Ok(Some(Found { value: value.as_bytes(), header })),
        None => Err(VerifyError::MissingHeader { header, signature: signature.clone() }),
    }
}

fn malformed(scheme: &Scheme, header: HeaderName) -> VerifyError {
    VerifyError::Malformed { header, expected: scheme.expected().into_owned() }
}

fn time_in(found: &Found<'_>) -> Result<Timestamp, VerifyError> {
    let expected = "whole seconds since 1970, such as 1614265330".to_owned();
    timestamp(found.value).ok_or_else(|| VerifyError::Malformed { header: found.header.clone(), expected })
}

/// Digits alone: `+5`, ` 5` and `5.0` would be signed as text but read as a time.
fn timestamp(digits: &[u8]) -> Option<Timestamp> {
    let plain = (1..=12).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let seconds: i64 = std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()?;
    Some(Timestamp::from_millis(seconds * 1000))
}
