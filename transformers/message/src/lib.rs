//! What the prebuilt message transformers share. An event's payload is anyone's: everything here takes hostile text
//! as it comes, keeps each target's limits to the unit, and cuts neither a character nor an escape in two.

mod action;
mod content;
mod json;
mod key;
mod look;
mod path;
mod rules;
mod severity;
mod template;
mod text;
mod time;
mod view;

pub use action::{Action, Batch};
pub use content::{Content, Digest, Field, Style};
pub use json::{Json, Kind, write_string};
pub use key::{KeyOptions, bounded as bounded_key, of as incident_key};
pub use look::{BySeverity, Color, Layout, Link, Rendered, check_links, color, symbol};
pub use path::Path;
pub use rules::Rules;
pub use severity::{FIRING, RECOVERED, Severity};
pub use template::Template;
pub use text::{Escape, Lines, blank, cut, escaped, humanize, tidy, units};
pub use time::{unix_millis, unix_seconds};
pub use view::{Member, View};
