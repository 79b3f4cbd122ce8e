//! Futures in memory that is used again: what a request needs is taken from a pool of the thread when its first byte
//! comes and goes back when its log line is out, so that an idle connection stays small and a request allocates nothing.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

/// Blocks come in multiples of this many bytes.
const STEP: usize = 256;
/// Larger futures are allocated plainly.
const CLASSES: usize = 64;
/// Blocks kept of each size; beyond it they are freed.
const KEPT: usize = 128;
const ALIGN: usize = 16;

struct Pool(Vec<Vec<NonNull<u8>>>);

impl Drop for Pool {
    fn drop(&mut self) {
        for (class, blocks) in self.0.iter_mut().enumerate() {
            for block in blocks.drain(..) {
                // SAFETY: every block in class `n` was allocated with exactly this layout.
                unsafe { dealloc(block.as_ptr(), class_layout(class)) };
            }
        }
    }
}

impl Default for Pool {
    fn default() -> Pool {
        Pool((0..CLASSES).map(|_| Vec::new()).collect())
    }
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// Frees what this thread keeps for later.
pub fn forget() {
    let _ = POOL.try_with(|p| *p.borrow_mut() = Pool::default());
}

fn class_layout(class: usize) -> Layout {
    Layout::from_size_align((class + 1) * STEP, ALIGN).expect("a small multiple of the step")
}

/// The pool's class for a layout, or none when it is allocated plainly.
fn class_of(layout: Layout) -> Option<usize> {
    let class = layout.size().max(1).div_ceil(STEP) - 1;
    (class < CLASSES && layout.align() <= ALIGN).then_some(class)
}

fn take(layout: Layout) -> NonNull<u8> {
    let (pooled, layout) = match class_of(layout) {
        Some(class) => (POOL.try_with(|p| p.borrow_mut().0[class].pop()).ok().flatten(), class_layout(class)),
        None => (None, layout),
    };
    pooled.unwrap_or_else(|| {
        // SAFETY: the layout's size is not zero: classes are at least STEP, larger futures are large.
        NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
    })
}

fn give(block: NonNull<u8>, layout: Layout) {
    let Some(class) = class_of(layout) else {
        // SAFETY: `take` allocated it with this very layout.
        unsafe { dealloc(block.as_ptr(), layout) };
        return;
    };
    let kept = POOL.try_with(|p| {
        let list = &mut p.borrow_mut().0[class];
        let room = list.len() < KEPT;
        if room {
            list.push(block);
        }
        room
    });
    if kept != Ok(true) {
        // SAFETY: `take` allocated it with the class's layout.
        unsafe { dealloc(block.as_ptr(), class_layout(class)) };
    }
}

/// A boxed future whose memory comes from the thread's pool.
pub struct Frame<'a, T> {
    future: NonNull<dyn Future<Output = T> + 'a>,
    /// The future's type.
    name: &'static str,
    _owns: PhantomData<Box<dyn Future<Output = T> + 'a>>,
}

impl<'a, T> Frame<'a, T> {
    pub fn new<F: Future<Output = T> + 'a>(future: F) -> Frame<'a, T> {
        let layout = Layout::new::<F>();
        let place = take(layout).cast::<F>();
        // SAFETY: `take` returned memory of at least this size and alignment that nobody else uses.
        unsafe { place.as_ptr().write(future) };
        let future: NonNull<dyn Future<Output = T> + 'a> = place;
        Frame { future, name: std::any::type_name::<F>(), _owns: PhantomData }
    }

    /// The future's type, as the compiler writes it.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> Future for Frame<'_, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // SAFETY: the future lives behind a pointer that never moves it until it is dropped in place.
        unsafe { Pin::new_unchecked(self.get_mut().future.as_mut()) }.poll(cx)
    }
}

impl<T> Drop for Frame<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the future was written at construction and nobody else has it.
        let layout = Layout::for_value(unsafe { self.future.as_ref() });
        // SAFETY: as above; it is dropped once, here.
        unsafe { std::ptr::drop_in_place(self.future.as_ptr()) };
        give(self.future.cast::<u8>(), layout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use std::task::Waker;

    #[test]
    fn memory_is_used_again_and_contents_are_dropped() {
        let alive = Rc::new(());
        let mut places = Vec::new();
        for size in [1usize, 1, 1] {
            let kept = alive.clone();
            let mut frame = Frame::new(async move {
                let bytes = [3u8; 700];
                std::future::ready(()).await;
                let _kept = kept;
                bytes[size] as usize
            });
            places.push(frame.future.cast::<u8>());
            let polled = Pin::new(&mut frame).poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(polled, Poll::Ready(3));
        }
        assert!(places[0] == places[1] && places[1] == places[2]);
        assert_eq!(Rc::strong_count(&alive), 1);
    }
}
