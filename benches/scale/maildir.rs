//! A Maildir full of small mail, each of one page of memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

use crate::endpoint::FIRST_LINE;

const TEXT: &str = "please confirm the order and reply until tomorrow at noon\n";

pub struct Maildir(pub PathBuf);

impl Maildir {
    pub fn new(path: PathBuf) -> Result<Self> {
        for folder in ["tmp", "new", "cur"] {
            fs::create_dir_all(path.join(folder))?;
        }
        Ok(Maildir(path))
    }

    pub fn with(path: PathBuf, messages: usize) -> Result<Self> {
        let maildir = Self::new(path)?;
        for number in 0..messages {
            fs::write(maildir.place("new", number), mail(number))?;
        }
        Ok(maildir)
    }

    /// Returns when.
    pub fn deliver(&self, number: usize) -> Result<Instant> {
        fs::write(self.place("tmp", number), mail(number))?;
        let now = Instant::now();
        fs::rename(self.place("tmp", number), self.place("new", number))?;
        Ok(now)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    fn place(&self, folder: &str, number: usize) -> PathBuf {
        self.0.join(folder).join(format!("1767225600.M{number}P42.bench"))
    }
}

fn mail(number: usize) -> String {
    format!("{FIRST_LINE}{number}@example.com>\nDelivered-To: jobs@example.org\nSubject: order\n\n{}", TEXT.repeat(40))
}
