//! Limits by stick tables over workers that share nothing: how many requests and connections of a source pass.
//!
//! A worker counts in its copy of an entry and tells the entry's home at the end of its turn; the home tells the other holders
//! at the end of its own. So a decision sees all that was counted, except what other workers have counted within the last
//! two turns, the *lag*. A client that waits for each answer before it asks again has, if the answer takes longer than the lag,
//! one request at most that others do not see. Hence of `together` such clients of one source, with a limit of `n`:
//!
//! - never fewer than `n` pass, for nobody sees more than was counted;
//! - never more than `n + together - 1` pass: the request that comes as number `k` sees `k - (together - 1)` at least;
//! - exactly `n` pass with one client, on any number of workers;
//! - exactly `n` pass, whatever is under way, when each decision is the home's (`src_inc_gpc0`) or all is one worker's.

use crate::house::{self, Book, House};
use crate::wire::{self, Framing, Reader, Stop};
use ringway::dataplane::tables::Asking;
use ringway::dataplane::tables::message::{Ask, Reply};
use ringway::dataplane::worker::Mail;
use ringway::engine::driver::ConnectOptions;
use ringway::engine::driver::sim::Weather;
use ringway::engine::driver::sim::random::Random;
use ringway::engine::task::sleep;
use ringway::engine::{Conn, Rt};
use ringway::language::world::Counter;
use ringway::model::state::counters::FrontendCounter;
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

/// What lets a request pass. Sources are counted over 10 seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    /// All requests count (`sc_http_req_rate`).
    Rate,
    /// Looking counts (`sc_inc_gpc0`).
    Looking,
    /// An action counts, then a condition reads (`sc-inc-gpc0`, `sc_get_gpc0`).
    Action,
    /// What passes counts (`sc_gpc0_rate`, then `sc-inc-gpc0`).
    Passing,
    /// The home counts and answers (`src_inc_gpc0`).
    Home,
}

impl Rule {
    fn lines(self, n: u64) -> String {
        const TRACK: &str = "http-request track-sc0 src table counts\n ";
        const DENY: &str = "http-request deny deny_status 429 if";
        match self {
            Rule::Rate => format!("{TRACK}{DENY} {{ sc_http_req_rate(0) gt {n} }}"),
            Rule::Looking => format!("{TRACK}{DENY} {{ sc_inc_gpc0(0) gt {n} }}"),
            Rule::Action => format!("{TRACK}http-request sc-inc-gpc0(0)\n {DENY} {{ sc_get_gpc0(0) gt {n} }}"),
            Rule::Passing => format!("{TRACK}{DENY} {{ sc_gpc0_rate(0) ge {n} }}\n http-request sc-inc-gpc0(0)"),
            Rule::Home => format!("{DENY} {{ src_inc_gpc0(counts) gt {n} }}"),
        }
    }
}

/// Answers longer than the lag: each way of the network takes four milliseconds at least, a worker's turn half of one.
fn weather(random: &mut Random) -> Weather {
    Weather {
        latency_us: (4000, 9000),
        completion_us: *random.pick(&[0, 5, 100, 500]),
        short: *random.pick(&[0, 100]),
        cut: *random.pick(&[0, 20]),
        ..Weather::fair()
    }
}

/// Requests of one source that passed, and that were denied.
type Seen = Rc<RefCell<(u64, u64)>>;

#[test]
fn a_limit_lets_pass_what_it_says_and_what_is_under_way() {
    crate::each_seed(64, requests);
}

