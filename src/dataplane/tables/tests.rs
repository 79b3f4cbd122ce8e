//! Tables of several workers on one thread: letters are delivered in any order that pairs of workers allow.

use super::message::{Ask, Learned, Lesson, Letter, Reply};
use super::registry::Registry;
use super::{Asking, Place, Reached, Tables};
use crate::base::clock::Millis;
use crate::base::origin::Origin;
use crate::engine::driver::sim::random::Random;
use crate::engine::driver::sim::{SimNet, Weather};
use crate::language::world::{Counter, CounterEdit};
use crate::model::peers::Peers;
use crate::model::plan::Plan;
use crate::model::proxy::Proxy;
use crate::model::stick_table::data::{DataType, What};
use crate::model::stick_table::{KeyType, StickTable, StoredData};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

/// When nobody has used for long what is not used now.
const FAR: Millis = Millis(u64::MAX / 4);

/// Workers, and the letters on their way between each pair.
struct Office {
    tables: Vec<Rc<Tables>>,
    way: Vec<Vec<VecDeque<Letter>>>,
    random: Random,
}

fn office(workers: usize, size: u64, seed: u64) -> Office {
    office_with(workers, size, seed, Vec::new())
}

/// The table is shared through the section `all`, where there is one.
fn office_with(workers: usize, size: u64, seed: u64, peers: Vec<Peers>) -> Office {
    let store = |name, period_ms| StoredData { name, elements: 1, period_ms };
    let table = StickTable {
        origin: Origin::new("t.cfg", 1),
        name: "t".into(),
        key: KeyType::String(16),
        size,
        nopurge: false,
        expire_ms: Some(60_000),
        peers: Some("all".into()),
        server_key_address: false,
        write_to: None,
        recv_only: false,
        store: vec![
            store("http_req_cnt", None),
            store("http_req_rate", Some(10_000)),
            store("conn_cur", None),
            store("conn_cnt", None),
            store("gpc0", None),
            store("server_id", None),
            store("server_key", None),
        ],
    };
    let mut proxy = Proxy::new("t", Origin::new("t.cfg", 1), false, true);
    proxy.backend.stick_table = Some(table);
    let plan = Plan { proxies: vec![proxy], peers, ..Plan::default() };
    let registry = Arc::new(Registry::new(&plan, workers, seed));
    let net = SimNet::new(seed, Weather::fair());
    let tables = (0..workers).map(|me| Tables::new(net.reactor(), me, registry.clone())).collect();
    // The last way leads to the control thread.
    let way = (0..workers).map(|_| (0..=workers).map(|_| VecDeque::new()).collect()).collect();
    Office { tables, way, random: Random::new(seed) }
}

impl Office {
    /// One worker's turn: its letters leave.
    fn turn(&mut self, worker: usize) {
        for (to, letter) in self.tables[worker].turn() {
            self.way[worker][to].push_back(letter);
        }
    }

    /// Delivers one letter of a pair drawn at random; false when none is under way.
    fn deliver(&mut self) -> bool {
        let n = self.tables.len();
        let pairs: Vec<(usize, usize)> =
            (0..n * n).map(|i| (i / n, i % n)).filter(|(a, b)| !self.way[*a][*b].is_empty()).collect();
        if pairs.is_empty() {
            return false;
        }
        let (from, to) = pairs[self.random.between(0, pairs.len() as u64 - 1) as usize];
        if let Some(letter) = self.way[from][to].pop_front() {
            self.tables[to].receive(from, letter);
        }
        true
    }

    /// Until nothing moves any more.
    fn settle(&mut self) {
        loop {
            for worker in 0..self.tables.len() {
                self.turn(worker);
            }
            if !self.deliver() {
                return;
            }
        }
    }

    /// Tracks a key: at once, or after its copy has come.
    fn track(&mut self, worker: usize, key: &str) -> Place {
        let t = self.tables[worker].clone();
        let hash = t.registry.hash(0, key.as_bytes());
        let mut place = None;
        if let Reached::At(p) = t.reach(0, key.as_bytes(), hash, true) {
            place = Some(p);
        }
        let place = place.unwrap_or_else(|| {
            let Asking::Later(id) = t.ask(0, key.as_bytes(), hash, Ask::Lease) else {
                panic!("its home is elsewhere")
            };
            while t.inner.borrow().asks.get(id).is_none_or(|a| a.reply.is_none()) {
                for worker in 0..self.tables.len() {
                    self.turn(worker);
                }
                assert!(self.deliver(), "the answer never comes");
            }
            t.take_reply(id);
            match t.reach(0, key.as_bytes(), hash, false) {
                Reached::At(p) => p,
                _ => panic!("no copy came"),
            }
        });
        t.change(0, place, What::Trackers, CounterEdit::Add(1));
        t.change(0, place, What::Connection, CounterEdit::Add(1));
        place
    }

