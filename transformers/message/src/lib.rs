//! What the prebuilt message transformers share. An event's payload is anyone's: everything here takes hostile text
//! as it comes, keeps each target's limits to the unit, and cuts neither a character nor an escape in two.

mod content;
mod json;
mod path;
mod rules;
mod severity;
mod template;
mod text;
mod view;

pub use content::{Content, Digest, Field, Style};
pub use json::{Json, Kind, write_string};
pub use path::Path;
pub use rules::Rules;
pub use severity::{FIRING, RECOVERED, Severity};
pub use template::Template;
pub use text::{Escape, Lines, blank, cut, escaped, humanize, tidy, units};
pub use view::{Member, View};
