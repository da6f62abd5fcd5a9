//! The mail: the same on every machine, sized like real mail. The median is 5 KiB, the mean
//! 13 KiB; one message in twenty has an attachment of 133 KiB.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::Result;
use fastrand::Rng;

use crate::endpoint::FIRST_LINE;

const ATTACHMENT: usize = 100 * 1024 * 4 / 3;
const WORDS: [&str; 8] = ["please", "confirm", "the", "order", "and", "reply", "tomorrow", "at"];

/// Words to cut the messages from, so that writing them is quick.
pub struct Corpus(Vec<u8>);

impl Corpus {
    pub fn new() -> Self {
        let (mut random, mut words) = (Rng::with_seed(0), Vec::new());
        while words.len() < 2 * ATTACHMENT {
            words.extend_from_slice(random.choice(WORDS).unwrap_or_default().as_bytes());
            words.push(if random.u8(..12) == 0 { b'\n' } else { b' ' });
        }
        Self(words)
    }

    /// Delivers messages 0 to `count` to a new Maildir and has them on the disk; returns the bytes.
    pub fn deliver(&self, maildir: &Path, count: usize) -> Result<usize> {
        for folder in ["tmp", "new", "cur"] {
            fs::create_dir_all(maildir.join(folder))?;
        }
        let new = maildir.join("new");
        let (mut message, mut bytes) = (Vec::new(), 0);
        for id in 0..count {
            self.compose(id, &mut message)?;
            let (second, micro) = (1_767_225_600 + id / 50, id % 50 * 20_000);
            let name = format!("{second}.M{micro:06}P42Q{id}.bench");
            File::create_new(new.join(name))?.write_all(&message)?;
            bytes += message.len();
        }
        rustix::fs::syncfs(File::open(new)?)?;
        Ok(bytes)
    }

    /// A message depends on nothing but its number.
    fn compose(&self, id: usize, out: &mut Vec<u8>) -> Result<()> {
        let mut random = Rng::with_seed(id as u64 + 1);
        let key = random.u64(..);
        let date = format!("1 Jan 2026 00:{:02}:{:02} +0000", id / 60 % 60, id % 60);
        out.clear();
        write!(
            out,
            "{FIRST_LINE}{id:08}@example.com>\nDelivered-To: jobs@example.org\n\
             Received: from mx.example.com (mx.example.com [192.0.2.1])\n\
             \tby mx.example.org (Postfix) with ESMTPS id {key:016X}\n\
             \tfor <jobs@example.org>; Thu, {date} (UTC)\n\
             Message-ID: <{key:016x}@example.com>\nDate: Thu, {date}\n\
             From: =?UTF-8?Q?J=C3=BCrgen?= <bench@example.com>\nTo: jobs@example.org\n\
             Subject: =?ISO-2022-JP?B?GyRCPEw/PxsoQg==?= {id}\nMIME-Version: 1.0\n\
             Content-Type: multipart/mixed; boundary=part\n\n--part\n\n",
        )?;
        let length = 1000.0 - 4700.0 * (1.0 - random.f64()).ln(); // exponentially distributed
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 1,000 and 48,000")]
        let length = length.min(48_000.0) as usize;
        self.cut(&mut random, length, out);
        if random.u8(..20) == 0 {
            out.extend_from_slice(b"\n--part\nContent-Disposition: attachment\n\n");
            self.cut(&mut random, ATTACHMENT, out);
        }
        out.extend_from_slice(b"\n--part--\n");
        Ok(())
    }

    fn cut(&self, random: &mut Rng, length: usize, out: &mut Vec<u8>) {
        let start = random.usize(..self.0.len() - length);
        out.extend_from_slice(&self.0[start..start + length]);
    }
}
