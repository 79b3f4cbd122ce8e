//! The wait for a slot of a server with `maxconn`: more clients than slots, on any number of workers. Nobody waits longer
//! than those before him take, no slot stays free while somebody could use it, and no limit is passed.

use crate::house::{self, Book, House};
use crate::wire::{self, Reader, Stop};
use ringway::dataplane::stream::termination::Failure;
use ringway::dataplane::worker::Mail;
use ringway::engine::driver::ConnectOptions;
use ringway::engine::driver::sim::random::Random;
use ringway::engine::driver::sim::{Faults, Weather};
use ringway::engine::listener::Listener;
use ringway::engine::task::{before, sleep};
use ringway::engine::{Conn, Rt};
use ringway::model::state::event::{Effect, Event};
use ringway::model::state::live::{AdminState, ForcedHealth};
use ringway::model::state::server::ServerLive;
use std::cell::Cell;
use std::rc::Rc;

/// How long a server works on a request.
const SERVICE_MS: u64 = 20;
/// What a slot costs beside: a new connection and the request (two ways there, two back of 50 us each), the letter from the
/// worker that frees it to the one that takes it, and whole milliseconds of the clock.
const HANDOVER_MS: u64 = 2;
/// What a request costs that never waits, beside the service.
const AROUND_MS: u64 = 3;

/// Whom a client may be served by.
#[derive(Clone, Copy)]
enum Wish {
    Any,
    /// One server alone (`use-server`).
    One(usize),
}

struct Load {
    /// `maxconn` of each server.
    slots: Vec<u32>,
    clients: u64,
    requests: u64,
    /// Clients that want one server, and that leave while they wait, per mille.
    bound: u32,
    leaving: u32,
}

impl Load {
    fn random(random: &mut Random) -> Load {
        Load {
            slots: (0..random.between(1, 3)).map(|_| random.between(1, 3) as u32).collect(),
            clients: random.between(4, 24),
            requests: random.between(3, 12),
            bound: *random.pick(&[0, 0, 300]),
            leaving: *random.pick(&[0, 0, 200]),
        }
    }

    fn config(&self, balance: &str, reuse: &str) -> String {
        let mut text = format!(
            "defaults\n mode http\n timeout client 600s\n timeout server 600s\n timeout connect 5s\n \
             timeout queue 600s\n http-reuse {reuse}\nfrontend front\n bind 192.0.2.1:80\n default_backend back\n\
             backend back\n balance {balance}\n"
        );
        for (index, slots) in self.slots.iter().enumerate() {
            text.push_str(&format!(" use-server s{index} if {{ path /{index} }}\n"));
            text.push_str(&format!(" server s{index} 198.51.100.1:{} maxconn {slots}\n", 8001 + index));
        }
        text
    }

    /// Clients are served one request at a time, and whoever comes later is served later: who waits finds at most one
    /// request of each other client before him, those that are served included. Until he has a slot all slots work on
    /// these, each for a service and a handover, and they need not end together: the last of them may end when the others
    /// have done their share to the moment. Then comes his own. Who wants one server competes for its slots alone.
    fn longest_ms(&self, wish: Wish) -> u64 {
        let slots = match wish {
            Wish::Any => self.slots.iter().sum(),
            Wish::One(server) => self.slots[server],
        };
        let before = (self.clients - 1) * (SERVICE_MS + HANDOVER_MS);
        before.div_ceil(slots.into()) + SERVICE_MS + HANDOVER_MS + AROUND_MS
    }
}

#[test]
fn who_waits_is_served_in_turn_whatever_the_worker() {
    crate::each_seed(128, run);
}

