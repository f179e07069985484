//! `tenterhook --version`: the version, and how this binary was built. `-V` prints the version alone.

use std::env::consts::{ARCH, OS};
use std::sync::LazyLock;

/// Packagers set it when they build: the commit, the package's own version, the date.
const BUILD: Option<&str> = option_env!("TENTERHOOK_BUILD");

pub(super) fn long() -> &'static str {
    static LONG: LazyLock<String> = LazyLock::new(|| {
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        let features = [("cli", cfg!(feature = "cli")), ("ui", cfg!(feature = "ui")), ("prebuilt", cfg!(feature = "prebuilt"))];
        let features: Vec<&str> = features.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
        let mut text = format!("{}\nbuild: {profile}, {ARCH}-{OS}, features {}", env!("CARGO_PKG_VERSION"), features.join(", "));
        if let Some(build) = BUILD {
            text.push_str(&format!("\nfrom: {build}"));
        }
        text
    });
    &LONG
}
