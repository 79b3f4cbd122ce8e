//! The program: everything is in the library.

/// Small and without a lock between threads; measured against the system's in `perf/`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    std::process::exit(ringway::control::startup::main());
}
