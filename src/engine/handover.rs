//! Descriptors from one process to another over a UNIX socket (unix(7), SCM_RIGHTS). Plain calls, since this happens once
//! in a process's life.

use super::driver::Fd;
use std::io;
use std::mem::{size_of, zeroed};

/// Descriptors in one message at most; the kernel takes 253.
pub const MOST: usize = 64;

/// Room for the control message, aligned as its header wants.
#[repr(C, align(8))]
struct Control([u8; 64 + MOST * size_of::<Fd>()]);

/// Sends bytes with descriptors, without waiting. Whoever gets them has them as well: they stay open here.
///
/// # Errors
/// Those of sendmsg(2); `WouldBlock` when the socket is full.
pub fn send(socket: Fd, bytes: &[u8], fds: &[Fd]) -> io::Result<usize> {
    let fds = &fds[..fds.len().min(MOST)];
    let size = size_of_val(fds);
    let mut control = Control([0; 64 + MOST * size_of::<Fd>()]);
    // SAFETY: all pointers are to live locals that outlive the call; the control buffer is larger than CMSG_SPACE of the
    // most descriptors, and aligned for its header.
    let sent = unsafe {
        let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if !fds.is_empty() {
            message.msg_control = (&raw mut control.0).cast();
            message.msg_controllen = libc::CMSG_SPACE(size as u32) as usize;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size as u32) as usize;
            std::ptr::copy_nonoverlapping(fds.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), size);
        }
        libc::sendmsg(socket, &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

/// Receives bytes, and descriptors that came with them; those are closed on exec.
///
/// # Errors
/// Those of recvmsg(2).
pub fn receive(socket: Fd, bytes: &mut [u8]) -> io::Result<(usize, Vec<Fd>)> {
    let mut control = Control([0; 64 + MOST * size_of::<Fd>()]);
    let mut fds = Vec::new();
    // SAFETY: all pointers are to live locals that outlive the call; headers are walked by the kernel's own macros within
    // the length that it wrote back.
    unsafe {
        let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control.0).cast();
        message.msg_controllen = size_of::<Control>();
        let got = libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC);
        if got < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let size = (*header).cmsg_len - libc::CMSG_LEN(0) as usize;
                for at in 0..size / size_of::<Fd>() {
                    fds.push(libc::CMSG_DATA(header).cast::<Fd>().add(at).read_unaligned());
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        Ok((got as usize, fds))
    }
}
