//! Memory of receive buffers: address space for all that a group may have is reserved at the start, pages cost memory when
//! they are first used, and buffers come into use as the load asks for them.

use super::{BUFFER_SIZE, Group};
use std::io;

/// Buffers of a group at most.
pub(super) const BUFFERS_MAX: [u16; 2] = [2048, 512];
/// Buffers of a group at the start.
pub(super) const BUFFERS_START: [u16; 2] = [32, 8];

/// Bytes of address space that a driver reserves for its buffers.
pub const RESERVED: usize = BUFFERS_MAX[0] as usize * BUFFER_SIZE[0] + BUFFERS_MAX[1] as usize * BUFFER_SIZE[1];

/// Zeroed anonymous memory. Whoever maps it says when it may go: never, where a ring of the kernel's reads it.
pub(super) fn map(bytes: usize) -> io::Result<*mut u8> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
    let p = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if p == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(p.cast()) }
}

/// Buffers of a group that nobody but this thread hands out. The one that came home last goes out first: it is warm.
pub(super) struct Pool {
    group: Group,
    memory: *mut u8,
    /// Buffers in use until now; each is either free or out.
    made: u16,
    free: Vec<u16>,
}

impl Pool {
    pub fn new(group: Group) -> io::Result<Pool> {
        let memory = map(Pool::bytes(group))?;
        let free = Vec::with_capacity(BUFFERS_MAX[group as usize].into());
        let mut pool = Pool { group, memory, made: 0, free };
        pool.make(BUFFERS_START[group as usize]);
        Ok(pool)
    }

    fn bytes(group: Group) -> usize {
        BUFFERS_MAX[group as usize] as usize * BUFFER_SIZE[group as usize]
    }

    pub fn take(&mut self) -> Option<u16> {
        self.free.pop()
    }

    pub fn give(&mut self, id: u16) {
        debug_assert!(id < self.made && !self.free.contains(&id));
        self.free.push(id);
    }

    pub fn address(&self, id: u16) -> *mut u8 {
        debug_assert!(id < self.made);
        // SAFETY: `id` was handed out by this pool, so it is below the most buffers and the result lies in the mapping.
        unsafe { self.memory.add(id as usize * BUFFER_SIZE[self.group as usize]) }
    }

    /// Buffers in use until now.
    pub fn made(&self) -> usize {
        self.made.into()
    }

    /// Twice as many buffers; false when the group has all it may have.
    pub fn grow(&mut self) -> bool {
        let before = self.made;
        self.make(self.made);
        self.made > before
    }

    fn make(&mut self, count: u16) {
        let end = self.made.saturating_add(count).min(BUFFERS_MAX[self.group as usize]);
        self.free.extend(self.made..end);
        self.made = end;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this length, and leases of its buffers keep the driver alive.
        unsafe { libc::munmap(self.memory.cast(), Pool::bytes(self.group)) };
    }
}
