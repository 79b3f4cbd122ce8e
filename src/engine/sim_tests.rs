//! The engine's promises as seen through `Conn` and `Listener`, held over many seeds of the simulation: no byte lost or
//! doubled whatever is paused, cancelled, re-armed or dropped, and nothing left behind. `SIM_SEED=n` replays one seed.

use super::driver::sim::random::Random;
use super::driver::sim::{Faults, Leftovers, SimNet, Weather};
use super::driver::{ConnectOptions, Fd, Group};
use super::listener::Listener;
use super::task::{before, join, sleep, yield_now};
use super::{Chain, Conn, Lease, Piece, Rt};
use crate::base::address::Address;
use crate::base::buf::Block;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Runs `test` for `count` seeds, or for the one that `SIM_SEED` names.
pub(super) fn for_seeds(count: u64, test: impl Fn(u64)) {
    if let Some(seed) = std::env::var("SIM_SEED").ok().and_then(|s| s.parse().ok()) {
        return test(seed);
    }
    for seed in 0..count {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(seed)));
        if let Err(panic) = result {
            eprintln!("failed with SIM_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

struct World {
    net: SimNet,
    rts: Vec<Rt>,
    address: Address,
    listeners: Vec<(usize, Fd)>,
}

impl World {
    fn new(seed: u64, reactors: usize) -> World {
        World::under(Weather::of(seed), seed, reactors)
    }

    /// A world whose reactors have few buffers.
    fn starved(seed: u64, reactors: usize) -> World {
        World::under(Weather { buffers: [(2, 2), (1, 1)], ..Weather::of(seed) }, seed, reactors)
    }

    fn under(weather: Weather, seed: u64, reactors: usize) -> World {
        let net = SimNet::new(seed, weather);
        let rts: Vec<Rt> = (0..reactors).map(|_| net.reactor()).collect();
        let address = Address::Ip("192.0.2.1:80".parse().unwrap());
        World { net, rts, address, listeners: Vec::new() }
    }

    fn listen(&mut self, rt: usize) -> Listener {
        let fd = self.net.listen(&self.rts[rt], &self.address);
        self.listeners.push((rt, fd));
        Listener::new(&self.rts[rt], fd)
    }

    /// Runs until all tasks have ended, then looks for what is left.
    fn finish(self) {
        let rts = self.rts.clone();
        self.net.run_all(&rts, || rts.iter().all(|rt| rt.in_use().2 == 0)).unwrap();
        for (rt, fd) in &self.listeners {
            self.rts[*rt].close_fd(*fd);
        }
        let nothing = Leftovers { descriptors: 0, operations: 0, buffers: 0 };
        // What was cancelled comes back within the longest delay.
        let end = self.net.now().mono.plus(3_000);
        let timer = self.rts[0].clone();
        timer.spawn({
            let rt = timer.clone();
            async move { super::task::until(&rt, end).await }
        });
        self.net.run_all(&rts, || self.net.now().mono >= end && rts.iter().all(|rt| rt.in_use().2 == 0)).unwrap();
        for rt in &self.rts {
            assert_eq!(self.net.leftovers(rt), nothing);
            assert_eq!(rt.in_use(), (0, 0, 0));
        }
    }
}

/// The next connection, however often an accept fails.
async fn accept(rt: &Rt, listener: &Listener) -> Conn {
    loop {
        match listener.accept(None).await {
            Ok(conn) => return conn,
            Err(_) => sleep(rt, 1).await,
        }
    }
}

/// The byte at position `i` of every test stream.
fn byte(i: usize) -> u8 {
    (i * 31 + i / 251) as u8
}

pub(super) fn is_stream(got: &[u8]) -> bool {
    got.iter().enumerate().all(|(i, b)| *b == byte(i))
}

fn piece(random: &mut Random, at: usize, n: usize) -> Piece {
    let mut block = Block::take();
    block.extend((at..at + n).map(byte));
    if random.chance(300) { Piece::Shared(block.as_slice().into(), 0) } else { Piece::Block(block, 0) }
}

/// Sends the stream's next `total` bytes, cancelling and going on now and then; a failure ends it.
pub(super) async fn send_stream(conn: &Conn, random: &mut Random, total: usize) -> usize {
    let rt = conn.rt().clone();
    let mut sent = 0;
    while sent < total {
        let mut chain = Chain::new();
        let mut at = sent;
        for _ in 0..random.between(1, 6) {
            let n = random.between(1, 3000).min((total - at) as u64) as usize;
            chain.push(piece(random, at, n));
            at += n;
        }
        while !chain.is_empty() {
            let sending = conn.send(chain);
            let mut sending = std::pin::pin!(sending);
            let patience = rt.now().mono.plus(random.below(30));
            let done = if random.chance(200) {
                match before(&rt, patience, sending.as_mut()).await {
                    Ok(done) => done,
                    Err(_) => {
                        sending.cancel();
                        sending.await
                    }
                }
            } else {
                sending.await
            };
            chain = done.chain;
            match done.result {
                Ok(n) => {
                    sent += n;
                    chain.advance(n);
                }
                Err(e) if e.raw_os_error() == Some(libc::ECANCELED) => {}
                Err(_) => return sent,
            }
        }
    }
    sent
}

#[test]
fn what_is_to_be_sent_whole_is_sent_whole_although_sends_end_early() {
    for_seeds(50, |seed| {
        let weather = Weather { short: 500, window: (700, 700), ..Weather::of(seed) };
        let mut world = World::under(weather, seed, 2);
        let (listener, address) = (world.listen(1), world.address.clone());
        let (server, client) = (world.rts[1].clone(), world.rts[0].clone());
        let rt = server.clone();
        server.spawn(async move {
            let conn = accept(&rt, &listener).await;
            let mut got = Vec::new();
            while let Ok(Some(lease)) = conn.recv().await {
                got.extend_from_slice(&lease);
            }
            assert!(got.len() == 20_000 && is_stream(&got), "{} bytes came", got.len());
        });
        let rt = client.clone();
        client.spawn(async move {
            let conn = Conn::connect(&rt, &address, &ConnectOptions::default()).await.unwrap();
            let whole: Vec<u8> = (0..20_000).map(byte).collect();
            conn.send_all(Block::copy_of(&whole)).await.unwrap();
            conn.shutdown_write();
            while let Ok(Some(_)) = conn.recv().await {}
        });
        world.finish();
    });
}

/// Reads to the end with every kind of hesitation; `Err` after a failure, with what came before it.
pub(super) async fn receive_stream(conn: &Conn, random: &mut Random) -> Result<Vec<u8>, Vec<u8>> {
    let rt = conn.rt().clone();
    let mut got = Vec::new();
    let mut kept: Vec<Lease> = Vec::new();
    loop {
        match random.below(12) {
            0 => conn.pause().await,
            1 => conn.set_group(Group::Large),
            2 => conn.set_group(Group::Small),
            3 => sleep(&rt, random.below(4)).await,
            4 => kept.clear(),
            5 => conn.watch(rt.current()),
            6 => yield_now(&rt).await,
            _ => {}
        }
        let deadline = rt.now().mono.plus(random.below(5));
        let received = if random.chance(300) {
            match before(&rt, deadline, conn.recv()).await {
                Ok(r) => r,
                Err(_) => continue,
            }
        } else {
            // Whoever waits without a limit holds no buffers.
            kept.clear();
            conn.recv().await
        };
        match received {
            Ok(Some(lease)) => {
                got.extend_from_slice(&lease);
                if random.chance(300) {
                    kept.push(lease);
                }
            }
            Ok(None) => return Ok(got),
            Err(_) => return Err(got),
        }
    }
}

#[test]
fn streams_survive_pausing_cancelling_and_arming_again() {
    for_seeds(700, |seed| {
        let mut world = World::new(seed, 2);
        let listener = world.listen(1);
        let (near, far, address) = (world.rts[0].clone(), world.rts[1].clone(), world.address.clone());
        let mut random = Random::new(seed + 1);
        let (up, down) = (random.below(60_000) as usize, random.below(20_000) as usize);
        let mut r = [random.bits(), random.bits(), random.bits(), random.bits()].map(Random::new);
        let (mut r0, mut r1) = (r[0].clone(), r[1].clone());
        near.spawn({
            let rt = near.clone();
            async move {
                let conn = Conn::connect(&rt, &address, &ConnectOptions::default()).await.unwrap();
                let send = async {
                    assert_eq!(send_stream(&conn, &mut r0, up).await, up);
                    conn.shutdown_write();
                };
                let ((), got) = join(send, receive_stream(&conn, &mut r1)).await;
                let got = got.expect("no faults");
                assert!(got.len() == down && is_stream(&got));
            }
        });
        far.spawn({
            let rt = far.clone();
            async move {
                let conn = accept(&rt, &listener).await;
                let [_, _, r2, r3] = &mut r;
                let send = async {
                    assert_eq!(send_stream(&conn, r2, down).await, down);
                    conn.shutdown_write();
                };
                let ((), got) = join(send, receive_stream(&conn, r3)).await;
                let got = got.expect("no faults");
                assert!(got.len() == up && is_stream(&got));
            }
        });
        world.finish();
    });
}

#[test]
fn connections_dropped_in_any_state_leave_nothing_behind() {
    for_seeds(1000, |seed| {
        let mut world = World::new(seed, 2);
        let mut random = Random::new(seed + 2);
        if random.chance(500) {
            let faults = Faults { refuse: 100, hang: 100, reset: 300 };
            world.net.faults(&world.address, faults);
        }
        let listener = world.listen(1);
        let (near, far, address) = (world.rts[0].clone(), world.rts[1].clone(), world.address.clone());
        let clients = random.between(1, 6);
        let left = Rc::new(Cell::new(clients));
        for _ in 0..clients {
            let (rt, address, mut r, left) =
                (near.clone(), address.clone(), Random::new(random.bits()), left.clone());
            near.spawn(async move {
                sleep(&rt, r.below(20)).await;
                let soon = rt.now().mono.plus(r.below(60));
                if let Ok(Ok(conn)) =
                    before(&rt, soon, Conn::connect(&rt, &address, &ConnectOptions::default())).await
                {
                    abandon(conn, r).await;
                }
                left.set(left.get() - 1);
            });
        }
        far.spawn({
            let rt = far.clone();
            async move {
                let tasks = Rc::new(RefCell::new(Vec::new()));
                while left.get() > 0 {
                    if random.chance(100) {
                        listener.pause();
                        sleep(&rt, random.below(10)).await;
                    }
                    let soon = rt.now().mono.plus(random.between(1, 50));
                    if let Ok(Ok(conn)) = before(&rt, soon, listener.accept(None)).await {
                        let r = Random::new(random.bits());
                        tasks.borrow_mut().push(rt.spawn(abandon(conn, r)));
                    }
                    if random.chance(50)
                        && let Some(task) = tasks.borrow_mut().pop()
                    {
                        rt.kill(task);
                    }
                }
            }
        });
        world.finish();
    });
}

/// Uses a connection for a moment and drops it, whatever is in flight.
pub(super) async fn abandon(conn: Conn, mut r: Random) {
    let rt = conn.rt().clone();
    for _ in 0..r.between(0, 6) {
        let soon = rt.now().mono.plus(r.below(8));
        let total = r.below(9000) as usize;
        match r.below(7) {
            0 => {
                let _ = before(&rt, soon, send_stream(&conn, &mut r, total)).await;
            }
            1 => {
                if let Ok(Err(_) | Ok(None)) = before(&rt, soon, conn.recv()).await {
                    break;
                }
            }
            2 => {
                let _ = before(&rt, soon, conn.pause()).await;
            }
            3 => conn.set_group(*r.pick(&[Group::Small, Group::Large])),
            4 => conn.watch(rt.current()),
            5 => {
                // Two ways at once.
                let mut r2 = Random::new(r.bits());
                let both = join(send_stream(&conn, &mut r, total), receive_stream(&conn, &mut r2));
                let _ = before(&rt, soon, both).await;
            }
            _ => drop(conn.send(piece(&mut r, 0, total.max(1)).into())),
        }
    }
    match r.below(4) {
        0 => conn.reset_on_close(),
        1 => conn.shutdown_write(),
        _ => {}
    }
}

#[test]
fn faults_cut_a_stream_but_never_change_it() {
    for_seeds(300, |seed| {
        let mut world = World::new(seed, 2);
        world.net.faults(&world.address, Faults { refuse: 50, hang: 0, reset: 700 });
        let listener = world.listen(1);
        let (near, far, address) = (world.rts[0].clone(), world.rts[1].clone(), world.address.clone());
        let mut random = Random::new(seed + 3);
        let total = random.below(60_000) as usize;
        let (mut r0, mut r1) = (Random::new(random.bits()), Random::new(random.bits()));
        let done = Rc::new(Cell::new(false));
        let sent = Rc::new(Cell::new(0));
        let (flag, count) = (done.clone(), sent.clone());
        near.spawn({
            let rt = near.clone();
            async move {
                if let Ok(conn) = Conn::connect(&rt, &address, &ConnectOptions::default()).await {
                    count.set(send_stream(&conn, &mut r0, total).await);
                    conn.shutdown_write();
                    let _ = conn.recv().await;
                }
                flag.set(true);
            }
        });
        far.spawn({
            let rt = far.clone();
            async move {
                while !done.get() {
                    let soon = rt.now().mono.plus(5);
                    if let Ok(Ok(conn)) = before(&rt, soon, listener.accept(None)).await {
                        let got = receive_stream(&conn, &mut r1).await;
                        match got {
                            Ok(got) => assert!(got.len() == total && is_stream(&got)),
                            Err(got) => assert!(got.len() <= total && is_stream(&got)),
                        }
                    }
                }
                assert!(sent.get() <= total);
            }
        });
        world.finish();
    });
}

#[test]
fn a_watched_connection_stays_watched_whatever_ends_its_receive() {
    for_seeds(300, |seed| {
        let mut world = World::new(seed, 2);
        let listener = world.listen(1);
        let (near, far, address) = (world.rts[0].clone(), world.rts[1].clone(), world.address.clone());
        let mut random = Random::new(seed + 4);
        near.spawn({
            let rt = near.clone();
            async move {
                let conn = Conn::connect(&rt, &address, &ConnectOptions::default()).await.unwrap();
                let first = conn.recv().await.unwrap().unwrap();
                drop(first);
                conn.set_group(Group::Large);
                conn.watch(rt.current());
                let deadline = rt.now().mono.plus(10_000);
                // Only news of the connection may wake us from now on.
                std::future::poll_fn(|_| {
                    if !conn.is_quiet() || rt.reached(deadline) {
                        return std::task::Poll::Ready(());
                    }
                    std::task::Poll::Pending
                })
                .await;
                assert!(rt.now().mono < deadline, "the end went unnoticed");
                assert!(conn.end_seen());
            }
        });
        far.spawn({
            let rt = far.clone();
            async move {
                let conn = accept(&rt, &listener).await;
                conn.send(Piece::Static(b"x").into()).await.result.unwrap();
                sleep(&rt, random.between(100, 1000)).await;
            }
        });
        world.finish();
    });
}

#[test]
fn a_watched_connection_stays_watched_when_what_came_is_taken() {
    for_seeds(100, |seed| {
        let mut world = World::under(Weather { cut: 1000, ..Weather::of(seed) }, seed, 2);
        let listener = world.listen(1);
        let (near, far, address) = (world.rts[0].clone(), world.rts[1].clone(), world.address.clone());
        near.spawn({
            let rt = near.clone();
            async move {
                let conn = Conn::connect(&rt, &address, &ConnectOptions::default()).await.unwrap();
                conn.watch(rt.current());
                let end_seen = std::future::poll_fn(|_| {
                    while conn.take_queued().is_some() {}
                    if conn.end_seen() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                });
                let seen = before(&rt, rt.now().mono.plus(10_000), end_seen).await;
                assert!(seen.is_ok(), "the end went unnoticed");
            }
        });
        far.spawn({
            let rt = far.clone();
            async move {
                let conn = accept(&rt, &listener).await;
                conn.send(Piece::Static(b"x").into()).await.result.unwrap();
                sleep(&rt, 500).await;
            }
        });
        world.finish();
    });
}

#[test]
fn readers_without_buffers_get_theirs_even_after_others_have_gone() {
    for_seeds(300, |seed| {
        let mut world = World::starved(seed, 2);
        let listener = world.listen(1);
        let (near, far, address) = (world.rts[0].clone(), world.rts[1].clone(), world.address.clone());
        let mut random = Random::new(seed + 5);
        let count = random.between(2, 12);
        for _ in 0..count {
            let (rt, address, mut r) = (near.clone(), address.clone(), Random::new(random.bits()));
            near.spawn(async move {
                let conn = Conn::connect(&rt, &address, &ConnectOptions::default()).await.unwrap();
                send_stream(&conn, &mut r, 3000).await;
                conn.shutdown_write();
                while let Ok(Some(_)) = conn.recv().await {}
            });
        }
        let mut r = Random::new(random.bits());
        far.spawn({
            let rt = far.clone();
            async move {
                let mut taken = 0;
                while taken < count {
                    let Ok(conn) = listener.accept(None).await else {
                        sleep(&rt, 1).await;
                        continue;
                    };
                    taken += 1;
                    let (rt, mut r) = (rt.clone(), Random::new(r.bits()));
                    rt.clone().spawn(async move {
                        if r.chance(400) {
                            // Leaves while it waits, perhaps for a buffer.
                            let soon = rt.now().mono.plus(r.below(30));
                            let _ = before(&rt, soon, conn.recv()).await;
                            return;
                        }
                        let mut got = Vec::new();
                        while let Some(lease) = conn.recv().await.unwrap() {
                            got.extend_from_slice(&lease);
                            if r.chance(200) {
                                sleep(&rt, r.below(5)).await;
                            }
                        }
                        assert!(got.len() == 3000 && is_stream(&got));
                    });
                }
            }
        });
        world.finish();
    });
}

#[test]
fn a_reader_receives_while_others_keep_all_buffers() {
    for_seeds(200, |seed| {
        let mut world = World::starved(seed, 2);
        let listener = world.listen(1);
        let (near, far, address) = (world.rts[0].clone(), world.rts[1].clone(), world.address.clone());
        near.spawn({
            let rt = near.clone();
            async move {
                let mut held: Vec<Lease> = Vec::new();
                for round in 0..5 {
                    let conn = Conn::connect(&rt, &address, &ConnectOptions::default()).await.unwrap();
                    conn.set_group(if round % 2 == 0 { Group::Small } else { Group::Large });
                    let mut got = Vec::new();
                    while let Some(lease) = conn.recv().await.unwrap() {
                        got.extend_from_slice(&lease);
                        held.push(lease);
                    }
                    assert!(got.len() == 5000 && is_stream(&got));
                }
            }
        });
        far.spawn({
            let rt = far.clone();
            async move {
                for round in 0..5 {
                    let conn = accept(&rt, &listener).await;
                    send_stream(&conn, &mut Random::new(seed + round), 5000).await;
                }
            }
        });
        world.finish();
    });
}

#[test]
fn a_buffer_in_parts_goes_back_with_the_last_of_them() {
    for_seeds(200, |seed| {
        let mut world = World::starved(seed, 2);
        let listener = world.listen(1);
        let (near, far, address) = (world.rts[0].clone(), world.rts[1].clone(), world.address.clone());
        let mut r = Random::new(seed + 9);
        near.spawn({
            let rt = near.clone();
            async move {
                let conn = Conn::connect(&rt, &address, &ConnectOptions::default()).await.unwrap();
                // Parts, and where in the stream each begins.
                let mut held: Vec<(usize, Piece)> = Vec::new();
                let mut at = 0;
                while let Some(lease) = conn.recv().await.unwrap() {
                    let mut whole = Piece::Lease(lease);
                    while !whole.bytes().is_empty() {
                        let part = whole.split_to(r.between(1, 700) as usize);
                        at += part.bytes().len();
                        held.push((at - part.bytes().len(), part));
                    }
                    while !held.is_empty() && r.chance(900) {
                        let (start, part) = held.swap_remove(r.below(held.len() as u64) as usize);
                        assert!(part.bytes().iter().enumerate().all(|(i, b)| *b == byte(start + i)));
                    }
                }
                assert_eq!(at, 20_000);
            }
        });
        far.spawn({
            let rt = far.clone();
            async move {
                let conn = accept(&rt, &listener).await;
                send_stream(&conn, &mut Random::new(seed), 20_000).await;
            }
        });
        world.finish();
    });
}

#[test]
fn buffers_of_a_burst_are_out_of_use_after_seconds_of_calm() {
    for_seeds(50, |seed| {
        let weather = Weather { buffers: [(2, 256), (1, 64)], ..Weather::fair() };
        let mut world = World::under(weather, seed, 2);
        let listener = world.listen(1);
        let (near, far, address) = (world.rts[0].clone(), world.rts[1].clone(), world.address.clone());
        near.spawn({
            let rt = near.clone();
            async move {
                let conn = Conn::connect(&rt, &address, &ConnectOptions::default()).await.unwrap();
                let at_first = rt.buffer_memory().0;
                let mut held = Vec::new();
                for _ in 0..100 {
                    held.push(conn.recv().await.unwrap().expect("the burst"));
                }
                let in_burst = rt.buffer_memory().0;
                assert!(in_burst >= at_first + 90 * 4096);
                drop(held);
                while conn.recv().await.unwrap().is_some() {}
                let after = rt.buffer_memory().0;
                assert!(after <= at_first + 8 * 4096, "{at_first} {in_burst} {after}");
            }
        });
        far.spawn({
            let rt = far.clone();
            async move {
                let conn = accept(&rt, &listener).await;
                let mut random = Random::new(seed);
                for n in 0..1000 {
                    send_stream(&conn, &mut random, 10).await;
                    sleep(&rt, if n < 100 { 1 } else { 10 }).await;
                }
            }
        });
        world.finish();
    });
}
