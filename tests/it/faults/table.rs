//! Which system calls are tampered with, and how. What a drain calls is in one of these tables, or the tests fail.

/// What each call fails with, beside killing the process at it: EIO, and what else the kernel may say there and
/// means something of its own. None where the kernel has nothing to say (the process's own limits, the wake-up of a
/// thread), or where the runtime does not do without at its very start (a socketpair for the signals).
pub const CALLS: &[(&str, &[&str])] = &[
    // Files.
    ("access", &["EIO"]),
    ("close", &["EIO", "EINTR"]),
    ("faccessat", &["EIO", "ENOMEM"]),
    ("fallocate", &["EIO", "ENOSPC", "EOPNOTSUPP"]),
    ("fcntl", &["EIO", "EAGAIN", "EMFILE"]),
    ("fdatasync", &["EIO", "ENOSPC"]),
    ("flock", &["EIO", "EAGAIN", "ENOLCK"]),
    ("fstat", &["EIO", "ENOMEM"]),
    ("fstatfs", &["EIO"]),
    ("fsync", &["EIO", "ENOSPC"]),
    ("getcwd", &["EIO"]),
    ("getdents64", &["EIO", "ENOMEM"]),
    ("ioctl", &["EIO"]),
    ("linkat", &["EIO", "ENOSPC"]),
    ("lseek", &["EIO"]),
    ("mkdirat", &["EIO", "ENOSPC"]),
    ("newfstatat", &["EIO", "ENOMEM"]),
    ("openat", &["EIO", "EMFILE", "ENOSPC"]),
    ("pread64", &["EIO", "EINTR"]),
    ("pwrite64", &["EIO", "ENOSPC", "EINTR"]),
    ("read", &["EIO", "EINTR"]),
    ("readlink", &["EIO"]),
    ("renameat", &["EIO", "ENOSPC"]),
    ("renameat2", &["EIO", "ENOSPC"]),
    ("statx", &["EIO", "ENOMEM"]),
    ("unlinkat", &["EIO", "EPERM"]),
    ("utimensat", &["EIO"]),
    ("write", &["EIO", "ENOSPC", "EINTR"]),
    // The network.
    ("connect", &["EIO", "ENETUNREACH"]),
    ("getpeername", &["EIO"]),
    ("getsockname", &["EIO"]),
    ("getsockopt", &["EIO"]),
    ("recvfrom", &["EIO", "EINTR"]),
    ("setsockopt", &["EIO"]),
    ("socket", &["EIO", "EMFILE", "ENOMEM"]),
    ("socketpair", &[]),
    ("writev", &["EIO", "EINTR"]),
    // Waiting, and what else is to be had of the system.
    ("clone3", &["EAGAIN", "ENOMEM"]),
    ("epoll_create1", &["EMFILE", "ENOMEM"]),
    ("epoll_ctl", &["ENOMEM", "ENOSPC"]),
    ("epoll_wait", &["EINTR"]),
    ("eventfd2", &["EMFILE", "ENOMEM"]),
    ("futex", &[]),
    ("pipe2", &["EIO", "EMFILE"]),
    ("prctl", &["EINVAL", "EPERM"]),
    ("prlimit64", &[]),
    ("sched_getaffinity", &["EIO"]),
    ("wait4", &["EINTR"]),
    ("waitid", &["EINTR"]),
    // Commands.
    ("kill", &["EPERM"]),
    ("pidfd_open", &["ENOSYS", "EMFILE"]),
];

/// How often a thread waits is up to the machine: it may find all that it waits for at once, or bit by bit.
pub const UP_TO_THE_MACHINE: &[&str] = &["epoll_wait", "futex"];

/// What a lane does only in a run that takes a while: it looks whether there are stories and pauses at all, where their
/// folders were left alone for long enough to tell (ADR 13). Those of a first start have just been made.
pub const UP_TO_THE_TIME: &[&str] = &["getdents64"];

/// What fails only where it is done to a story. Elsewhere it wakes a thread, which cannot fail, or it is the log.
pub const AT_STORIES: &[&str] = &["write"];

/// What is left alone, and why.
pub const LEFT_ALONE: &[(&[&str], &str)] = &[
    (
        &["execve", "arch_prctl", "rseq", "set_robust_list", "set_tid_address", "sigaltstack", "poll"],
        "the C library and the standard library make ready before main; nothing of ours has begun",
    ),
    (
        &["brk", "madvise", "mmap", "mprotect", "munmap"],
        "memory of the process: a death here is one at the next call, and without memory Rust ends the process",
    ),
    (
        &["rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "getpid", "gettid", "geteuid"],
        "cannot fail, and nobody outside sees it",
    ),
    (&["getrandom"], "cannot fail once the machine has started; what it gives is seen at the next call"),
    (&["exit", "exit_group"], "do not return, and end the process anyway"),
];
