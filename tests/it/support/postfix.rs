//! A private Postfix: its own configuration, queue and port, virtual delivery into Maildirs.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, ExitStatus};

use tempfile::TempDir;

use super::wait::{SOON, comes_true};

const POSTFIX: &str = "/usr/sbin/postfix";

/// Debian's `nobody` and `nogroup`, who own the Maildirs: virtual(8) refuses to deliver as root.
const NOBODY: u32 = 65534;

pub struct Postfix {
    dir: TempDir,
    address: SocketAddr,
}

impl Postfix {
    /// Whether this machine can run it, or why not.
    pub fn available() -> Result<(), String> {
        if !Path::new(POSTFIX).exists() {
            return Err(format!("{POSTFIX} is not installed (tests/run installs it)"));
        }
        if !rustix::process::geteuid().is_root() {
            return Err("only root can start Postfix".to_owned());
        }
        Ok(())
    }

    /// Starts a Postfix that takes mail for the `mailboxes`, pairs of an address and the name of
    /// its Maildir in `maildir_base`, and for nobody else. It makes the Maildirs, too.
    pub fn start(maildir_base: &Path, mailboxes: &[(&str, &str)]) -> Self {
        Self::start_with(maildir_base, mailboxes, "", "")
    }

    /// As [`Postfix::start`], with more lines for `main.cf` and `master.cf`.
    pub fn start_with(maildir_base: &Path, mailboxes: &[(&str, &str)], more_main: &str, more_master: &str) -> Self {
        if let Err(reason) = Self::available() {
            panic!("cannot run Postfix: {reason}");
        }
        let maildir_base = maildir_base.canonicalize().unwrap();
        for (_, maildir) in mailboxes {
            make_maildir(&maildir_base, maildir);
        }

        let dir = tempfile::Builder::new()
            .prefix("postfix-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(env::temp_dir().canonicalize().unwrap())
            .unwrap();
        let address = reserve_port();
        let main_cf = main_cf(dir.path(), &maildir_base, mailboxes) + more_main;
        fs::create_dir(dir.path().join("config")).unwrap();
        fs::create_dir(dir.path().join("queue")).unwrap();
        fs::write(dir.path().join("config/main.cf"), &main_cf).unwrap();
        fs::write(dir.path().join("config/master.cf"), master_cf(address) + more_master).unwrap();

        let postfix = Self { dir, address };
        let started = postfix.control("start");
        if !started.success() {
            // It can't log before it has understood main.cf.
            let log = postfix.log_tail().unwrap_or(main_cf);
            panic!("Postfix does not start ({started}):\n{log}");
        }
        postfix
    }

    /// Submits one mail over SMTP and panics unless Postfix takes it for every recipient.
    ///
    /// `message` has LF line ends, like the file that Postfix will make of it. That file is
    ///
    /// ```text
    /// Return-Path: <FROM>
    /// X-Original-To: TO
    /// Delivered-To: TO
    /// Received: from client.test (unknown [127.0.0.1])
    /// <TAB>...
    /// ```
    ///
    /// and then `message`, every byte of it, NUL, 8-bit bytes and long lines, too, except that
    /// Postfix
    /// - adds a missing last line end, and an empty line before a text without a header,
    /// - drops the headers Bcc, Resent-Bcc, Return-Path and Content-Length,
    /// - drops every CR before an LF, and makes any other CR a space.
    pub fn submit(&self, from: &str, to: &[&str], message: &[u8]) {
        let mut smtp = Smtp::connect(self.address);
        smtp.command("EHLO client.test", "250");
        smtp.command(&format!("MAIL FROM:<{from}> BODY=8BITMIME"), "250");
        for to in to {
            smtp.command(&format!("RCPT TO:<{to}>"), "250");
        }
        smtp.command("DATA", "354");
        smtp.data(message);
        smtp.command("QUIT", "221");
    }

    fn control(&self, command: &str) -> ExitStatus {
        Command::new(POSTFIX).arg("-c").arg(self.dir.path().join("config")).arg(command).output().unwrap().status
    }

    fn log_tail(&self) -> Option<String> {
        let log = fs::read(self.dir.path().join("mail.log")).ok()?;
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        Some(lines[lines.len().saturating_sub(30)..].join("\n"))
    }

    /// Every daemon of Postfix works in the queue directory, and nothing else does.
    fn is_running(&self) -> bool {
        let queue = self.dir.path().join("queue");
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|process| fs::read_link(process.path().join("cwd")).ok())
            .any(|cwd| cwd == queue)
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.control("stop");
        if !comes_true(SOON, || !self.is_running()) {
            // No panic: this may run during one, which would hide the first.
            eprintln!("Postfix does not stop:\n{}", self.log_tail().unwrap_or_default());
        }
    }
}

