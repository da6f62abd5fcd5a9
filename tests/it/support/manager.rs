//! A service manager, as far as it listens: the socket of `sd_notify(3)`.

use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use super::launch::Launch;
use super::wait::{SOON, comes_true, wait_for, wait_until};

/// Hears what those tell that it has started.
pub struct Manager {
    socket: UnixDatagram,
    home: TempDir,
    heard: Mutex<Vec<String>>,
}

impl Manager {
    pub fn new() -> Manager {
        let home = TempDir::new().unwrap();
        let socket = UnixDatagram::bind(home.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Manager { socket, home, heard: Mutex::default() }
    }

    /// Has it told here.
    pub fn of(&self, launch: Launch) -> Launch {
        launch.env("NOTIFY_SOCKET", self.home.path().join("notify"))
    }

    /// The same, and it is to say that it gets on within this time.
    pub fn watching(&self, launch: Launch, within: Duration) -> Launch {
        self.of(launch).env("WATCHDOG_USEC", within.as_micros().to_string())
    }

    /// All lines so far.
    pub fn heard(&self) -> Vec<String> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut datagram = [0; 4096];
        // An error says that there is nothing more.
        while let Ok(length) = self.socket.recv(&mut datagram) {
            let text = str::from_utf8(&datagram[..length]).expect("it is told in UTF-8");
            heard.extend(text.lines().map(str::to_owned));
        }
        heard.clone()
    }

    /// How often a line was told that begins so.
    pub fn times(&self, start: &str) -> usize {
        self.heard().iter().filter(|line| line.starts_with(start)).count()
    }

    /// Waits for a line that begins so; returns its rest.
    #[track_caller]
    pub fn wait_for(&self, start: &str) -> String {
        wait_for(format!("the line {start}"), SOON, || {
            self.heard().iter().find_map(|line| line.strip_prefix(start).map(str::to_owned))
        })
    }

    /// Waits for that many more lines that begin so than there are now.
    #[track_caller]
    pub fn wait_for_more(&self, start: &str, more: usize) {
        let before = self.times(start);
        wait_until(format!("{more} more of {start}"), SOON, || self.times(start) >= before + more);
    }

    /// Waits until this is the line of the status.
    #[track_caller]
    pub fn wait_for_status(&self, expected: impl Fn(&str) -> bool) {
        let last = || self.heard().iter().rev().find_map(|line| line.strip_prefix("STATUS=").map(str::to_owned));
        let came = comes_true(SOON, || last().is_some_and(|status| expected(&status)));
        assert!(came, "the status is {:?}", last());
    }

    /// Waits until no line that begins so has been told for that long.
    #[track_caller]
    pub fn wait_for_silence(&self, start: &str, period: Duration) {
        wait_until(format!("no {start} for {period:?}"), SOON, || {
            let before = self.times(start);
            !comes_true(period, || self.times(start) > before)
        });
    }
}
