//! Telling the service manager how things are: the protocol of `sd_notify(3)`, lines of text by datagram.
//!
//! The socket is opened once, so that a process that has no file descriptor left is still heard; the address is looked
//! up each time, so that a service manager that was restarted is found again.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// One thing to tell.
#[derive(Clone, Copy, Debug)]
pub enum Word<'a> {
    /// It serves, or the configuration was read again.
    Ready,
    /// It reads its configuration again.
    Reloading,
    /// It has begun to end.
    Stopping,
    /// It gets on.
    Watchdog,
    /// The manager is to wait for this much longer, from now on.
    Extend(Duration),
    /// One line for people.
    Status(&'a str),
}

/// The service manager that has started this process, and wants to be told.
pub struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Manager {
    /// A service manager that reads slowly holds nothing up for longer than this.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// The one that the environment names, by `NOTIFY_SOCKET`.
    ///
    /// # Errors
    /// It is named in a way that is none of a path and an abstract name, or there is no socket to be had.
    pub fn of_environment() -> io::Result<Option<Manager>> {
        env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()).map(|name| Manager::at(&name)).transpose()
    }

    fn at(name: &OsStr) -> io::Result<Manager> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "it is neither a path nor an abstract name")),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(Manager::PATIENCE))?;
        Ok(Manager { socket, address })
    }

    /// Tells all of this at once.
    ///
    /// # Errors
    /// Nobody has heard it.
    pub fn tell(&self, words: &[Word<'_>]) -> io::Result<()> {
        let message = message(words);
        self.socket.send_to_addr(message.as_bytes(), &self.address).map(|_all_of_a_datagram| ())
    }
}

fn message(words: &[Word<'_>]) -> String {
    let mut message = String::new();
    for word in words {
        let written = match word {
            Word::Ready => writeln!(message, "READY=1"),
            Word::Reloading => writeln!(message, "RELOADING=1\nMONOTONIC_USEC={}", monotonic().as_micros()),
            Word::Stopping => writeln!(message, "STOPPING=1"),
            Word::Watchdog => writeln!(message, "WATCHDOG=1"),
            Word::Extend(time) => writeln!(message, "EXTEND_TIMEOUT_USEC={}", time.as_micros()),
            // A second line would be another word.
            Word::Status(line) => writeln!(message, "STATUS={}", line.replace('\n', " ")),
        };
        written.expect("memory takes all that is written");
    }
    message
}

fn monotonic() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}

/// Within what time the service manager wants to hear that we get on, if it minds.
pub fn watchdog() -> Option<Duration> {
    within(env::var_os("WATCHDOG_USEC"), env::var_os("WATCHDOG_PID"))
}

fn within(microseconds: Option<OsString>, pid: Option<OsString>) -> Option<Duration> {
    // What a parent was told is none of our business.
    if pid.is_some_and(|pid| pid.to_str() != Some(&process::id().to_string())) {
        return None;
    }
    let microseconds: u64 = microseconds?.to_str()?.parse().ok()?;
    (microseconds > 0).then(|| Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_hears_by_a_path_and_by_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        Manager::at(path.as_os_str()).unwrap().tell(&[Word::Ready, Word::Status("4 new\nREADY=0")]).unwrap();
        assert_eq!(heard(&by_path), "READY=1\nSTATUS=4 new READY=0\n");

        let name = format!("maildirq-notify-{}", process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let manager = Manager::at(format!("@{name}").as_ref()).unwrap();
        manager.tell(&[Word::Stopping, Word::Extend(Duration::from_millis(1500)), Word::Watchdog]).unwrap();
        assert_eq!(heard(&by_name), "STOPPING=1\nEXTEND_TIMEOUT_USEC=1500000\nWATCHDOG=1\n");
    }

    #[test]
    fn one_that_was_restarted_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = Manager::at(path.as_os_str()).unwrap();
        assert!(manager.tell(&[Word::Watchdog]).is_err(), "nobody is there");
        for _ in 0..2 {
            let there = UnixDatagram::bind(&path).unwrap();
            manager.tell(&[Word::Watchdog]).unwrap();
            assert_eq!(heard(&there), "WATCHDOG=1\n");
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_reload_says_when_it_began() {
        let said = message(&[Word::Reloading]);
        let since: u128 = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end().parse().unwrap();
        assert!((1..=monotonic().as_micros()).contains(&since), "{said}");
    }

    #[test]
    fn a_watchdog_is_minded_only_where_it_is_ours() {
        let ours = process::id().to_string();
        for (microseconds, pid, expected) in [
            (Some("30000000"), None, Some(30)),
            (Some("30000000"), Some(&*ours), Some(30)),
            (Some("30000000"), Some("1"), None),
            (Some("0"), None, None),
            (Some("soon"), None, None),
            (None, Some(&*ours), None),
        ] {
            let found = within(microseconds.map(OsString::from), pid.map(OsString::from));
            assert_eq!(found, expected.map(Duration::from_secs), "{microseconds:?} {pid:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert!(Manager::at("vsock:2:1234".as_ref()).is_err());
    }
}