    /// What the home says of a key.
    fn at_home(&self, key: &str, counter: Counter) -> i64 {
        let hash = self.tables[0].registry.hash(0, key.as_bytes());
        let home = &self.tables[self.tables[0].registry.home(hash)];
        match home.ask(0, key.as_bytes(), hash, Ask::Read(counter)) {
            Asking::Now(Reply::Value(value)) => value.unwrap_or(-1),
            _ => panic!("the home answers at once"),
        }
    }
}

/// Every event is counted once at the home and, when the news is through, in every copy; nothing stays behind.
#[test]
fn sums_are_right_whatever_the_order_of_letters() {
    // `TABLE_SEEDS=500` looks at more of them.
    let seeds = std::env::var("TABLE_SEEDS").ok().and_then(|v| v.parse().ok()).unwrap_or(200);
    for seed in 0..seeds {
        let mut random = Random::new(seed ^ 0xABCD);
        let workers = if seed % 16 == 15 { random.between(9, 64) } else { random.between(1, 8) } as usize;
        let mut office = office(workers, 1000, seed);
        let keys = ["a", "b", "c"];
        let mut held: Vec<(usize, usize, Place)> = Vec::new();
        let mut events = [0i64; 3];
        let mut tracked = [0i64; 3];
        for _ in 0..random.between(10, 200) {
            match random.between(0, 9) {
                0..=2 => {
                    let (worker, key) =
                        (random.between(0, workers as u64 - 1) as usize, random.between(0, 2) as usize);
                    let place = office.track(worker, keys[key]);
                    held.push((worker, key, place));
                    tracked[key] += 1;
                }
                3..=6 if !held.is_empty() => {
                    let (worker, key, place) = held[random.between(0, held.len() as u64 - 1) as usize];
                    office.tables[worker].change(0, place, What::Request, CounterEdit::Add(1));
                    events[key] += 1;
                }
                7 if !held.is_empty() => {
                    let (worker, _, place) = held.swap_remove(random.between(0, held.len() as u64 - 1) as usize);
                    office.tables[worker].change(0, place, What::ConnectionEnd, CounterEdit::Add(1));
                    office.tables[worker].change(0, place, What::Trackers, CounterEdit::Add(-1));
                }
                8 => office.turn(random.between(0, workers as u64 - 1) as usize),
                _ => {
                    office.deliver();
                }
            }
        }
        office.settle();
        for (key, name) in keys.iter().enumerate() {
            let holds = held.iter().filter(|h| h.1 == key).count() as i64;
            if tracked[key] == 0 {
                continue;
            }
            assert_eq!(office.at_home(name, Counter::HttpReqCnt), events[key], "seed {seed}, requests of {name}");
            assert_eq!(office.at_home(name, Counter::HttpReqRate), events[key], "seed {seed}, rate of {name}");
            assert_eq!(office.at_home(name, Counter::ConnCnt), tracked[key], "seed {seed}, connections of {name}");
            assert_eq!(office.at_home(name, Counter::ConnCur), holds, "seed {seed}, open connections of {name}");
            assert_eq!(office.at_home(name, Counter::Trackers), holds + 1, "seed {seed}, trackers of {name}");
            for (worker, _, place) in held.iter().filter(|h| h.1 == key) {
                let seen = office.tables[*worker].read(0, *place, Counter::HttpReqCnt);
                assert_eq!(seen, Some(events[key]), "seed {seed}, {name} as worker {worker} sees it");
            }
        }
        // When all is released and the copies have been given back, nobody holds anything.
        for (worker, _, place) in held.drain(..) {
            office.tables[worker].change(0, place, What::Trackers, CounterEdit::Add(-1));
        }
        office.settle();
        for t in &office.tables {
            t.retire(FAR);
            assert!(t.inner.borrow().copies.is_empty(), "seed {seed}: copies stay behind");
        }
        office.settle();
        for t in &office.tables {
            let inner = t.inner.borrow();
            assert!(inner.asks.is_empty(), "seed {seed}: questions stay behind");
            for slot in inner.shards[0].from(0, u32::MAX).0 {
                assert_eq!((inner.shards[0].holders(slot), inner.shards[0].uses(slot)), (0, 0), "seed {seed}");
            }
        }
    }
}