fn run(seed: u64) {
    let mut random = Random::new(seed ^ 0x0BE7);
    let load = Rc::new(Load::random(&mut random));
    let balance = *random.pick(&["roundrobin", "leastconn", "random", "first", "static-rr"]);
    let reuse = *random.pick(&["safe", "always", "never"]);
    let config = load.config(balance, reuse);
    let workers = house::workers(seed, &mut random);
    let house = house::build(seed, Weather::fair(), workers, &config);
    let book = Rc::new(Book::default());
    for (index, slots) in load.slots.iter().enumerate() {
        // An origin does not see that the client of a request has left.
        let limit = if load.leaving > 0 { u32::MAX } else { *slots };
        serve(&house, 8001 + index as u16, limit, &book);
    }
    let start = house.net.now().mono;
    let longest = Rc::new(Cell::new(0));
    for _ in 0..load.clients {
        let r = Random::new(random.bits());
        house.clients.spawn(client(house.clients.clone(), load.clone(), book.clone(), longest.clone(), r));
    }
    house::run_to_end(&house);
    let took = house.net.now().mono.since(start);
    let about = format!("seed {seed}, {workers} workers, {} clients\n{config}", load.clients);
    assert_eq!(book.wrongs(), "", "{about}");
    assert_eq!(house.clients.in_use().2, 0, "clients wait in vain; {about}");
    // Nobody prefers a server: no slot is free while somebody waits, so that all take as long as the requests of all need.
    if load.bound == 0 {
        let all = load.clients * load.requests;
        let rounds = all.div_ceil(load.slots.iter().sum::<u32>().into()) + load.requests;
        let most = rounds * (SERVICE_MS + HANDOVER_MS + AROUND_MS);
        assert!(took <= most, "{took} ms, at most {most}; {about}");
    }
    house::rest(&house, 70_000);
    house::leave(seed, &house, false);
    if std::env::var_os("SIM_SEED").is_some() {
        eprintln!("{about}longest {} ms of {}; {took} ms", longest.get(), load.longest_ms(Wish::Any));
    }
}

/// Sends one request after the other on one connection, each as soon as the answer to the last is there.
async fn client(rt: Rt, load: Rc<Load>, book: Rc<Book>, longest: Rc<Cell<u64>>, mut random: Random) {
    let wish = match random.chance(load.bound) {
        true => Wish::One(random.below(load.slots.len() as u64) as usize),
        false => Wish::Any,
    };
    let path = match wish {
        Wish::Any => "/any".to_string(),
        Wish::One(server) => format!("/{server}"),
    };
    let mut conn = None;
    for _ in 0..load.requests {
        let c = match conn.take() {
            Some(conn) => conn,
            None => Conn::connect(&rt, &house::at("192.0.2.1", 80), &ConnectOptions::default()).await.unwrap(),
        };
        let asked = rt.now().mono;
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        wire::send(&c, request.as_bytes(), &mut random, false).await;
        let mut reader = Reader::new(&c);
        if random.chance(load.leaving) {
            let soon = asked.plus(random.between(1, 4 * SERVICE_MS));
            if before(&rt, soon, reader.head()).await.is_err() {
                // The connection ends here, and with it the wait.
                continue;
            }
        } else {
            match reader.head().await {
                Ok(head) if head.first.contains(" 200 ") => {}
                other => book.wrong(format!("{other:?} for {path}")),
            }
        }
        let took = rt.now().mono.since(asked);
        longest.set(longest.get().max(took));
        let most = load.longest_ms(wish);
        if took > most {
            book.wrong(format!("{took} ms for {path}, at most {most}"));
        }
        conn = Some(c);
    }
}

/// A server that works on each request for a while, and knows how many it may have at once.
fn serve(house: &House, port: u16, slots: u32, book: &Rc<Book>) {
    let rt = house.origins.clone();
    let listener = Listener::new(&rt, house.net.listen(&rt, &house::at("198.51.100.1", port)));
    let (book, busy) = (book.clone(), Rc::new(Cell::new(0)));
    house.origins.spawn(async move {
        while let Ok(conn) = listener.accept(None).await {
            rt.spawn(exchanges(conn, slots, busy.clone(), book.clone()));
        }
    });
}

async fn exchanges(conn: Conn, slots: u32, busy: Rc<Cell<u32>>, book: Rc<Book>) {
    let mut reader = Reader::new(&conn);
    loop {
        match reader.head().await {
            Ok(_) => {}
            Err(Stop::Bad(why)) => return book.wrong(why.into()),
            Err(_) => return,
        }
        busy.set(busy.get() + 1);
        if busy.get() > slots {
            book.wrong(format!("{} requests at once, maxconn {slots}", busy.get()));
        }
        sleep(conn.rt(), SERVICE_MS).await;
        busy.set(busy.get() - 1);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        if !wire::send(&conn, answer, &mut Random::new(1), false).await {
            return;
        }
    }
}

