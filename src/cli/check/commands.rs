//! Trap: programs that the daemon cannot run, or that anybody can change.

use super::finding::{Finding, shown, word};
use super::program::{Interpreter, interpreter};
use super::subject::Subject;
use crate::config::{Config, TargetKind};
use crate::target::CommandConfig;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// All commands of a configuration, with the keys that they stand under.
pub fn all(config: &Config) -> impl Iterator<Item = (String, &CommandConfig)> {
    config.targets.iter().flat_map(|target| {
        let command = match &target.kind {
            TargetKind::Command(command) => Some((format!("[target.{}] command", target.name), command)),
            TargetKind::Url(_) => None,
        };
        let on_dead = target.on_dead.as_ref().map(|command| (format!("[target.{}] on_dead", target.name), command));
        command.into_iter().chain(on_dead)
    })
}

/// Looks at each program with the daemon's eyes.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    let uid = subject.daemon().uid;
    let look = || all(subject.config).flat_map(|(key, command)| about(&key, &command.program, uid)).collect();
    // That it cannot become the daemon was told of with the Maildir.
    subject.as_daemon(look).unwrap_or_default()
}

fn about(key: &str, program: &Path, uid: u32) -> Vec<Finding> {
    let mut found = Vec::new();
    let (name, as_word) = (shown(program), word(program));
    if !is_executable(program) {
        let text = format!("{key}: uid {uid}, as which maildirq runs, cannot run {name}");
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
