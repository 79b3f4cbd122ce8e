//! Small pieces to build tasks from: waiting for a moment, for the first of two, for both. All of them belong to the
//! task that polls them: a completion or a timer wakes the task, and the task looks again.

use super::reactor::Rt;
use crate::base::clock::Millis;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// The deadline came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// `future`'s value, or [`Elapsed`] when `deadline` comes first; the future is dropped then.
pub async fn before<F: Future>(rt: &Rt, deadline: Millis, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(v) => Poll::Ready(Ok(v)),
        Poll::Pending if rt.reached(deadline) => Poll::Ready(Err(Elapsed)),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Comes back at `deadline`.
pub async fn until(rt: &Rt, deadline: Millis) {
    poll_fn(|_| if rt.reached(deadline) { Poll::Ready(()) } else { Poll::Pending }).await
}

/// Comes back after `ms` milliseconds.
pub async fn sleep(rt: &Rt, ms: u64) {
    until(rt, rt.now().mono.plus(ms)).await
}

/// Comes back in the next turn of the loop: what the kernel has for other tasks comes first. For a task that has much to do
/// and does it in slices; [`yield_now`] may come back in the same turn.
pub async fn next_turn(rt: &Rt) {
    let turn = rt.activity().loops;
    poll_fn(|_| {
        if rt.activity().loops != turn {
            return Poll::Ready(());
        }
        rt.wake_next_turn(rt.current());
        Poll::Pending
    })
    .await
}

/// Lets other tasks have their turn.
pub async fn yield_now(rt: &Rt) {
    let mut yielded = false;
    poll_fn(|_| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        rt.wake(rt.current());
        Poll::Pending
    })
    .await
}

#[derive(Debug)]
pub enum Either<A, B> {
    First(A),
    Second(B),
}

/// The one that is ready first (`a` when both are); the other is dropped.
pub async fn race<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| {
        if let Poll::Ready(v) = a.as_mut().poll(cx) {
            return Poll::Ready(Either::First(v));
        }
        b.as_mut().poll(cx).map(Either::Second)
    })
    .await
}

/// Both values.
pub async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(v) = a.as_mut().poll(cx)
        {
            first = Some(v);
        }
        if second.is_none()
            && let Poll::Ready(v) = b.as_mut().poll(cx)
        {
            second = Some(v);
        }
        match (first.take(), second.take()) {
            (Some(x), Some(y)) => Poll::Ready((x, y)),
            (x, y) => {
                first = x;
                second = y;
                Poll::Pending
            }
        }
    })
    .await
}
