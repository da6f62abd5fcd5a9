//! Finding one message by its id or the name of its file, without changing anything.

use super::layout::{DEAD, Layout, OpenError, stat};
use super::names::{arrived, base, id_of_file};
use super::story::system_time;
use crate::engine::Id;
use rustix::fs::FileType;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How much of an id is enough to mean it, in characters.
const SHORTEST: usize = 6;

/// A message that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its id; None where no queue was ever here, so that there are none.
    pub id: Option<Id>,
    /// Its file.
    pub path: PathBuf,
    /// What its folder says of it.
    pub whereabouts: Whereabouts,
    /// When it came.
    pub arrived: SystemTime,
}

/// What the folder of a message says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// It is in `new/`: waiting, or in work.
    Waiting,
    /// It is in `cur/`: a mail client has opened it, and it is nobody's work.
    Opened,
    /// It is dead.
    Dead,
}

impl Whereabouts {
    fn folders() -> [(Whereabouts, String); 4] {
        [
            (Whereabouts::Waiting, "new".into()),
            (Whereabouts::Opened, "cur".into()),
            (Whereabouts::Dead, format!("{DEAD}/new")),
            (Whereabouts::Dead, format!("{DEAD}/cur")),
        ]
    }
}

/// All messages in the Maildir at `path` whose id begins with `wanted` (six characters are enough), or
/// whose file is called that, with or without the flags of a mail client.
///
/// # Errors
/// It is no Maildir, or cannot be read.
pub fn find(path: &Path, wanted: &str) -> Result<Vec<Located>, OpenError> {
    let (root, queue) = Layout::look(path)?;
    let mut found = Vec::new();
    for (whereabouts, folder) in Whereabouts::folders() {
        let entries = match std::fs::read_dir(path.join(&folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(OpenError::io(path, &folder)(error)),
        };
        for entry in entries {
            let name = entry.map_err(OpenError::io(path, &folder))?.file_name();
            if name.as_bytes().starts_with(b".") {
                continue;
            }
            let file = Path::new(&folder).join(&name);
            // It may be gone by now.
            let Ok(status) = stat(&root, &*file) else { continue };
            if !FileType::from_raw_mode(status.st_mode).is_file() {
                continue;
            }
            let modified = (status.st_mtime, status.st_mtime_nsec);
            let id = queue.map(|queue| id_of_file(&queue, &name, status.st_size.unsigned_abs(), modified));
            let is_meant = wanted.len() >= SHORTEST && id.is_some_and(|id| id.to_string().starts_with(wanted));
            if is_meant || name == wanted || base(&name) == wanted.as_bytes() {
                let arrived = arrived(&name, system_time(status.st_mtime, status.st_mtime_nsec));
                found.push(Located { id, path: path.join(file), whereabouts, arrived });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maildir::{Keep, Layout};
    use std::fs;

    struct Bench {
        folder: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for part in ["new", "cur", "tmp"] {
                fs::create_dir(folder.path().join(part)).unwrap();
            }
            Bench { folder }
        }

        fn put(&self, name: &str) {
            fs::write(self.folder.path().join(name), "Subject: x\n\n").unwrap();
        }

        fn find(&self, wanted: &str) -> Vec<Located> {
            find(self.folder.path(), wanted).unwrap()
        }

        fn id(&self, name: &str) -> String {
            self.find(name)[0].id.unwrap().to_string()
        }
    }

    #[test]
    fn a_message_is_found_wherever_it_lies() {
        let bench = Bench::new();
        Layout::open(bench.folder.path(), Keep::Remove).unwrap();
        for (file, name, whereabouts) in [
            ("new/1762087331.a.mx1", "1762087331.a.mx1", Whereabouts::Waiting),
            ("cur/1762087331.b.mx1:2,S", "1762087331.b.mx1", Whereabouts::Opened),
            (".maildirq.dead/new/1762087331.c.mx1", "1762087331.c.mx1", Whereabouts::Dead),
            (".maildirq.dead/cur/report.eml:2,", "report.eml:2,", Whereabouts::Dead),
        ] {
            bench.put(file);
            let found = bench.find(name);
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!((&found[0].path, found[0].whereabouts), (&bench.folder.path().join(file), whereabouts));
            let id = bench.id(name);
            assert_eq!(bench.find(&id), found);
            assert_eq!(bench.find(&id[..6]), found);
            assert_eq!(bench.find(&id[..5]), [], "five characters are too few");
        }
    }

    #[test]
    fn a_moved_message_keeps_its_id() {
        let bench = Bench::new();
        Layout::open(bench.folder.path(), Keep::Remove).unwrap();
        for name in ["1762087331.a.mx1", "report.eml"] {
            bench.put(&format!("new/{name}"));
            let id = bench.id(name);
            let from = bench.folder.path().join("new").join(name);
            fs::rename(from, bench.folder.path().join(".maildirq.dead/new").join(name)).unwrap();
            assert_eq!(bench.id(name), id);
        }
    }

    #[test]
    fn where_no_queue_was_there_are_names_and_nothing_is_made() {
        let bench = Bench::new();
        bench.put("new/1762087331.a.mx1");
        bench.put("new/.hidden");
        fs::create_dir(bench.folder.path().join("new/folder")).unwrap();
        assert_eq!(bench.find("1762087331.a.mx1")[0].id, None);
        assert_eq!((bench.find(".hidden"), bench.find("folder")), (vec![], vec![]));
        assert_eq!(fs::read_dir(bench.folder.path()).unwrap().count(), 3);
        assert!(find(&bench.folder.path().join("new"), "x").is_err());
    }
}
