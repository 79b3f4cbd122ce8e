//! The engine on the real kernel, over loopback.

use super::driver::sim::random::Random;
use super::driver::{ConnectOptions, Driver, Group, epoll::Epoll, sockets, uring::Uring};
use super::listener::Listener;
use super::sim_tests::{abandon, for_seeds, is_stream, receive_stream, send_stream};
use super::task::{Elapsed, before, join, next_turn, sleep};
use super::{Chain, Conn, Piece, Reactor, Rt};
use crate::base::address::Address;
use crate::base::buf::Block;
use std::cell::Cell;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::rc::Rc;

/// Runs a test on each driver for this kernel.
fn on_each(test: impl AsyncFnOnce(Rt) + Clone + 'static) {
    on(uring(), test.clone());
    on(epoll(), test);
}

fn uring() -> Box<dyn Driver> {
    Box::new(Uring::new().expect("io_uring"))
}

fn epoll() -> Box<dyn Driver> {
    Box::new(Epoll::new().expect("epoll"))
}

fn on(driver: Box<dyn Driver>, test: impl AsyncFnOnce(Rt) + 'static) {
    let rt = Reactor::new(driver);
    let done = Rc::new(Cell::new(false));
    let (flag, inner) = (done.clone(), rt.clone());
    rt.spawn(async move {
        test(inner).await;
        flag.set(true);
    });
    rt.run(|_| done.get());
    rt.shutdown();
    assert_eq!(rt.in_use(), (0, 0, 0));
}

/// A listener on a port of the kernel's choice.
fn listen(rt: &Rt) -> (Listener, Address) {
    let l = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Ip(l.local_addr().unwrap());
    (Listener::new(rt, l.into_raw_fd()), address)
}

async fn pair(rt: &Rt) -> (Conn, Conn) {
    let (listener, address) = listen(rt);
    let options = ConnectOptions::default();
    let (a, b) = join(Conn::connect(rt, &address, &options), listener.accept(None)).await;
    (a.unwrap(), b.unwrap())
}

#[test]
fn ten_megabytes_arrive_in_order_through_both_groups() {
    on_each(async |rt| {
        for group in [Group::Small, Group::Large] {
            let (a, b) = pair(&rt).await;
            b.set_group(group);
            let total = 10 << 20;
            let send = async {
                let mut sent = 0usize;
                while sent < total {
                    let mut block = Block::take();
                    block.extend((sent..sent + 50_000).map(|i| (i * 7 % 251) as u8));
                    let mut chain = Chain::new();
                    chain.push(Piece::Block(block, 0));
                    chain.push(Piece::Static(b"--"));
                    let done = a.send(chain).await;
                    assert_eq!(done.result.unwrap(), 50_002);
                    sent += 50_000;
                }
                a.shutdown_write();
            };
            let receive = async {
                let mut got = Vec::new();
                while let Some(lease) = b.recv().await.unwrap() {
                    got.extend_from_slice(&lease);
                }
                got
            };
            let ((), got) = join(send, receive).await;
            for (n, chunk) in got.chunks(50_002).enumerate() {
                let at = n * 50_000;
                assert!(chunk[..50_000].iter().enumerate().all(|(i, b)| *b == ((at + i) * 7 % 251) as u8));
                assert_eq!(&chunk[50_000..], b"--");
            }
        }
    });
}

#[test]
fn a_reader_that_lags_pauses_the_receive_and_loses_nothing() {
    on_each(async |rt| {
        let (a, b) = pair(&rt).await;
        let total = 2usize << 20;
        let send = async {
            for _ in 0..total / 4096 {
                a.send(Block::copy_of(&[5; 4096]).into()).await.result.unwrap();
            }
            a.shutdown_write();
        };
        let receive = async {
            let mut got = 0;
            let mut turns = 0;
            while let Some(lease) = b.recv().await.unwrap() {
                got += lease.len();
                drop(lease);
                turns += 1;
                if turns % 16 == 0 {
                    sleep(b.rt(), 2).await;
                }
            }
            got
        };
        assert_eq!(join(send, receive).await.1, total);
    });
}

