//! Slips in secrets and tokens that were copied by somebody: what came along with the text and would silently become a
//! part of it, so that every signature is wrong at the receiver. Refuses to show any of the text.

/// What plainly does not belong to a secret. The words complete "the secret …" and say what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Slip {
    #[error("has white space around it, which would be a part of it: remove it")]
    Spaces,
    #[error("has quotes within it, which would be a part of it: leave them out")]
    Quotes,
    #[error("begins with `v1,`, which dashboards show before a secret: leave out `v1,`")]
    Version,
    #[error("begins with `v1a,`, which stands before a signature: leave out `v1a,`")]
    AsymmetricVersion,
    #[error("begins with `{0}`, which belongs to an Authorization header: leave out `{0}`")]
    Authorization(&'static str),
    #[error("begins with the name of a variable and `=` or `:`: write only what follows")]
    Assignment,
    #[error("begins with `{0}` in other letters: the prefix is written in lower case")]
    Case(&'static str),
    #[error("has `{0}` within it, not at its beginning: leave out what precedes it")]
    Before(&'static str),
    #[error("looks like a variable that was not filled in: write ${{NAME}} for an environment variable")]
    Unfilled,
}

const PREFIXES: [&str; 3] = ["whsec_", "whsk_", "whpk_"];
const QUOTES: [char; 8] = ['"', '\'', '`', '\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}', '\u{ab}'];
const SCHEMES: [(&str, &str); 3] = [("bearer ", "Bearer "), ("basic ", "Basic "), ("token ", "Token ")];

/// White space, and characters that editors and web pages add without showing them.
fn is_invisible(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}')
}

/// Without the white space around it, as files and variables often have it.
pub fn trim_secret(text: &str) -> &str {
    text.trim_matches(is_invisible)
}

/// The slip in a text, and whether it is certain: a signing key whose prefix is spoiled can never be what the receiver
/// has, while a plain text may look odd and still be meant.
pub fn slip(text: &str) -> Option<(Slip, bool)> {
    let inner = trim_secret(text);
    let lower = inner.to_ascii_lowercase();
    let found = PREFIXES.into_iter().filter_map(|prefix| Some((lower.find(prefix)?, prefix))).min();
    let slip = if let Some((at, prefix)) = found
        && at > 0
    {
        before(&lower[..at]).unwrap_or(Slip::Before(prefix))
    } else if inner.len() != text.len() {
        Slip::Spaces
    } else if let Some((_, prefix)) = found {
        if inner.starts_with(prefix) {
            return None;
        }
        Slip::Case(prefix)
    } else if is_unfilled(inner) {
        Slip::Unfilled
    } else {
        before(&lower).filter(|slip| *slip != Slip::Assignment)?
    };
    Some((slip, found.is_some() && !matches!(slip, Slip::Before(_))))
}

/// What a text, in lower case, begins with that is no part of a secret.
fn before(text: &str) -> Option<Slip> {
    let text = text.trim_start_matches(is_invisible);
    if text.starts_with(QUOTES) {
        return Some(Slip::Quotes);
    }
    if let Some((_, shown)) = SCHEMES.iter().find(|(scheme, _)| text.starts_with(scheme)) {
        return Some(Slip::Authorization(shown));
    }
    if text.starts_with("v1,") {
        return Some(Slip::Version);
    }
    if text.starts_with("v1a,") {
        return Some(Slip::AsymmetricVersion);
    }
    let name = text.trim_end_matches(|c: char| is_invisible(c) || QUOTES.contains(&c));
    let name = name.strip_suffix(['=', ':'])?;
    let letters = |c: char| c.is_ascii_alphanumeric() || " _-.".contains(c);
    (!name.is_empty() && name.chars().all(letters)).then_some(Slip::Assignment)
}

/// `$NAME`, `${NAME}`, `%NAME%`, `{{ name }}`, `$(command)`, `<secret>`.
fn is_unfilled(text: &str) -> bool {
    let is_name = |name: &str| {
        let name = name.trim();
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-. :".contains(c))
    };
    let between =
        |open: &str, close: &str| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)).is_some_and(is_name);
    let upper =
        |name: &str| is_name(name) && name.contains(|c: char| c.is_ascii_uppercase()) && name == name.to_ascii_uppercase();
    text.strip_prefix('$').is_some_and(upper)
        || between("${", "}")
        || between("$(", ")")
        || between("{{", "}}")
        || between("%", "%")
        || between("<", ">")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_spoiled_signing_key_is_a_certain_slip() {
        for (text, expected) in [
            (format!("v1,{KEY}"), Slip::Version),
            (format!("v1a,{KEY}"), Slip::AsymmetricVersion),
            (format!(" {KEY}"), Slip::Spaces),
            (format!("{KEY}\n"), Slip::Spaces),
            (format!("\u{feff}{KEY}"), Slip::Spaces),
            (format!("'{KEY}'"), Slip::Quotes),
            (format!("\"{KEY}\""), Slip::Quotes),
            (format!("Bearer {KEY}"), Slip::Authorization("Bearer ")),
            (format!("bearer {KEY}"), Slip::Authorization("Bearer ")),
            (format!("SECRET={KEY}"), Slip::Assignment),
            (format!("secret: \"{KEY}\""), Slip::Assignment),
            (KEY.replace("whsec", "WHSEC"), Slip::Case("whsec_")),
            (KEY.replace("whsec", "Whsec"), Slip::Case("whsec_")),
            (KEY.replace("whsec", "WHSK"), Slip::Case("whsk_")),
        ] {
            assert_eq!(slip(&text), Some((expected, true)), "{text}");
        }
    }

    #[test]
    fn an_odd_plain_text_may_be_meant() {
        for (text, expected) in [
            (" s3cr3t-of-mine", Slip::Spaces),
            ("'s3cr3t-of-mine'", Slip::Quotes),
            ("Bearer s3cr3t-of-mine", Slip::Authorization("Bearer ")),
            ("v1,s3cr3t-of-mine", Slip::Version),
            ("$OPS_SECRET", Slip::Unfilled),
            ("{{ ops_secret }}", Slip::Unfilled),
            ("<your secret>", Slip::Unfilled),
            ("my-whsec_s3cr3t", Slip::Before("whsec_")),
        ] {
            assert_eq!(slip(text), Some((expected, false)), "{text}");
        }
    }

    #[test]
    fn a_plain_secret_has_no_slip() {
        for text in [KEY, "whsk_abc", "s3cr3t-of-mine", "a=b", "key:value", "$5up3r", "with space within", "100%", "v1.2", "it's"]
        {
            assert_eq!(slip(text), None, "{text}");
        }
        assert_eq!(trim_secret(" \u{feff}a b\r\n"), "a b");
    }

    #[test]
    fn no_slip_shows_the_text() {
        for text in [format!("v1,{KEY}"), format!("'{KEY}'"), KEY.replace("whsec", "WHSEC")] {
            let (slip, _) = slip(&text).unwrap();
            assert!(!slip.to_string().contains("MfKQ"), "{slip}");
        }
    }
}
