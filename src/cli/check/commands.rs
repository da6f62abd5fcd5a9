//! Trap: programs that the daemon cannot run, or that anybody can change.

use super::finding::{Finding, shown, word};
use super::program::{Interpreter, interpreter};
use super::subject::{Subject, User, as_user};
use crate::config::{Config, TargetKind};
use crate::target::ProgramConfig;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// All programs of a configuration, with the keys that they stand under.
pub fn all(config: &Config) -> impl Iterator<Item = (String, &ProgramConfig)> {
    config.targets.iter().flat_map(|target| {
        let key = |name: &str| format!("[target.{}] {name}", target.name);
        let program = match &target.kind {
            TargetKind::Command(command) => Some((key("command"), &command.run)),
            TargetKind::Worker(worker) => Some((key("worker"), &worker.run)),
            TargetKind::Url(_) => None,
        };
        let on_dead = target.on_dead.as_ref().map(|command| (key("on_dead"), &command.run));
        program.into_iter().chain(on_dead)
    })
}

/// Looks at each program with the daemon's eyes.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    all(subject.config).flat_map(|(key, run)| with_eyes_of_its_user(subject, &key, run)).collect()
}

fn with_eyes_of_its_user(subject: &Subject<'_>, key: &str, run: &ProgramConfig) -> Vec<Finding> {
    let Some(account) = &run.account else {
        let who = format!("uid {}, as which maildirq runs,", subject.daemon().uid);
        // That it cannot become the daemon was told of with the Maildir.
        return subject.as_daemon(|| about(key, run, &who)).unwrap_or_default();
    };
    let who = format!("user {}, as which it runs,", account.name);
    let user = User { uid: account.uid, gid: account.gid };
    as_user(user, || about(key, run, &who)).unwrap_or_else(|error| {
        let text = format!("{key}: user {} cannot be taken on: {error}", account.name);
        vec![Finding::error(text, "check as root, outside of a container that takes CAP_SETUID from it")]
    })
}

fn about(key: &str, run: &ProgramConfig, who: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let program = &*run.program;
    let (name, as_word) = (shown(program), word(program));
    if let Some(folder) = run.directory.as_deref().filter(|folder| !is_executable(folder)) {
        let text = format!("{key}: {who} cannot enter its directory {}", shown(folder));
        found.push(Finding::error(text, format!("chmod a+x {}   # and x for the folders above", word(folder))));
    }
    if !is_executable(program) {
        let text = format!("{key}: {who} cannot run {name}");
        found.push(Finding::error(text, format!("chmod a+rx {as_word}   # and x for its folders")));
    }
    if let Some(missing) = interpreter(program).and_then(missing) {
        let text = format!("{key}: the interpreter that {name} asks for cannot be run: {missing}");
        found.push(Finding::error(text, format!("head -1 {as_word}   # install it, or name another")));
    }
    if program.metadata().is_ok_and(|found| found.permissions().mode() & 0o002 != 0) {
        let text = format!("{key}: everybody can change {name}, and maildirq runs it");
        found.push(Finding::warning(text, format!("chmod o-w {as_word}")));
    }
    found
}

/// What cannot be run of an interpreter.
fn missing(interpreter: Interpreter) -> Option<String> {
    if !is_executable(&interpreter.path) {
        return Some(shown(&interpreter.path));
    }
    let name = interpreter.by_env?;
    let missing = find_in_path(&name).is_none();
    missing.then(|| format!("{name} (it is not in PATH)"))
}

/// The program of this name, which may be a path.
pub fn find_in_path(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return is_executable(Path::new(name)).then(|| name.into());
    }
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file() && is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    accessat(CWD, path, Access::EXEC_OK, AtFlags::empty()).is_ok()
}
