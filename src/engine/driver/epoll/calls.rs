//! The system calls of the epoll driver. Each gives what the kernel gave: a count, or a negative errno.

use super::super::{Fd, MsgBlock, sockets::Name};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// Events taken from the kernel at once; more wait for the next turn.
pub const EVENTS: usize = 256;

/// What is watched: news of any kind, each told once.
pub const NEWS: u32 = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET) as u32;
/// Of those who watch a listening socket, one is told of a connection.
pub const CALLERS: u32 = (libc::EPOLLIN | libc::EPOLLET | libc::EPOLLEXCLUSIVE) as u32;

fn errno() -> i32 {
    -io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

fn result(r: isize) -> i32 {
    if r < 0 { errno() } else { r as i32 }
}

pub fn create() -> io::Result<OwnedFd> {
    // SAFETY: a system call on a number; the descriptor is new and ours.
    unsafe {
        let fd = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// A descriptor that other threads write to, to wake this one.
pub fn event_fd() -> io::Result<Fd> {
    // SAFETY: a system call on numbers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
}

/// Signals an [`event_fd`].
pub fn signal(fd: Fd) {
    let one = 1u64;
    // SAFETY: eight bytes of a live local are read.
    unsafe { libc::write(fd, (&raw const one).cast(), size_of::<u64>()) };
}

/// epoll_ctl(2); 0 or a negative errno.
pub fn control(epoll: Fd, op: i32, fd: Fd, events: u32, data: u64) -> i32 {
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: the event is a live local that the kernel only reads.
    result(unsafe { libc::epoll_ctl(epoll, op, fd, &raw mut event) } as isize)
}

/// Waits for at most `wait_ms` (negative: for ever); how many events there are, or a negative errno.
pub fn wait(epoll: Fd, events: &mut [libc::epoll_event], wait_ms: i32) -> i32 {
    // SAFETY: the kernel writes at most as many events as the slice is long.
    result(unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), events.len() as i32, wait_ms) } as isize)
}

/// The events of `mask` that are there (poll(2)), without waiting: 0 for none, or a negative errno.
pub fn poll(fd: Fd, mask: i16) -> i32 {
    let mut poll = libc::pollfd { fd, events: mask, revents: 0 };
    // SAFETY: the structure is a live local and its number is the one passed.
    let r = result(unsafe { libc::poll(&raw mut poll, 1, 0) } as isize);
    match poll.revents {
        _ if r < 0 => r,
        libc::POLLNVAL => -libc::EBADF,
        there => there.into(),
    }
}

/// # Safety
/// `len` bytes at `data` are the caller's to write to.
pub unsafe fn receive(fd: Fd, data: *mut u8, len: usize) -> i32 {
    // SAFETY: as the caller promises.
    result(unsafe { libc::recv(fd, data.cast(), len, libc::MSG_DONTWAIT) })
}

/// # Safety
/// `len` bytes at `data` are readable.
pub unsafe fn send(fd: Fd, data: *const u8, len: usize) -> i32 {
    // SAFETY: as the caller promises.
    result(unsafe { libc::send(fd, data.cast(), len, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) })
}

/// Sends the message without its first `sent` bytes.
///
/// # Safety
/// The message and what its slices name are readable.
pub unsafe fn send_message(fd: Fd, message: *const MsgBlock, mut sent: usize) -> i32 {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: as the caller promises; the copy's slices lie within those of the original.
    unsafe {
        if sent == 0 {
            return result(libc::sendmsg(fd, &raw const (*message).header, flags));
        }
        let mut slices = (*message).slices;
        let mut header = (*message).header;
        let mut first = 0;
        while sent >= slices[first].iov_len {
            sent -= slices[first].iov_len;
            first += 1;
        }
        slices[first].iov_base = slices[first].iov_base.add(sent);
        slices[first].iov_len -= sent;
        header.msg_iov = slices[first..].as_mut_ptr();
        header.msg_iovlen -= first;
        result(libc::sendmsg(fd, &raw const header, flags))
    }
}

/// # Safety
/// The message is readable.
pub unsafe fn message_len(message: *const MsgBlock) -> usize {
    // SAFETY: as the caller promises; the header counts the slices that are filled in.
    unsafe { (&(*message).slices)[..(*message).header.msg_iovlen].iter().map(|s| s.iov_len).sum() }
}

pub fn accept(fd: Fd) -> i32 {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: a system call on numbers; no address is asked for.
    result(unsafe { libc::accept4(fd, std::ptr::null_mut(), std::ptr::null_mut(), flags) } as isize)
}

/// # Safety
/// The name is readable.
pub unsafe fn connect(fd: Fd, name: *const Name) -> i32 {
    // SAFETY: as the caller promises.
    result(unsafe { libc::connect(fd, (&raw const (*name).storage).cast(), (*name).len) } as isize)
}

/// How a connection attempt ended: 0 or a negative errno.
pub fn socket_error(fd: Fd) -> i32 {
    let (mut error, mut len) = (0i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: the pointers are to live locals of the length that is passed.
    let r = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut error).cast(), &raw mut len) };
    if r < 0 { errno() } else { -error }
}

/// Calls on this descriptor never wait, whoever else has it.
pub fn nonblocking(fd: Fd) {
    let mut on = 1i32;
    // SAFETY: the pointer is to a live local, as FIONBIO wants.
    unsafe { libc::ioctl(fd, libc::FIONBIO, &raw mut on) };
}