/// How long a slot may be free while somebody waits who could have it: letters to all workers, and to the first of them.
const TAKEN_MS: u64 = 4;
/// Until then servers change; from then on all serve.
const CHANGES_MS: u64 = 2000;
/// The backend of these scenarios.
const BACK: usize = 1;

/// Servers come, go and change while streams wait: nobody waits for a slot that is free, and nothing is left.
#[test]
fn nobody_waits_for_a_free_slot_whatever_becomes_of_the_servers() {
    crate::each_seed(32, run_changes);
}

fn changing_config(servers: usize, random: &mut Random) -> String {
    let mut text = format!(
        "defaults\n mode http\n timeout client 600s\n timeout server 600s\n timeout connect 50ms\n \
         timeout queue {}\n http-reuse {}\nfrontend front\n bind 192.0.2.1:80\n default_backend back\n\
         backend back\n cookie S\n balance {}\n",
        random.pick(&["600s", "600s", "30ms"]),
        random.pick(&["safe", "always", "never"]),
        random.pick(&["roundrobin", "leastconn", "random", "first", "static-rr", "uri", "hash path"])
    );
    for option in [
        "option redispatch",
        "option allbackups",
        "option persist",
        "option prefer-last-server",
        "hash-type consistent",
        "hash-balance-factor 150",
        "retry-on all-retryable-errors",
        "fullconn 20",
    ] {
        if random.chance(300) {
            text.push_str(&format!(" {option}\n"));
        }
    }
    for index in 0..servers {
        let mut sometimes = |chance, words: &'static str| if random.chance(chance) { words } else { "" };
        let backup = sometimes(200, "backup");
        let minconn = sometimes(150, "minconn 1");
        let ends = sometimes(500, "on-marked-down shutdown-sessions");
        let (slots, port) = (random.between(1, 3), 8001 + index);
        text.push_str(&format!(
            " server s{index} 198.51.100.1:{port} cookie c{index} maxconn {slots} {backup} {minconn} {ends}\n"
        ));
    }
    text
}

fn run_changes(seed: u64) {
    let mut random = Random::new(seed ^ 0xC4A6);
    let servers = random.between(1, 4) as usize;
    let config = changing_config(servers, &mut random);
    let workers = house::workers(seed, &mut random);
    let house = house::build(seed, Weather::fair(), workers, &config);
    let book = Rc::new(Book::default());
    for index in 0..servers {
        let port = 8001 + index as u16;
        if random.chance(200) {
            house.net.faults(&house::at("198.51.100.1", port), Faults { refuse: 300, hang: 50, reset: 50 });
        }
        serve(&house, port, u32::MAX, &book);
    }
    let clients = random.between(2, 24);
    for _ in 0..clients {
        let r = Random::new(random.bits());
        house.clients.spawn(caller(house.clients.clone(), servers, r));
    }
    let about = format!("seed {seed}, {workers} workers, {clients} clients\n{config}");
    let start = house.net.now().mono;
    let mut free: Option<(u64, String)> = None;
    while house.clients.in_use().2 > 0 {
        let now = house.net.now().mono.since(start);
        assert!(now < 300_000, "clients wait in vain; {about}");
        if now >= CHANGES_MS {
            (0..servers).for_each(|server| mend(&house, server));
        } else if random.chance(80) {
            change(&house, random.below(servers as u64) as usize, &mut random);
        }
        house::pass(&house, 1);
        free = match (free_slot(&house), free) {
            (Some(_), Some((since, what))) if now - since >= TAKEN_MS => {
                panic!("from {since} ms on: {what}; {about}")
            }
            (Some(_), Some(free)) => Some(free),
            (found, _) => found.map(|what| (now, what)),
        };
    }
    assert_eq!(book.wrongs(), "", "{about}");
    house::rest(&house, 70_000);
    house::leave(seed, &house, false);
}

