//! `deliver`, the MDA: what it says is on the disk, is on the disk; and no mail bounces for a reason that will pass.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::{App, Exit, Maildir, Maildirq, Mda};

const MAIL: &[u8] = b"Subject: hello\n\nworld\n";

/// The bytes of the only message that was delivered.
#[track_caller]
fn delivered(maildir: &Maildir) -> Vec<u8> {
    let [name] = maildir.waiting().try_into().expect("one message in new/");
    fs::read(maildir.message(name)).unwrap()
}

#[track_caller]
fn assert_untouched(maildir: &Maildir) {
    for folder in [maildir.new_folder(), maildir.tmp_folder(), maildir.cur_folder()] {
        assert_eq!(fs::read_dir(&folder).map_or(0, Iterator::count), 0, "{}", folder.display());
    }
}

#[test]
fn a_delivered_mail_is_a_private_file_in_new() {
    let maildir = Maildir::new();
    Mda::into(maildir.path()).deliver(MAIL).is_yes();
    assert_eq!(delivered(&maildir), MAIL);
    let file = fs::metadata(maildir.message(&maildir.waiting()[0])).unwrap();
    assert_eq!(file.mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(maildir.tmp_folder()).unwrap().count(), 0);
}

#[test]
fn what_deliver_takes_in_drain_hands_on() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    Mda::into(maildir.path()).deliver(MAIL).is_yes();
    assert_eq!(Maildirq::drain(maildir.path(), &app.url()).run().exit(), Exit::Ok);
    assert_eq!(app.requests()[0].body, MAIL);
}

#[test]
fn a_running_watch_hears_of_it() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let watch = Maildirq::watch(maildir.path(), &app.url()).start();
    Mda::into(maildir.path()).deliver(MAIL).is_yes();
    app.wait_for_accepted(1);
    assert_eq!(watch.stop(), Exit::Ok);
}

#[test]
fn every_byte_arrives() {
    let every_byte: Vec<u8> = (0..=255).collect();
    let large = [MAIL, &every_byte.repeat(20 * 1024 * 1024 / 256)].concat();
    let no_header = b"\0\0\0";
    for mail in
        [&large[..], no_header, b"\n", b"\r\n.\r\n..\r\nno end", "Subject: \u{fc}\u{202e}\n\n\u{1f4e7}".as_bytes()]
    {
        let maildir = Maildir::in_memory();
        Mda::into(maildir.path()).deliver(mail).is_yes();
        assert!(delivered(&maildir) == mail, "{} bytes", mail.len());
    }
}

#[test]
fn the_envelope_is_added_where_the_mail_has_none() {
    for (args, added) in [
        (&["-f", "a@x.org"][..], "Return-Path: <a@x.org>\n"),
        (&["-f", "<a@x.org>"], "Return-Path: <a@x.org>\n"),
        (&["-f", ""], "Return-Path: <>\n"),
        (&["-f", "<>"], "Return-Path: <>\n"),
        (&["-f", "-odd@x.org"], "Return-Path: <-odd@x.org>\n"),
        (&["-r", "b@x.org"], "Delivered-To: b@x.org\n"),
        (&["-f", "a@x.org", "-r", "b@x.org"], "Return-Path: <a@x.org>\nDelivered-To: b@x.org\n"),
    ] {
        let maildir = Maildir::in_memory();
        Mda::into(maildir.path()).args(args).deliver(MAIL).is_yes();
        assert_eq!(delivered(&maildir), [added.as_bytes(), MAIL].concat(), "{args:?}");
    }
}

#[test]
fn an_envelope_that_the_mail_has_already_stays_as_it_is() {
    let maildir = Maildir::in_memory();
    let mail = b"RETURN-PATH: <first@x.org>\nDelivered-To: first@x.org\nSubject: forwarded\n\n.\n";
    Mda::into(maildir.path()).args(["-f", "second@x.org", "-r", "second@x.org"]).deliver(mail).is_yes();
    assert_eq!(delivered(&maildir), mail);
}

