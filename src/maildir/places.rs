//! Where Maildirs are: the paths that a queue names, and those that its globs find.

use super::layout::{DEAD, DONE, OpenError, TRASH};
use super::served::Options;
use crate::engine::text::printable;
use glob::glob;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// Where a queue's mail lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maildirs {
    /// In this one.
    One(PathBuf),
    /// In all that match this: `*`, `?` and `[…]` stand for names as they do in a shell.
    Matching(String),
}

/// A Maildir that is to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it is.
    pub path: PathBuf,
    /// Whether a glob has found it; else it is named, and must be there.
    pub was_found: bool,
}

/// All Maildirs of these queues, each once. What one queue names another's glob does not find.
///
/// # Errors
/// Two queues name the same one.
pub fn find_places<'a>(
    queues: impl Iterator<Item = (Options, &'a [Maildirs])>,
) -> Result<Vec<(Place, Options)>, OpenError> {
    let queues: Vec<_> = queues.collect();
    let at = |path: &Path, options: &Options, maildirs: &[Maildirs]| {
        let is_alone = matches!(maildirs, [Maildirs::One(_)]);
        let place = (!is_alone).then(|| printable(path.as_os_str().as_encoded_bytes()).into());
        Options { place, ..options.clone() }
    };
    let mut places = Vec::new();
    let mut taken: BTreeMap<PathBuf, String> = BTreeMap::new();
    for (options, maildirs) in &queues {
        for path in maildirs.iter().filter_map(Maildirs::named) {
            let same = taken.insert(identity(path), options.queue.to_string());
            if let Some(other) = same {
                return Err(OpenError::Twice { path: path.clone(), queues: [other, options.queue.to_string()] });
            }
            places.push((Place { path: path.clone(), was_found: false }, at(path, options, maildirs)));
        }
    }
    for (options, maildirs) in &queues {
        let mut found = Vec::new();
        for maildirs in *maildirs {
            found.extend(maildirs.found()?);
        }
        for path in found {
            if let std::collections::btree_map::Entry::Vacant(free) = taken.entry(identity(&path)) {
                free.insert(options.queue.to_string());
                let options = at(&path, options, maildirs);
                places.push((Place { path, was_found: true }, options));
            }
        }
    }
    Ok(places)
}

/// What two ways to the same folder have in common.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

impl Maildirs {
    fn named(&self) -> Option<&PathBuf> {
        match self {
            Maildirs::One(path) => Some(path),
            Maildirs::Matching(_) => None,
        }
    }

    /// What is there now of those that match; nothing for one that is named.
    ///
    /// # Errors
    /// It cannot be found out: this process has run out of something, or the disk does not read.
    pub fn found(&self) -> Result<Vec<PathBuf>, OpenError> {
        let Maildirs::Matching(pattern) = self else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for path in glob(pattern).into_iter().flatten() {
            match path {
                Ok(path) if shows_its_dots(Path::new(pattern), &path) && is_maildir(&path) => found.push(path),
                Ok(_) => {}
                // What cannot be looked into has no Maildir for us. All else must not look as if there
                // were none.
                Err(error) if matches!(error.error().kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => {}
                Err(error) => return Err(OpenError::io(error.path(), "")(error)),
            }
        }
        Ok(found)
    }
}

/// As in a shell, a name with a leading dot is only found by a pattern with one: so the folders of
/// Maildir++ (`.Support`) are found where they are meant. `.` and `..` never are.
fn shows_its_dots(pattern: &Path, path: &Path) -> bool {
    let is_hidden = |part: Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b".");
    let mut pairs = pattern.components().zip(path.components());
    pattern.components().count() == path.components().count()
        && !path.components().any(|part| part == Component::ParentDir)
        && pairs.all(|(written, found)| !is_hidden(found) || is_hidden(written))
}

fn is_maildir(path: &Path) -> bool {
    let is_ours = path.file_name().is_some_and(|name| [DEAD, DONE, TRASH].iter().any(|ours| name == *ours));
    !is_ours && ["new", "cur", "tmp"].iter().all(|part| path.join(part).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn make(root: &Path, maildirs: &[&str]) {
        for maildir in maildirs {
            for part in ["new", "cur", "tmp"] {
                fs::create_dir_all(root.join(maildir).join(part)).unwrap();
            }
        }
    }

    fn queue(name: &str) -> Options {
        Options { queue: name.into(), ..Options::default() }
    }

    fn find(root: &Path, queues: &[(&str, &[&str])]) -> Result<Vec<(String, String)>, OpenError> {
        let maildirs = |written: &&str| {
            let path = root.join(written);
            if written.contains('*') { Maildirs::Matching(path.to_str().unwrap().into()) } else { Maildirs::One(path) }
        };
        let queues: Vec<_> = queues
            .iter()
            .map(|(name, written)| (queue(name), written.iter().map(maildirs).collect::<Vec<_>>()))
            .collect();
        let places = find_places(queues.iter().map(|(options, maildirs)| (options.clone(), &maildirs[..])))?;
        let shown = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        Ok(places.iter().map(|(place, options)| (options.queue.to_string(), shown(&place.path))).collect())
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(queue, path)| ((*queue).to_owned(), (*path).to_owned())).collect()
    }

    #[test]
    fn a_glob_finds_maildirs_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        make(home.path(), &["ada/Maildir", "ada/Maildir/.Support", "ada/Maildir/.maildirq.dead", "bob/Maildir"]);
        fs::create_dir_all(home.path().join("eve/Maildir/new")).unwrap();
        fs::write(home.path().join("file"), "").unwrap();
        let found = find(home.path(), &[("users", &["*/Maildir"]), ("folders", &["*/Maildir/.*"])]).unwrap();
        let expected = [("users", "ada/Maildir"), ("users", "bob/Maildir"), ("folders", "ada/Maildir/.Support")];
        assert_eq!(found, pairs(&expected));
    }

    #[test]
    fn what_is_named_is_not_found_by_another_queue() {
        let home = tempfile::tempdir().unwrap();
        make(home.path(), &["support", "billing"]);
        let found = find(home.path(), &[("all", &["*"]), ("billing", &["billing"])]).unwrap();
        assert_eq!(found, pairs(&[("billing", "billing"), ("all", "support")]));
    }

    #[test]
    fn one_maildir_cannot_be_two_queues() {
        let home = tempfile::tempdir().unwrap();
        make(home.path(), &["support"]);
        std::os::unix::fs::symlink("support", home.path().join("same")).unwrap();
        let error = find(home.path(), &[("a", &["support"]), ("b", &["same"])]).unwrap_err().to_string();
        assert!(error.contains("queues a and b"), "{error}");
    }
}
