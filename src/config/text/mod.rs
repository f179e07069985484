//! The text of a configuration: files read and merged, the tree with a span for every key, `${…}` filled in, and the
//! problems as people read them. Refuses to know any key of config.toml by name, but for what it takes to find and to
//! hide values.

pub(crate) mod files;
pub(crate) mod gather;
pub(crate) mod interpolate;
pub(crate) mod json;
pub(crate) mod mask;
pub(crate) mod parse;
pub(crate) mod problem;
pub(crate) mod report;
pub(crate) mod source_map;
pub(crate) mod syntax;
pub(crate) mod tree;
pub(crate) mod units;
