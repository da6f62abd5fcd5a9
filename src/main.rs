//! Arguments → run → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    maildirq::cli::main(std::env::args_os().collect()).into()
}
