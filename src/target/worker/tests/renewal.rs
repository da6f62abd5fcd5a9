//! Processes that are replaced before they are worn out.

use super::*;
use std::collections::BTreeSet;

/// How many jobs each process has done, in the order of their starts.
fn shares(bench: &Bench) -> Vec<usize> {
    let by = bench.told("by");
    bench.pids().iter().map(|pid| by.lines().filter(|line| line == pid).count()).collect()
}

const NOTING: &str = "echo $$ >>by; answer done";

#[test]
fn after_so_many_jobs_a_successor_takes_over_without_a_gap() {
    // The successor is ready only when it is let: so long the old one works on.
    let script = format!(
        "echo $$ >>starts; if test -e first; then until test -e go; do sleep 0.01; done; fi; >first; {}",
        sh(NOTING)
    );
    let mut setting = Setting::new(&script);
    setting.config.max_jobs = NonZero::new(5);
    let bench = setting.start();
    for _ in 0..12 {
        assert_eq!(bench.one(), DONE);
    }
    wait_until("a successor starts", || bench.told("starts").lines().count() == 2);
    assert_eq!(shares(&bench), [12], "it works until there is another");
    bench.make("go");
    wait_until("the successor is ready and the old one is gone", || {
        bench.pids().len() == 2 && !is_there(&bench.pids()[0])
    });
    assert_eq!(bench.one(), DONE);
    assert_eq!(shares(&bench), [12, 1]);
}

#[test]
fn one_at_a_time_is_replaced() {
    // Each of those that come later is held up at its start until it is let.
    let hold = "if test -e many; then echo >>starts; until test -e go; do sleep 0.01; done; fi\n";
    let mut setting = Setting::new(&(hold.to_owned() + &sh(NOTING))).processes(4);
    setting.config.max_jobs = NonZero::new(3);
    let bench = setting.start();
    wait_until("all are there", || bench.pids().len() == 4);
    bench.make("many");
    let target = bench.target.as_ref().unwrap();
    for _ in 0..15 {
        // All four have something to do, and are due soon.
        let messages: Vec<_> = (0..4).map(|_| message()).collect();
        let all = futures_util::future::join_all(messages.iter().map(|message| target.attempt(message)));
        assert_eq!(bench.runtime.block_on(all), vec![DONE; 4]);
    }
    let due = shares(&bench).iter().filter(|&&jobs| jobs >= 3).count();
    assert!(due > 1, "{due}");
    wait_until("a successor starts", || !bench.told("starts").is_empty());
    assert_eq!(bench.told("starts").len(), 1);
    bench.make("go");
    wait_until("all that were due are replaced", || bench.told("starts").len() >= due);
    assert_eq!(shares(&bench).iter().sum::<usize>(), 60);
}

#[test]
fn a_process_that_takes_much_memory_is_replaced() {
    let script = format!(
        "
import json, os, sys
print('{READY}', flush=True)
open('pids', 'a').write(f'{{os.getpid()}}\\n')
hoard = b''
for line in sys.stdin:
    job = json.loads(line)
    if job['type'] == 'job':
        if not os.path.exists('large'):
            hoard = b'x' * 300_000_000
            open('large', 'w')
        print(json.dumps(dict(type='done', id=job['id'])), flush=True)
"
    );
    let mut setting = Setting::python(&script);
    setting.config.max_rss = Some(200_000_000);
    let bench = setting.start();
    assert_eq!(bench.one(), DONE);
    wait_until("it is replaced", || bench.pids().len() == 2 && !is_there(&bench.pids()[0]));
    assert_eq!([bench.one(), bench.one()], [DONE, DONE]);
    assert_eq!(bench.pids().len(), 2);
}

#[test]
fn a_process_that_is_old_is_replaced_though_nothing_is_to_do() {
    let mut setting = Setting::new(&sh(NOTING));
    setting.config.max_age = Some(Duration::from_millis(100));
    let bench = setting.start();
    wait_until("several are old", || bench.pids().len() > 3);
    assert_eq!(bench.one(), DONE);
}

#[test]
fn processes_that_are_started_together_do_not_leave_together() {
    let setting = |most| {
        let mut config = Setting::new("").config;
        (config.max_jobs, config.max_age) = (NonZero::new(most), Some(Duration::from_secs(1000)));
        config
    };
    let now = Instant::now();
    let (mut jobs, mut ages) = (BTreeSet::new(), BTreeSet::new());
    for chance in 0..100 {
        let mut renewal = super::super::renewal::Renewal::new(&setting(1000), now, || f64::from(chance) / 100.0);
        ages.insert(renewal.old_at.unwrap() - now);
        jobs.insert((1..2000).find(|_| renewal.after_job(rustix::process::getpid()).is_some()).unwrap());
    }
    assert!(jobs.len() > 90 && jobs.iter().all(|jobs| (900..=1000).contains(jobs)), "{jobs:?}");
    assert!(ages.len() > 90 && ages.iter().all(|age| (900..=1000).contains(&age.as_secs())), "{ages:?}");
}

#[test]
fn all_are_replaced_when_somebody_wants_it() {
    let hold = "if test -e many; then echo >>starts; until test -e go; do sleep 0.01; done; fi\n";
    let bench = Setting::new(&(hold.to_owned() + &sh(NOTING))).processes(3).start();
    wait_until("all are there", || bench.pids().len() == 3);
    bench.ready().unwrap();
    bench.make("many");
    bench.pool.as_ref().unwrap().renew();
    wait_until("a successor starts", || !bench.told("starts").is_empty());
    assert_eq!(bench.one(), DONE);
    assert!(bench.pids().iter().all(|pid| is_there(pid)), "none leaves before there is another");
    bench.make("go");
    wait_until("all are replaced", || bench.pids().len() == 6 && !bench.pids()[..3].iter().any(|pid| is_there(pid)));
    assert_eq!((bench.one(), bench.pids().len()), (DONE, 6));
}

#[test]
fn should_successors_not_start_the_old_one_goes_on() {
    let script = format!("test -e first && {{ echo >>failed; exit 1; }}; >first; {}", sh(NOTING));
    let mut setting = Setting::new(&script);
    setting.config.max_jobs = NonZero::new(2);
    let bench = setting.start();
    assert_eq!([bench.one(), bench.one()], [DONE, DONE]);
    wait_until("several successors have failed", || bench.told("failed").len() > 3);
    assert_eq!(bench.one(), DONE);
    assert_eq!(shares(&bench), [3]);
}
