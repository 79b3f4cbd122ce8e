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
    /// What the peer may send before any of it is taken: `left`, `taken` and what the application has not taken.
    size: u32,
}

impl ReceiveWindow {
    pub fn new(size: u32) -> ReceiveWindow {
        debug_assert!(size <= WINDOW_MAX);
        ReceiveWindow { left: size as i32, taken: 0, size }
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
        self.size = (i64::from(self.size) + delta).max(0) as u32;
        Ok(())
    }

    /// The application took `n` bytes. Gives the increment to announce once half of the window has come together; the
    /// window then grows to `size`, or shrinks towards it by keeping what was taken.
    pub fn release(&mut self, n: u32, size: u32) -> Option<u32> {
        self.taken = self.taken.saturating_add(n);
        if self.taken < (self.size / 2).max(1) {
            return None;
        }
        let kept = self.taken.min(self.size.saturating_sub(size));
        self.size -= kept;
        let taken = std::mem::take(&mut self.taken) - kept;
        self.open(taken.saturating_add(size.saturating_sub(self.size)), taken)
    }

    /// Opens the window by up to `n` bytes more; gives the increment to announce.
    pub fn grow(&mut self, n: u32) -> Option<u32> {
        self.open(n, 0)
    }

    /// Opens the window by up to `n` bytes, of which `taken` have filled it before.
    fn open(&mut self, n: u32, taken: u32) -> Option<u32> {
        let most = i64::from(WINDOW_MAX) - i64::from(self.left);
        let increment = i64::from(n).min(most);
        self.left = (i64::from(self.left) + increment) as i32;
        self.size = (i64::from(self.size) + increment - i64::from(taken)).clamp(0, i64::from(WINDOW_MAX)) as u32;
        (increment > 0).then_some(increment as u32)
    }
}

fn shifted(window: i32, delta: i64) -> Result<i32, Overflow> {
    i32::try_from(i64::from(window) + delta).map_err(|_| Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_grows_and_shrinks_with_its_share_and_stays_what_it_says() {
        let mut window = ReceiveWindow::new(1000);
        let (mut left, mut held) = (1000u32, 0u32);
        // Share that holds then, bytes that come, bytes that are taken.
        for (size, comes, takes) in [
            (1000, 1000, 400),
            (1000, 0, 200),
            (5000, 500, 300),
            (5000, 300, 900),
            (5000, 4000, 2500),
            (500, 0, 1500),
            (500, 2400, 2400),
            (500, 100, 100),
            (500, 400, 400),
            (500, 600, 600),
            (500, 500, 500),
        ] {
            let comes = comes.min(left);
            window.receive(comes).expect("within the window");
            (left, held) = (left - comes, held + comes);
            let takes = takes.min(held);
            held -= takes;
            left += window.release(takes, size).unwrap_or(0);
            assert_eq!(window.left, left as i32);
            assert_eq!(window.size, left + held + window.taken, "at {size}");
            assert!(window.size >= 500.min(size) && window.size <= 5000);
        }
        assert_eq!(window.size, 500);
    }

    #[test]
    fn small_bodies_are_not_announced() {
        let mut window = ReceiveWindow::new(65_535);
        window.receive(1000).expect("within the window");
        assert_eq!(window.release(1000, 1 << 20), None);
    }
}
