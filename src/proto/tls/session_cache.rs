//! Sessions by id, shared by all workers without a lock: TLS 1.2 session ids, and TLS 1.3 sessions where tickets are
//! switched off. A fixed table of sets of four; a full set loses its oldest entry. Bounded by `tune.ssl.cachesize`
//! (entries here, 200-byte blocks in HAProxy), aged by `tune.ssl.lifetime`.

#[cfg(test)]
use super::moment;
use super::tickets::Note;
use arc_swap::ArcSwapOption;
use rustls::server::StoresServerSessions;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const WAYS: usize = 4;

struct Entry {
    id: Box<[u8]>,
    issued_s: u64,
    /// A [`Note`] and the library's state.
    value: Box<[u8]>,
}

/// The cache; one for the process.
pub struct SessionCache {
    slots: Box<[ArcSwapOption<Entry>]>,
    lifetime_s: u32,
    hash: foldhash::fast::RandomState,
    /// `SslCacheLookups` and `SslCacheMisses` of `show info`.
    lookups: AtomicU64,
    misses: AtomicU64,
}

impl SessionCache {
    /// For `size` sessions (rounded up to a multiple of four); 0: none are kept.
    pub fn new(size: usize, lifetime_s: u32) -> Arc<SessionCache> {
        let slots = (0..size.div_ceil(WAYS) * WAYS).map(|_| ArcSwapOption::empty()).collect();
        Arc::new(SessionCache {
            slots,
            lifetime_s,
            hash: foldhash::fast::RandomState::default(),
            lookups: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        })
    }

    /// Lookups and misses so far.
    pub fn counters(&self) -> (u64, u64) {
        (self.lookups.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    /// Places for sessions.
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// What is at a place, for the process that follows: id, second of issue, value. Secret.
    pub fn export(&self, place: usize) -> Option<(Vec<u8>, u64, Vec<u8>)> {
        let entry = self.slots.get(place)?.load_full()?;
        Some((entry.id.to_vec(), entry.issued_s, entry.value.to_vec()))
    }

    /// Takes over what another process kept.
    pub fn import(&self, id: Vec<u8>, issued_s: u64, value: Vec<u8>) {
        self.store(Entry { id: id.into(), issued_s, value: value.into() });
    }

    fn store(&self, entry: Entry) -> bool {
        let age = |slot: &ArcSwapOption<Entry>| slot.load().as_ref().map_or(0, |e| e.issued_s + 1);
        match self.set(&entry.id).iter().min_by_key(|slot| age(slot)) {
            Some(slot) => {
                slot.store(Some(Arc::new(entry)));
                true
            }
            None => false,
        }
    }

    fn set(&self, id: &[u8]) -> &[ArcSwapOption<Entry>] {
        let sets = self.slots.len() / WAYS;
        if sets == 0 {
            return &[];
        }
        let mut hasher = self.hash.build_hasher();
        hasher.write(id);
        let at = (hasher.finish() % sets as u64) as usize * WAYS;
        &self.slots[at..at + WAYS]
    }

    fn find(&self, id: &[u8], once: bool) -> Option<Vec<u8>> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let found = self.set(id).iter().find_map(|slot| {
            let entry = slot.load();
            let entry = entry.as_ref().filter(|e| *e.id == *id)?;
            if once {
                // Whoever swaps it out owns it: a session is handed out at most once.
                let taken = slot.compare_and_swap(entry, None);
                if !taken.as_ref().is_some_and(|t| Arc::ptr_eq(t, entry)) {
                    return None;
                }
            }
            Note::accept(&entry.value, self.lifetime_s).map(<[u8]>::to_vec)
        });
        if found.is_none() {
            self.misses.fetch_add(1, Ordering::Relaxed);
        }
        found
    }
}

impl fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionCache")
    }
}

impl StoresServerSessions for SessionCache {
    fn put(&self, id: Vec<u8>, state: Vec<u8>) -> bool {
        let note = Note::take();
        let mut value = Vec::with_capacity(Note::LENGTH + state.len());
        note.write(&mut value);
        value.extend_from_slice(&state);
        self.store(Entry { id: id.into(), issued_s: note.issued_s, value: value.into() })
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.find(id, false)
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.find(id, true)
    }

    fn can_cache(&self) -> bool {
        !self.slots.is_empty()
    }
}

/// Forgets the stage set for a test.
#[cfg(test)]
fn at(now_s: u64, binding: u8) {
    moment::enter(moment::Moment { now_s, binding: [binding; 16], ..Default::default() });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_bounded_aged_and_bound() {
        let cache = SessionCache::new(8, 300);
        at(1000, 1);
        for i in 0..100u8 {
            assert!(cache.put(vec![i], vec![i, i]));
        }
        let kept: Vec<u8> = (0..100).filter(|i| cache.get(&[*i]).is_some()).collect();
        assert!(kept.len() <= 8 && !kept.is_empty());
        let id = [kept[0]];
        assert_eq!(cache.get(&id).unwrap(), [kept[0], kept[0]]);
        at(1301, 1);
        assert_eq!(cache.get(&id), None, "too old");
        at(1000, 2);
        assert_eq!(cache.get(&id), None, "another policy");
        at(1000, 1);
        assert!(cache.take(&id).is_some());
        assert_eq!(cache.take(&id), None, "taken once");
        assert!(cache.counters().1 >= 92);
    }

    #[test]
    fn size_zero_keeps_nothing() {
        let cache = SessionCache::new(0, 300);
        assert!(!cache.can_cache() && !cache.put(vec![1], vec![1]));
        assert_eq!(cache.get(&[1]), None);
    }
}
