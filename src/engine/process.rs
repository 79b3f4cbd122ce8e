//! What a process asks of the kernel once: signals as a descriptor, fork, identities. Calls that need `unsafe` and are no
//! operation of the ring.

use super::driver::Fd;
use std::io;
use std::mem::zeroed;

/// Signals that are taken from a descriptor instead of by handlers.
pub struct Signals {
    fd: Fd,
}

impl Signals {
    /// Blocks `signals` for this thread and those it starts, and opens the descriptor they arrive on.
    ///
    /// # Errors
    /// Those of signalfd(2).
    pub fn take(signals: &[i32]) -> io::Result<Signals> {
        // SAFETY: the set is initialised by sigemptyset before it is read; all pointers are to live locals.
        let fd = unsafe {
            let mut set: libc::sigset_t = zeroed();
            libc::sigemptyset(&mut set);
            for signal in signals {
                libc::sigaddset(&mut set, *signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(Signals { fd }) }
    }

    pub fn fd(&self) -> Fd {
        self.fd
    }

    /// The next signal that has arrived.
    pub fn next(&self) -> Option<i32> {
        // SAFETY: all-zero is a valid signalfd_siginfo; the read is at most its size.
        unsafe {
            let mut info: libc::signalfd_siginfo = zeroed();
            let size = size_of::<libc::signalfd_siginfo>();
            let n = libc::read(self.fd, (&raw mut info).cast(), size);
            (n == size as isize).then_some(info.ssi_signo as i32)
        }
    }
}

/// Ignores a signal for the whole process.
pub fn ignore(signal: i32) {
    // SAFETY: SIG_IGN is a valid disposition for any signal that may be ignored.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Restores default handling of `signal` and lets this thread get it.
pub fn restore(signal: i32) {
    // SAFETY: the set is initialised before use; SIG_DFL is valid for any signal.
    unsafe {
        let mut set: libc::sigset_t = zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::signal(signal, libc::SIG_DFL);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
    }
}

/// No huge pages for this process: it starts small and grows by what it touches. With them the allocator's first pages
/// alone took 10 MB.
pub fn small_pages() {
    // SAFETY: a system call on numbers; a refusal changes nothing.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// What a fork made of this process.
pub enum Forked {
    Parent(i32),
    Child,
}

/// fork(2). Only while this process has a single thread.
///
/// # Errors
/// Those of fork(2).
pub fn fork() -> io::Result<Forked> {
    // SAFETY: called before any thread is started, so that the child's copy of memory is consistent.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// kill(2).
///
/// # Errors
/// Those of kill(2).
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: a system call on numbers.
    if unsafe { libc::kill(pid, signal) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives up the supplementary groups, then the group, then the user of this process.
///
/// # Errors
/// Those of setgroups(2), setgid(2) and setuid(2), with the name of the call.
pub fn become_user(uid: Option<u32>, gid: Option<u32>) -> Result<(), (&'static str, io::Error)> {
    // SAFETY: system calls on numbers; libc applies them to all threads, and there is one.
    unsafe {
        if let Some(gid) = gid {
            if libc::getuid() == 0 && libc::setgroups(0, std::ptr::null()) < 0 {
                return Err(("setgroups", io::Error::last_os_error()));
            }
            if libc::setgid(gid) < 0 {
                return Err(("setgid", io::Error::last_os_error()));
            }
        }
        if let Some(uid) = uid
            && libc::setuid(uid) < 0
        {
            return Err(("setuid", io::Error::last_os_error()));
        }
        // After a change of identity the kernel would refuse core dumps and, to `/proc`, the owner.
        libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
    }
    Ok(())
}

/// Detaches from the terminal: a session of its own, standard descriptors on /dev/null.
pub fn detach() {
    // SAFETY: system calls on numbers and a static path.
    unsafe {
        libc::setsid();
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        if null >= 0 {
            for fd in 0..3 {
                libc::dup2(null, fd);
            }
            if null > 2 {
                libc::close(null);
            }
        }
    }
}

/// Seconds that local time is ahead of UTC at `seconds` since 1970.
pub fn utc_offset(seconds: i64) -> i32 {
    // SAFETY: both pointers are to live locals; localtime_r writes the whole structure.
    unsafe {
        let mut tm: libc::tm = zeroed();
        libc::localtime_r(&seconds, &mut tm);
        tm.tm_gmtoff as i32
    }
}

/// Whether a descriptor is open.
pub fn is_open(fd: Fd) -> bool {
    // SAFETY: a system call on a number.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// A duplicate that is closed on exec.
///
/// # Errors
/// Those of fcntl(2).
pub fn duplicate(fd: Fd) -> io::Result<Fd> {
    // SAFETY: a system call on numbers.
    let r = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(r) }
}