fn requests(seed: u64) {
    let mut random = Random::new(seed ^ 0x11_317);
    let rule = *random.pick(&[Rule::Rate, Rule::Rate, Rule::Looking, Rule::Action, Rule::Passing, Rule::Home]);
    let n = random.between(1, 12);
    // Counters that do not decay begin anew with the entry.
    let expire_s = if rule == Rule::Rate { *random.pick(&[15, 300]) } else { 15 };
    let config = format!(
        "defaults\n mode http\n timeout client 60s\nbackend counts\n stick-table type ip size 1k expire {expire_s}s \
         store gpc0,gpc0_rate(10s),http_req_cnt,http_req_rate(10s)\nfrontend limited\n bind 192.0.2.1:80\n \
         http-request set-src hdr(from)\n {}\n http-request return status 200\n",
        rule.lines(n)
    );
    let workers = house::workers(seed, &mut random);
    let house = house::build(seed, weather(&mut random), workers, &config);
    let book = Rc::new(Book::default());
    let sources: Vec<(Ipv4Addr, u64)> = (1..=random.between(1, 4) as u8)
        .map(|last| (Ipv4Addr::new(10, 0, 0, last), *random.pick(&[1, 1, 2, 3, 8])))
        .collect();
    let mut sent_before = vec![0; sources.len()];
    for phase in 0..3 {
        let seen: Vec<Seen> = sources.iter().map(|_| Seen::default()).collect();
        for ((source, together), seen) in sources.iter().zip(&seen) {
            let each = (n + together).div_ceil(*together) + random.between(0, 3);
            for _ in 0..*together {
                let (rt, r) = (house.clients.clone(), Random::new(random.bits()));
                house.clients.spawn(client(rt, *source, each, seen.clone(), book.clone(), r));
            }
        }
        house::run_to_end(&house);
        // The last changes reach their homes.
        house::rest(&house, 20);
        assert_eq!(book.wrongs(), "", "seed {seed}");
        for (index, ((source, together), seen)) in sources.iter().zip(&seen).enumerate() {
            let (passed, denied) = *seen.borrow();
            let most = if rule == Rule::Home || workers == 1 { n } else { n + together - 1 };
            let about = format!("seed {seed}, phase {phase}, {workers} workers, {together} together: {rule:?} {n}");
            assert!((n..=most).contains(&passed), "{passed} of {} passed; {about}", passed + denied);
            let sent = passed + denied;
            if rule != Rule::Home {
                let before = if expire_s < 20 { 0 } else { sent_before[index] };
                assert_eq!(at_home(&house, *source, Counter::HttpReqCnt), sent + before, "requests; {about}");
                assert_eq!(at_home(&house, *source, Counter::HttpReqRate), sent, "rate; {about}");
            }
            sent_before[index] += sent;
            let counted = match rule {
                Rule::Rate => 0,
                Rule::Passing => passed,
                Rule::Looking | Rule::Action | Rule::Home => sent,
            };
            assert_eq!(at_home(&house, *source, Counter::Gpc0), counted, "gpc0; {about}");
            // The look itself counts as one.
            assert_eq!(at_home(&house, *source, Counter::Trackers), 1, "trackers; {about}");
        }
        // Two periods, after which nothing of the last is left.
        house::rest(&house, 25_000);
    }
    house::rest(&house, 70_000);
    if expire_s < 70 {
        assert_eq!(house.workers[0].tables.registry.def(0).usage.used(), 0, "seed {seed}: entries stay");
    }
    house::leave(seed, &house, false);
}

/// A column of a source's entry at its home.
fn at_home(house: &House, source: Ipv4Addr, counter: Counter) -> u64 {
    let tables = &house.workers[0].tables.registry;
    let (table, key) = (tables.named("counts").expect("the table"), source.octets());
    let hash = tables.hash(table, &key);
    match house.workers[tables.home(hash)].tables.ask(table, &key, hash, Ask::Read(counter)) {
        Asking::Now(Reply::Value(value)) => value.unwrap_or(0) as u64,
        _ => panic!("the home answers at once"),
    }
}

/// One request after the other, each when the last was answered, on connections that any worker may take.
async fn client(rt: Rt, source: Ipv4Addr, count: u64, seen: Seen, book: Rc<Book>, mut random: Random) {
    let (keeps, rests) = (random.chance(300), random.chance(300));
    let mut conn = None;
    for number in 0..count {
        if rests && number == count / 2 {
            // Long enough for copies that nobody uses to be given back.
            sleep(&rt, 3500).await;
        }
        let c = match conn.take() {
            Some(conn) => conn,
            None => Conn::connect(&rt, &house::at("192.0.2.1", 80), &ConnectOptions::default()).await.unwrap(),
        };
        match ask(&c, &IpAddr::V4(source), &mut random).await {
            Ok(200) => seen.borrow_mut().0 += 1,
            Ok(429) => seen.borrow_mut().1 += 1,
            other => book.wrong(format!("{other:?}")),
        }
        conn = Some(c).filter(|_| keeps);
    }
}

/// Status of the answer to a request of this source.
async fn ask(conn: &Conn, source: &IpAddr, random: &mut Random) -> Result<u16, Stop> {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nFrom: {source}\r\n\r\n");
    wire::send(conn, request.as_bytes(), random, false).await;
    let mut reader = Reader::new(conn);
    let head = reader.head().await?;
    let length = head.number("content-length").ok_or(Stop::Bad("length"))?;
    reader.body(Framing::Length(length as usize), &mut Vec::new()).await?;
    head.first.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(Stop::Bad("status"))
}

/// Connections at a time: one is asked for after the other, some leave in between.
#[test]
fn connections_of_a_source_are_limited_exactly() {
    crate::each_seed(64, connections);
}

