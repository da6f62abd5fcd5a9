//! Any file is a configuration, or there are remarks; and no secret is ever shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maildirq::config::{Config, ConfigError, SecretFile, World};
use maildirq::target::Account;
use std::ffi::OsString;
use std::io;
use std::path::Path;

/// What all secrets are.
const SECRET: &str = "hunter2";

/// All that a file can refer to is there.
struct Rich;

impl World for Rich {
    fn variable(&self, name: &str) -> Option<OsString> {
        let value = match name {
            "CREDENTIALS_DIRECTORY" => "/run/credentials",
            "PATH" => "/usr/bin",
            "KEY" => SECRET,
            _ => "https://hunter2:hunter2@app.example.com/?hunter2",
        };
        Some(value.into())
    }

    fn secret_file(&self, _: &Path) -> io::Result<SecretFile> {
        Ok(SecretFile { contents: SECRET.into(), mode: 0o600 })
    }

    fn is_program(&self, path: &Path) -> bool {
        path.is_absolute()
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_absolute()
    }

    fn account(&self, name: &str) -> io::Result<Option<Account>> {
        Ok(Some(Account { name: name.to_owned(), uid: 1000, gid: 1000, home: "/home".into() }))
    }

    fn group(&self, _: &str) -> io::Result<Option<u32>> {
        Ok(Some(33))
    }
}

fuzz_target!(|input: &[u8]| {
    let lines = input.split(|&byte| byte == b'\n').count();
    let read = Config::parse(input, Path::new("maildirq.toml"), &Rich);
    let (shown, remarks) = match read {
        Ok(reading) => {
            assert!(!reading.config.queues.is_empty() && !reading.config.targets.is_empty());
            (format!("{:?}", reading.config), reading.warnings)
        }
        Err(ConfigError::Mistake { remarks, .. }) => {
            assert!(!remarks.is_empty());
            (String::new(), remarks)
        }
        Err(error) => panic!("{error}"),
    };
    let quotes_itself = input.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes());
    assert!(quotes_itself || !shown.contains(SECRET), "{shown}");
    for remark in remarks {
        assert!(remark.line.is_none_or(|line| (1..=lines).contains(&line)), "{remark:?}");
        let is_fit = |text: &str| !text.contains(|c: char| c.is_control() && c != '\n');
        assert!(is_fit(&remark.rendered) && is_fit(&remark.text), "{remark:?}");
        assert!(quotes_itself || !format!("{remark:?}").contains(SECRET), "{remark:?}");
    }
});
