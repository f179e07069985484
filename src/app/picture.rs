//! A configuration file as the API would show it: what `tenterhook plan` looks at.

use std::path::Path;

use crate::http::Picture;
use crate::reload::{self, ReloadError};

/// Validates a configuration as a reload would, and draws it.
///
/// # Errors
/// What a reload would refuse.
pub async fn picture(path: &Path) -> Result<Picture, ReloadError> {
    super::check(path).await?;
    let loaded = reload::load(path).map_err(ReloadError::Refused)?;
    Ok(Picture::of(&loaded.settings, reload::fingerprint(&loaded)))
}
