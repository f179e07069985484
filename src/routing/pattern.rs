//! Event type patterns.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct InvalidPattern {
    problem: String,
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        Ok(Self(text.to_owned()))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
