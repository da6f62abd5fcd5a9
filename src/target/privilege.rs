//! What is left of root, where this process was started as root and its programs run as somebody else.
//!
//! The thread's permitted capabilities tell it, see `capabilities(7)`: who has given root up for good has none.

use super::program::Account;
use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

impl Account {
    /// Whether that is who we are already.
    pub fn is_us(&self) -> bool {
        (self.uid, self.gid) == (geteuid().as_raw(), getegid().as_raw())
    }

    /// Whether a program that we start can be this account: it is our own, or we are root, or have kept that.
    pub fn can_be_had(&self) -> bool {
        let needed = CapabilitySet::SETUID | CapabilitySet::SETGID;
        self.is_us() || capabilities(None).is_ok_and(|ours| ours.permitted.contains(needed))
    }
}

/// Does something with all that this thread may do, and has no more than before afterwards. Most often there
/// is nothing to be had.
pub fn with_all_privileges<T>(act: impl FnOnce() -> T) -> T {
    let Ok(usual) = capabilities(None) else { return act() };
    if usual.permitted == usual.effective {
        return act();
    }
    // A failure shows by what then cannot be done.
    let _ = set_capabilities(None, CapabilitySets { effective: usual.permitted, ..usual });
    let _back = Back(usual);
    act()
}

/// Gives back what was only borrowed.
struct Back(CapabilitySets);

impl Drop for Back {
    fn drop(&mut self) {
        set_capabilities(None, self.0).expect("a thread may always have less");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Gid, Uid};
    use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
    use std::thread;

    fn account(uid: u32, gid: u32) -> Account {
        Account { name: "app".into(), uid, gid, home: "/".into() }
    }

    #[test]
    fn who_has_kept_root_can_start_anybody_and_who_has_given_it_up_only_himself() {
        if !geteuid().is_root() {
            assert!(!account(0, 0).can_be_had());
            return;
        }
        assert!(account(65_534, 65_534).can_be_had());
        let (user, group) = (Uid::from_raw(65_534), Gid::from_raw(65_534));
        for (saved, can_be_root) in [(Uid::ROOT, true), (user, false)] {
            // Linux keeps credentials per thread.
            let tried = thread::spawn(move || {
                set_thread_res_gid(group, group, group).unwrap();
                set_thread_res_uid(user, user, saved).unwrap();
                let effective = || capabilities(None).unwrap().effective;
                let within = with_all_privileges(effective);
                let had = [account(0, 0), account(33, 33), account(65_534, 65_534)].map(|who| who.can_be_had());
                (had, within.is_empty(), effective().is_empty())
            });
            let expected = ([can_be_root, can_be_root, true], !can_be_root, true);
            assert_eq!(tried.join().unwrap(), expected, "{saved:?}");
        }
    }
}
