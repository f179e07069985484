//! The options about appearance that message transformers share: symbols, colours, layout.

use serde::Deserialize;

use crate::Severity;

/// A value for each severity, where the options give one: `{ critical = "…", info = "…" }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, bound(deserialize = "T: Deserialize<'de>"))]
pub struct BySeverity<T> {
    critical: Option<T>,
    error: Option<T>,
    warning: Option<T>,
    success: Option<T>,
    info: Option<T>,
}

impl<T> Default for BySeverity<T> {
    fn default() -> Self {
        Self { critical: None, error: None, warning: None, success: None, info: None }
    }
}

impl<T> BySeverity<T> {
    pub fn get(&self, severity: Severity) -> Option<&T> {
        match severity {
            Severity::Critical => self.critical.as_ref(),
            Severity::Error => self.error.as_ref(),
            Severity::Warning => self.warning.as_ref(),
            Severity::Success => self.success.as_ref(),
            Severity::Info => self.info.as_ref(),
        }
    }
}

/// The symbol before a title, with a space behind it; an empty one in the options means none.
pub fn symbol(severity: Severity, options: &BySeverity<String>) -> String {
    match options.get(severity).map_or(severity.emoji(), String::as_str) {
        "" => String::new(),
        emoji => format!("{emoji} "),
    }
}

/// A colour as `#E03E3E`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Color(pub u32);

impl TryFrom<String> for Color {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let value = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        value.map(Self).ok_or_else(|| format!("`{text}` is no colour: write it as `#E03E3E`"))
    }
}

/// Colours of the options, else of the severity.
pub fn color(severity: Severity, options: &BySeverity<Color>) -> u32 {
    options.get(severity).map_or(severity.color(), |color| color.0)
}

/// How fields are laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Short ones side by side.
    #[default]
    Auto,
    /// Side by side.
    Columns,
    /// One below the other.
    Rows,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_options_do_not_say_is_as_usual() {
        let emoji: BySeverity<String> = serde_json::from_str(r#"{"critical":":fire:","info":""}"#).unwrap();
        assert_eq!(symbol(Severity::Critical, &emoji), ":fire: ");
        assert_eq!(symbol(Severity::Info, &emoji), "");
        assert_eq!(symbol(Severity::Error, &emoji), "🔴 ");
        let colors: BySeverity<Color> = serde_json::from_str(r##"{"error":"#00ff7F"}"##).unwrap();
        assert_eq!((color(Severity::Error, &colors), color(Severity::Info, &colors)), (0x00_FF_7F, 0x3B_82_F6));
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| serde_json::from_str::<BySeverity<Color>>(text).unwrap_err().to_string();
        assert!(error(r#"{"error":"red"}"#).starts_with("`red` is no colour: write it as `#E03E3E`"));
        assert!(error(r##"{"fatal":"#000000"}"##).starts_with("unknown field `fatal`, expected one of `critical`"));
    }
}
