//! Bulk between two sockets through a pipe, without a copy: splice(2) on readiness, until the kernel says EAGAIN.
//! IORING_OP_SPLICE is not used: it always goes to a kernel worker thread.

use super::conn::Conn;
use super::driver::{Fd, sockets};
use super::reactor::Rt;
use std::io;

/// Bytes asked for at once, and the pipe's size where the system allows it.
const AMOUNT: usize = 1 << 20;

/// A pipe of one transfer; closed on drop.
pub struct Pipe {
    rt: Rt,
    read: Fd,
    write: Fd,
    held: usize,
}

impl Pipe {
    /// # Errors
    /// Those of pipe2(2).
    pub fn new(rt: &Rt) -> io::Result<Pipe> {
        let (read, write) = sockets::pipe(AMOUNT)?;
        Ok(Pipe { rt: rt.clone(), read, write, held: 0 })
    }

    /// Bytes in the pipe.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Waits for data of `from` and takes it; 0 at the stream's end. `None`: this engine cannot splice.
    pub async fn fill(&mut self, from: &Conn) -> Option<io::Result<usize>> {
        loop {
            match self.rt.driver(|d| d.splice(from.fd(), self.write, AMOUNT))? {
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

    /// Gives all that is held to `to`, waiting for room.
    ///
    /// # Errors
    /// Those of splice(2).
    pub async fn drain(&mut self, to: &Conn, mut gave: impl FnMut(usize)) -> io::Result<()> {
        while self.held > 0 {
            let moved = self.rt.driver(|d| d.splice(self.read, to.fd(), self.held));
            match moved.unwrap_or_else(|| Err(io::ErrorKind::Unsupported.into())) {
                Ok(n) => {
                    self.held -= n;
                    gave(n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.rt.poll_fd(to.fd(), libc::POLLOUT).await?;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.rt.close_fd(self.read);
        self.rt.close_fd(self.write);
    }
}
