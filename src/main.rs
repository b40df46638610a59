//! The program: see [`always_online::cli`].
use std::process::ExitCode;

fn main() -> ExitCode {
    always_online::cli::main()
}
