//! The io_uring driver: one ring per thread, single issuer, deferred task work, registered ring descriptor, provided
//! buffer rings of two sizes. Refuses to exist where the kernel lacks what it needs, and says what to do.

use super::pool::{BUFFERS_MAX, BUFFERS_START, Stock, map};
use super::{BUFFER_SIZE, Completion, Driver, Group, Op, Token, WAKE_TOKEN, WakeHandle};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue, types};
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

/// Submission entries; more operations in one turn cost one more `enter`.
const SQ_ENTRIES: u32 = 256;
/// Completion entries; the kernel keeps an overflow list beyond.
const CQ_ENTRIES: u32 = 4096;
/// Result codes that the reactor never sees: completions of cancels, closes and wakes that we do not track.
const IGNORED: u64 = u64::MAX - 1;

pub struct Uring {
    ring: IoUring,
    groups: [BufferRing; 2],
    no_iowait: bool,
    /// Operations beyond the submission queue, in order. Only when an `enter` could not take more.
    backlog: std::collections::VecDeque<squeue::Entry>,
}

impl Uring {
    /// # Errors
    /// When the kernel refuses: the message says why and what to do.
    pub fn new() -> io::Result<Uring> {
        let mut ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            // Without it an `enter` that does not wait would only submit: while some task is always ready, no completion
            // would ever be taken.
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(CQ_ENTRIES)
            .dontfork()
            .build(SQ_ENTRIES)
            .map_err(explain)?;
        if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this kernel's io_uring is too old: use Linux 6.1 or newer",
            ));
        }
        let no_iowait = ring.params().is_feature_no_iowait();
        // A convenience that old kernels lack; without it each enter looks its descriptor up.
        let _ = ring.submitter().register_ring_fd();
        let groups = [BufferRing::new(&mut ring, Group::Small)?, BufferRing::new(&mut ring, Group::Large)?];
        Ok(Uring { ring, groups, no_iowait, backlog: Default::default() })
    }

    fn entry(token: Token, op: Op) -> squeue::Entry {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let entry = match op {
            Op::Accept { fd } => {
                opcode::AcceptMulti::new(types::Fd(fd)).flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK).build()
            }
            Op::Recv { fd, group } => opcode::RecvMulti::new(types::Fd(fd), group as u16).build(),
            Op::RecvInto { fd, data, len } => opcode::Recv::new(types::Fd(fd), data, len).build(),
            Op::Send { fd, data, len } => opcode::Send::new(types::Fd(fd), data, len).flags(flags).build(),
            Op::SendNow { fd, data, len } => {
                let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
                opcode::Send::new(types::Fd(fd), data, len).flags(flags).build()
            }
            Op::SendMsg { fd, message } => {
                opcode::SendMsg::new(types::Fd(fd), message.cast::<libc::msghdr>()).flags(flags as u32).build()
            }
            Op::Connect { fd, address } => {
                // SAFETY: the caller of `push` keeps the name alive; only its address and length are read here.
                let (storage, len) = unsafe { (&raw const (*address).storage, (*address).len) };
                opcode::Connect::new(types::Fd(fd), storage.cast(), len).build()
            }
            Op::Poll { fd, events } => opcode::PollAdd::new(types::Fd(fd), events as u32).build(),
            Op::Cancel { target, .. } => return opcode::AsyncCancel::new(target.0).build().user_data(IGNORED),
            Op::Close { fd } => return opcode::Close::new(types::Fd(fd)).build().user_data(IGNORED),
            Op::Wake { peer } => {
                return opcode::MsgRingData::new(types::Fd(peer.0), 0, WAKE_TOKEN.0, None).build().user_data(IGNORED);
            }
        };
        entry.user_data(token.0)
    }

    /// Puts an entry into the submission queue, entering the kernel when it is full.
    fn queue(&mut self, entry: squeue::Entry) {
        if self.backlog.is_empty() {
            // SAFETY: the memory that the entry names is kept by the caller of `push` until the final completion.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
            let _ = self.ring.submit();
            // SAFETY: as above.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
        }
        self.backlog.push_back(entry);
    }
}

impl Driver for Uring {
    unsafe fn push(&mut self, token: Token, op: Op) {
        self.queue(Self::entry(token, op));
    }