fn connections(seed: u64) {
    let mut random = Random::new(seed ^ 0xC0_4417);
    let n = random.between(1, 10) as usize;
    let config = format!(
        "defaults\n mode http\n timeout client 600s\nbackend counts\n stick-table type ip size 1k expire 30s store \
         conn_cur,conn_cnt\nfrontend limited\n bind 192.0.2.1:80\n tcp-request connection track-sc0 src table counts\n \
         tcp-request connection reject if {{ sc_conn_cur(0) gt {n} }}\n http-request return status 200\n"
    );
    let workers = house::workers(seed, &mut random);
    let house = house::build(seed, weather(&mut random), workers, &config);
    let book = Rc::new(Book::default());
    let (rt, b) = (house.clients.clone(), book.clone());
    house.clients.spawn(async move {
        let mut held: Vec<Conn> = Vec::new();
        for _ in 0..40 {
            if !held.is_empty() && random.chance(300) {
                held.swap_remove(random.below(held.len() as u64) as usize);
                // The proxy sees it, and the lag.
                sleep(&rt, 25).await;
            }
            let conn = Conn::connect(&rt, &house::at("192.0.2.1", 80), &ConnectOptions::default()).await.unwrap();
            let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
            match ask(&conn, &source, &mut random).await {
                Ok(200) if held.len() < n => held.push(conn),
                Err(Stop::End | Stop::Broken) if held.len() == n => {}
                other => b.wrong(format!("{other:?} with {} of {n}", held.len())),
            }
        }
    });
    house::run_to_end(&house);
    assert_eq!(book.wrongs(), "", "seed {seed}, {workers} workers\n{config}");
    house::rest(&house, 70_000);
    assert_eq!(house.workers[0].tables.registry.def(0).usage.used(), 0, "seed {seed}: entries stay");
    house::leave(seed, &house, false);
}

/// How long a place may be free while somebody waits for it on another worker than the one that gave it back.
const SEEN_MS: u64 = 25;

/// Limits that change, and listeners that pause, on any number of workers: whoever waits is taken when there is a place.
#[test]
fn nobody_waits_to_be_accepted_while_there_is_a_place() {
    crate::each_seed(32, places);
}

fn places(seed: u64) {
    let mut random = Random::new(seed ^ 0xACCE);
    let bind = *random.pick(&["", "maxconn 2", "maxconn 5"]);
    let config = format!(
        "frontend front\n mode http\n timeout client 600s\n maxconn {}\n bind 192.0.2.1:80 {bind}\n \
         http-request return status 200\n",
        random.between(1, 6)
    );
    let workers = house::workers(seed, &mut random);
    let house = house::build(seed, Weather::fair(), workers, &config);
    let limit_of_bind: u64 = bind.strip_prefix("maxconn ").map_or(u64::MAX, |n| n.parse().unwrap());
    // Since when: those that have no answer.
    let waiting: Rc<RefCell<Vec<u64>>> = Rc::default();
    let clients = random.between(2, 30);
    for _ in 0..clients {
        let (rt, waiting, mut r) = (house.clients.clone(), waiting.clone(), Random::new(random.bits()));
        house.clients.spawn(async move {
            for _ in 0..r.between(1, 8) {
                let to = house::at("192.0.2.1", 80);
                let Ok(conn) = Conn::connect(&rt, &to, &ConnectOptions::default()).await else {
                    sleep(&rt, 5).await;
                    continue;
                };
                let since = rt.now().mono.0;
                waiting.borrow_mut().push(since);
                let _ = ask(&conn, &IpAddr::V4(Ipv4Addr::LOCALHOST), &mut r).await;
                waiting.borrow_mut().retain({
                    let mut found = false;
                    move |w| *w != since || std::mem::replace(&mut found, true)
                });
                sleep(&rt, r.between(0, 60)).await;
            }
        });
    }
    let about = format!("seed {seed}, {workers} workers, {clients} clients\n{config}");
    let live = house.workers[0].board.live.frontend(0);
    let (start, mut paused, mut free) = (house.net.now().mono, false, None);
    while house.clients.in_use().2 > 0 {
        let now = house.net.now().mono.since(start);
        assert!(now < 60_000, "{:?} wait in vain; {about}", waiting.borrow());
        if random.chance(20) || now > 2000 && paused {
            paused = !paused && now <= 2000;
            house.tell_all(|| Mail::FrontendPaused(0, paused));
        }
        if random.chance(30) {
            live.maxconn.store(random.between(0, 6) as u32, Relaxed);
            house.tell_all(|| Mail::LimitsChanged);
        }
        house::pass(&house, 1);
        let limit = match live.maxconn.load(Relaxed) {
            0 => limit_of_bind,
            limit => limit_of_bind.min(limit.into()),
        };
        let used = house.workers[0].board.frontend(0, FrontendCounter::Scur);
        free = free.filter(|_| used < limit && !paused).or_else(|| (used < limit && !paused).then_some(now));
        let longest = waiting.borrow().iter().min().map_or(0, |since| house.net.now().mono.0 - since);
        let unused = free.map_or(0, |since| now - since);
        assert!(
            longest.min(unused) <= SEEN_MS,
            "{used} of {limit} for {unused} ms, one waits for {longest}; {about}"
        );
    }
    house::rest(&house, 1000);
    house::leave(seed, &house, false);
}
