//! What a worker is told of a message: one line, and where the message lies.

use super::super::request::Recipe;
use super::super::stdin::in_memory;
use super::Parsed;
use super::path::Paths;
use crate::engine::{Body, Message};
use crate::payload::{Format, PayloadError, Piece};
use serde::Serialize;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

/// How long a line usually is, in bytes.
const USUAL_LENGTH: usize = 512;

/// A job for a worker.
#[derive(Debug)]
pub(super) struct Job {
    /// The message's id.
    pub id: String,
    /// The whole line, with its end.
    pub line: Vec<Piece>,
    /// The claimed file, which the worker finds by the path in the line.
    pub file: Arc<File>,
}

/// The keys in the order in which workers may rely on them.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    attempt: u32,
    path: &'a str,
    size: u64,
    queue: &'a str,
    route: Option<&'a str>,
    envelope: Envelope<'a>,
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    from: Option<&'a str>,
    to: Option<&'a str>,
}

/// The job for a message.
///
/// # Errors
/// The message cannot be read.
pub(super) fn job(parsed: Option<Parsed>, message: &Message) -> Result<Job, PayloadError> {
    let mail = parsed.map(|parsed| recipe(parsed).contents(message, SystemTime::now())).transpose()?;
    with(mail.map(|mail| mail.payload.pieces), message, &Paths::default())
}

/// The same. What takes long is read by a thread that nobody has to wait for.
///
/// # Errors
/// The message cannot be read.
pub(super) async fn prepare(
    recipe: Option<&Arc<Recipe>>,
    message: &Message,
    paths: &Paths,
) -> Result<Job, PayloadError> {
    let mail = match recipe {
        Some(recipe) => Some(recipe.prepare(message).await?),
        None => None,
    };
    with(mail.map(|mail| mail.payload.pieces), message, paths)
}

/// How a message becomes the object that a worker is given.
pub(super) fn recipe(parsed: Parsed) -> Recipe {
    let Parsed { attachments, describe_above } = parsed;
    Recipe { format: Format::Json { attachments, describe_above }, keys: Vec::new() }
}

fn with(mail: Option<Vec<Piece>>, message: &Message, paths: &Paths) -> Result<Job, PayloadError> {
    let file = file_of(message)?;
    let id = message.id.to_string();
    let path = paths.of(&file, &message.name)?;
    let envelope = &message.envelope;
    let line = Line {
        kind: "job",
        id: &id,
        attempt: message.attempt(),
        path: &path,
        size: message.body.len(),
        queue: &message.queue,
        route: Some(&*message.route).filter(|route| !route.is_empty()),
        envelope: Envelope { from: envelope.from.as_deref(), to: envelope.to.as_deref() },
        detail: envelope.detail.as_deref(),
    };
    let mut text = Vec::with_capacity(USUAL_LENGTH);
    serde_json::to_writer(&mut text, &line).map_err(io::Error::from)?;
    let line = match mail {
        None => {
            text.push(b'\n');
            vec![Piece::Bytes(text.into())]
        }
        Some(mail) => {
            text.pop();
            text.extend_from_slice(b",\"mail\":");
            let mut line = vec![Piece::Bytes(text.into())];
            line.extend(mail);
            line.push(Piece::Bytes("}\n".into()));
            line
        }
    };
    Ok(Job { id, line, file })
}

/// The claimed file, or one in memory where there is none.
fn file_of(message: &Message) -> io::Result<Arc<File>> {
    match (&message.file, &message.body) {
        (Some(file), _) | (None, Body::File { file, .. }) => Ok(Arc::clone(file)),
        (None, Body::Whole(bytes)) => in_memory(bytes).map(Arc::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Attachments;
    use serde_json::Value;
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    fn text(job: &Job) -> String {
        let mut text = Vec::new();
        for piece in &job.line {
            for chunk in piece.clone() {
                text.extend_from_slice(&chunk.unwrap());
            }
        }
        String::from_utf8(text).unwrap()
    }

    fn claimed(path: &Path) -> Message {
        fs::write(path, "Subject: x\n\nbody\n").unwrap();
        Message { file: Some(Arc::new(File::open(path).unwrap())), ..Message::sample() }
    }

    fn path_in(job: &Job) -> String {
        serde_json::from_str::<Value>(&text(job)).unwrap()["path"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_job_has_its_keys_in_this_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.a.mx");
        let mut message = claimed(&path);
        let (id, path) = (message.id, path.display().to_string());
        let expected = format!(
            "{{\"type\":\"job\",\"id\":\"{id}\",\"attempt\":1,\"path\":\"{path}\",\"size\":22,\"queue\":\"main\",\
             \"route\":null,\"envelope\":{{\"from\":null,\"to\":null}},\"detail\":null}}\n"
        );
        assert_eq!(text(&job(None, &message).unwrap()), expected);

        message.route = "support".into();
        message.history.tries = 2;
        message.envelope = crate::engine::Envelope {
            from: Some(String::new()),
            to: Some("a\"\n\u{2028}+7@b".into()),
            detail: Some("7".into()),
        };
        let expected = format!(
            "{{\"type\":\"job\",\"id\":\"{id}\",\"attempt\":3,\"path\":\"{path}\",\"size\":22,\"queue\":\"main\",\
             \"route\":\"support\",\"envelope\":{{\"from\":\"\",\"to\":\"a\\\"\\n\u{2028}+7@b\"}},\"detail\":\"7\"}}\n"
        );
        assert_eq!(text(&job(None, &message).unwrap()), expected);
    }

    #[test]
    fn the_parsed_message_is_the_last_key() {
        let parsed = Parsed { attachments: Attachments::Omit, describe_above: None };
        let job = job(Some(parsed), &Message::sample()).unwrap();
        let text = text(&job);
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.contains(",\"detail\":null,\"mail\":{\"v\":1,") && text.ends_with("}}\n"), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["mail"]["subject"], &value["mail"]["text"]), (&"sample".into(), &"body\n".into()));
    }

    #[test]
    fn the_path_leads_to_the_message_whatever_became_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.a.mx");
        let message = claimed(&path);
        let read = |message: &Message| {
            let job = job(None, message).unwrap();
            fs::read_to_string(path_in(&job)).unwrap()
        };
        let moved = folder.path().join("1.a.mx:2,S (deleted)");
        fs::rename(&path, &moved).unwrap();
        assert_eq!(path_in(&job(None, &message).unwrap()), moved.to_str().unwrap());
        assert_eq!(read(&message), "Subject: x\n\nbody\n");

        fs::remove_file(&moved).unwrap();
        assert_eq!(read(&message), "Subject: x\n\nbody\n");
        assert_eq!(read(&claimed(&folder.path().join(OsStr::from_bytes(b"\xff")))), "Subject: x\n\nbody\n");
        assert_eq!(read(&Message::sample()), "Subject: sample\n\nbody\n");
    }

    #[test]
    fn a_large_message_is_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        let open = Arc::new(File::open(file.path()).unwrap());
        let body = Body::File { head: "Subject: x\n\n".into(), file: Arc::clone(&open), length: 1 << 40 };
        let job = job(None, &Message { body, file: Some(open), ..Message::sample() }).unwrap();
        assert!(text(&job).len() < 500 && text(&job).contains("\"size\":1099511627776,"));
    }
}
