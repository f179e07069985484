//! Write a Tenterhook transformer in Rust: implement [`Transformer`], then [`export!`] it.
//!
//! ```
//! use serde::Deserialize;
//! use tenterhook_transformer::{Description, Event, Outcome, Request, Transformer, export};
//!
//! struct Greeter;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Options {
//!     greeting: String,
//! }
//!
//! impl Transformer for Greeter {
//!     type Options = Options;
//!
//!     fn describe() -> Description {
//!         Description {
//!             name: "greeter".to_owned(),
//!             version: "1.0.0".to_owned(),
//!             summary: "Greets every event".to_owned(),
//!             options_schema: r#"{"type":"object","properties":{"greeting":{"type":"string"}}}"#.to_owned(),
//!         }
//!     }
//!
//!     fn transform(events: &[Event], options: &Options) -> Result<Outcome, String> {
//!         let text = format!("{} from {} event(s)", options.greeting, events.len());
//!         Ok(Outcome::Request(Request::json(serde_json::json!({ "text": text }).to_string())))
//!     }
//! }
//!
//! export!(Greeter);
//! ```
//!
//! Everything but the border itself is plain Rust: unit tests call [`Transformer::transform`] natively, and
//! [`check_options`] returns the error that a user sees for bad options.

use std::fmt::Display;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

#[cfg(target_arch = "wasm32")]
mod arena;
mod options;

#[cfg(target_arch = "wasm32")]
pub use arena::Arena;

/// What `wit-bindgen` makes of `wit/1.1.0`. Use it through the names below.
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/1.1.0",
        world: "transformer",
        pub_export_macro: true,
        additional_derives: [PartialEq],
        export_macro_name: "export_component",
        default_bindings_module: "tenterhook_transformer::bindings",
    });
}

pub use bindings::tenterhook::transformer::host::Level;
pub use bindings::tenterhook::transformer::types::{Body, Description, Event, Outcome, Request};

/// A transformer: its name, its options, and what it makes of events.
pub trait Transformer {
    /// The options of `transform = { use = "…", options = { … } }`. Derive `Deserialize` with
    /// `#[serde(deny_unknown_fields)]`, and a misspelt option is refused with a suggestion.
    type Options: DeserializeOwned;

    fn describe() -> Description;

    /// What cannot be said by the type of an option: called when a configuration is loaded, after the options were
    /// read. The error is shown to the person who wrote them.
    fn check(_options: &Self::Options) -> Result<(), String> {
        Ok(())
    }

    /// One event, or several of a batch (oldest first; never none). An error fails the attempt with its text.
    fn transform(events: &[Event], options: &Self::Options) -> Result<Outcome, String>;
}

impl Request {
    /// A `POST` of JSON text to the webhook's own URL.
    pub fn json(text: impl Into<String>) -> Self {
        Self { body: Body::Text(text.into()), headers: Vec::new(), method: None, url: None }
    }

    /// The same with one more header. A `content-type` replaces the default, `application/json`.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// Write a line into the log of the attempt; in native tests, to standard error.
pub fn log(level: Level, message: impl Display) {
    let message = message.to_string();
    #[cfg(target_arch = "wasm32")]
    bindings::tenterhook::transformer::host::log(level, &message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// Reads and checks options as the module does when a configuration is loaded: for unit tests.
pub fn check_options<T: Transformer>(options: &str) -> Result<T::Options, String> {
    let options = options::read::<T::Options>(options)?;
    T::check(&options)?;
    Ok(options)
}

/// Between the generated trait, which speaks in texts, and [`Transformer`].
#[doc(hidden)]
pub struct Exported<T>(PhantomData<T>);

impl<T: Transformer> bindings::Guest for Exported<T> {
    fn describe() -> Description {
        T::describe()
    }

    fn check(options: String) -> Result<(), String> {
        check_options::<T>(&options).map(|_| ())
    }

    fn transform(events: Vec<Event>, options: String) -> Result<Outcome, String> {
        T::transform(&events, &options::read::<T::Options>(&options)?)
    }
}

/// Makes a [`Transformer`] the one that this crate's component (`crate-type = ["cdylib"]`) exports.
///
/// `export!(Greeter, arena)` gives it an allocator for formatters besides: faster, and all memory is given back when the
/// call ends instead of bit by bit. Leave it out for what allocates a lot while it works.
#[macro_export]
macro_rules! export {
    ($transformer:ty, arena) => {
        #[cfg(target_arch = "wasm32")]
        #[global_allocator]
        static ARENA: $crate::Arena = $crate::Arena::new();

        $crate::export!($transformer);
    };
    ($transformer:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::Exported<$transformer>;
    $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}