/// A server with a free slot, and streams that wait and could have it.
fn free_slot(house: &House) -> Option<String> {
    let worker = &house.workers[0];
    let live = worker.board.live.backend(BACK);
    let full = |s: &ServerLive| s.is_full() || s.settings.minconn > 0 && s.served() > 0;
    let mut servers = live.servers().filter(|(_, s)| !full(s));
    servers.find_map(|(index, s)| {
        let anyone = worker.backends[BACK].balancer.borrow_mut().may_choose(index, live) && live.waiting.is_any();
        let waits = anyone || s.takes_persistent() && s.waiting.is_any();
        let (served, slots) = (s.served(), s.maxconn());
        let (any, bound) = (live.waiting.count(), s.waiting.count());
        waits.then(|| format!("s{index} serves {served} of {slots}, {bound} wait for it and {any} for any"))
    })
}

/// Does to a server what the runtime API, a check or an agent does.
fn change(house: &House, server: usize, random: &mut Random) {
    let (live, now) = (&house.workers[0].board.live, house.net.now().mono);
    let states = [AdminState::Ready, AdminState::Ready, AdminState::Drain, AdminState::Maint];
    let healths = [ForcedHealth::Up, ForcedHealth::Stopping, ForcedHealth::Down];
    let mut events = Vec::new();
    match random.below(7) {
        0 => events = live.set_maxconn(BACK, server, random.between(0, 3) as u32),
        1 => events = live.set_weight(BACK, server, random.between(0, 2) as u32, now),
        2 | 3 => events = live.set_admin(BACK, server, *random.pick(&states), now),
        4 => events = live.force_health(BACK, server, *random.pick(&healths), now),
        // To where nobody listens, or back.
        5 => move_to(house, server, *random.pick(&[8001, 8101])),
        _ => house.tell_all(|| Mail::ShutdownSessions(BACK, server, Failure::Killed)),
    }
    tell(house, events);
}

/// The server serves as it should.
fn mend(house: &House, server: usize) {
    let (live, now) = (&house.workers[0].board.live, house.net.now().mono);
    move_to(house, server, 8001);
    let mut events = live.set_admin(BACK, server, AdminState::Ready, now);
    events.extend(live.set_weight(BACK, server, 1, now));
    events.extend(live.force_health(BACK, server, ForcedHealth::Up, now));
    tell(house, events);
}

fn move_to(house: &House, server: usize, first_port: u16) {
    let address = house::at("198.51.100.1", first_port + server as u16);
    let live = &house.workers[0].board.live;
    if live.server(BACK, server).is_some_and(|s| s.address().as_deref() != Some(&address)) {
        live.set_address(BACK, server, Some(address));
    }
}

/// As the control thread does it.
fn tell(house: &House, events: Vec<Event>) {
    for event in events.iter().filter(|e| e.effect != Effect::None) {
        let live = house.workers[0].board.live.backend(BACK);
        let ends = |server| live.server(server).is_some_and(|s| s.settings.on_marked_down_shutdown);
        if let Some(server) = event.server.filter(|server| event.effect == Effect::Down && ends(*server)) {
            house.tell_all(|| Mail::ShutdownSessions(BACK, server, Failure::ServerDown));
        }
        house.tell_all(|| Mail::ServersChanged(BACK));
    }
}

/// Asks, waits or leaves, whatever the answers are.
async fn caller(rt: Rt, servers: usize, mut random: Random) {
    let bound = random.chance(400);
    let mut conn = None;
    for _ in 0..random.between(3, 30) {
        let c = match conn.take() {
            Some(conn) => conn,
            None => Conn::connect(&rt, &house::at("192.0.2.1", 80), &ConnectOptions::default()).await.unwrap(),
        };
        let cookie = match bound {
            true => format!("Cookie: S=c{}\r\n", random.below(servers as u64)),
            false => String::new(),
        };
        let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n{cookie}\r\n", random.below(8));
        wire::send(&c, request.as_bytes(), &mut random, false).await;
        let mut reader = Reader::new(&c);
        let patience = if random.chance(100) { random.between(1, 4 * SERVICE_MS) } else { 600_000 };
        match before(&rt, rt.now().mono.plus(patience), reader.head()).await {
            Ok(Ok(head)) if head.first.contains(" 200 ") => conn = Some(c),
            // No server, perhaps: one may come.
            Ok(_) => sleep(&rt, SERVICE_MS).await,
            Err(_) => {}
        }
    }
}
