//! What a process asks of the kernel once: signals as a descriptor, fork, identities. Calls that need `unsafe` and are no
//! operation of the ring.

use super::driver::Fd;
use std::ffi::CString;
use std::io;
use std::mem::zeroed;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

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

    /// The next signal that has arrived, and the number that came with it: 0 unless the sender [queued](queue) one.
    pub fn next(&self) -> Option<(i32, i32)> {
        // SAFETY: all-zero is a valid signalfd_siginfo; the read is at most its size.
        unsafe {
            let mut info: libc::signalfd_siginfo = zeroed();
            let size = size_of::<libc::signalfd_siginfo>();
            let n = libc::read(self.fd, (&raw mut info).cast(), size);
            let value = if info.ssi_code == libc::SI_QUEUE { info.ssi_int } else { 0 };
            (n == size as isize).then_some((info.ssi_signo as i32, value))
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

/// Gives memory that is free back to the system: the C library keeps it for later.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, and only touches memory that nobody uses.
    unsafe {
        libc::malloc_trim(0);
    }
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

/// execvp(2): this process becomes another program, found as a shell finds it, with its own environment and `variable`.
/// Descriptors that are not closed on exec, blocked signals and those that wait stay as they are, so none is lost on the
/// way. Comes back only on failure.
pub fn execute(program: &str, arguments: &[String], variable: (&str, &str)) -> io::Error {
    let text = |bytes: &[u8]| CString::new(bytes).unwrap_or_default();
    let words: Vec<CString> = arguments.iter().map(|a| text(a.as_bytes())).collect();
    let kept = std::env::vars_os().filter(|(name, _)| name != variable.0);
    let kept = kept.map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()));
    let added = text(format!("{}={}", variable.0, variable.1).as_bytes());
    let environment: Vec<CString> = kept.chain([added]).collect();
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (name, arguments, variables) = (text(program.as_bytes()), pointers(&words), pointers(&environment));
    // SAFETY: all strings are ended by zero bytes and both lists by null pointers, and they live until the call is over.
    unsafe { libc::execvpe(name.as_ptr(), arguments.as_ptr(), variables.as_ptr()) };
    io::Error::last_os_error()
}

/// A descriptor that this process was started with, by its number. `None`: it is not open, or a standard one.
///
/// The caller is told the number by who opened it for us, and asks for it once.
pub fn inherited(fd: Fd) -> Option<OwnedFd> {
    // SAFETY: it is open, and it is nobody else's: it was passed for us to own.
    (fd > 2 && is_open(fd)).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// kill(2).
///
/// # Errors
/// Those of kill(2).
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: a system call on numbers.
    if unsafe { libc::kill(pid, signal) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends a signal with a number, which only [`Signals`] tells.
///
/// # Errors
/// Those of sigqueue(3).
pub fn queue(pid: i32, signal: i32, value: i32) -> io::Result<()> {
    let value = libc::sigval { sival_ptr: std::ptr::without_provenance_mut(value as usize) };
    // SAFETY: a system call on numbers: the pointer is one, and nobody follows it.
    if unsafe { libc::sigqueue(pid, signal, value) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
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

/// Lets the kernel write a core of this process.
pub fn allow_core_dumps() {
    // SAFETY: a system call on numbers; a refusal changes nothing.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
}

/// Programs that this process runs from now on gain nothing by set-user-id bits.
pub fn forbid_new_privileges() {
    // SAFETY: a system call on numbers; a refusal changes nothing.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
}

/// Detaches from the terminal: a session of its own, standard descriptors on /dev/null.
pub fn detach() {
    // SAFETY: a system call without arguments.
    unsafe { libc::setsid() };
    silence();
}

/// Puts the standard descriptors on /dev/null.
pub fn silence() {
    // SAFETY: system calls on numbers and a static path.
    unsafe {
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
