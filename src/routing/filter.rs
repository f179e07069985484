//! The field's JSON filter language.

#[derive(Debug, Clone, PartialEq)]
pub struct Filter;

/// What is wrong with a filter, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct InvalidFilter {
    /// Keys (and array indices as text) from the filter's root to the offending part.
    pub path: Vec<String>,
    pub problem: String,
}

impl Filter {
    pub fn parse(_filter: &serde_json::Value) -> Result<Self, Vec<InvalidFilter>> {
        Ok(Self)
    }
}
