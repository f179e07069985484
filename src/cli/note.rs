//! Output for people without the panic of the standard macros. Standard error may be a full disk or a closed pipe: what
//! cannot be written there is dropped. Standard output is the command's result: when its reader has closed it the rest is
//! dropped, and any other failure is the command's.

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

/// A line on standard output.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        $crate::cli::note::said(writeln!(anstream::stdout(), $($text)*));
    }};
}

/// As `say!`, without the end of the line.
macro_rules! say_part {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        $crate::cli::note::said(write!(anstream::stdout(), $($text)*));
    }};
}

/// Ends the command when its answer cannot be written.
pub(super) fn said(written: std::io::Result<()>) {
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            note!("error: cannot write to standard output: {error}");
            std::process::exit(1);
        }
        _ => {}
    }
}
