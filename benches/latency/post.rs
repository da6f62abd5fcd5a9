//! Both ends of the way: the Maildir that mail is delivered to, and the endpoint that it comes to.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::endpoint::{FIRST_LINE, listen, number_of};

const TEXT: &str = "please confirm the order and reply until tomorrow at noon\n";
/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Messages that lie in `tmp/`, and who waits for them.
pub struct Post {
    pub address: String,
    home: TempDir,
    arrivals: Receiver<(usize, Instant)>,
}

impl Post {
    /// So many messages, ready to be delivered, and one more that tells that somebody is there to take them.
    pub fn open(dir: &Path, messages: usize) -> Result<Self> {
        let home = tempfile::tempdir_in(dir)?;
        for folder in ["tmp", "new", "cur"] {
            fs::create_dir(home.path().join(folder))?;
        }
        let (tell, arrivals) = mpsc::channel();
        let address = listen(move |message| {
            let came = Instant::now();
            if let Some(number) = number_of(message) {
                // Where nobody listens any more, the run is over.
                let _ = tell.send((number, came));
            }
        })?;
        let post = Post { address, home, arrivals };
        for number in 0..=messages {
            let head = format!("{FIRST_LINE}{number}@example.com>\nDelivered-To: jobs@example.org\n\n");
            fs::write(post.place("tmp", number), head + &TEXT.repeat(80))?;
        }
        fs::rename(post.place("tmp", messages), post.place("new", messages))?;
        Ok(post)
    }

    pub fn maildir(&self) -> &Path {
        self.home.path()
    }

    fn place(&self, folder: &str, number: usize) -> PathBuf {
        self.home.path().join(folder).join(format!("1767225600.M{number}P42.bench"))
    }

    /// Returns when.
    pub fn deliver(&self, number: usize) -> Result<Instant> {
        let (from, to) = (self.place("tmp", number), self.place("new", number));
        let now = Instant::now();
        fs::rename(from, to)?;
        Ok(now)
    }

    /// The next message that comes, and when it had come whole.
    pub fn next(&mut self) -> Result<(usize, Instant)> {
        self.arrivals.recv_timeout(PATIENCE).context("a message was lost")
    }
}
