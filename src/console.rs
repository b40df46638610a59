//! What commands say to people: results on standard output, complaints on standard error.
//!
//! `println!` and `eprintln!` panic where nobody can be told: a closed pipe, a full disk. A result
//! that can't be written is a failure of the command; a complaint that can't be written changes
//! nothing.
use std::{
    fmt::Display,
    io::{self, Write},
};

/// Nobody got the result.
#[derive(Debug, thiserror::Error)]
#[error("standard output can't be written: {0}")]
pub struct Unwritten(#[from] io::Error);

impl Unwritten {
    /// Whoever read the output has gone, as `head` does, and knows that.
    pub fn is_unread(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Writes a result to standard output, as it is.
///
/// # Errors
/// It can't be written.
pub fn print(result: impl Display) -> Result<(), Unwritten> {
    let mut out = io::stdout().lock();
    write!(out, "{result}")?;
    Ok(out.flush()?)
}

/// As [`print()`], with the end of a line.
///
/// # Errors
/// It can't be written.
pub fn print_line(result: impl Display) -> Result<(), Unwritten> {
    print(format_args!("{result}\n"))
}

/// Writes a line to standard error, if it can be written.
pub fn complain(complaint: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{complaint}");
}
