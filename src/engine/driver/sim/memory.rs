//! What operations name by address: receive buffers, and the memory that sends read. Watches that each buffer comes
//! home exactly once and that nobody touches a send before its final completion.

use super::super::{BUFFER_SIZE, Group, MsgBlock};
use super::random::Random;

/// The receive buffers of one group of one reactor.
pub(super) struct Buffers {
    memory: Box<[u8]>,
    size: usize,
    free: Vec<u16>,
    retired: Vec<u16>,
    /// Whether a buffer is with the reactor, and how much was put into it.
    out: Vec<Option<usize>>,
    max: usize,
}

/// What a buffer at home is filled with: whoever still reads it sees it.
const POISON: u8 = 0xDD;

impl Buffers {
    pub fn new(group: Group, start: usize, max: usize) -> Buffers {
        let size = BUFFER_SIZE[group as usize];
        let max = max.max(start);
        Buffers {
            memory: vec![0; max * size].into(),
            size,
            free: (0..start as u16).collect(),
            retired: Vec::new(),
            out: vec![None; start],
            max,
        }
    }

    pub fn take(&mut self, random: &mut Random) -> Option<u16> {
        let index = random.below(self.free.len() as u64) as usize;
        (!self.free.is_empty()).then(|| self.free.swap_remove(index))
    }

    /// The buffer's bytes, of which `len` will hold data.
    pub fn fill(&mut self, id: u16, len: usize) -> &mut [u8] {
        self.out[id as usize] = Some(len);
        let at = id as usize * self.size;
        &mut self.memory[at..at + len]
    }

    pub fn address(&self, id: u16) -> *mut u8 {
        self.memory[id as usize * self.size..].as_ptr().cast_mut()
    }

    /// False when the buffer is at home already.
    pub fn recycle(&mut self, id: u16) -> bool {
        let came = self.come_home(id);
        if came {
            self.free.push(id);
        }
        came
    }

    /// False when the buffer is not out.
    pub fn retire(&mut self, id: u16) -> bool {
        let came = self.come_home(id);
        if came {
            self.retired.push(id);
        }
        came
    }

    fn come_home(&mut self, id: u16) -> bool {
        let Some(Some(len)) = self.out.get(id as usize).copied() else { return false };
        self.out[id as usize] = None;
        let at = id as usize * self.size;
        self.memory[at..at + len].fill(POISON);
        true
    }

    pub fn grow(&mut self) -> bool {
        let before = self.in_use();
        for _ in 0..before {
            if let Some(id) = self.retired.pop() {
                self.free.push(id);
            } else if self.out.len() < self.max {
                self.free.push(self.out.len() as u16);
                self.out.push(None);
            }
        }
        self.in_use() > before
    }

    pub fn in_use(&self) -> usize {
        self.out.len() - self.retired.len()
    }

    pub fn away(&self) -> usize {
        self.out.iter().filter(|o| o.is_some()).count()
    }
}

/// The memory of a send, with a copy made when it was pushed.
pub(super) struct SendMemory {
    pieces: Vec<(*const u8, usize)>,
    pub copy: Vec<u8>,
    pub sent: usize,
}

impl SendMemory {
    /// # Safety
    /// The slice is readable until the operation's final completion.
    pub unsafe fn plain(data: *const u8, len: u32) -> SendMemory {
        // SAFETY: as this function's caller promises.
        unsafe { SendMemory::gather(vec![(data, len as usize)]) }
    }

    /// # Safety
    /// The message and its slices are readable until the operation's final completion.
    pub unsafe fn message(message: *const MsgBlock) -> SendMemory {
        // SAFETY: the message lives, and its header names that many slices; so do the slices.
        unsafe {
            let header = &(*message).header;
            let slices = std::slice::from_raw_parts(header.msg_iov, header.msg_iovlen);
            SendMemory::gather(slices.iter().map(|s| (s.iov_base.cast::<u8>().cast_const(), s.iov_len)).collect())
        }
    }

    unsafe fn gather(pieces: Vec<(*const u8, usize)>) -> SendMemory {
        let mut copy = Vec::with_capacity(pieces.iter().map(|p| p.1).sum());
        for &(data, len) in &pieces {
            // SAFETY: as the callers' callers promise.
            copy.extend_from_slice(unsafe { std::slice::from_raw_parts(data, len) });
        }
        SendMemory { pieces, copy, sent: 0 }
    }

    /// The memory still holds what it held when the send was pushed.
    ///
    /// # Safety
    /// Only before the operation's final completion was handed out.
    pub unsafe fn is_intact(&self) -> bool {
        let mut at = 0;
        self.pieces.iter().all(|&(data, len)| {
            // SAFETY: the pusher keeps the memory until the final completion.
            let now = unsafe { std::slice::from_raw_parts(data, len) };
            at += len;
            now == &self.copy[at - len..at]
        })
    }
}
