//! What is wrong with Maildirs, their disks and the mail in them.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::{APP, NOBODY, check, is_root, serving, tells};
use crate::support::{Disk, Exit, Maildir, Maildirq};

#[test]
fn what_is_no_maildir_is_told_of() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let (missing, pattern) = (home.path().join("missing"), home.path().join("*/Maildir"));
    for (path, exit, words) in [
        (&missing, Exit::Config, ["there is no Maildir at", "maildirmake"]),
        (&file, Exit::Config, ["is not a Maildir: it is a file", "= help: name the folder"]),
        (&pattern, Exit::Ok, ["warning: the queue main: there is no Maildir like", "will be found"]),
    ] {
        tells(check(&serving(path, APP)), exit, &words);
    }
    let maildir = Maildir::new();
    fs::remove_dir(maildir.tmp_folder()).unwrap();
    tells(check(&serving(&maildir, APP)), Exit::Ok, &["nobody can deliver here", "= help: install -d -m 700 -o"]);
    let same = home.path().join("same");
    std::os::unix::fs::symlink(maildir.path(), &same).unwrap();
    let twice = format!("[queue.a]\nmaildir = {:?}\n[queue.b]\nmaildir = {same:?}\n{APP}", maildir.path());
    tells(check(&twice), Exit::Config, &["the queues a and b both serve"]);
}

#[test]
fn who_may_not_work_in_a_maildir_is_told_what_to_do() {
    if !is_root() {
        return;
    }
    let maildir = Maildir::new();
    maildir.give_to(NOBODY);
    let mail = maildir.deliver("Subject: hi\n\nhi\n");
    let toml = serving(&maildir, APP);
    chown(maildir.message(&mail), Some(5000), Some(5000)).unwrap();
    fs::set_permissions(maildir.message(&mail), Permissions::from_mode(0o600)).unwrap();
    let words = ["uid 65534", "cannot read 1 message of uid 5000", "-uid 5000 -exec chown 65534 {} +"];
    tells(check(&toml), Exit::Ok, &words);

    fs::set_permissions(maildir.new_folder(), Permissions::from_mode(0o555)).unwrap();
    tells(check(&toml), Exit::Config, &["uid 65534", "cannot work in", "/new: Permission denied", "chmod u+rwx /"]);
    fs::set_permissions(maildir.new_folder(), Permissions::from_mode(0o755)).unwrap();
    chown(maildir.new_folder(), Some(5000), Some(5000)).unwrap();
    tells(check(&toml), Exit::Config, &["run maildirq as uid 5000, or: chown -R 65534:65534 /"]);

    let other = Maildir::new();
    let both = format!("maildir = [{:?}, {:?}]\n{APP}", maildir.path(), other.path());
    tells(check(&both), Exit::Config, &["one process cannot work for both"]);
}

#[test]
fn folders_on_another_file_system_are_told_of() {
    let maildir = Maildir::new();
    let toml = serving(&maildir, APP);
    let Some(tmp) = Disk::tmpfs_over(&maildir.tmp_folder()) else { return };
    tells(check(&toml), Exit::Config, &["tmp is not on the file system of new/", "umount /"]);
    drop(tmp);
    let dead = maildir.path().join(".maildirq.dead/new");
    fs::create_dir_all(&dead).unwrap();
    let Some(_dead) = Disk::tmpfs_over(&dead) else { return };
    tells(check(&toml), Exit::Config, &[".maildirq.dead/new is not on the file system of"]);
}

#[test]
fn a_disk_that_is_nearly_full_is_told_of() {
    let Some(disk) = Disk::tmpfs("size=1m,nr_inodes=100") else { return };
    let maildir = Maildir::under(disk.path());
    let toml = serving(&maildir, APP);
    disk.fill();
    tells(check(&toml), Exit::Ok, &["is nearly full: 0 % are left", "df -h /", "1 warning"]);
    disk.make_room();
    disk.fill_inodes();
    tells(check(&toml), Exit::Ok, &["nearly no inodes", "df -i /", "1 warning"]);
}

#[test]
fn a_mail_client_on_the_same_maildir_is_told_of() {
    let maildir = Maildir::in_memory();
    let toml = serving(&maildir, APP);
    fs::write(maildir.cur_folder().join("1.a.b:2,S"), "old").unwrap();
    tells(check(&toml), Exit::Ok, &["nothing wrong"]);
    let drain = Maildirq::drain_config(&toml).run();
    assert_eq!(drain.exit(), Exit::Ok);
    let id = File::options().write(true).open(maildir.path().join("maildirq/id")).unwrap();
    // As if it had been served for a while already when the message came to `cur/`.
    id.set_times(FileTimes::new().set_modified(SystemTime::now() - Duration::from_hours(1))).unwrap();
    tells(check(&toml), Exit::Ok, &["a mail client opens", "1 of the messages in cur/", "never takes any from cur/"]);
    fs::write(maildir.path().join("dovecot-uidlist"), "").unwrap();
    tells(check(&toml), Exit::Ok, &["dovecot-uidlist, 1 of the messages"]);
}

#[test]
fn a_pause_that_nobody_remembers_is_told_of() {
    let maildir = Maildir::in_memory();
    let paused = maildir.path().join("maildirq/paused");
    fs::create_dir_all(&paused).unwrap();
    let toml = serving(&maildir, APP);
    tells(check(&toml), Exit::Ok, &["nothing wrong"]);
    for target in ["app", "ap"] {
        File::create(paused.join(target)).unwrap();
    }
    let words = ["the target app is paused since", "paused/ap pauses nothing: there is no target ap", "= help: rm /"];
    tells(check(&toml), Exit::Ok, &words);
}

#[test]
fn mail_from_the_future_is_told_of() {
    let maildir = Maildir::in_memory();
    let mail = maildir.deliver("Subject: hi\n\nhi\n");
    let file = File::options().write(true).open(maildir.message(mail)).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_hours(24)).unwrap();
    tells(check(&serving(&maildir, APP)), Exit::Ok, &["1 message in", "from the future", "timedatectl"]);
}
