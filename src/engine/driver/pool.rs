//! Memory of receive buffers: address space for all that a group may have is reserved at the start, pages cost memory when
//! they are first used, and buffers come into use as the load asks for them and leave it when it no longer does.

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

/// Which buffers of a group are in use.
pub(super) struct Stock {
    group: Group,
    /// Buffers that were ever in use.
    made: u16,
    /// Those that no longer are; the one that left last comes back first.
    retired: Vec<u16>,
}

impl Stock {
    pub fn new(group: Group) -> Stock {
        Stock { group, made: 0, retired: Vec::new() }
    }

    pub fn in_use(&self) -> u16 {
        self.made - self.retired.len() as u16
    }

    pub fn is_made(&self, id: u16) -> bool {
        id < self.made
    }

    /// A buffer that comes into use; `None` when all are.
    pub fn add(&mut self) -> Option<u16> {
        if let Some(id) = self.retired.pop() {
            return Some(id);
        }
        let id = self.made;
        (id < BUFFERS_MAX[self.group as usize]).then(|| {
            self.made += 1;
            id
        })
    }

    /// # Safety
    /// `memory` is the whole group's, and nobody uses the buffer `id` of it.
    pub unsafe fn retire(&mut self, id: u16, memory: *mut u8) {
        debug_assert!(id < self.made && !self.retired.contains(&id));
        let size = BUFFER_SIZE[self.group as usize];
        // SAFETY: the range lies in the mapping, on whole pages, and its content is nobody's. A refusal only costs memory.
        unsafe { libc::madvise(memory.add(id as usize * size).cast(), size, libc::MADV_DONTNEED) };
        self.retired.push(id);
    }
}

/// Buffers of a group that nobody but this thread hands out. The one that came home last goes out first: it is warm.
pub(super) struct Pool {
    group: Group,
    memory: *mut u8,
    /// Each that is in use is either free or out.
    stock: Stock,
    free: Vec<u16>,
}

impl Pool {
    pub fn new(group: Group) -> io::Result<Pool> {
        let memory = map(Pool::bytes(group))?;
        let free = Vec::with_capacity(BUFFERS_MAX[group as usize].into());
        let mut pool = Pool { group, memory, stock: Stock::new(group), free };
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
        debug_assert!(self.stock.is_made(id) && !self.free.contains(&id));
        self.free.push(id);
    }

    pub fn retire(&mut self, id: u16) {
        debug_assert!(!self.free.contains(&id));
        // SAFETY: the memory is the group's, and who had the buffer gives it away.
        unsafe { self.stock.retire(id, self.memory) };
    }

    pub fn address(&self, id: u16) -> *mut u8 {
        debug_assert!(self.stock.is_made(id));
        // SAFETY: `id` was handed out by this pool, so it is below the most buffers and the result lies in the mapping.
        unsafe { self.memory.add(id as usize * BUFFER_SIZE[self.group as usize]) }
    }

    pub fn in_use(&self) -> usize {
        self.stock.in_use().into()
    }

    /// Twice as many buffers; false when the group has all it may have.
    pub fn grow(&mut self) -> bool {
        let before = self.stock.in_use();
        self.make(before);
        self.stock.in_use() > before
    }

    fn make(&mut self, count: u16) {
        self.free.extend((0..count).map_while(|_| self.stock.add()));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this length, and leases of its buffers keep the driver alive.
        unsafe { libc::munmap(self.memory.cast(), Pool::bytes(self.group)) };
    }
}
