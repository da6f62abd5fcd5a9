//! From a `.qmail` file to the configuration that runs its commands.

use super::dot_qmail::{Extension, Line, Wish, lines, plain_words, without_preline};
use super::quoted;
use crate::cli::{Exit, complain, print};
use crate::engine::text::printable;
use crate::target::literal;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use toml::Value;

/// Who gets the mail for that no user has the name: see qmail-getpw(8).
const ALIAS: &str = "alias";
/// For an alias the whole local part is the extension, and not only what stands behind its first dash.
const ALIAS_EXTENSION: &str = r#"export EXT="$LOCAL" EXT2="$EXT" EXT3="$EXT2" EXT4="$EXT3""#;
/// The same, where all of it is what `default` stands for.
const ALIAS_DEFAULT: &str = r#" DEFAULT="$LOCAL""#;
/// Keeps the message for several commands. The file that it comes from is somebody else's where there is a `user`, and
/// then it cannot be opened once more, to be read from its beginning. A copy without a name can, and is gone in any
/// case when the script ends.
const COPY: &str = r#"copy=$(mktemp) && exec 3<>"$copy" && rm "$copy" && cat >&3 || exit 111"#;
/// Runs a command as qmail does, with the message from its beginning; the first that fails ends the script, as does
/// 99, which says that all is done.
const RUN: &str = r#"run() { /bin/sh -c "$1" </proc/self/fd/3 3<&- || exit; }"#;
/// What a shell does itself, with or without a program of that name: see the shell command language of POSIX (2.4
/// Reserved Words, 2.14 Special Built-In Utilities), and its utilities that change the shell.
const OF_THE_SHELL: &str = "case do done elif else esac fi for function if in select then until while . : break continue \
                            eval exec exit export local readonly return set shift source times trap unset alias bg cd \
                            command fc fg getopts hash jobs read type ulimit umask unalias wait";

/// Why there is no configuration.
struct Mistake {
    exit: Exit,
    text: String,
}

/// Who a file is of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    name: String,
    uid: u32,
    home: PathBuf,
}

/// What is known of a file.
struct DotQmail<'a> {
    path: &'a Path,
    extension: Extension,
    lines: Vec<Line<'a>>,
    user: User,
    /// Where its mail will wait, and whose that is, if it is there already.
    maildir: PathBuf,
    maildir_owner: Option<u32>,
}

/// Prints the configuration for this file; without a path for its Maildir it is one in the user's home.
pub(super) fn run(path: &Path, maildir: Option<&str>) -> Exit {
    match convert(path, maildir) {
        Ok(text) => print(text).err().unwrap_or(Exit::Ok),
        Err(mistake) => {
            complain(mistake.text);
            mistake.exit
        }
    }
}

fn convert(path: &Path, maildir: Option<&str>) -> Result<String, Mistake> {
    let shown = printable(path.as_os_str().as_encoded_bytes());
    let lost = |error: std::io::Error| Mistake {
        exit: Exit::NoInput,
        text: format!("cannot read {shown}: {error}\n  = try: --from-qmail ~/.qmail, or ~/.qmail-EXTENSION"),
    };
    let mistake = |text: String| Mistake { exit: Exit::DataError, text };
    let name = path.file_name().and_then(|name| name.to_str());
    let extension = name.and_then(Extension::of_file).ok_or_else(|| Mistake {
        exit: Exit::Usage,
        text: format!(
            "{shown} is no name of a .qmail file: it tells for which addresses it is\n  = try: .qmail, .qmail-EXTENSION or .qmail-EXTENSION-default"
        ),
    })?;
    let contents = fs::read(path).map_err(lost)?;
    let uid = fs::metadata(path).map_err(lost)?.uid();
    let folder = fs::canonicalize(path).map_err(lost)?;
    let passwd = fs::read_to_string("/etc/passwd").map_err(|error| Mistake {
        exit: Exit::NoInput,
        text: format!("cannot read /etc/passwd: {error}\n  = it tells whose home {shown} is in"),
    })?;
    let user = user(&passwd, folder.parent().unwrap_or(&folder), uid)
        .map_err(|why| mistake(format!("{shown}: {why}\n  = try: {}", whose_it_can_be(path))))?;
    let lines = lines(&contents).map_err(|why| mistake(format!("{shown}: {why}\n  = mend the file first")))?;
    let maildir = maildir.map_or_else(|| user.home.join(extension.folder()), PathBuf::from);
    let maildir_owner = fs::metadata(&maildir).ok().map(|found| found.uid());
    let file = DotQmail { path, extension, lines, user, maildir, maildir_owner };
    file.configuration().map_err(|why| mistake(format!("{shown}: {why}")))
}

