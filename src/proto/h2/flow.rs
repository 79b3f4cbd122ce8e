//! Flow control (RFC 9113 §5.2, §6.9): windows that the peer opens for us, and ours that the peer fills.

/// The largest window.
pub const WINDOW_MAX: u32 = (1 << 31) - 1;

/// The window of a connection, and of streams until SETTINGS say otherwise.
pub const WINDOW_DEFAULT: u32 = 65535;

/// A window above [`WINDOW_MAX`], or more DATA than one allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// How much DATA the peer lets us send.
#[derive(Clone, Copy, Debug)]
pub struct SendWindow(i32);

impl SendWindow {
    pub fn new(size: u32) -> SendWindow {
        debug_assert!(size <= WINDOW_MAX);
        SendWindow(size as i32)
    }

    /// Bytes that may go.
    pub fn room(self) -> usize {
        self.0.max(0) as usize
    }

    /// WINDOW_UPDATE.
    pub fn open(&mut self, increment: u32) -> Result<(), Overflow> {
        self.shift(i64::from(increment))
    }

    /// The peer changed its initial window size by `delta`; the window may fall below zero (RFC 9113 §6.9.2).
    pub fn shift(&mut self, delta: i64) -> Result<(), Overflow> {
        self.0 = shifted(self.0, delta)?;
        Ok(())
    }

    /// `len` bytes go, at most the room there is.
    pub fn take(&mut self, len: usize) {
        debug_assert!(len <= self.room());
        self.0 -= len as i32;
    }
}

/// How much DATA we let the peer send.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveWindow {
    /// What the peer may still send; below zero after the initial size fell.
    left: i32,
    /// Bytes that were taken by the application and are not yet announced.
    taken: u32,
}

impl ReceiveWindow {
    pub fn new(size: u32) -> ReceiveWindow {
        debug_assert!(size <= WINDOW_MAX);
        ReceiveWindow { left: size as i32, taken: 0 }
    }

    /// `len` bytes came. None are always fine, whatever the window.
    pub fn receive(&mut self, len: u32) -> Result<(), Overflow> {
        let left = i64::from(self.left) - i64::from(len);
        if len > 0 && left < 0 {
            return Err(Overflow);
        }
        self.left = left as i32;
        Ok(())
    }

    /// The initial size changed by `delta`.
    pub fn shift(&mut self, delta: i64) -> Result<(), Overflow> {
        self.left = shifted(self.left, delta)?;
        Ok(())
    }

    /// The application took `n` bytes. Gives the increment to announce once half of `size` has come together.
    pub fn release(&mut self, n: u32, size: u32) -> Option<u32> {
        self.taken = self.taken.saturating_add(n);
        if self.taken < (size / 2).max(1) {
            return None;
        }
        let increment = std::mem::take(&mut self.taken);
        self.grow(increment)
    }

    /// Opens the window by up to `n` bytes more; gives the increment to announce.
    pub fn grow(&mut self, n: u32) -> Option<u32> {
        let most = i64::from(WINDOW_MAX) - i64::from(self.left);
        let increment = i64::from(n).min(most);
        self.left = (i64::from(self.left) + increment) as i32;
        (increment > 0).then_some(increment as u32)
    }
}

fn shifted(window: i32, delta: i64) -> Result<i32, Overflow> {
    i32::try_from(i64::from(window) + delta).map_err(|_| Overflow)
}
