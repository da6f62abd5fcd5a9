//! What is wrong around the Maildirs: Postfix, limits, programs, systemd.

use std::env;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tempfile::TempDir;

use super::{APP, NOBODY, check, executable, is_root, serving, tells};
use crate::support::{Exit, Launch, Maildir, skipped};

/// PATH with this folder before all others.
fn path_with(folder: &Path) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths([folder.to_owned()].into_iter().chain(env::split_paths(&path))).unwrap()
}

#[test]
fn a_postfix_that_delivers_as_somebody_else_is_told_of() {
    if !Path::new("/usr/sbin/postconf").exists() {
        return skipped("/usr/sbin/postconf is not installed (tests/run installs it)");
    }
    let maildir = Maildir::in_memory();
    let settings = TempDir::new().unwrap();
    let base = maildir.path().parent().unwrap();
    let owner = maildir.path().metadata().unwrap();
    let toml = serving(&maildir, APP);
    let with = |lines: &str| {
        let main = format!(
            "compatibility_level = 3.6\nmyhostname = mx.test\nbase = {}\nvirtual_mailbox_base = $base\nvirtual_mailbox_domains = example.org\n{lines}",
            base.display()
        );
        fs::write(settings.path().join("main.cf"), main).unwrap();
        fs::write(settings.path().join("master.cf"), "").unwrap();
        check(&toml).env("PATH", path_with(Path::new("/usr/sbin"))).env("MAIL_CONFIG", settings.path())
    };
    let fits =
        format!("virtual_uid_maps = static:{}\nvirtual_minimum_uid = 0\nvirtual_mailbox_limit = 0\n", owner.uid());
    tells(with(&fits), Exit::Ok, &["nothing wrong"]);
    let help = format!("postconf -e virtual_uid_maps=static:{} virtual_gid_maps=static:{}", owner.uid(), owner.gid());
    let words = ["Postfix delivers as uid 5000", "permission denied", &help, "1 warning"];
    tells(with(&fits.replace(&format!("static:{}", owner.uid()), "static:5000")), Exit::Ok, &words);
    let words = ["virtual_mailbox_limit (9) is smaller than its message_size_limit (10)", "virtual_mailbox_limit=0"];
    tells(with(&fits.replace("limit = 0", "limit = 9\nmessage_size_limit = 10")), Exit::Ok, &words);
    tells(with(&format!("{fits}virtual_transport = lmtp:unix:dovecot\n")), Exit::Ok, &["nothing wrong"]);
    fs::remove_file(settings.path().join("main.cf")).unwrap();
    let never_set_up = check(&toml).env("PATH", path_with(Path::new("/usr/sbin"))).env("MAIL_CONFIG", settings.path());
    tells(never_set_up, Exit::Ok, &["nothing wrong"]);
}

#[test]
fn a_postfix_that_does_not_answer_holds_nobody_up() {
    let (maildir, tools) = (Maildir::in_memory(), TempDir::new().unwrap());
    let checking = || check(&serving(&maildir, APP)).env("PATH", path_with(tools.path()));
    executable(tools.path(), "postconf", "#!/bin/sh\nexec sleep 600\n");
    tells(checking(), Exit::Ok, &["postconf did not answer within 5s"]);
    executable(tools.path(), "postconf", "#!/bin/sh\necho >&2 no luck today\nexit 1\n");
    tells(checking(), Exit::Ok, &["does not tell its settings", "no luck today"]);
}

#[test]
fn too_few_open_files_are_told_of_with_the_number_that_is_enough() {
    let maildir = Maildir::in_memory();
    let toml = serving(&maildir, &format!("{APP}concurrency = 20\n"));
    let with = |files: u32| check(&toml).by_way_of(&["prlimit", &format!("--nofile={files}")]);
    let words = ["at most 90 files may be open: enough for ", " messages at a time, not for the 20"];
    let said = tells(with(90), Exit::Ok, &words);
    // How many lanes there are, and so how many files are enough, is up to the cores.
    let told = said.split("LimitNOFILE=").nth(1).and_then(|rest| rest.split(' ').next());
    let enough = told.unwrap().parse().unwrap();
    tells(with(enough), Exit::Ok, &["nothing wrong"]);
    tells(with(enough - 1), Exit::Ok, &["enough for 19 messages at a time", &format!("LimitNOFILE={enough}")]);
}