/// How a file becomes one that qmail runs as somebody.
fn whose_it_can_be(path: &Path) -> String {
    let word = printable(path.as_os_str().as_encoded_bytes()).replace('\'', r"'\''");
    format!(
        "chown USER '{word}', with the name of the user whose mail it is for; in that user's home it is that user's in any case"
    )
}

/// The user whose home this folder is; else the one with this number.
fn user(passwd: &str, folder: &Path, uid: u32) -> Result<User, String> {
    let users: Vec<_> = passwd
        .lines()
        .filter_map(|line| {
            let [name, _, uid, _, _, home, ..] = line.split(':').collect::<Vec<_>>()[..] else { return None };
            Some(User { name: name.to_owned(), uid: uid.parse().ok()?, home: home.into() })
        })
        .collect();
    let at_home = users.iter().find(|user| user.uid != 0 && user.home == folder);
    let found = at_home.or_else(|| users.iter().find(|user| user.uid == uid));
    match found {
        None => Err(format!("it belongs to user {uid}, of whom /etc/passwd knows nothing")),
        Some(user) if user.uid == 0 => Err("it belongs to root, and qmail runs nothing as root".to_owned()),
        Some(user) => Ok(user.clone()),
    }
}

impl Extension {
    /// The folder that its mail is to wait in.
    fn folder(&self) -> String {
        match (&*self.text, self.is_default) {
            ("", false) => "jobs".to_owned(),
            ("", true) => "default".to_owned(),
            (text, false) => text.to_owned(),
            (text, true) => format!("{text}default"),
        }
    }
}

