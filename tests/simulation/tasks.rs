//! Tasks on one thread: which of those that can go on goes on next is drawn.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Whether a task can go on.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    flag: Arc<Flag>,
    waker: Waker,
}

/// All tasks of one process. Dropped, they are at an end as if it had been killed.
#[derive(Default)]
pub struct Tasks(Vec<Task>);

impl Tasks {
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        self.0.push(Task { future: Some(Box::pin(future)), flag, waker });
    }

    /// Lets one task go on that can. False where none can.
    pub fn step(&mut self, dice: &mut fastrand::Rng) -> bool {
        let can_go_on = |task: &&mut Task| task.future.is_some() && task.flag.0.load(Ordering::Relaxed);
        let Some(task) = dice.choice(self.0.iter_mut().filter(can_go_on).collect::<Vec<_>>()) else { return false };
        task.flag.0.store(false, Ordering::Relaxed);
        let future = task.future.as_mut().expect("it was looked for");
        if let Poll::Ready(()) = future.as_mut().poll(&mut Context::from_waker(&task.waker)) {
            task.future = None;
        }
        true
    }

    /// Whether the first `count` tasks are at their end.
    pub fn have_ended(&self, count: usize) -> bool {
        self.0[..count].iter().all(|task| task.future.is_none())
    }
}
