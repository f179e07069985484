//! Sets of HTTP status codes as users write them: `2xx`, `408`, `500-503`.

use std::fmt;

/// A set over the codes 100 to 599.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct StatusSet([u64; 8]);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a status: write a code such as 429, a class such as 5xx, or a range such as 500-503")]
pub struct InvalidStatusClass {
    text: String,
}

const FIRST: u16 = 100;
const LAST: u16 = 599;

impl StatusSet {
    pub fn contains(&self, status: u16) -> bool {
        let Some(bit) = bit_of(status) else { return false };
        self.0[bit / 64] & (1 << (bit % 64)) != 0
    }

    /// Adds `5xx`, `429` or `500-503` to the set.
    pub fn add(&mut self, text: &str) -> Result<(), InvalidStatusClass> {
        let (from, to) = parse_range(text).ok_or_else(|| InvalidStatusClass { text: text.to_owned() })?;
        for status in from..=to {
            if let Some(bit) = bit_of(status) {
                self.0[bit / 64] |= 1 << (bit % 64);
            }
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

fn bit_of(status: u16) -> Option<usize> {
    (FIRST..=LAST).contains(&status).then(|| usize::from(status - FIRST))
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    let code = |part: &str| -> Option<u16> {
        let plain = part.len() == 3 && part.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| part.parse().ok()).flatten().filter(|code| (FIRST..=LAST).contains(code))
    };
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class) && text.len() == 3)?;
        return Some((class * 100, class * 100 + 99));
    }
    match text.split_once('-') {
        Some((from, to)) => Some((code(from)?, code(to)?)).filter(|(from, to)| from <= to),
        None => code(text).map(|code| (code, code)),
    }
}

impl fmt::Debug for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries((FIRST..=LAST).filter(|status| self.contains(*status))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_codes_and_ranges_are_understood() {
        let mut set = StatusSet::default();
        for text in ["5xx", "408", "420-422"] {
            set.add(text).unwrap();
        }
        for (status, inside) in [
            (500, true),
            (599, true),
            (408, true),
            (409, false),
            (420, true),
            (422, true),
            (423, false),
            (99, false),
            (600, false),
        ] {
            assert_eq!(set.contains(status), inside, "{status}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "xx", "6xx", "0xx", "5xxx", "99", "600", "4o4", "503-500", "+5xx", "+50", "-", "200-"] {
            assert!(StatusSet::default().add(text).is_err(), "{text}");
        }
    }
}