impl DotQmail<'_> {
    fn configuration(&self) -> Result<String, String> {
        let commands: Vec<_> = self
            .lines
            .iter()
            .filter_map(|line| match line.wish {
                Wish::Run(command) => Some(without_preline(command).unwrap_or(command)),
                _ => None,
            })
            .collect();
        if commands.is_empty() {
            return Err(
                "no line begins with |: there is no command to move\n  = what else it does qmail does best".to_owned()
            );
        }
        let (home, name) = (text_of(&self.user.home)?, &*self.user.name);
        let maildir = text_of(&self.maildir)?.trim_end_matches('/');
        let words: Vec<_> = self.command(&commands).into_iter().map(Value::from).collect();
        let mut text = self.remarks(maildir)?;
        if self.lines.iter().any(|line| matches!(line.wish, Wish::Run(command) if without_preline(command).is_some())) {
            text.push(
                "# preline is left out: in a Maildir each mail has Return-Path and Delivered-To on top already."
                    .to_owned(),
            );
            text.push(
                "# The line of an mbox, which preline puts above them without -f, it has not: UFLINE tells it."
                    .to_owned(),
            );
            text.push(String::new());
        }
        text.extend([
            format!("maildir = {}", quoted(maildir)),
            "# What separates the parts of an address in qmail.".to_owned(),
            "recipient_delimiter = \"-\"".to_owned(),
            String::new(),
            "[target.app]".to_owned(),
            format!("command = {}", Value::from(words)),
            "# There qmail runs it, and this it tells of whom it runs it as.".to_owned(),
            format!("directory = {}", quoted(home)),
            format!("environment = {{ HOME = {}, USER = {} }}", quoted(home), quoted(name)),
        ]);
        if let Some(prefix) = self.default_prefix() {
            text.push("# DEFAULT is what stands behind this.".to_owned());
            text.push(format!("default_prefix = {}", quoted(prefix)));
        }
        text.extend(match self.maildir_owner.filter(|owner| *owner != self.user.uid) {
            Some(_) => [
                format!("# The Maildir is not {name}'s, so maildirq has to be started as root."),
                format!("user = {}", quoted(name)),
            ],
            None => [
                format!("# Only where maildirq works for another user than {name}; then it has to be started as root."),
                format!("# user = {}", quoted(name)),
            ],
        });
        Ok(text.join("\n") + "\n")
    }

    /// What has to be done beside, as comments.
    fn remarks(&self, maildir: &str) -> Result<Vec<String>, String> {
        let (moved, kept): (Vec<_>, Vec<_>) = self.lines.iter().partition(|line| matches!(line.wish, Wish::Run(_)));
        let shown = |line: &Line<'_>| format!("#   line {}: {}", line.number, printable(line.text.as_bytes()));
        let path = printable(self.path.as_os_str().as_encoded_bytes());
        let instead = match Path::new(maildir).strip_prefix(&self.user.home) {
            Ok(inside) => format!("./{}/", text_of(inside)?),
            Err(_) => format!("{maildir}/"),
        };
        let mut text = vec![
            format!("# Made from {path}. When {maildir} is there (maildirmake makes it), the line"),
            format!("#   {instead}"),
            "# takes the place of what is run from here:".to_owned(),
        ];
        text.extend(moved.into_iter().map(shown));
        if !kept.is_empty() {
            text.push("# These lines stay there, for what they ask for is qmail's work:".to_owned());
            text.extend(kept.into_iter().map(shown));
            text.push(
                "# No command can keep qmail from them any more, as the exit codes 99, 100 and 111 did.".to_owned(),
            );
        }
        if self.user.name.contains('-') {
            text.push(
                "# EXT is what stands behind the first dash of the address: also the rest of this user's name."
                    .to_owned(),
            );
        }
        text.push(String::new());
        Ok(text)
    }

    /// For an alias, of what stands behind the first dash of the address.
    fn default_prefix(&self) -> Option<&str> {
        let prefix = self.extension.is_default.then_some(&*self.extension.text)?;
        if self.user.name != ALIAS {
            return Some(prefix);
        }
        prefix.split_once('-').map(|(_, behind)| behind)
    }

    fn command(&self, commands: &[&str]) -> Vec<String> {
        let mut script = Vec::new();
        if self.user.name == ALIAS {
            let is_all = self.extension.is_default && self.extension.text.is_empty();
            script.push(format!("{ALIAS_EXTENSION}{}", if is_all { ALIAS_DEFAULT } else { "" }));
        }
        if let [command] = commands {
            let plain = plain_words(command).filter(|_| script.is_empty());
            if let Some(words) = plain.and_then(|words| self.program(&words)) {
                return words;
            }
            script.push((*command).to_owned());
        } else {
            script.extend([COPY, RUN].map(str::to_owned));
            script.extend(commands.iter().map(|command| format!("run '{}'", command.replace('\'', r"'\''"))));
        }
        vec!["/bin/sh".to_owned(), "-c".to_owned(), literal(&script.join("\n"))]
    }

    /// The words of a command that runs a program. What is part of the shell is left to it.
    fn program(&self, words: &[&str]) -> Option<Vec<String>> {
        let (program, arguments) = words.split_first()?;
        if OF_THE_SHELL.split(' ').any(|own| own == *program) {
            return None;
        }
        let program = if program.contains('/') {
            self.user.home.join(program.trim_start_matches("./")).to_str()?.to_owned()
        } else {
            (*program).to_owned()
        };
        Some(std::iter::once(program).chain(arguments.iter().map(|word| (*word).to_owned())).collect())
    }
}

fn text_of(path: &Path) -> Result<&str, String> {
    let is_plain = |path: &&str| !path.chars().any(char::is_control);
    path.to_str().filter(is_plain).ok_or_else(|| {
        format!("{} is no text that a configuration can hold", printable(path.as_os_str().as_encoded_bytes()))
    })
}

#[cfg(test)]
#[path = "qmail_tests.rs"]
mod tests;
