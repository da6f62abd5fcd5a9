//! What may import what: the table that keeps the house in order.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A module, and what it may import of this crate beside itself.
const TABLE: &[(&str, &[&str])] = &[
    ("base64", &[]),
    ("logging", &[]),
    ("mail", &["base64"]),
    ("secret", &[]),
    ("system", &[]),
    ("engine", &["mail"]),
    ("maildir", &["engine", "mail", "system"]),
    ("payload", &["base64", "engine", "mail", "secret"]),
    ("target", &["engine", "payload", "secret", "system"]),
    ("control", &["engine", "mail"]),
    ("metrics", &["engine", "maildir"]),
    ("web", &["config", "secret"]),
    ("config", &["engine", "mail", "maildir", "payload", "target", "secret"]),
    ("query", &["engine", "mail", "maildir", "config"]),
    ("wire", &["engine", "maildir", "target", "config", "control", "metrics", "secret", "web"]),
    ("cli", &["engine", "mail", "maildir", "payload", "target", "config", "control", "query", "wire", "logging"]),
];

/// What the engine does not know of. (A body may be an open file; that is all.)
const NOT_IN_THE_ENGINE: &[&str] =
    &["std::net", "tokio::net", "std::path", "std::fs::{", "rustix", "reqwest", "use notify", "fs2"];

/// How code is unsafe, or says that it may be.
const UNSAFE: &[&str] =
    &["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait", "unsafe(", "(unsafe_code"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The top-level module that a file belongs to.
fn module_of(path: &Path) -> String {
    let first = path.strip_prefix(root()).unwrap().components().next().unwrap();
    Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The modules that a source names by `crate::`, doc comments aside.
fn imports(source: &str) -> BTreeSet<String> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let named = code.split("crate::").skip(1);
    named.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

#[test]
fn every_module_imports_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    for path in sources(&root()) {
        let module = module_of(&path);
        if matches!(&*module, "lib" | "main") {
            continue;
        }
        let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == module) else {
            panic!("{} is in no row of the table", path.display());
        };
        for import in imports(&fs::read_to_string(&path).unwrap()) {
            assert!(!import.is_empty(), "{}: crate:: with braces hides what it imports", path.display());
            // Of the tests inside the library.
            let is_for_tests = matches!(&*import, "FORKS" | "assert_file");
            if !is_for_tests && import != module && !allowed.contains(&&*import) {
                wrong.push(format!("{} imports {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "not in the table:\n{}", wrong.join("\n"));
}

#[test]
fn every_row_of_the_table_is_a_module() {
    let modules: BTreeSet<_> = sources(&root()).iter().map(|path| module_of(path)).collect();
    for (module, _) in TABLE {
        assert!(modules.contains(*module), "{module} is gone");
    }
}

#[test]
fn the_engine_knows_of_no_files_and_no_sockets() {
    for path in sources(&root().join("engine")) {
        let source = fs::read_to_string(&path).unwrap();
        for word in NOT_IN_THE_ENGINE {
            assert!(!source.contains(word), "{} knows of {word}", path.display());
        }
    }
}

#[test]
fn unsafe_code_stays_in_its_module() {
    for path in sources(&root()) {
        let source = fs::read_to_string(&path).unwrap();
        let is_unsafe = UNSAFE.iter().any(|words| source.contains(words));
        assert_eq!(is_unsafe, module_of(&path) == "system", "{}", path.display());
    }
}
