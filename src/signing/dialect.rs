//! The signature dialects that have a name, one row each. What is signed, the headers, the encoding, how a request is
//! recognised and verified, the names that config.toml and the command line take, the reserved headers and the UI's list
//! all follow from these rows.

use super::pattern::{Encoding, Field, Part, text};

/// A named dialect.
#[derive(Debug)]
pub struct Dialect {
    /// As config.toml writes it.
    pub(super) name: &'static str,
    /// The header of the signature unless a webhook names another.
    pub(super) header: &'static str,
    /// What is signed.
    pub(super) content: &'static [Part],
    pub(super) form: Form<'static>,
    /// Headers that receivers of the dialect read beside the signature.
    pub(super) companions: &'static [Companion],
    pub(super) key: KeyText,
    pub(super) elsewhere: Elsewhere,
    /// How the header reads, for people whose header is malformed.
    pub(super) expected: &'static str,
}

/// How a signature header reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form<'a> {
    /// One signature: `v1,{signature}`.
    pub(super) entry: &'a [Part],
    /// The same by an Ed25519 key; `None`: the dialect has no such signatures.
    pub(super) asymmetric: Option<&'a [Part]>,
    pub(super) encoding: Encoding,
    pub(super) several: Several<'a>,
}

/// Where the signatures go when several secrets are live.
#[derive(Debug, Clone, Copy)]
pub(super) enum Several<'a> {
    /// One header has an entry for each, after `lead`.
    Entries { lead: &'a [Part], separator: char },
    /// The newest has the header; the older ones go to the header of the same name with `-previous` appended.
    Previous,
}

/// A header beside the signature's.
#[derive(Debug)]
pub(super) struct Companion {
    pub(super) header: &'static str,
    pub(super) value: Field,
}

/// What keys the HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyText {
    /// Behind `whsec_` the secret is base64; any other secret is its own bytes.
    Decoded,
    /// The secret's whole text, because that is what the dialect's verifiers use.
    Whole,
}

/// Which headers besides the dialect's own may carry its signature. A value must have the dialect's form in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// Any header, if the request has one of the companions.
    WithCompanion,
    AnyHeader,
    /// Headers whose name contains `sig` or `hmac`: the form alone says too little.
    NamedLikeASignature,
}

impl Elsewhere {
    /// The most specific rule first: `sha256=` beside `X-GitHub-Event` is GitHub's.
    pub(super) const ALL: [Self; 3] = [Self::WithCompanion, Self::AnyHeader, Self::NamedLikeASignature];
}

pub(super) const WEBHOOK_ID: Companion = Companion { header: "webhook-id", value: Field::Id };
pub(super) const WEBHOOK_TIMESTAMP: Companion = Companion { header: "webhook-timestamp", value: Field::Timestamp };

const ID: Part = Part::Field(Field::Id);
const TIMESTAMP: Part = Part::Field(Field::Timestamp);
const BODY: Part = Part::Field(Field::Body);
const SIGNATURE: Part = Part::Field(Field::Signature);

/// `sha256=<hex>`.
const SHA256_HEX: Form<'_> =
    Form { entry: &[text("sha256="), SIGNATURE], asymmetric: None, encoding: Encoding::Hex, several: Several::Previous };

/// Standard Webhooks (standardwebhooks.com), the default.
pub(super) static STANDARD: Dialect = Dialect {
    name: "standard",
    header: "webhook-signature",
    content: &[ID, text("."), TIMESTAMP, text("."), BODY],
    form: Form {
        entry: &[text("v1,"), SIGNATURE],
        asymmetric: Some(&[text("v1a,"), SIGNATURE]),
        encoding: Encoding::Base64,
        several: Several::Entries { lead: &[], separator: ' ' },
    },
    companions: &[WEBHOOK_ID, WEBHOOK_TIMESTAMP],
    key: KeyText::Decoded,
    elsewhere: Elsewhere::WithCompanion,
    expected: "`v1,` and 44 characters of base64 (or `v1a,` and 88), several separated by one space",
};

