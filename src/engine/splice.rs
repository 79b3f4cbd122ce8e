//! Bulk between two sockets through a pipe, without a copy: splice(2) on readiness, until the kernel says EAGAIN.
//! IORING_OP_SPLICE is not used: it always goes to a kernel worker thread.

use super::conn::Conn;
use super::driver::{Fd, sockets};
use super::reactor::Rt;
use super::task::yield_now;
use std::io;

/// Bytes asked for at once, and the pipe's size where the system allows it.
const AMOUNT: usize = 1 << 20;
/// Bytes that one transfer moves in a turn of its worker.
const SHARE: usize = 1 << 19;

/// A pipe of one transfer; closed on drop.
pub struct Pipe {
    rt: Rt,
    read: Fd,
    write: Fd,
    held: usize,
    /// Moved since others had their turn.
    turn: usize,
}

impl Pipe {
    /// # Errors
    /// Those of pipe2(2).
    pub fn new(rt: &Rt) -> io::Result<Pipe> {
        let (read, write) = sockets::pipe(AMOUNT)?;
        Ok(Pipe { rt: rt.clone(), read, write, held: 0, turn: 0 })
    }

    /// Bytes in the pipe.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Waits for data of `from` and takes at most `most` bytes of it; 0 at the stream's end. `None`: this engine cannot
    /// splice.
    pub async fn fill(&mut self, from: &Conn, most: u64) -> Option<io::Result<usize>> {
        let amount = most.min(AMOUNT as u64) as usize;
        loop {
            match self.rt.driver(|d| d.splice(from.fd(), self.write, amount))? {
                Ok(n) => {
                    self.held += n;
                    return Some(Ok(n));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if let Err(e) = self.rt.poll_fd(from.fd(), libc::POLLIN | libc::POLLRDHUP).await {
                        return Some(Err(e));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Some(Err(e)),
            }
        }
    }

    /// Gives some of what is held to `to`, waiting for room; how much.
    ///
    /// # Errors
    /// Those of splice(2).
    pub async fn give(&mut self, to: &Conn) -> io::Result<usize> {
        loop {
            let moved = self.rt.driver(|d| d.splice(self.read, to.fd(), self.held));
            match moved.unwrap_or_else(|| Err(io::ErrorKind::Unsupported.into())) {
                Ok(n) => {
                    self.held -= n;
                    self.rt.emitted().add_spliced(n as u64, self.rt.now().mono);
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.rt.poll_fd(to.fd(), libc::POLLOUT).await?;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Between two fast peers there is always more: after a turn's share the others of this worker come first.
    pub async fn take_turns(&mut self, moved: usize) {
        self.turn += moved;
        if self.turn >= SHARE {
            self.turn = 0;
            yield_now(&self.rt).await;
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.rt.close_fd(self.read);
        self.rt.close_fd(self.write);
    }
}
