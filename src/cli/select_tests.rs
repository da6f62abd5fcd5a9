use super::*;
use crate::maildir::{Keep, Layout, Options};
use std::fs;

struct Bench {
    folder: tempfile::TempDir,
    views: Vec<Arc<View>>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["new", "cur", "tmp"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        Layout::open(folder.path(), Keep::Done).unwrap();
        fs::create_dir_all(folder.path().join(".maildirq.trash/new")).unwrap();
        let views = vec![View::of(folder.path(), &Options::default()).unwrap()];
        Bench { folder, views }
    }

    fn put(&self, file: &str, subject: &str) {
        let mail = format!("Subject: {subject}\nMessage-ID: <{subject}@example.com>\n\n");
        fs::write(self.folder.path().join(file), mail).unwrap();
    }

    fn one(&self, name: &str) -> Result<Record, Exit> {
        one(&self.views, name)
    }

    fn names(&self, words: &[&str], usual: States) -> Result<Vec<String>, Exit> {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        let found = select(&self.views, &Wanted::parse(&words)?, usual)?;
        Ok(found.iter().map(|record| record.name().to_str().unwrap().to_owned()).collect())
    }
}

#[test]
fn a_message_is_found_by_whatever_names_it_wherever_it_lies() {
    let bench = Bench::new();
    for (file, name, state) in [
        ("new/1762087331.a.mx1", "1762087331.a.mx1", State::New),
        ("cur/1762087331.b.mx1:2,S", "1762087331.b.mx1", State::Opened),
        (".maildirq.dead/new/1762087331.c.mx1", "1762087331.c.mx1", State::Dead),
        (".maildirq.dead/cur/report.eml:2,", "report.eml:2,", State::Dead),
        (".maildirq.done/new/1762087331.d.mx1", "1762087331.d.mx1", State::Done),
        (".maildirq.trash/new/1762087331.e.mx1", "1762087331.e.mx1", State::Trash),
    ] {
        bench.put(file, name);
        let path = bench.folder.path().join(file);
        let id = bench.one(name).unwrap().id.unwrap().to_string();
        let message_id = format!("<{name}@example.com>");
        for wanted in [name, &id, &id[..6], &id.to_uppercase()[..8], path.to_str().unwrap(), &message_id] {
            let found = bench.one(wanted).unwrap_or_else(|_| panic!("{wanted}"));
            assert_eq!((found.path(), found.state), (path.clone(), state), "{wanted}");
        }
        assert_eq!(bench.one(&id[..5]).err(), Some(Exit::NoInput), "five characters are too few");
    }
}

#[test]
fn what_may_be_several_is_refused_and_what_is_not_there_too() {
    let bench = Bench::new();
    bench.put("new/1762087331.a.mx1", "same");
    bench.put(".maildirq.dead/new/1762087332.a.mx1", "same");
    assert_eq!(bench.one("same@example.com").err(), Some(Exit::Usage));
    assert_eq!(bench.one("zzzzzz").err(), Some(Exit::NoInput));
    assert_eq!(bench.names(&["1762087331.a.mx1", "zzzzzz"], States::ALL).err(), Some(Exit::NoInput));
    assert_eq!(bench.names(&["stat:dead"], States::ALL).err(), Some(Exit::Usage));
}

#[test]
fn near_misses_are_known() {
    let bench = Bench::new();
    bench.put("new/1762087331.a.mx1", "a");
    let id = bench.one("1762087331.a.mx1").unwrap().id.unwrap().to_string();
    let other = if id.starts_with('b') { "c" } else { "b" };
    assert_eq!(nearest(&bench.views, &format!("{other}{}", &id[1..6])).len(), 1);
    assert_eq!(nearest(&bench.views, "zz7zz7").len(), 0);
}

#[test]
fn a_query_finds_what_is_in_the_usual_states_unless_it_names_others() {
    let bench = Bench::new();
    bench.put("new/1762087332.a.mx1", "one");
    bench.put("new/1762087331.b.mx1", "two");
    bench.put(".maildirq.dead/new/1762087333.c.mx1", "one");
    bench.put(".maildirq.trash/new/1762087334.d.mx1", "one");
    let all = |words: &[&str]| bench.names(words, States::OPEN).unwrap();
    assert_eq!(all(&["queue:main"]), ["1762087331.b.mx1", "1762087332.a.mx1", "1762087333.c.mx1"]);
    assert_eq!(all(&["subject:one"]), ["1762087332.a.mx1", "1762087333.c.mx1"]);
    assert_eq!(all(&["subject:one", "state:trash"]), ["1762087334.d.mx1"]);
    assert_eq!(all(&["one", "-state:dead"]), ["1762087332.a.mx1", "1762087334.d.mx1"]);
}
