//! Programs that compile as they run, and so need memory that can be both written and run.

use super::commands::find_in_path;
use super::program::interpreter;
use crate::target::ProgramConfig;
use std::path::{Path, PathBuf};

/// What compiles as it runs, by the name of the program without its version.
const ALWAYS: &[&str] =
    &["node", "nodejs", "deno", "bun", "java", "php", "luajit", "dotnet", "mono", "pwsh", "pypy", "erl", "julia"];
/// What does so if it is told to.
const IF_ASKED: &[(&str, &[&str])] = &[("ruby", &["--yjit", "--jit", "--rjit"])];

/// The program that compiles as it runs, when this command is run.
pub fn jit_of(command: &ProgramConfig) -> Option<String> {
    let mut candidates: Vec<PathBuf> = vec![command.program.clone()];
    if let Some(by_line) = interpreter(&command.program) {
        candidates.extend(by_line.by_env.map(PathBuf::from));
        candidates.push(by_line.path);
    } else if is_env(&command.program) {
        candidates.extend(
            command.arguments.iter().find(|word| !word.contains('=') && !word.starts_with('-')).map(PathBuf::from),
        );
    }
    // `java` and `php` are links to what is installed; a link may hide what it leads to, or tell it.
    let found = candidates.iter().filter_map(|program| find_in_path(program.to_str()?)?.canonicalize().ok());
    let names: Vec<_> = candidates.iter().cloned().chain(found).filter_map(|path| name_of(&path)).collect();
    let is_asked = |flags: &[&str]| command.arguments.iter().any(|word| flags.contains(&word.as_str()));
    names.into_iter().find(|name| {
        let is_told_to = IF_ASKED.iter().any(|(known, flags)| known == name && is_asked(flags));
        ALWAYS.contains(&name.as_str()) || is_told_to
    })
}

fn is_env(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == "env")
}

/// The name of a program without its version: `php8.2` is `php`.
fn name_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    Some(name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn jit(program: &Path, arguments: &[&str]) -> Option<String> {
        jit_of(&ProgramConfig::new(program, arguments.iter().copied()))
    }

    #[test]
    fn what_compiles_as_it_runs_is_known_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let script = |name: &str, line: &str| {
            let path = folder.path().join(name);
            fs::write(&path, format!("{line}\n")).unwrap();
            path
        };
        for (program, arguments, expected) in [
            ("/usr/bin/node".into(), &[][..], Some("node")),
            ("/usr/bin/php8.2".into(), &[], Some("php")),
            ("/usr/bin/luajit-2.1.0".into(), &[], Some("luajit")),
            ("/usr/bin/ruby".into(), &["--yjit"], Some("ruby")),
            ("/usr/bin/ruby".into(), &["app.rb"], None),
            ("/bin/sh".into(), &["-c", "node"], None),
            ("/usr/bin/env".into(), &["A=b", "node"], Some("node")),
            (script("a", "#!/usr/bin/env node"), &[], Some("node")),
            (script("b", "#!/usr/local/bin/java --source 21"), &[], Some("java")),
            (script("c", "#!/bin/sh"), &[], None),
        ] {
            assert_eq!(jit(&program, arguments).as_deref(), expected, "{} {arguments:?}", program.display());
        }
    }
}