/// Copies that are given back while their key is asked for again, questions that nobody waits for, entries that are cleared:
/// every use is counted and none stays.
#[test]
fn a_use_is_counted_and_ends_whatever_copies_and_entries_come_and_go_meanwhile() {
    let seeds = std::env::var("TABLE_SEEDS").ok().and_then(|v| v.parse().ok()).unwrap_or(200);
    for seed in 0..seeds {
        let mut random = Random::new(seed ^ 0x1357);
        let workers = random.between(2, 4) as usize;
        let mut office = office(workers, 1000, seed);
        let keys = ["a", "b"];
        let clears = seed % 2 == 0;
        let mut asked = Vec::new();
        let mut held: Vec<(usize, Place)> = Vec::new();
        for _ in 0..random.between(10, 300) {
            let worker = random.between(0, workers as u64 - 1) as usize;
            let t = office.tables[worker].clone();
            let key = keys[random.between(0, 1) as usize].as_bytes();
            let hash = t.registry.hash(0, key);
            match random.between(0, 9) {
                0..=2 => match t.reach(0, key, hash, true) {
                    Reached::At(place) => {
                        t.change(0, place, What::Trackers, CounterEdit::Add(1));
                        held.push((worker, place));
                    }
                    _ => match t.ask(0, key, hash, Ask::Lease) {
                        Asking::Later(id) => asked.push((worker, id)),
                        Asking::Now(_) => panic!("its home is elsewhere"),
                    },
                },
                3 if !held.is_empty() => {
                    let (worker, place) = held.swap_remove(random.between(0, held.len() as u64 - 1) as usize);
                    office.tables[worker].change(0, place, What::Trackers, CounterEdit::Add(-1));
                }
                4 => t.retire(FAR),
                5 if !asked.is_empty() => {
                    let (worker, id) = asked.swap_remove(random.between(0, asked.len() as u64 - 1) as usize);
                    office.tables[worker].abandon(id);
                }
                6 if clears => {
                    t.answer(0, b"", 0, Ask::Clear { start: 0, filters: Arc::new([]) }, None);
                }
                7 => office.turn(worker),
                _ => {
                    office.deliver();
                }
            }
        }
        office.settle();
        if !clears {
            for name in keys {
                let hash = office.tables[0].registry.hash(0, name.as_bytes());
                let uses = |(worker, place): &(usize, Place)| {
                    let mut key = Vec::new();
                    office.tables[*worker].key_of(0, *place, &mut key) && key == name.as_bytes()
                };
                let held = held.iter().filter(|h| uses(h)).count() as i64;
                let home = &office.tables[office.tables[0].registry.home(hash)];
                let Asking::Now(Reply::Value(Some(seen))) =
                    home.ask(0, name.as_bytes(), hash, Ask::Read(Counter::Trackers))
                else {
                    panic!("the home answers at once")
                };
                assert_eq!((seen - 1).max(0), held, "seed {seed}, {name}");
            }
        }
        for (worker, id) in asked.drain(..) {
            office.tables[worker].abandon(id);
        }
        for (worker, place) in held.drain(..) {
            office.tables[worker].change(0, place, What::Trackers, CounterEdit::Add(-1));
        }
        office.settle();
        office.tables.iter().for_each(|t| t.retire(FAR));
        office.settle();
        for t in &office.tables {
            assert_eq!(t.held(), (false, 0, 0), "seed {seed}");
            let inner = t.inner.borrow();
            let uses: u32 = inner.shards[0].from(0, u32::MAX).0.map(|slot| inner.shards[0].uses(slot)).sum();
            assert_eq!(uses, 0, "seed {seed}");
        }
    }
}

/// Workers share marks of who holds a copy when there are many: one that gives its copy back takes none from another.
#[test]
fn a_copy_goes_on_when_a_worker_with_the_same_mark_gives_its_own_back() {
    let mut office = office(66, 100, 7);
    let t = office.tables.clone();
    let registry = &t[0].registry;
    let mut keys = (0..).map(|n: u32| n.to_string());
    let key = keys.find(|k| registry.home(registry.hash(0, k.as_bytes())) == 5).unwrap();
    let [stays, goes] = [1, 65].map(|worker| office.track(worker, &key));
    office.settle();
    t[65].change(0, goes, What::Trackers, CounterEdit::Add(-1));
    office.settle();
    t[65].retire(FAR);
    office.settle();
    for _ in 0..8 {
        t[1].change(0, stays, What::Request, CounterEdit::Add(1));
        office.settle();
    }
    assert_eq!(office.at_home(&key, Counter::HttpReqCnt), 8);
}

