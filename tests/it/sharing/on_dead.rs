//! A program that is told of each death.

use super::*;

/// A program that writes down what it is given, each time into another file, and then does as it is told.
struct Pager {
    home: TempDir,
    program: PathBuf,
}

impl Pager {
    fn that(then: &str) -> Pager {
        let home = TempDir::new().unwrap();
        let program = home.path().join("pager");
        let told = home.path().join("told");
        fs::create_dir(&told).unwrap();
        let script = format!(
            "#!/bin/sh\nout='{0}'/.$$\n\
             {{ echo \"$MAILDIRQ_ID $MAILDIRQ_ATTEMPT\"; echo \"$MAILDIRQ_REASON\"; cat; }} > \"$out\"\n\
             mv \"$out\" \"{0}/${{out##*/.}}\"\n{then}\n",
            told.display()
        );
        write_program(&program, &script);
        Pager { home, program }
    }

    fn setting(&self) -> String {
        format!("on_dead = ['{}']", self.program.display())
    }

    /// The id and the attempt, the reason, and the message, of each death that was told.
    fn told(&self) -> Vec<[String; 3]> {
        let files = fs::read_dir(self.home.path().join("told")).unwrap().map(|file| file.unwrap());
        let whole = files.filter(|file| !file.file_name().to_string_lossy().starts_with('.'));
        let texts = whole.map(|file| fs::read_to_string(file.path()).unwrap());
        let split = |text: String| -> Vec<String> { text.splitn(3, '\n').map(str::to_owned).collect() };
        texts.map(|text| split(text).try_into().unwrap()).collect()
    }
}

/// By way of another process, so that no child of a test has it open for writing when it is to be run.
fn write_program(path: &Path, script: &str) {
    let draft = path.with_extension("draft");
    fs::write(&draft, script).unwrap();
    fs::set_permissions(&draft, Permissions::from_mode(0o755)).unwrap();
    let copied = std::process::Command::new("cp").arg("-p").arg(draft).arg(path).status().unwrap();
    assert!(copied.success());
}

fn config(maildir: &Maildir, app: &App, settings: &str) -> String {
    format!("maildir = '{}'\n{}", maildir.path().display(), target("app", &app.url(), settings))
}

#[test]
fn it_is_told_of_each_death_once_with_the_message_and_the_reason() {
    let (maildir, pager) = (Maildir::new(), Pager::that("exit 0"));
    let app = App::answering(|request| match subject(request).as_str() {
        "bad" => Answer::status(422).body("no such ticket"),
        "worse" => Answer::status(400),
        _ => Answer::ok(),
    });
    for subject in ["bad", "good", "bad", "worse", "good"] {
        deliver(&maildir, subject, 1);
    }
    let retry = "retry = { min_delay = '1ms', max_delay = '2ms', attempts = 2 }\n";
    let watch = Maildirq::watch_config(&config(&maildir, &app, &(retry.to_owned() + &pager.setting()))).start();

    wait_until("all three are told of", SOON, || pager.told().len() == 3);
    wait_until("all is settled", SOON, || maildir.waiting().is_empty());
    assert_eq!(watch.stop(), Exit::Ok);

    let mut told: Vec<_> = pager.told().into_iter().map(|[_, reason, mail]| (mail, reason)).collect();
    told.sort();
    let mails: Vec<_> = told.iter().map(|(mail, _)| mail.as_str()).collect();
    assert_eq!(mails, [mail("bad"), mail("bad"), mail("worse")]);
    assert!(told[..2].iter().all(|(_, reason)| reason.contains("422") && reason.contains("no such ticket")));
    assert!(told[2].1.contains("gave up after 2 failures"), "{}", told[2].1);
    let ids: BTreeSet<_> = pager.told().into_iter().map(|[id, ..]| id).collect();
    let died: BTreeSet<_> = watch.events("dead").iter().map(|dead| dead["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.iter().map(|id| id.split(' ').next().unwrap().to_owned()).collect::<BTreeSet<_>>(), died);
    assert!(watch.events("on_dead_failed").is_empty());
}

#[test]
fn when_it_fails_that_is_said_and_changes_nothing() {
    for then in ["echo 'the pager is off' >&2; exit 75", "kill -KILL $$"] {
        let (maildir, pager) = (Maildir::new(), Pager::that(then));
        let app = App::answering(|_| Answer::status(422));
        deliver(&maildir, "bad", 3);

        let drain = Maildirq::drain_config(&config(&maildir, &app, &pager.setting())).run();

        assert_eq!((drain.exit(), maildir.dead().len(), maildir.waiting().len()), (Exit::SomeDead, 3, 0));
        assert_eq!((pager.told().len(), app.count()), (3, 3));
        let said = drain.events("on_dead_failed");
        assert_eq!(said.len(), 3);
        assert!(said.iter().all(|line| !line["reason"].as_str().unwrap().is_empty()), "{said:?}");
    }
}

#[test]
fn while_it_hangs_only_its_own_target_waits() {
    let (maildir, pager) = (Maildir::in_memory(), Pager::that("exec sleep 1000"));
    let (bad, good) = (App::answering(|_| Answer::status(422)), App::accepting());
    deliver(&maildir, "bad", 10);
    deliver(&maildir, "good", 100);
    let of_bad = format!("concurrency = 2\n{}", pager.setting());
    let targets = [target("bad", &bad.url(), &of_bad), target("good", &good.url(), "concurrency = 2")];
    let watch = Maildirq::watch_config(&by_header(&maildir, &targets)).start();

    wait_until("two hang", SOON, || pager.told().len() == 2);
    good.wait_for_accepted(100);

    assert_eq!((bad.count(), maildir.dead().len(), pager.told().len()), (2, 2, 2));
    watch.signal(rustix::process::Signal::TERM);
    watch.wait_for_event("stopping");
    watch.signal(rustix::process::Signal::TERM);
    assert_eq!(watch.exit(), Exit::Ok);
    assert_eq!((maildir.dead().len(), maildir.waiting().len()), (2, 8), "dead is dead, whoever was told");
}