/// Forwarded mail brings the envelope of its way to whoever forwarded it.
#[test]
fn an_envelope_below_a_received_is_that_of_another_delivery() {
    let maildir = Maildir::in_memory();
    let mail = b"Received: by mx\nReturn-Path: <first@x.org>\nDelivered-To: first@x.org\nSubject: forwarded\n\n.\n";
    Mda::into(maildir.path()).args(["-f", "a@x.org", "-r", "b@x.org"]).deliver(mail).is_yes();
    let own = b"Return-Path: <a@x.org>\nDelivered-To: b@x.org\n";
    assert_eq!(delivered(&maildir), [&own[..], &mail[..]].concat());
}

#[test]
fn an_envelope_in_the_body_is_none() {
    let maildir = Maildir::in_memory();
    let mail = b"Subject: bounce\n\nReturn-Path: <quoted@x.org>\n";
    Mda::into(maildir.path()).args(["-f", "a@x.org"]).deliver(mail).is_yes();
    assert_eq!(delivered(&maildir), [b"Return-Path: <a@x.org>\n", &mail[..]].concat());
}

#[test]
fn the_from_line_of_an_mbox_stays_first() {
    let maildir = Maildir::in_memory();
    let from_line = "From a@x.org Sun Nov  2 00:00:00 2025\n";
    Mda::into(maildir.path()).args(["-f", "a@x.org"]).deliver([from_line.as_bytes(), MAIL].concat()).is_yes();
    let expected = [from_line.as_bytes(), b"Return-Path: <a@x.org>\n", MAIL].concat();
    assert_eq!(delivered(&maildir), expected);
}

#[test]
fn an_address_that_would_break_the_header_is_refused() {
    for args in [["-f", "a@x.org\nBcc: b@x.org"], ["-r", "a@x.org\r\n\r\nbody"], ["-f", "a\u{7f}@x.org"]] {
        let maildir = Maildir::in_memory();
        Mda::into(maildir.path()).args(args).deliver(MAIL).is_not_now();
        assert_untouched(&maildir);
    }
}

#[test]
fn what_is_too_large_is_refused_for_good_and_leaves_nothing_behind() {
    let maildir = Maildir::new();
    let at_most = |size: usize| Mda::into(maildir.path()).args(["--max-size", &size.to_string()]);
    at_most(MAIL.len() - 1).deliver(MAIL).is_never();
    at_most(1024 * 1024).deliver(vec![b'x'; 1024 * 1024 + 1]).is_never();
    at_most(1).args(["-f", "a@x.org"]).deliver(MAIL).is_never();
    assert_untouched(&maildir);

    at_most(MAIL.len()).deliver(MAIL).is_yes();
    assert_eq!(delivered(&maildir), MAIL);
}

#[test]
fn no_mistake_of_the_administrator_bounces_mail() {
    let home = TempDir::new().unwrap();
    let maildir = |missing: &str| {
        let maildir = Maildir::in_memory();
        fs::remove_dir(maildir.path().join(missing)).unwrap();
        maildir
    };
    let (file, no_tmp, no_new, good) = (home.path().join("file"), maildir("tmp"), maildir("new"), Maildir::in_memory());
    fs::write(&file, "").unwrap();
    for mda in [
        Mda::new(),
        Mda::new().arg("--no-such-flag").arg(good.path()),
        Mda::new().arg("--max-size").arg("large").arg(good.path()),
        Mda::new().arg("-f").arg(OsStr::from_bytes(b"\xff@x.org")).arg(good.path()),
        Mda::new().arg(good.path()).arg(good.path()),
        Mda::new().arg(""),
        Mda::new().arg(home.path().join("absent")),
        Mda::new().arg(home.path().join("ab\nsent")),
        Mda::new().arg(OsStr::from_bytes(b"/\xff")),
        Mda::new().arg(home.path()),
        Mda::new().arg(file),
        Mda::new().arg(no_tmp.path()),
        Mda::new().arg(no_new.path()),
    ] {
        mda.deliver(MAIL).is_not_now();
    }
    for maildir in [no_tmp, no_new, good] {
        assert_untouched(&maildir);
    }
}

#[test]
fn no_mail_on_standard_input_is_no_mail() {
    let maildir = Maildir::in_memory();
    Mda::into(maildir.path()).deliver("").is_not_now();
    Mda::with_descriptors("<&-").arg(maildir.path()).deliver("").is_not_now();
    assert_untouched(&maildir);
}

