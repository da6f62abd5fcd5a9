//! Arguments → run → exit code.

use maildirq::cli::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = std::env::args_os().collect();
    std::panic::catch_unwind(|| maildirq::cli::main(arguments)).unwrap_or(Exit::Software).into()
}
