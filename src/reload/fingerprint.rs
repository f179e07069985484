//! What makes one configuration the same as another: its files, the modules that it uses or could use, and certificates.

use std::collections::BTreeSet;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::config::Loaded;
use crate::transform::{self, Source};

/// Hex digits shown; 64 bits tell configurations apart.
const DIGITS: usize = 16;

/// `others`: modules that webhooks of the API use.
pub(super) fn of(loaded: &Loaded, others: &BTreeSet<String>) -> String {
    let settings = &loaded.settings;
    let mut hash = Sha256::new();
    hash.update(loaded.fingerprint.as_bytes());
    let used = settings.webhooks.values().flat_map(|webhook| &webhook.transform).map(|step| step.name.clone());
    let lying_there = transform::available(&settings.transformers_dir).into_iter();
    let files = lying_there.filter(|(_, source)| matches!(source, Source::File(_))).map(|(name, _)| name);
    for name in used.chain(files).chain(others.iter().cloned()).collect::<BTreeSet<String>>() {
        let name = name.as_str();
        let path = settings.transformers.get(name).and_then(|declared| declared.path.as_deref());
        hash.update(name.as_bytes());
        hash.update([0]);
        // What cannot be read is a problem of the build, which names it; here it only has to differ.
        if let Ok(Source::File(file)) = transform::resolve(name, &settings.transformers_dir, path)
            && let Ok(module) = std::fs::read(file)
        {
            hash.update(Sha256::digest(&module));
        }
    }
    for path in loaded.certificate_files().collect::<BTreeSet<_>>() {
        hash.update(path.as_os_str().as_encoded_bytes());
        hash.update(Sha256::digest(std::fs::read(path).unwrap_or_default()));
    }
    let mut hex = String::with_capacity(DIGITS);
    for byte in hash.finalize().iter().take(DIGITS / 2) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