/// All of them, in the order in which people are shown their names.
pub(super) const DIALECTS: [&Dialect; 6] = [
    &STANDARD,
    // No time is signed, so a replay is not noticed.
    &Dialect {
        name: "sha256",
        header: "x-webhook-signature",
        content: &[BODY],
        form: SHA256_HEX,
        companions: &[],
        key: KeyText::Whole,
        elsewhere: Elsewhere::AnyHeader,
        expected: "`sha256=` and 64 hexadecimal digits",
    },
    // Stripe's form (docs.stripe.com/webhooks, "Verify manually").
    &Dialect {
        name: "timestamped",
        header: "x-tenterhook-signature",
        content: &[TIMESTAMP, text("."), BODY],
        form: Form {
            entry: &[text("v1="), SIGNATURE],
            asymmetric: None,
            encoding: Encoding::Hex,
            several: Several::Entries { lead: &[text("t="), TIMESTAMP], separator: ',' },
        },
        companions: &[],
        key: KeyText::Whole,
        elsewhere: Elsewhere::AnyHeader,
        expected: "`t=<unix seconds>,v1=<64 hexadecimal digits>`",
    },
    // docs.github.com, "Validating webhook deliveries".
    &Dialect {
        name: "github",
        header: "x-hub-signature-256",
        content: &[BODY],
        form: SHA256_HEX,
        companions: &[
            Companion { header: "x-github-event", value: Field::EventType },
            Companion { header: "x-github-delivery", value: Field::Id },
        ],
        key: KeyText::Whole,
        elsewhere: Elsewhere::WithCompanion,
        expected: "`sha256=` and 64 hexadecimal digits",
    },
    // docs.slack.dev, "Verifying requests from Slack".
    &Dialect {
        name: "slack",
        header: "x-slack-signature",
        content: &[text("v0:"), TIMESTAMP, text(":"), BODY],
        form: Form { entry: &[text("v0="), SIGNATURE], asymmetric: None, encoding: Encoding::Hex, several: Several::Previous },
        companions: &[Companion { header: "x-slack-request-timestamp", value: Field::Timestamp }],
        key: KeyText::Whole,
        elsewhere: Elsewhere::AnyHeader,
        expected: "`v0=` and 64 hexadecimal digits",
    },
    // shopify.dev, "Validate the origin of your webhook".
    &Dialect {
        name: "shopify",
        header: "x-shopify-hmac-sha256",
        content: &[BODY],
        form: Form { entry: &[SIGNATURE], asymmetric: None, encoding: Encoding::Base64, several: Several::Previous },
        companions: &[
            Companion { header: "x-shopify-topic", value: Field::EventType },
            Companion { header: "x-shopify-webhook-id", value: Field::Id },
        ],
        key: KeyText::Whole,
        elsewhere: Elsewhere::NamedLikeASignature,
        expected: "44 characters of base64",
    },
];

/// Signature headers of other systems: their receivers trust them, so nothing but a signer may write them.
const FOREIGN_HEADERS: [&str; 1] = ["stripe-signature"];

/// Families of signature headers, ours and other systems'.
const RESERVED_PREFIXES: [&str; 5] = ["webhook-", "svix-", "x-tenterhook-", "x-webhook-signature", "x-hub-signature"];

/// Appended to a header's name: the same dialect under the secrets that a rotation is about to retire.
pub(super) const PREVIOUS: &str = "-previous";

/// What `signature =` takes as a name: the dialects', and `none`.
pub fn scheme_names() -> &'static [&'static str] {
    &SCHEME_NAMES
}

/// As [`scheme_names`], for tables that are constants.
pub const SCHEME_NAMES: [&str; DIALECTS.len() + 1] = {
    let mut names = ["none"; DIALECTS.len() + 1];
    let mut at = 0;
    while at < DIALECTS.len() {
        names[at] = DIALECTS[at].name;
        at += 1;
    }
    names
};

/// The names of the dialects.
pub fn dialect_names() -> impl Iterator<Item = &'static str> {
    DIALECTS.iter().map(|dialect| dialect.name)
}

/// Whether a header (lower case) says who sent a request: neither the configuration nor a module may set it.
pub fn is_reserved(header: &str) -> bool {
    let plain = header.strip_suffix(PREVIOUS).unwrap_or(header);
    RESERVED_PREFIXES.iter().any(|prefix| plain.starts_with(prefix))
        || FOREIGN_HEADERS.contains(&plain)
        || DIALECTS.iter().any(|dialect| dialect.header == plain)
        || is_companion(plain)
}

/// Whether a dialect writes something other than its signature into this header (lower case).
pub fn is_companion(header: &str) -> bool {
    DIALECTS.iter().flat_map(|dialect| dialect.companions).any(|companion| companion.header == header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_is_whole_and_unlike_the_others() {
        let mut taken = BTreeSet::new();
        for dialect in DIALECTS {
            assert!(taken.insert(dialect.name) && dialect.name != "none", "{}", dialect.name);
            assert!(taken.insert(dialect.header), "{}", dialect.header);
            assert!(HeaderName::from_lowercase(dialect.header.as_bytes()).is_ok(), "{}", dialect.header);
            assert!(dialect.content.contains(&BODY), "{}: anybody could change the body", dialect.name);
            assert!(dialect.form.entry.contains(&SIGNATURE), "{}", dialect.name);
            for companion in dialect.companions {
                assert!(HeaderName::from_lowercase(companion.header.as_bytes()).is_ok(), "{}", companion.header);
                assert!(is_reserved(companion.header), "{}", companion.header);
            }
            assert!(is_reserved(dialect.header) && is_reserved(&format!("{}-previous", dialect.header)));
        }
    }

    #[test]
    fn the_documentation_lists_every_dialect_with_its_header() {
        let docs = include_str!("../../docs/verifying.md").to_lowercase();
        for dialect in DIALECTS {
            assert!(docs.contains(&format!("`{}`", dialect.name)), "{}", dialect.name);
            assert!(docs.contains(dialect.header), "{}", dialect.header);
        }
    }

    #[test]
    fn headers_of_the_requests_content_are_not_reserved() {
        for header in ["content-type", "x-api-key", "x-shopify-shop-domain", "x-github-api-version", "x-webhook-id"] {
            assert!(!is_reserved(header), "{header}");
        }
        for header in ["stripe-signature", "x-shopify-topic", "x-shopify-webhook-id", "svix-id", "x-hub-signature"] {
            assert!(is_reserved(header), "{header}");
        }
    }
}