    fn enter(&mut self, wait_ms: Option<u64>, out: &mut Vec<Completion>) -> io::Result<()> {
        while let Some(entry) = self.backlog.front() {
            // SAFETY: the memory that the entry names is kept by the caller of `push` until the final completion.
            if unsafe { self.ring.submission().push(entry) }.is_err() {
                break;
            }
            self.backlog.pop_front();
        }
        let want = if wait_ms == Some(0) || !self.backlog.is_empty() { 0 } else { 1 };
        let wait_ms = if want == 0 { Some(0) } else { wait_ms };
        let span = wait_ms.map(|ms| types::Timespec::new().sec(ms / 1000).nsec((ms % 1000) as u32 * 1_000_000));
        let args = match &span {
            Some(span) => types::SubmitArgs::new().timespec(span),
            None => types::SubmitArgs::new(),
        };
        let flags = if self.no_iowait { EnterFlags::NO_IOWAIT } else { EnterFlags::empty() };
        let entered = self.ring.submitter().submit_with_args_and_flags(want, &args, flags);
        for c in self.ring.completion() {
            if c.user_data() == IGNORED {
                continue;
            }
            out.push(Completion {
                token: Token(c.user_data()),
                result: c.result(),
                more: cqueue::more(c.flags()),
                buffer: cqueue::buffer_select(c.flags()),
            });
        }
        match entered {
            Ok(_) => Ok(()),
            // The wait ended, a signal came, or completions must be taken first: all normal.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)) => {
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    fn buffer(&self, group: Group, id: u16) -> *mut u8 {
        self.groups[group as usize].address(id)
    }

    fn recycle(&mut self, group: Group, id: u16) {
        self.groups[group as usize].provide(id);
    }

    fn retire(&mut self, group: Group, id: u16) {
        self.groups[group as usize].retire(id);
    }

    fn grow(&mut self, group: Group) -> bool {
        self.groups[group as usize].grow()
    }

    fn buffers(&self, group: Group) -> usize {
        self.groups[group as usize].stock.in_use().into()
    }

    fn wake_handle(&self) -> WakeHandle {
        use std::os::fd::AsRawFd;
        WakeHandle(self.ring.as_raw_fd())
    }

    fn name(&self) -> &'static str {
        "io_uring"
    }
}

/// Receive buffers that the kernel picks from. Address space for all of them is reserved at the start; pages cost
/// memory when they are first used, and buffers are handed to the kernel as the load asks for them.
struct BufferRing {
    group: Group,
    /// The ring that the kernel reads, `entries` long.
    ring: *mut types::BufRingEntry,
    entries: u16,
    tail: u16,
    memory: *mut u8,
    /// Each that is in use is either the kernel's or handed out.
    stock: Stock,
}

impl BufferRing {
    fn new(ring: &mut IoUring, group: Group) -> io::Result<BufferRing> {
        let entries = BUFFERS_MAX[group as usize];
        let ring_bytes = entries as usize * size_of::<types::BufRingEntry>();
        let area = map(ring_bytes)?;
        let memory = map(entries as usize * BUFFER_SIZE[group as usize])?;
        // SAFETY: the area is page-aligned, large enough, and lives as long as the process: it is never unmapped.
        unsafe { ring.submitter().register_buf_ring_with_flags(area as u64, entries, group as u16, 0) }
            .map_err(explain)?;
        let mut b = BufferRing { group, ring: area.cast(), entries, tail: 0, memory, stock: Stock::new(group) };
        b.make(BUFFERS_START[group as usize]);
        Ok(b)
    }

    fn address(&self, id: u16) -> *mut u8 {
        debug_assert!(self.stock.is_made(id));
        // SAFETY: `id` is below `entries`, so the result lies in the mapping.
        unsafe { self.memory.add(id as usize * BUFFER_SIZE[self.group as usize]) }
    }

    /// Hands a buffer to the kernel.
    fn provide(&mut self, id: u16) {
        let slot = self.tail & (self.entries - 1);
        let address = self.address(id);
        // SAFETY: `slot` is below `entries`; the kernel reads an entry only after the tail has passed it.
        unsafe {
            let entry = &mut *self.ring.add(slot as usize);
            entry.set_addr(address as u64);
            entry.set_len(BUFFER_SIZE[self.group as usize] as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry's reserved field, which the kernel reads with acquire order.
        unsafe {
            let tail = types::BufRingEntry::tail(self.ring).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }

    fn make(&mut self, count: u16) {
        for _ in 0..count {
            let Some(id) = self.stock.add() else { return };
            self.provide(id);
        }
    }

    fn retire(&mut self, id: u16) {
        // SAFETY: the memory is the group's, and who had the buffer gives it away: the kernel gets it with `provide` only.
        unsafe { self.stock.retire(id, self.memory) };
    }

    fn grow(&mut self) -> bool {
        let before = self.stock.in_use();
        self.make(before);
        self.stock.in_use() > before
    }
}

/// Says why the kernel refuses io_uring, and what to do.
fn explain(e: io::Error) -> io::Error {
    let setting = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    let advice = match e.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) if matches!(setting.trim(), "1" | "2") => {
            "the sysctl kernel.io_uring_disabled forbids it: set it to 0 (sysctl -w kernel.io_uring_disabled=0)".to_string()
        }
        Some(libc::EPERM | libc::EACCES) => {
            "a seccomp filter or security module forbids it: allow io_uring_setup, io_uring_enter and io_uring_register \
             in the container's seccomp profile"
                .to_string()
        }
        Some(libc::ENOSYS) => "this kernel was built without io_uring, or a seccomp filter hides it".to_string(),
        Some(libc::EINVAL) => "this kernel is too old: use Linux 6.1 or newer".to_string(),
        Some(libc::ENOMEM) => "no memory for the ring: raise RLIMIT_MEMLOCK (ulimit -l)".to_string(),
        _ => return io::Error::new(e.kind(), format!("cannot set up io_uring: {e}")),
    };
    io::Error::new(e.kind(), format!("cannot set up io_uring: {e}: {advice}"))
}
