//! A terminal for a program to write to, and everything that it was sent.

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

/// What a program wrote to its terminal of this width, standard error included, and its exit code.
pub fn on_a_terminal(command: &mut Command, columns: u16) -> (i32, String) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = open(&*name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&theirs, size).unwrap();
    command.env("TERM", "xterm").env_remove("COLUMNS");
    command.stdin(Stdio::null()).stdout(theirs.try_clone().unwrap()).stderr(theirs);
    let mut child = command.spawn().unwrap();
    // The program alone has the other end now, so that its end is the end of what is read.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut written = Vec::new();
    let mut terminal = File::from(ours);
    let mut chunk = [0; 4096];
    // A terminal that nobody writes to any more reads as EIO.
    while let Ok(length) = terminal.read(&mut chunk) {
        if length == 0 {
            break;
        }
        written.extend_from_slice(&chunk[..length]);
    }
    let code = child.wait().unwrap().code().expect("it ends by itself");
    (code, String::from_utf8(written).unwrap().replace("\r\n", "\n"))
}