#[test]
fn a_deadline_ends_a_wait_and_the_connection_lives_on() {
    on_each(async |rt| {
        let (a, b) = pair(&rt).await;
        let soon = rt.now().mono.plus(20);
        assert_eq!(before(&rt, soon, b.recv()).await.err(), Some(Elapsed));
        assert!(rt.now().mono >= soon);
        a.send(Block::copy_of(b"late").into()).await.result.unwrap();
        assert_eq!(&*b.recv().await.unwrap().unwrap(), b"late");
    });
}

#[test]
fn what_is_sent_leaves_when_the_tasks_of_its_turn_have_run() {
    on_each(async |rt| {
        let (a, b) = pair(&rt).await;
        let sending = a.send(Block::copy_of(b"an answer").into());
        // Another task of this turn may tell another thread what the peer is then sure that it knows.
        assert!(sockets::is_silent(b.fd()));
        assert_eq!(sending.await.result.unwrap(), 9);
        assert_eq!(&*b.recv().await.unwrap().unwrap(), b"an answer");
    });
}

#[test]
fn a_send_that_is_dropped_in_its_turn_harms_none_after_it() {
    on_each(async |rt| {
        let (a, b) = pair(&rt).await;
        drop(a.send(Block::copy_of(b"never").into()));
        sleep(&rt, 1).await;
        let sent = a.send(Block::copy_of(b"later").into()).await;
        assert_eq!(sent.result.unwrap(), 5);
        drop(a);
        let mut got = Vec::new();
        while let Some(lease) = b.recv().await.unwrap() {
            got.extend_from_slice(&lease);
        }
        assert!(got.ends_with(b"later"), "{got:?}");
    });
}

#[test]
fn a_send_that_is_cancelled_in_its_turn_has_been_tried() {
    on_each(async |rt| {
        let (a, b) = pair(&rt).await;
        let sending = a.send(Block::copy_of(b"late").into());
        sending.cancel();
        assert_eq!(sending.await.result.unwrap(), 4);
        assert_eq!(&*b.recv().await.unwrap().unwrap(), b"late");
    });
}

#[test]
fn a_send_that_is_cancelled_tells_what_left() {
    on_each(async |rt| {
        let (a, b) = pair(&rt).await;
        let mut block = Block::take();
        block.resize(32 << 20, 1);
        let sending = a.send(block.into());
        let mut sending = std::pin::pin!(sending);
        assert!(before(&rt, rt.now().mono.plus(30), sending.as_mut()).await.is_err());
        sending.cancel();
        let sent = sending.await;
        let n = sent.result.unwrap();
        assert!(n > 0 && n < 32 << 20, "{n}");
        a.shutdown_write();
        let mut got = 0;
        while let Some(lease) = b.recv().await.unwrap() {
            got += lease.len();
        }
        assert_eq!(got, n);
    });
}

#[test]
fn dropping_everything_in_flight_leaves_nothing_behind() {
    on_each(async |rt| {
        for round in 0..50 {
            let (a, b) = pair(&rt).await;
            let mut block = Block::take();
            block.resize(1 << 20, 1);
            let sending = a.send(block.into());
            if round % 2 == 0 {
                let _ = before(&rt, rt.now().mono.plus(1), b.recv()).await;
            }
            drop(sending);
            drop(b);
            drop(a);
        }
        sleep(&rt, 20).await;
        assert_eq!(rt.in_use().0, 0);
    });
}

