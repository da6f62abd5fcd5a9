//! What a target would get of a message: the body of the request, or a command line that sends all of it.

use super::super::terminal::without_effect;
use super::super::{Exit, complain};
use super::Args;
use super::subject::{self, Subject};
use crate::config::{Address, Config, Target, TargetKind};
use crate::engine::{Message, Way};
use crate::target::job;
use crate::target::{Preview, Shown, UrlConfig, UrlTarget};
use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Write, stdout};

/// Prints it.
///
/// # Errors
/// It cannot be told; that was told of, and this is how to end.
pub fn run(args: &Args) -> Result<Exit, Exit> {
    let [_] = &args.mail[..] else {
        complain("--payload and --curl are for one message");
        return Err(Exit::Usage);
    };
    // With the secrets: some stand in bodies, and others sign them.
    let (_, reading) = args.file.read()?;
    let config = reading.config;
    let (mut subjects, _) = subject::all(args, &config)?;
    let subject = subjects.pop().ok_or(Exit::NoInput)?;
    let (message, target) = routed(subject, &config)?;
    match &target.kind {
        TargetKind::Command(_) | TargetKind::Worker(_) if args.curl => {
            complain(format_args!("the target {} is a program, and gets no request\n  = try: --payload", target.name));
            Err(Exit::Usage)
        }
        TargetKind::Command(_) => write(|out| out.write_all(&message.body.bytes()?)),
        TargetKind::Worker(worker) => {
            write(|mut out| job(worker, &message).map_err(std::io::Error::other)?.write_to(&mut out))
        }
        TargetKind::Url(url) if args.curl => {
            if url.format.is_fresh() && !url.sign.is_empty() {
                complain(
                    "with `sign` and timestamp = \"attempt\" no two requests have the same body: none can be shown",
                );
                return Err(Exit::Usage);
            }
            let line = command_line(args, url, &preview(url, &message)?);
            write(|out| out.write_all(line.as_bytes()))
        }
        TargetKind::Url(url) => {
            let payload = preview(url, &message)?.payload;
            write(|mut out| payload.write_to(&mut out))
        }
    }
}

/// The message as its target gets it, and that target.
fn routed(subject: Subject, config: &Config) -> Result<(Message, &Target), Exit> {
    let by_name = |name: &str| config.targets.iter().find(|target| target.name == name);
    // One that is no more does not count.
    if let Some(target) = subject.chosen.as_deref().and_then(by_name) {
        return Ok((subject.message, target));
    }
    let route = subject.route(&config.routes);
    let target = match route.map(|route| &route.way) {
        Some(Way::To(name)) => by_name(name),
        Some(Way::Ignore) | None => None,
    };
    let Some((route, target)) = route.zip(target) else {
        let what = if route.is_some() { "its route is `ignore`" } else { "no route is for it" };
        complain(format_args!("no target gets {}: {what}", subject.label));
        return Err(Exit::No);
    };
    Ok((Message { route: route.name.clone(), ..subject.message }, target))
}

fn preview(url: &UrlConfig, message: &Message) -> Result<Preview, Exit> {
    UrlTarget::preview(url, message).map_err(|error| {
        complain(format_args!("{error:#}"));
        Exit::NoInput
    })
}

/// Prints it as it is; on a terminal without what could act on that.
fn write(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<Exit, Exit> {
    let mut out = BufWriter::new(stdout().lock());
    let printed = if stdout().is_terminal() {
        let mut bytes = Vec::new();
        print(&mut bytes).and_then(|()| out.write_all(&without_effect(&bytes)))
    } else {
        print(&mut out)
    };
    match printed.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(format_args!("cannot print it: {error}"));
            Err(Exit::Disk)
        }
        _ => Ok(Exit::Ok),
    }
}

/// A line for a shell. What is secret stands there as a variable.
fn command_line(args: &Args, target: &UrlConfig, preview: &Preview) -> String {
    let mut line = secrets(target, preview);
    line.push_str("maildirq route --payload");
    let config = args.file.config.as_ref().map(|path| ("-c", path.to_string_lossy().into_owned()));
    let given = [("--from", &args.from), ("--to", &args.to), ("--queue", &args.queue)];
    let given = given.into_iter().filter_map(|(flag, value)| Some((flag, value.clone()?)));
    for (flag, value) in config.into_iter().chain(given) {
        let _ = write!(line, " {flag} {}", quoted(&value));
    }
    let mail: String = args.mail.iter().map(|mail| quoted(mail)).collect();
    let _ = write!(line, " -- {mail} |\n  curl --silent --show-error --include --data-binary @-");
    for (name, value) in &preview.headers {
        let header = match value {
            Shown::Plain(value) => quoted(&format!("{name}: {value}")),
            Shown::Secret => format!("\"{name}: $HEADER_{}\"", variable(name)),
        };
        let _ = write!(line, " \\\n  --header {header}");
    }
    if target.client_certificate.is_some() {
        line.push_str(" \\\n  --cert \"$CLIENT_CERTIFICATE\" --key \"$CLIENT_KEY\"");
    }
    if let Some(proxy) = &target.proxy {
        let _ = write!(line, " \\\n  --proxy {}", address(proxy, "PROXY"));
    }
    let _ = writeln!(line, " \\\n  {}", address(&preview.url, "TARGET_URL"));
    line
}

/// What stops the line with an explanation where a variable is not set.
fn secrets(target: &UrlConfig, preview: &Preview) -> String {
    let mut lines = String::new();
    let mut need = |variable: &str, what: &str| {
        let _ = writeln!(lines, ": \"${{{variable}:?is to be {what}}}\"");
    };
    for (name, value) in &preview.headers {
        if *value == Shown::Secret {
            need(&format!("HEADER_{}", variable(name)), &format!("the whole value of the header {name}"));
        }
    }
    if target.client_certificate.is_some() {
        need("CLIENT_CERTIFICATE", "the path of client_certificate");
        need("CLIENT_KEY", "the path of client_key");
    }
    if target.proxy.as_ref().is_some_and(|proxy| proxy.to_shell().is_none()) {
        need("PROXY", "the URL of the proxy");
    }
    if preview.url.to_shell().is_none() {
        need("TARGET_URL", "the URL of the target");
    }
    lines
}

/// Words for an address; the variable, where something of it is secret.
fn address(address: &Address, variable: &str) -> String {
    match address.to_shell() {
        Some(words) => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
        None => format!("\"${variable}\""),
    }
}

/// The variable that stands for a secret header.
fn variable(header: &str) -> String {
    header.to_ascii_uppercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "_")
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@%+=,".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_a_word_as_it_is() {
        for (word, expected) in [
            ("/var/mail/a-b_c.eml", "/var/mail/a-b_c.eml"),
            ("", "''"),
            ("it's", "'it'\\''s'"),
            ("$(id) `id` \"x\" !", "'$(id) `id` \"x\" !'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
        assert_eq!(variable("x-api.key"), "X_API_KEY");
    }
}
