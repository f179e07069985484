//! Words for people on standard error. A full disk or a closed pipe there is no reason to fail, let alone to panic, as
//! the standard macros do: what cannot be said is not said.

/// A line on standard error.
macro_rules! note {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(anstream::stderr(), $($text)*);
    }};
}

/// As `note!`, without the end of the line.
macro_rules! note_part {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(anstream::stderr(), $($text)*);
    }};
}