#[test]
fn a_refused_connection_is_an_error_and_closes_its_socket() {
    on_each(async |rt| {
        let l = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Ip(l.local_addr().unwrap());
        drop(l);
        let e = Conn::connect(&rt, &address, &ConnectOptions::default()).await.err().unwrap();
        assert_eq!(e.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_watched_connection_reports_that_its_peer_left() {
    on_each(async |rt| {
        let (a, b) = pair(&rt).await;
        a.watch(rt.current());
        assert!(a.is_quiet());
        drop(b);
        while a.is_quiet() {
            sleep(&rt, 1).await;
        }
        assert!(a.has_ended());
    });
}

#[test]
fn another_thread_s_reactor_is_woken() {
    for driver in [uring as fn() -> Box<dyn Driver>, epoll] {
        let (tx, rx) = std::sync::mpsc::channel();
        let far = std::thread::spawn(move || {
            on(driver(), async move |rt| {
                rt.set_mail_task(rt.current());
                tx.send(rt.wake_handle()).unwrap();
                let start = rt.now().mono;
                let never = start.plus(5_000);
                // Any wake-up ends the wait: a poll that was neither first nor timed out.
                let mut first = true;
                let woken = before(
                    &rt,
                    never,
                    std::future::poll_fn(|_| {
                        if std::mem::replace(&mut first, false) {
                            std::task::Poll::Pending
                        } else {
                            std::task::Poll::Ready(())
                        }
                    }),
                )
                .await;
                assert!(woken.is_ok() && rt.now().mono < never);
            });
        });
        on(driver(), async move |rt| {
            let peer = rx.recv().unwrap();
            rt.wake_peer(peer);
            sleep(&rt, 5).await;
        });
        far.join().unwrap();
    }
}

#[test]
fn poll_tells_when_a_descriptor_is_readable() {
    on_each(async |rt| {
        let (a, mut b) = std::os::unix::net::UnixStream::pair().unwrap();
        let polling = rt.poll_fd(a.as_raw_fd(), libc::POLLIN);
        std::io::Write::write_all(&mut b, b"x").unwrap();
        assert!(polling.await.unwrap() as i16 & libc::POLLIN != 0);
    });
}

#[test]
fn a_reader_receives_while_all_buffers_are_kept() {
    on_each(async |rt| {
        let (a, b) = pair(&rt).await;
        let mut kept = Vec::new();
        // More than the small group has.
        for i in 0..2200u32 {
            a.send(Block::copy_of(&i.to_ne_bytes()).into()).await.result.unwrap();
            let lease = b.recv().await.unwrap().unwrap();
            assert_eq!(*lease, i.to_ne_bytes());
            kept.push(lease);
        }
        kept.clear();
        a.send(Block::copy_of(b"after").into()).await.result.unwrap();
        assert_eq!(&*b.recv().await.unwrap().unwrap(), b"after");
    });
}

#[test]
fn streams_survive_pausing_cancelling_and_arming_again() {
    for_seeds(20, |seed| {
        on_each(async move |rt| {
            let mut random = Random::new(seed);
            let (listener, address) = listen(&rt);
            // Small windows: sends and receives stop and go on.
            let buffer = Some(random.between(2_000, 40_000) as usize);
            let options = ConnectOptions { rcvbuf: buffer, sndbuf: buffer, ..ConnectOptions::default() };
            let (a, b) = join(Conn::connect(&rt, &address, &options), listener.accept(None)).await;
            let (a, b) = (a.unwrap(), b.unwrap());
            let (up, down) = (random.below(2_000_000) as usize, random.below(500_000) as usize);
            let side = async |conn: Conn, mut sends: Random, mut receives: Random, out: usize, expected: usize| {
                let send = async {
                    assert_eq!(send_stream(&conn, &mut sends, out).await, out);
                    conn.shutdown_write();
                };
                let ((), got) = join(send, receive_stream(&conn, &mut receives)).await;
                let got = got.expect("no faults");
                assert!(got.len() == expected && is_stream(&got), "{} of {expected}", got.len());
            };
            let mut fresh = || Random::new(random.bits());
            let (r0, r1, r2, r3) = (fresh(), fresh(), fresh(), fresh());
            join(side(a, r0, r1, up, down), side(b, r2, r3, down, up)).await;
        });
    });
}

#[test]
fn connections_dropped_in_any_state_leave_nothing_behind() {
    for_seeds(20, |seed| {
        on_each(async move |rt| {
            let mut random = Random::new(seed);
            for _ in 0..20 {
                let (a, b) = pair(&rt).await;
                let other = rt.spawn(abandon(b, Random::new(random.bits())));
                let soon = rt.now().mono.plus(random.below(20));
                let _ = before(&rt, soon, abandon(a, Random::new(random.bits()))).await;
                rt.kill(other);
            }
            sleep(&rt, 20).await;
            assert_eq!(rt.in_use().0, 0);
        });
    });
}

#[test]
fn who_works_in_slices_comes_back_once_a_turn() {
    on_each(async |rt| {
        for _ in 0..100 {
            let turn = rt.activity().loops;
            next_turn(&rt).await;
            assert_eq!(rt.activity().loops, turn + 1);
        }
        // Being woken for another reason meanwhile makes it no earlier.
        let task = rt.current();
        let inner = rt.clone();
        rt.spawn(async move { inner.wake(task) });
        let turn = rt.activity().loops;
        next_turn(&rt).await;
        assert_eq!(rt.activity().loops, turn + 1);
    });
}
