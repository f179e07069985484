//! What the prebuilt message transformers share. An event's payload is anyone's: everything here takes hostile text
//! as it comes, stays within each target's limits to the unit, and cuts neither a character nor an escape in two.

mod appearance;
mod assessment;
mod batch;
mod content;
mod digest;
/// The host's parser of paths, so that one syntax holds everywhere.
#[path = "../../../src/model/field_path.rs"]
mod field_path;
mod identity;
mod json;
mod key;
mod link;
mod path;
mod rules;
mod severity;
mod state;
mod template;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod text;
mod time;
mod view;

pub use appearance::{BySeverity, Color, Layout, color, symbol};
pub use assessment::{Action, Assessment, AssessmentOptions, ValueRule};
pub use batch::Batch;
pub use content::{Content, Field, Style};
pub use digest::{Digest, Group};
pub use field_path::{FieldPath, Step};
pub use json::{Json, Kind, depth, limit_depth, without_half_surrogates, write_string};
pub use key::{IncidentKey, KeyOptions, bounded as bounded_key, of as incident_key};
pub use link::{Link, RenderedLink, check_links};
pub use path::Path;
pub use rules::Rules;
pub use severity::Severity;
pub use template::Template;
pub use text::{Escape, Lines, blank, cut, escaped, humanize, tidy, units};
pub use time::{unix_millis, unix_seconds};
pub use view::{Member, View};
