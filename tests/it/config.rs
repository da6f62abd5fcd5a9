//! What is said of a configuration file: each file in `golden/config` with the text beside it.

use maildirq::config::{Config, ConfigError, Process, SecretFile, World};
use maildirq::target::Account;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

/// A world in which every test of the golden files finds the same.
struct Golden;

impl World for Golden {
    fn variable(&self, name: &str) -> Option<OsString> {
        let value = match name {
            "APP_KEY" => "hunter2-from-env",
            "APP_URL" => "https://hunter2-user:hunter2-password@app.example.com/in?key=hunter2-query",
            "APP_HOST" => "hunter2-host.example.com",
            "EMPTY" => "",
            "LINES" => "hunter2\nhunter3",
            "CREDENTIALS_DIRECTORY" => "/run/credentials",
            "PATH" => "/usr/local/bin:/usr/bin",
            _ => return None,
        };
        Some(value.into())
    }

    fn secret_file(&self, path: &Path) -> io::Result<SecretFile> {
        let (contents, mode): (&[u8], u32) = match path.to_str() {
            Some("/run/credentials/app_password") => (b"hunter2-from-credential\n", 0o400),
            Some("/etc/maildirq/open") => (b"hunter2-from-file\r\n", 0o644),
            Some("/etc/maildirq/writable") => (b"hunter2-from-file", 0o660),
            Some("/etc/maildirq/empty") => (b"\n", 0o600),
            Some("/etc/maildirq/latin1") => (b"caf\xe9", 0o600),
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(SecretFile { contents: contents.to_vec(), mode })
    }

    fn is_program(&self, path: &Path) -> bool {
        matches!(path.to_str(), Some("/bin/sh" | "/usr/bin/python3" | "/usr/bin/record" | "/usr/local/bin/page"))
    }

    fn is_folder(&self, path: &Path) -> bool {
        path == Path::new("/srv/app")
    }

    fn account(&self, name: &str) -> io::Result<Option<Account>> {
        Ok((name == "app").then(|| Account { name: name.to_owned(), uid: 1000, gid: 1000, home: "/home/app".into() }))
    }

    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        Ok((name == "www-data").then_some(33))
    }
}

/// What a person is shown.
fn shown(bytes: &[u8], name: &str) -> String {
    match Config::parse(bytes, Path::new(name), &Golden) {
        Ok(reading) => {
            let Config { queues, routes, targets, .. } = &reading.config;
            let debug = format!("{:?}", reading.config);
            assert!(!debug.contains("hunter2"), "{name}: {debug}");
            let mut shown: Vec<_> = reading.warnings.iter().map(|warning| warning.rendered.clone()).collect();
            shown.push(format!("queues: {}, routes: {}, targets: {}\n", queues.len(), routes.len(), targets.len()));
            shown.join("\n\n")
        }
        Err(error) => format!("{error}\n"),
    }
}

#[test]
fn what_is_said_of_each_golden_file_is_what_stands_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/config");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(files.len() >= 20, "{} golden files", files.len());
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let shown = shown(&fs::read(&path).unwrap(), name);
        assert!(!shown.contains("hunter2"), "{name} tells a secret:\n{shown}");
        assert!(!shown.bytes().any(|byte| byte.is_ascii_control() && byte != b'\n'), "{name}: {shown:?}");
        let beside = path.with_extension("txt");
        if std::env::var_os("MAILDIRQ_BLESS").is_some() {
            fs::write(&beside, &shown).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        assert!(shown == expected, "{name}: MAILDIRQ_BLESS=1 renews it\n--- now\n{shown}\n--- before\n{expected}");
    }
}

#[test]
fn a_remark_has_its_place_in_fields_too() {
    let text = b"maildir = \"/m\"\n[target.app]\nurl = \"http://x/\"\n\ttimout = \"1s\"\n";
    let Err(ConfigError::Mistake { path, remarks }) = Config::parse(text, Path::new("m.toml"), &Golden) else {
        panic!("there is a mistake in it")
    };
    let [remark] = &remarks[..] else { panic!("there is only one") };
    assert_eq!((path.as_path(), remark.file.as_path()), (Path::new("m.toml"), Path::new("m.toml")));
    assert_eq!((remark.line, remark.column), (Some(4), Some(2)));
    assert_eq!(remark.text, "unknown key `timout` in [target.app]");
    assert_eq!(remark.help.as_deref(), Some("did you mean `timeout`?"));
}

#[test]
fn a_file_is_read_from_the_disk_with_the_environment_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("maildirq.toml");
    let missing = Config::read(&path).unwrap_err();
    assert!(matches!(missing, ConfigError::Read { .. }), "{missing}");
    fs::write(&path, "maildir = \"/m\"\n[target.app]\ncommand = [\"sh\"]\n").unwrap();
    let reading = Config::read(&path).unwrap();
    assert!(reading.warnings.is_empty());
    assert!(Process.is_program(Path::new("/bin/sh")));
    fs::write(&path, "maildir = \"/m\"\n[target.app]\nurl = { env = \"MAILDIRQ_SURELY_UNSET\" }\n").unwrap();
    let error = Config::read(&path).unwrap_err().to_string();
    assert!(error.contains(&format!("{}:3:7", path.display())), "{error}");
}
