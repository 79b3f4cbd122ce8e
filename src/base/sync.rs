//! What the lock-free types of several threads are made of: the standard library's words, or in a model those of loom, which runs
//! it in every order in which its threads may meet and with every value that they may read:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --target-dir target/loom --lib under_loom
//! ```

#[cfg(not(all(test, loom)))]
pub use ::rtrb;
#[cfg(not(all(test, loom)))]
pub use std::sync::{Mutex, OnceLock, atomic};

#[cfg(all(test, loom))]
pub use doubles::{OnceLock, rtrb};
#[cfg(all(test, loom))]
pub use loom::sync::{Mutex, atomic};

/// Stands between what a thread tells and where it looks for what others tell: of two threads that both pass here, one at
/// least sees what the other told before.
#[inline]
pub fn tell_then_look() {
    atomic::fence(atomic::Ordering::SeqCst);
}

/// What loom lacks, with the promises of what they stand for and no more.
#[cfg(all(test, loom))]
mod doubles {
    use loom::sync::Mutex;
    use loom::sync::atomic::{AtomicBool, Ordering::*};

    /// Who finds it set sees all that its maker did.
    #[derive(Debug)]
    pub struct OnceLock<T> {
        value: std::sync::OnceLock<T>,
        is_set: AtomicBool,
        making: Mutex<()>,
    }

    impl<T> OnceLock<T> {
        pub fn new() -> OnceLock<T> {
            OnceLock { value: std::sync::OnceLock::new(), is_set: AtomicBool::new(false), making: Mutex::new(()) }
        }

        pub fn get(&self) -> Option<&T> {
            if self.is_set.load(Acquire) { self.value.get() } else { None }
        }

        pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            if let Some(value) = self.get() {
                return value;
            }
            let _making = self.making.lock().unwrap();
            let value = self.value.get_or_init(make);
            self.is_set.store(true, Release);
            value
        }
    }

    pub mod rtrb {
        use super::*;
        use std::sync::Arc;

        #[derive(Debug)]
        pub enum PushError<T> {
            Full(T),
        }

        #[derive(Debug)]
        pub struct PopError;

        struct Ring<T> {
            cells: Box<[std::sync::Mutex<Option<T>>]>,
            head: loom::sync::atomic::AtomicUsize,
            tail: loom::sync::atomic::AtomicUsize,
            is_abandoned: AtomicBool,
        }

        pub struct RingBuffer;
        pub struct Producer<T>(Arc<Ring<T>>);
        pub struct Consumer<T>(Arc<Ring<T>>);

        impl RingBuffer {
            pub fn new<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
                let ring = Arc::new(Ring {
                    cells: (0..capacity).map(|_| Default::default()).collect(),
                    head: Default::default(),
                    tail: Default::default(),
                    is_abandoned: AtomicBool::new(false),
                });
                (Producer(ring.clone()), Consumer(ring))
            }
        }

        impl<T> Producer<T> {
            pub fn push(&mut self, value: T) -> Result<(), PushError<T>> {
                let tail = self.0.tail.load(Relaxed);
                if tail - self.0.head.load(Acquire) == self.0.cells.len() {
                    return Err(PushError::Full(value));
                }
                *self.0.cells[tail % self.0.cells.len()].lock().unwrap() = Some(value);
                self.0.tail.store(tail + 1, Release);
                Ok(())
            }

            pub fn is_abandoned(&self) -> bool {
                self.0.is_abandoned.load(Relaxed)
            }
        }

        impl<T> Consumer<T> {
            pub fn pop(&mut self) -> Result<T, PopError> {
                let head = self.0.head.load(Relaxed);
                if head == self.0.tail.load(Acquire) {
                    return Err(PopError);
                }
                let value = self.0.cells[head % self.0.cells.len()].lock().unwrap().take();
                self.0.head.store(head + 1, Release);
                value.ok_or(PopError)
            }
        }

        impl<T> Drop for Producer<T> {
            fn drop(&mut self) {
                self.0.is_abandoned.store(true, Release);
            }
        }

        impl<T> Drop for Consumer<T> {
            fn drop(&mut self) {
                self.0.is_abandoned.store(true, Release);
            }
        }
    }
}