/// What a stick rule stores before its response leaves is found by whoever asks afterwards.
#[test]
fn a_store_sent_before_a_question_is_seen_by_it() {
    for seed in 0..50 {
        let mut office = office(4, 100, seed);
        let t = office.tables.clone();
        let hash = t[0].registry.hash(0, b"k");
        let home = t[0].registry.home(hash);
        let others: Vec<usize> = (0..4).filter(|w| *w != home).collect();
        t[others[0]].store(0, b"k", 2, 1 << 32 | 1);
        office.turn(others[0]);
        let Asking::Later(id) = t[others[1]].ask(0, b"k", hash, Ask::Stick) else { panic!("the home is elsewhere") };
        office.turn(others[1]);
        // The home takes the question from its post first; it answers when the post is empty.
        while let Some(letter) = office.way[others[1]][home].pop_front() {
            t[home].receive(others[1], letter);
        }
        while let Some(letter) = office.way[others[0]][home].pop_front() {
            t[home].receive(others[0], letter);
        }
        office.settle();
        assert!(matches!(t[others[1]].take_reply(id), Some(Reply::Server(Some((2, _))))), "seed {seed}");
    }
}

/// A full table loses the entry nobody uses; who still holds a copy of it is told.
#[test]
fn an_evicted_entry_leaves_no_copy() {
    let mut office = office(2, 2, 7);
    let t = office.tables.clone();
    let registry = &t[0].registry;
    let mine = (0..).map(|n: u32| n.to_string()).filter(|k| registry.home(registry.hash(0, k.as_bytes())) == 0);
    let keys: Vec<String> = mine.take(3).collect();
    let place = office.track(1, &keys[0]);
    office.settle();
    t[1].change(0, place, What::Trackers, CounterEdit::Add(-1));
    office.settle();
    office.track(0, &keys[1]);
    office.track(0, &keys[2]);
    office.settle();
    assert!(t[1].inner.borrow().copies.is_empty());
    assert_eq!(t[0].registry.def(0).usage.used(), 2);
}

/// What any worker counts is told to peers once each time it was read; what a peer tells reaches the copies and is no news.
#[test]
fn peers_hear_of_changes_and_are_heard_by_all_copies() {
    for seed in 0..20 {
        let section = Peers {
            origin: Origin::new("t.cfg", 1),
            name: "all".into(),
            disabled: false,
            peers: Vec::new(),
            binds: Vec::new(),
            tables: Vec::new(),
            shards: 0,
            log_targets: Vec::new(),
        };
        let mut office = office_with(2, 100, seed, vec![section]);
        let t = office.tables.clone();
        let hash = t[0].registry.hash(0, b"k");
        let home = t[0].registry.home(hash);
        let places = [0, 1].map(|worker| office.track(worker, "k"));
        let count = |worker: usize| t[worker].change(0, places[worker], What::Request, CounterEdit::Add(1));
        count(0);
        count(1);
        office.settle();
        let read = |after| match t[home].answer(0, b"", 0, Ask::Updates { after, limit: 8 }, None) {
            Reply::Updates(list, last, false) => (list, last),
            other => panic!("{other:?}"),
        };
        let (list, last) = read(0);
        let requests = |words: &[u64]| t[0].registry.def(0).layout.read(words, Counter::HttpReqCnt, Millis(0));
        assert_eq!((list.len(), requests(&list[0].words)), (1, Some(2)), "seed {seed}");
        assert!(office.way[home][2].is_empty(), "nobody was waiting for news");
        count(0);
        count(1);
        office.settle();
        let news = |office: &mut Office| std::mem::take(&mut office.way[home][2]).len();
        assert_eq!(news(&mut office), 1, "one letter, seed {seed}");
        let (list, last) = read(last);
        assert_eq!(requests(&list[0].words), Some(4), "seed {seed}");
        let layout = t[0].registry.def(0).layout.clone();
        let mut words = vec![0; layout.words()];
        layout.set_element(&mut words, DataType::HttpReqCnt, 0, 70, Millis(0));
        let learned = Learned { key: (*b"k").into(), hash, left_ms: None, words: words.into() };
        let lesson =
            Lesson { source: 7, words: layout.words_of(DataType::HttpReqCnt, 0).collect(), entries: vec![learned] };
        t[home].answer(0, b"", 0, Ask::Learn(Box::new(lesson)), None);
        office.settle();
        for (worker, place) in places.into_iter().enumerate() {
            assert_eq!(t[worker].read(0, place, Counter::HttpReqCnt), Some(70), "seed {seed} worker {worker}");
            assert_eq!(t[worker].read(0, place, Counter::ConnCnt), Some(2), "what was not told stays");
        }
        assert_eq!(news(&mut office), 0);
        assert!(read(last).0.is_empty());
    }
}
