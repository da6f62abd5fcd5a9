//! What is made of `.qmail` files, and what a shell makes of that.

use super::*;
use crate::config::{Config, SecretFile, TargetKind, World};
use crate::target::{CommandConfig, ProgramConfig};
use std::ffi::OsString;
use std::io;

/// A machine with a few programs.
struct Machine;

impl World for Machine {
    fn variable(&self, name: &str) -> Option<OsString> {
        (name == "PATH").then(|| "/usr/bin:/bin".into())
    }

    fn secret_file(&self, path: &Path) -> io::Result<SecretFile> {
        Err(io::Error::other(format!("nobody should need {}", path.display())))
    }

    fn is_program(&self, path: &Path) -> bool {
        let programs = ["/bin/sh", "/usr/bin/handler", "/usr/bin/exit-well", "/home/ada/bin/handler", "/opt/handler"];
        path.to_str().is_some_and(|path| programs.contains(&path))
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.starts_with("/home")
    }
}

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nada:x:1000:1000:Ada:/home/ada:/bin/sh\nbob:x:1001:1001::/home/bob:\n\
                      alias:x:70:70::/home/alias:\nodd\nann-lee:x:1002:1002::/home/ann:/bin/sh\n";

fn account(name: &str) -> User {
    let line = PASSWD.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
    user(PASSWD, Path::new("/"), line.split(':').nth(2).unwrap().parse().unwrap()).unwrap()
}

fn made(name: &str, of: &str, contents: &str) -> String {
    let (extension, user) = (Extension::of_file(name).unwrap(), account(of));
    let path = user.home.join(name);
    let maildir = user.home.join(extension.folder());
    let lines = lines(contents.as_bytes()).unwrap();
    let file = DotQmail { path: &path, extension, lines, user, maildir, maildir_owner: None };
    file.configuration().unwrap()
}

/// The one command that a configuration has. It is right, and there is nothing to say of it.
fn command(text: &str) -> CommandConfig {
    let reading = Config::parse(text.as_bytes(), Path::new("maildirq.toml"), &Machine)
        .unwrap_or_else(|error| panic!("{text}\n{error}"));
    assert_eq!(reading.warnings, [], "{text}");
    assert_eq!(reading.config.queues[0].envelope.delimiter, '-');
    match &reading.config.targets[0].kind {
        TargetKind::Command(command) => command.clone(),
        other => panic!("{other:?}"),
    }
}

fn words(text: &str) -> Vec<String> {
    let ProgramConfig { program, arguments, .. } = command(text).run;
    std::iter::once(program.to_str().unwrap().to_owned()).chain(arguments).collect()
}

#[test]
fn a_command_is_run_where_and_as_whom_qmail_runs_it() {
    // The documentation has the file and what is made of it.
    let page = include_str!("../../../docs/running-programs.md");
    let block = |beginning: &str| {
        let (_, block) = page.split_once(beginning).unwrap();
        block.split_once("```").unwrap().0
    };
    let text = made(".qmail-support-default", "ada", block("```qmail\n"));
    assert_eq!(text, format!("# Made from{}", block("```toml\n# Made from")));
    let config = command(&text);
    let environment: Vec<_> = config.run.environment.iter().map(|(name, value)| (&**name, value.reveal())).collect();
    assert_eq!(environment, [("HOME", "/home/ada"), ("USER", "ada")]);
    assert_eq!(config.run.directory.as_deref(), Some(Path::new("/home/ada")));
}

#[test]
fn what_default_stands_for_is_told_by_the_name() {
    for (name, of, prefix) in [
        (".qmail", "ada", None),
        (".qmail-support", "ada", None),
        (".qmail-default", "ada", Some("")),
        (".qmail-a:b-default", "ada", Some("a.b-")),
        (".qmail-support", "alias", None),
        (".qmail-support-default", "alias", Some("")),
        (".qmail-support-urgent-default", "alias", Some("urgent-")),
        // The script says it: it is more than what stands behind a dash.
        (".qmail-default", "alias", None),
    ] {
        assert_eq!(command(&made(name, of, "|handler")).default_prefix.as_deref(), prefix, "{name} of {of}");
    }
}