#[test]
fn it_does_its_work_where_nobody_listens() {
    for redirections in [">&-", "2>&-", ">&- 2>&-", ">/dev/full 2>/dev/full"] {
        let maildir = Maildir::in_memory();
        Mda::with_descriptors(redirections).arg(maildir.path()).deliver(MAIL).is_yes();
        assert_eq!(delivered(&maildir), MAIL, "{redirections}");

        let refused = Mda::with_descriptors(redirections).arg("--no-such-flag").deliver(MAIL);
        assert_eq!(refused.code, Some(75), "{redirections}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_not_now() {
    let maildir = owned_by_nobody();
    fs::set_permissions(maildir.tmp_folder(), Permissions::from_mode(0o500)).unwrap();
    Mda::into(maildir.path()).deliver(MAIL).is_not_now();
    assert_untouched(&maildir);
}

#[test]
fn a_full_disk_is_not_now_and_leaves_nothing_behind() {
    let disk = SmallDisk::mount();
    let maildir = Maildir::under(disk.path());
    Mda::into(maildir.path()).deliver(vec![b'x'; 1024 * 1024]).is_not_now();
    assert_untouched(&maildir);
    Mda::into(maildir.path()).deliver(MAIL).is_yes();
}

#[test]
fn whatever_call_fails_it_is_not_now() {
    for (call, error) in [("write", "ENOSPC"), ("write", "EIO"), ("fsync", "EIO"), ("renameat2", "EIO")] {
        let maildir = Maildir::in_memory();
        let inject = format!("inject={call}:error={error}:when=1");
        let answered = Mda::traced(&[&format!("trace={call}"), &inject]).arg(maildir.path()).deliver(MAIL);
        assert!(answered.trace.contains("(INJECTED)"), "{call}: {}", answered.trace);
        answered.is_not_now();
        assert_untouched(&maildir);
    }
}

#[test]
fn a_folder_that_cannot_be_synced_is_not_now() {
    let maildir = Maildir::in_memory();
    let answered = Mda::traced(&["trace=fsync", "inject=fsync:error=EIO:when=2"]).arg(maildir.path()).deliver(MAIL);
    assert!(answered.trace.contains("(INJECTED)"), "{}", answered.trace);
    answered.is_not_now();
}

#[test]
fn it_says_yes_only_after_file_and_folder_are_synced() {
    let maildir = Maildir::new();
    let answered = Mda::traced(&["trace=fsync,fdatasync,renameat2,exit_group"]).arg(maildir.path()).deliver(MAIL);
    answered.is_yes();
    let name = maildir.waiting().remove(0).into_string().unwrap();
    let steps = ["fsync(", &format!("/tmp/{name}>) "), "renameat2(", "fsync(", "/Maildir/new>) ", "exit_group(0)"];
    assert_eq!(answered.trace.lines().count(), 4, "{}", answered.trace);
    steps.iter().fold(&answered.trace[..], |rest, step| {
        rest.split_once(step).unwrap_or_else(|| panic!("{step} is missing in {}", answered.trace)).1
    });
}

#[test]
fn mail_that_root_delivers_belongs_to_the_owner_of_the_maildir() {
    let maildir = owned_by_nobody();
    Mda::into(maildir.path()).deliver(MAIL).is_yes();
    let file = fs::metadata(maildir.message(&maildir.waiting()[0])).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (NOBODY, NOBODY, 0o600));
}

#[test]
fn help_and_version_are_no_delivery() {
    for flag in ["--help", "--version"] {
        let answered = Mda::new().arg(flag).deliver("");
        assert_eq!(answered.code, Some(0));
        assert!(answered.output.contains("maildirq"), "{}", answered.output);
    }
}

/// Debian's `nobody` and `nogroup`.
const NOBODY: u32 = 65534;

/// A Maildir of somebody that only root can become.
fn owned_by_nobody() -> Maildir {
    let maildir = Maildir::new();
    let home = maildir.path().parent().unwrap();
    fs::set_permissions(home, Permissions::from_mode(0o755)).unwrap();
    for folder in [maildir.path().to_owned(), maildir.new_folder(), maildir.cur_folder(), maildir.tmp_folder()] {
        chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    maildir
}

/// A file system with room for next to nothing.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> SmallDisk {
        let disk = SmallDisk(TempDir::new().unwrap());
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(disk.path()).status();
        assert!(mounted.unwrap().success(), "root can mount");
        disk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