#[test]
fn programs_that_cannot_be_run_or_are_anybodys_are_told_of() {
    let (maildir, tools) = (Maildir::in_memory(), TempDir::new().unwrap());
    let toml = |program: &Path| serving(&maildir, &format!("[target.app]\ncommand = [{program:?}]\n"));
    let good = executable(tools.path(), "good", "#!/bin/sh\n");
    tells(check(&toml(&good)), Exit::Ok, &["nothing wrong"]);
    let orphan = executable(tools.path(), "orphan", "#!/nowhere/python\n");
    tells(
        check(&toml(&orphan)),
        Exit::Config,
        &["[target.app] command: the interpreter", "cannot be run: /nowhere/python"],
    );
    let lost = executable(tools.path(), "lost", "#!/usr/bin/env maildirq-surely-not\n");
    tells(check(&toml(&lost)), Exit::Config, &["maildirq-surely-not (it is not in PATH)"]);
    fs::set_permissions(&good, Permissions::from_mode(0o777)).unwrap();
    tells(check(&toml(&good)), Exit::Ok, &["everybody can change", "chmod o-w /"]);
    if is_root() {
        maildir.give_to(NOBODY);
        fs::set_permissions(&good, Permissions::from_mode(0o700)).unwrap();
        tells(check(&toml(&good)), Exit::Config, &["uid 65534", "cannot run", "chmod a+rx /"]);
    }
}

/// With the unit that is deployed, as far as it is about this configuration.
#[test]
fn a_unit_that_shuts_maildirq_out_is_told_of() {
    let (home, units) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let disk = Maildir::in_memory();
    let node = executable(home.path(), "node", "#!/bin/sh\n");
    let file = home.path().join("m.toml");
    let targets = format!(
        "[[route]]\ntarget = \"app\"\n[target.app]\ncommand = [{node:?}]\n[target.crm]\nurl = \"http://127.0.0.1:9/\"\n"
    );
    fs::write(&file, serving(&disk, &targets)).unwrap();
    let deployed = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/maildirq.service");
    let unit = fs::read_to_string(deployed).unwrap();
    let put = |text: &str| fs::write(units.path().join("maildirq.service"), text).unwrap();
    let checking = || Launch::new("check").without_log().arg("-c").arg(&file).env("SYSTEMD_UNIT_PATH", units.path());

    put(&unit);
    let said = tells(checking(), Exit::Ok, &["no route leads to the target `crm`"]);
    assert!(!said.contains("maildirq.service"), "the unit is about another file: {said}");
    put(&unit.replace("/etc/maildirq/maildirq.toml", file.to_str().unwrap()));
    let path = disk.path().to_str().unwrap();
    let words = [
        &format!("ProtectSystem=strict in maildirq.service makes {path} read-only"),
        &format!("systemctl edit maildirq   # [Service] ReadWritePaths={path}"),
        "[target.app] command: node compiles as it runs",
        "MemoryDenyWriteExecute=no",
        "1 error, 2 warnings",
    ];
    tells(checking(), Exit::Config, &words.map(|word| word as &str));

    let drop_ins = units.path().join("maildirq.service.d");
    fs::create_dir(&drop_ins).unwrap();
    let settings =
        format!("[Service]\nReadWritePaths={path}\nMemoryDenyWriteExecute=no\nPrivateNetwork=yes\nUser=daemon\n");
    fs::write(drop_ins.join("override.conf"), settings).unwrap();
    let words =
        ["[target.crm]: PrivateNetwork=yes", "User=daemon in maildirq.service is uid 1, and", "1 error, 2 warnings"];
    tells(checking(), Exit::Config, &words);
}

/// A command gets the message opened; a worker opens it itself.
#[test]
fn a_worker_that_its_user_keeps_from_the_mail_is_told_of() {
    if !is_root() {
        return;
    }
    let maildir = Maildir::in_memory();
    maildir.give_to(NOBODY);
    let name = maildir.deliver("Subject: x\n\n.\n");
    let message = maildir.message(&name);
    std::os::unix::fs::chown(&message, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(&message, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(maildir.home(), Permissions::from_mode(0o755)).unwrap();
    let modes = |maildir_mode: u32, new: u32| {
        fs::set_permissions(maildir.path(), Permissions::from_mode(maildir_mode)).unwrap();
        fs::set_permissions(maildir.path().join("new"), Permissions::from_mode(new)).unwrap();
    };
    let toml = serving(&maildir, "[target.app]\nworker = ['/bin/cat']\nuser = 'daemon'\ndirectory = '/'\n");
    let closed =
        |path: &Path| format!("cannot read the mail that it is given by its path: {} is closed", path.display());

    for (maildir_mode, new, path) in
        [(0o700, 0o755, "new"), (0o755, 0o700, "new"), (0o755, 0o755, &*format!("new/{}", name.display()))]
    {
        modes(maildir_mode, new);
        let words = ["[target.app]: user daemon", &closed(&maildir.path().join(path)), "chmod -R g+rX"];
        tells(check(&toml), Exit::Config, &words);
    }
    fs::set_permissions(&message, Permissions::from_mode(0o644)).unwrap();
    let said = tells(check(&toml), Exit::Ok, &[]);
    assert!(!said.contains("closed to it"), "{said}");
}