#[test]
fn what_is_plain_becomes_words_and_all_else_stays_the_shells() {
    for (line, expected) in [
        ("handler  a --b=c\t", &["handler", "a", "--b=c"][..]),
        ("preline -f handler a", &["handler", "a"]),
        ("preline handler | x", &["/bin/sh", "-c", "handler | x"]),
        ("./bin/handler a", &["/home/ada/bin/handler", "a"]),
        ("bin/handler", &["/home/ada/bin/handler"]),
        ("/opt/handler", &["/opt/handler"]),
        ("exit 100", &["/bin/sh", "-c", "exit 100"]),
        ("cd bin", &["/bin/sh", "-c", "cd bin"]),
        // Whether it is there another machine may know.
        ("/opt/not-there", &["/opt/not-there"]),
        ("not-there a", &["not-there", "a"]),
        (" handler 'a b' | x", &["/bin/sh", "-c", " handler 'a b' | x"]),
        ("handler $SENDER $$ \"$EXT\"", &["/bin/sh", "-c", "handler $SENDER $$ \"$EXT\""]),
        // In a configuration a `$` before these would be a macro.
        ("size=1; handler $size $$user", &["/bin/sh", "-c", "size=1; handler $$size $$$$user"]),
        ("handler \"\\\"\"", &["/bin/sh", "-c", "handler \"\\\"\""]),
    ] {
        let text = made(".qmail", "ada", &format!("|{line}\n"));
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["target"]["app"]["command"], Value::from(expected.to_vec()), "{line}");
        assert_eq!(text.contains("# preline is left out"), line.starts_with("preline"), "{text}");
    }
}

/// The words as a process gets them.
fn run(words: &[String], mail: &Path, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let script = words[2].replace("$$", "$");
    let mut command = std::process::Command::new(&words[0]);
    command.args([&words[1], &script]).env_clear().env("PATH", "/usr/bin:/bin").envs(variables.iter().copied());
    let forks = crate::FORKS.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let output = command.stdin(fs::File::open(mail).unwrap()).output().unwrap();
    drop(forks);
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn of_several_commands_each_gets_the_message_until_one_ends_it() {
    let mail = tempfile::NamedTempFile::new().unwrap();
    fs::write(mail.path(), "Subject: x\n\nbody\n").unwrap();
    for (file, code, said) in [
        ("|head -1\n|head -1; exit 0\n|wc -l\n", 0, "Subject: x\nSubject: x\n3\n"),
        ("|head -1\n|exit 99\n|wc -l\n", 99, "Subject: x\n"),
        ("|exit 111\n|wc -l\n", 111, ""),
        ("|echo it\\'s 'a b' # a comment\n|echo \"$EXT\"\n|cd /; x=1\n|echo \"<$x>\"\n", 0, "it's a b\n7\n<>\n"),
        ("|(exit 100\n|echo after\n", 2, ""),
        ("|\n|echo after\n", 0, "after\n"),
    ] {
        let words = words(&made(".qmail", "ada", file));
        assert_eq!(words[..2], ["/bin/sh", "-c"]);
        let (ended, told) = run(&words, mail.path(), &[("EXT", "7")]);
        assert_eq!((ended, &*told), (Some(code), said), "{file}");
    }
}

/// Whoever runs it may have no right to the file but that it is open.
#[test]
fn several_commands_get_the_message_also_as_a_user_who_could_not_open_it() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let mail = tempfile::NamedTempFile::new().unwrap();
    fs::write(mail.path(), "Subject: x\n\nbody\n").unwrap();
    let script = words(&made(".qmail", "ada", "|head -1\n|wc -l\n|test ! -e /proc/self/fd/3\n"))[2].replace("$$", "$");
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    let forks = crate::FORKS.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    command.stdin(fs::File::open(mail.path()).unwrap());
    fs::set_permissions(mail.path(), fs::Permissions::from_mode(0o0)).unwrap();
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }

    let output = command.output().unwrap();

    drop(forks);
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    assert_eq!((output.status.code(), said), (Some(0), ["Subject: x\n3\n".to_owned(), String::new()]));
}