fn make_maildir(base: &Path, name: &str) {
    for dir in base.ancestors() {
        let mode = fs::metadata(dir).unwrap().permissions().mode();
        assert!(mode & 0o001 != 0, "Postfix delivers as nobody, who needs x on {}", dir.display());
    }
    for dir in ["", "tmp", "new", "cur"] {
        let dir = base.join(name).join(dir);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).unwrap();
        chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// A port that is free now and stays so until Postfix listens on it: the connection that was
/// closed from its side is left in `TIME_WAIT`, so the kernel gives the port to nobody who asks for
/// any, but to Postfix, which names it.
fn reserve_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    drop(listener.accept().unwrap());
    drop(client);
    address
}

fn main_cf(root: &Path, maildir_base: &Path, mailboxes: &[(&str, &str)]) -> String {
    let root = root.display();
    let maildir_base = maildir_base.display();
    let domains: BTreeSet<_> = mailboxes.iter().map(|(address, _)| address.rsplit_once('@').unwrap().1).collect();
    let domains = Vec::from_iter(domains).join(" ");
    let maildirs = mailboxes.iter().map(|(address, maildir)| format!("{{ {address} = {maildir}/ }}"));
    let maildirs = maildirs.collect::<Vec<_>>().join(", ");
    format!(
        "\
compatibility_level = 3.6
config_directory = {root}/config
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/mail.log
maillog_file_prefixes = {root}

# Only this machine, no name service.
myhostname = mx.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0

# Mail for the mailboxes comes in, no mail goes out.
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
smtpd_relay_restrictions = reject_unauth_destination
local_transport = error:no local delivery
default_transport = error:no mail leaves this test
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {maildir_base}
virtual_mailbox_maps = inline:{{ {maildirs} }}
virtual_mailbox_limit = 0
virtual_uid_maps = static:{NOBODY}
virtual_gid_maps = static:{NOBODY}
message_size_limit = 0
recipient_delimiter = +

# No added Date, From or Message-Id: the mail of local clients is not completed.
local_header_rewrite_clients =

# Quick to retry.
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
transport_retry_time = 1s
"
    )
}

fn master_cf(address: SocketAddr) -> String {
    format!(
        "\
# service  type  private unprivileged chroot wakeup maxproc command
{address}  inet       n - n -   - smtpd
cleanup    unix       n - n -   0 cleanup
qmgr       unix       n - n 300 1 qmgr
rewrite    unix       - - n -   - trivial-rewrite
bounce     unix       - - n -   0 bounce
defer      unix       - - n -   0 bounce
trace      unix       - - n -   0 bounce
error      unix       - - n -   - error
retry      unix       - - n -   - error
virtual    unix       - n n -   - virtual
showq      unix       n - n -   - showq
postlog    unix-dgram n - n -   1 postlogd
"
    )
}

struct Smtp(BufReader<TcpStream>);

impl Smtp {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut smtp = Self(BufReader::new(stream));
        smtp.expect("220", "connect");
        smtp
    }

    fn command(&mut self, command: &str, code: &str) {
        self.send(format!("{command}\r\n").as_bytes());
        self.expect(code, command);
    }

    fn data(&mut self, message: &[u8]) {
        let mut data = Vec::with_capacity(message.len() + message.len() / 16);
        for line in message.split_inclusive(|&byte| byte == b'\n') {
            if line.starts_with(b".") {
                data.push(b'.');
            }
            data.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
            data.extend_from_slice(b"\r\n");
        }
        data.extend_from_slice(b".\r\n");
        self.send(&data);
        self.expect("250", "the end of DATA");
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    fn expect(&mut self, code: &str, command: &str) {
        let reply = self.reply().unwrap_or_else(|error| panic!("no reply to {command}: {error}"));
        assert!(reply.starts_with(code), "{command}: want {code}, got {reply}");
    }

    /// All lines of a reply: a dash after the code says that more follow.
    fn reply(&mut self) -> io::Result<String> {
        let mut reply = String::new();
        loop {
            let start = reply.len();
            if self.0.read_line(&mut reply)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if reply.as_bytes().get(start + 3) != Some(&b'-') {
                return Ok(reply);
            }
        }
    }
}
