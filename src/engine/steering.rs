//! Which listener of an address the kernel gives new connections to (bpf(2), `BPF_PROG_TYPE_SK_REUSEPORT`). While a process
//! that shares the address is about to close its sockets, all new connections go to ours, and those that still wait in its
//! backlog follow when it closes, instead of being reset.

use super::driver::{Fd, sockets};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_UPDATE_ELEM: i32 = 2;
const BPF_PROG_LOAD: i32 = 5;
const BPF_MAP_TYPE_REUSEPORT_SOCKARRAY: u32 = 20;
const BPF_PROG_TYPE_SK_REUSEPORT: u32 = 21;
/// Asks the program about connections of a listener that closes, too (Linux 5.14).
const BPF_SK_REUSEPORT_SELECT_OR_MIGRATE: u32 = 40;
const BPF_FUNC_SK_SELECT_REUSEPORT: i32 = 82;
/// Where `struct sk_reuseport_md` has the hash of a connection's addresses.
const MD_HASH: i16 = 32;
const SK_PASS: i32 = 1;

/// The head of `union bpf_attr` for a map.
#[repr(C)]
struct NewMap {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

/// The head of `union bpf_attr` for an element of a map.
#[repr(C)]
struct Element {
    map: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The head of `union bpf_attr` for a program.
#[repr(C)]
#[derive(Default)]
struct NewProgram {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

/// From now on new connections to the address of these listeners go to them only, spread by the hash of their addresses.
/// All are bound to the same address with SO_REUSEPORT, and listen. [`release`] ends it.
///
/// # Errors
/// Those of bpf(2) and setsockopt(2), such as a lack of CAP_BPF; connections then go to whoever listens, as before.
pub fn steer(listeners: &[Fd]) -> io::Result<()> {
    let Some(first) = listeners.first() else { return Ok(()) };
    let most = listeners.len() as u32;
    let map_type = BPF_MAP_TYPE_REUSEPORT_SOCKARRAY;
    let map = create(BPF_MAP_CREATE, &NewMap { map_type, key_size: 4, value_size: 8, max_entries: most })?;
    for (key, listener) in (0u32..).zip(listeners) {
        let value = *listener as u64;
        let (key, value) = ((&raw const key) as u64, (&raw const value) as u64);
        bpf(BPF_MAP_UPDATE_ELEM, &Element { map: map.as_raw_fd() as u32, pad: 0, key, value, flags: 0 })?;
    }
    let program = load(&map, most)?;
    sockets::set(*first, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_EBPF, program.as_raw_fd())
}

/// The kernel spreads connections to the address of this listener over all of its sockets again.
pub fn release(listener: Fd) {
    let _ = sockets::set(listener, libc::SOL_SOCKET, libc::SO_DETACH_REUSEPORT_BPF, 0);
}

/// `select(map[hash % count])`. Where that fails the kernel chooses by itself.
fn load(map: &OwnedFd, count: u32) -> io::Result<OwnedFd> {
    const STACK: u8 = 10;
    let program = [
        // r6 = context; r7 = context->hash % sockets; *(u32 *)(stack - 4) = r7
        instruction(0xbf, 6, 1, 0, 0),
        instruction(0x61, 7, 1, MD_HASH, 0),
        instruction(0x97, 7, 0, 0, count as i32),
        instruction(0x63, STACK, 7, -4, 0),
        // sk_select_reuseport(context, map, stack - 4, 0)
        instruction(0xbf, 1, 6, 0, 0),
        instruction(0x18, 2, 1, 0, map.as_raw_fd()),
        instruction(0, 0, 0, 0, 0),
        instruction(0xbf, 3, STACK, 0, 0),
        instruction(0x07, 3, 0, 0, -4),
        instruction(0xb7, 4, 0, 0, 0),
        instruction(0x85, 0, 0, 0, BPF_FUNC_SK_SELECT_REUSEPORT),
        // return SK_PASS
        instruction(0xb7, 0, 0, 0, SK_PASS),
        instruction(0x95, 0, 0, 0, 0),
    ];
    let attributes = NewProgram {
        program_type: BPF_PROG_TYPE_SK_REUSEPORT,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        expected_attach_type: BPF_SK_REUSEPORT_SELECT_OR_MIGRATE,
        ..NewProgram::default()
    };
    create(BPF_PROG_LOAD, &attributes)
}

/// `struct bpf_insn` of a machine with the low byte first: an operation on two registers, an offset and a number.
fn instruction(code: u8, to: u8, from: u8, offset: i16, number: i32) -> u64 {
    u64::from(code) | u64::from(to | from << 4) << 8 | u64::from(offset as u16) << 16 | u64::from(number as u32) << 32
}

/// bpf(2); `attributes` is the head of `union bpf_attr` that belongs to the command, all else of which is zero.
fn bpf<T>(command: i32, attributes: &T) -> io::Result<Fd> {
    // SAFETY: the kernel reads as many bytes as it is told of a live value, and what its addresses point at are live
    // locals and constants of the caller, of the sizes that the map and the program declare. It keeps none of them.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as Fd) }
}

/// A command that makes something.
fn create<T>(command: i32, attributes: &T) -> io::Result<OwnedFd> {
    let fd = bpf(command, attributes)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