/// For ~alias/.qmail-… qmail has the whole local part as extension; of `support-a-b-c` the rest of us has `a-b-c`.
#[test]
fn an_alias_has_the_whole_local_part_as_its_extension() {
    let mail = tempfile::NamedTempFile::new().unwrap();
    let ours = [("LOCAL", "support-a-b-c"), ("EXT", "a-b-c"), ("EXT2", "b-c"), ("EXT3", "c"), ("EXT4", "")];
    for (name, default) in [(".qmail-support", ""), (".qmail-default", "support-a-b-c")] {
        for file in
            ["|exec sh -c 'echo $EXT:$EXT2:$EXT3:$EXT4:$DEFAULT'\n", "|true\n|echo $EXT:$EXT2:$EXT3:$EXT4:$DEFAULT\n"]
        {
            let told = run(&words(&made(name, "alias", file)), mail.path(), &ours);
            assert_eq!(told, (Some(0), format!("support-a-b-c:a-b-c:b-c:c:{default}\n")), "{name}");
        }
    }
}

#[test]
fn a_user_is_found_by_the_home_or_by_the_file() {
    let name = |folder: &str, uid| user(PASSWD, Path::new(folder), uid).map(|user| user.name);
    assert_eq!(name("/home/ada", 0).as_deref(), Ok("ada"));
    assert_eq!(name("/home/alias", 1000).as_deref(), Ok("alias"));
    assert_eq!(name("/etc/skel", 1001).as_deref(), Ok("bob"));
    assert!(name("/root", 0).unwrap_err().contains("belongs to root"));
    assert!(whose_it_can_be(Path::new("/a'b")).starts_with(r"chown USER '/a'\''b', "));
    assert!(name("/srv", 4711).unwrap_err().contains("belongs to user 4711"));
}

#[test]
fn a_maildir_of_somebody_else_needs_root() {
    let (extension, user) = (Extension::of_file(".qmail").unwrap(), account("ada"));
    let (path, lines) = (Path::new("/home/ada/.qmail"), lines(b"|handler").unwrap());
    let maildir = PathBuf::from("/var/lib/mail dir/");
    let file = DotQmail { path, extension, lines, user, maildir, maildir_owner: Some(8) };
    let text = file.configuration().unwrap();
    assert!(text.contains("\nuser = \"ada\"\n") && text.contains("\n#   /var/lib/mail dir/\n"), "{text}");
    let text = DotQmail { maildir_owner: Some(1000), ..file }.configuration().unwrap();
    assert!(text.contains("\n# user = \"ada\"\n") && text.contains("maildir = \"/var/lib/mail dir\"\n"), "{text}");
}

#[test]
fn nothing_of_a_file_gets_out_of_its_comment() {
    let text = made(".qmail", "ann-lee", "|echo '\u{7f}\r'\n&x\u{2028}y\u{1b}[31m\n");
    assert!(!text.contains(['\r', '\u{2028}', '\u{1b}']), "{text:?}");
    assert!(text.contains("# EXT is what stands behind the first dash"), "{text}");
    assert_eq!(words(&text)[2], "echo '\u{7f}\r'");
}

#[test]
fn what_has_no_command_has_nothing_to_move() {
    let (extension, user) = (Extension::of_file(".qmail").unwrap(), account("ada"));
    let (path, lines) = (Path::new("/home/ada/.qmail"), lines(b"# x\n./Maildir/\n").unwrap());
    let file = DotQmail { path, extension, lines, user, maildir: "/m".into(), maildir_owner: None };
    assert!(file.configuration().unwrap_err().contains("no line begins with |"));
}
