//! Where patterns come from: files and configuration lines, by name and number, with the edits of the runtime API.
//! An edit makes new entries, rebuilds every index over them, and puts all in force at once.

use super::{Entries, Method, PatternSet};
use crate::base::origin::Origin;
use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Patterns of one file (shared by all lines that name it) or of one configuration line.
#[derive(Debug)]
pub struct Source {
    /// The number after `#`.
    pub id: u32,
    /// The file name as written; `None` for the patterns of a line.
    pub file: Option<Arc<str>>,
    pub is_map: bool,
    /// First line that uses it.
    pub origin: Origin,
    /// What `show acl` and `show map` say about who uses it.
    users: Mutex<Vec<String>>,
    entries: ArcSwap<Entries>,
    /// Each holds its source: who looks things up holds the set.
    sets: Mutex<Vec<Weak<PatternSet>>>,
    /// Serialises edits.
    editing: Mutex<Versions>,
    /// Patterns that were added and freed until now.
    counts: [AtomicU64; 2],
}

/// Entries prepared by `prepare acl` and not committed yet.
#[derive(Debug, Default)]
pub struct Versions {
    pub current: u32,
    pub next: u32,
    prepared: Vec<(u32, Entries)>,
}

/// A poisoned lock only says that another thread died while editing; what it guards is replaced whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source {
    fn new(id: u32, file: Option<&str>, is_map: bool, origin: Origin, entries: Entries) -> Source {
        Source {
            id,
            file: file.map(Arc::from),
            is_map,
            origin,
            counts: [AtomicU64::new(entries.len() as u64), AtomicU64::new(0)],
            users: Mutex::default(),
            entries: ArcSwap::from_pointee(entries),
            sets: Mutex::default(),
            editing: Mutex::default(),
        }
    }

    /// The entries in force.
    pub fn entries(&self) -> Arc<Entries> {
        self.entries.load_full()
    }

    /// The index for a method; made on first demand and shared after. The error is HAProxy's text.
    pub fn set(self: &Arc<Self>, method: Method, ignore_case: bool) -> Result<Arc<PatternSet>, String> {
        let mut sets = lock(&self.sets);
        sets.retain(|s| s.strong_count() > 0);
        let known = |s: &Arc<PatternSet>| s.method == method && s.ignore_case == ignore_case;
        if let Some(set) = sets.iter().filter_map(Weak::upgrade).find(known) {
            return Ok(set);
        }
        let set = Arc::new(PatternSet::new(self.clone(), method, ignore_case)?);
        sets.push(Arc::downgrade(&set));
        Ok(set)
    }

    /// Every index over this source that somebody uses.
    pub fn sets(&self) -> Vec<Arc<PatternSet>> {
        lock(&self.sets).iter().filter_map(Weak::upgrade).collect()
    }

    pub fn used_by(&self, who: String) {
        lock(&self.users).push(who);
    }

    pub fn users(&self) -> Vec<String> {
        lock(&self.users).clone()
    }

    /// The version in force and the next one to be prepared.
    pub fn versions(&self) -> (u32, u32) {
        let versions = lock(&self.editing);
        (versions.current, versions.next)
    }

    /// Changes the entries in force. `edit` says why it cannot.
    pub fn edit(&self, edit: impl FnOnce(&mut Entries) -> Result<(), String>) -> Result<(), String> {
        let _editing = lock(&self.editing);
        let mut entries = Entries::clone(&self.entries.load());
        let before = entries.len();
        edit(&mut entries)?;
        let after = entries.len();
        self.publish(entries)?;
        self.count(after.saturating_sub(before), before.saturating_sub(after));
        Ok(())
    }

    fn count(&self, added: usize, freed: usize) {
        self.counts[0].fetch_add(added as u64, Relaxed);
        self.counts[1].fetch_add(freed as u64, Relaxed);
    }

    fn publish(&self, entries: Entries) -> Result<(), String> {
        let entries = Arc::new(entries);
        // Held until all are replaced: an index made meanwhile would be over the old entries.
        let held = lock(&self.sets);
        let sets: Vec<_> = held.iter().filter_map(Weak::upgrade).collect();
        let indexes = sets.iter().map(|s| s.check(&entries)).collect::<Result<Vec<_>, _>>()?;
        for (set, index) in sets.iter().zip(indexes) {
            set.replace(entries.clone(), index);
        }
        self.entries.store(entries);
        Ok(())
    }

    /// Adds an entry (`add acl`, `add map`).
    pub fn add(&self, pattern: &[u8], value: &[u8]) -> Result<(), String> {
        self.edit(|e| {
            e.push(pattern, value);
            Ok(())
        })
    }

    /// Removes all entries with this pattern (`del acl`, `del map`); fails when there is none.
    pub fn delete(&self, pattern: &[u8]) -> Result<(), String> {
        self.edit(|e| {
            let before = e.len();
            let mut kept = Entries::default();
            e.iter().filter(|x| x.pattern != pattern).for_each(|x| kept.push(x.pattern, x.value));
            *e = kept;
            if e.len() == before { Err("Key not found.".into()) } else { Ok(()) }
        })
    }

    /// Gives all entries with this pattern another value (`set map`).
    pub fn replace_value(&self, pattern: &[u8], value: &[u8]) -> Result<(), String> {
        self.edit(|e| {
            let mut found = false;
            let mut new = Entries::default();
            for x in e.iter() {
                let hit = x.pattern == pattern;
                found |= hit;
                new.push(x.pattern, if hit { value } else { x.value });
            }
            *e = new;
            if found { Ok(()) } else { Err("entry not found.".into()) }
        })
    }

    pub fn clear(&self) -> Result<(), String> {
        self.edit(|e| {
            *e = Entries::default();
            Ok(())
        })
    }

    /// Opens a version that is filled aside (`prepare acl`).
    pub fn prepare(&self) -> u32 {
        let mut versions = lock(&self.editing);
        versions.next += 1;
        let version = versions.next;
        versions.prepared.push((version, Entries::default()));
        version
    }

    /// Adds to a prepared version; fails when there is no such one.
    pub fn add_prepared(&self, version: u32, pattern: &[u8], value: &[u8]) -> Result<(), String> {
        let mut versions = lock(&self.editing);
        let found = versions.prepared.iter_mut().find(|(v, _)| *v == version);
        let (_, entries) = found.ok_or("Version number out of range.")?;
        entries.push(pattern, value);
        self.count(1, 0);
        Ok(())
    }

    /// The entries of a prepared version.
    pub fn prepared(&self, version: u32) -> Option<Entries> {
        let versions = lock(&self.editing);
        versions.prepared.iter().find(|(v, _)| *v == version).map(|(_, entries)| entries.clone())
    }

    /// Puts a prepared version in force (`commit acl`).
    pub fn commit(&self, version: u32) -> Result<(), String> {
        let mut versions = lock(&self.editing);
        let at = versions.prepared.iter().position(|(v, _)| *v == version).ok_or("Version number out of range.")?;
        let (_, entries) = versions.prepared.swap_remove(at);
        versions.current = version;
        let before = self.entries.load().len();
        self.publish(entries)?;
        self.count(0, before);
        Ok(())
    }
}

/// All sources of a configuration.
#[derive(Debug, Default)]
pub struct Registry {
    sources: Mutex<Vec<Arc<Source>>>,
}

impl Registry {
    pub fn new() -> Self {
        Registry::default()
    }

    pub fn all(&self) -> Vec<Arc<Source>> {
        lock(&self.sources).clone()
    }

    /// Patterns that were added to all sources, and that were freed (`show info`).
    pub fn counts(&self) -> (u64, u64) {
        let read = |of: usize| lock(&self.sources).iter().map(|s| s.counts[of].load(Relaxed)).sum();
        (read(0), read(1))
    }

    /// The source with this file name, or `#id`.
    pub fn find(&self, name: &str) -> Option<Arc<Source>> {
        let sources = lock(&self.sources);
        match name.strip_prefix('#').and_then(|n| n.parse::<u32>().ok()) {
            Some(id) => sources.iter().find(|s| s.id == id).cloned(),
            None => sources.iter().find(|s| s.file.as_deref() == Some(name)).cloned(),
        }
    }

    /// The source of a file, read on first use. `virt@name` starts empty and `opt@name` may be missing (manual 2.8
    /// of 3.4's "-f"). The error is HAProxy's text.
    pub fn file(
        &self,
        name: &str,
        is_map: bool,
        origin: &Origin,
        read: impl FnOnce(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Arc<Source>, String> {
        if let Some(found) = self.find(name) {
            if found.is_map != is_map {
                let (is, wanted) = if found.is_map { ("map", "acl") } else { ("acl", "map") };
                return Err(format!("The file \"{name}\" is already loaded as {is} and cannot be used as {wanted}"));
            }
            return Ok(found);
        }
        let (path, optional) = match name.split_once('@') {
            Some(("virt", _)) => ("", true),
            Some(("opt", path)) => (path, true),
            Some(("file", path)) => (path, false),
            _ => (name, false),
        };
        let bytes = match read(path) {
            Ok(bytes) => bytes,
            Err(_) if optional => Vec::new(),
            Err(_) => return Err(format!("failed to open pattern file <{name}>")),
        };
        Ok(self.add(Some(name), is_map, origin, Entries::read(&bytes, is_map)))
    }

    /// A source for the patterns of one line; `id` is `-u`'s.
    pub fn line(&self, id: Option<u32>, origin: &Origin, entries: Entries) -> Arc<Source> {
        if let Some(id) = id
            && let Some(found) = self.find(&format!("#{id}"))
        {
            return found;
        }
        let source = self.add(None, false, origin, entries.clone());
        match id {
            None => source,
            Some(id) => {
                let source = Arc::new(Source::new(id, None, false, origin.clone(), entries));
                let mut sources = lock(&self.sources);
                sources.pop();
                sources.push(source.clone());
                source
            }
        }
    }

    fn add(&self, file: Option<&str>, is_map: bool, origin: &Origin, entries: Entries) -> Arc<Source> {
        let mut sources = lock(&self.sources);
        let mut id = sources.len() as u32;
        while sources.iter().any(|s| s.id == id) {
            id += 1;
        }
        let source = Arc::new(Source::new(id, file, is_map, origin.clone(), entries));
        sources.push(source.clone());
        source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_nobody_uses_is_gone_with_its_sets() {
        let registry = Registry::new();
        let mut words = Entries::default();
        words.push(b"/x", b"");
        let source = registry.line(None, &Origin::none(), words);
        let set = source.set(Method::Str, false).unwrap();
        assert!(Arc::ptr_eq(&set, &source.set(Method::Str, false).unwrap()));
        let left = (Arc::downgrade(&source), Arc::downgrade(&set));
        drop((registry, source, set));
        assert!(left.0.upgrade().is_none() && left.1.upgrade().is_none());
    }

    #[test]
    fn patterns_are_counted_as_they_come_and_go() {
        let registry = Registry::new();
        let read = |_: &str| Ok(b"a 1\nb 2\nc 3\n".to_vec());
        let map = registry.file("m", true, &Origin::none(), read).unwrap();
        let mut words = Entries::default();
        words.push(b"/x", b"");
        registry.line(None, &Origin::none(), words);
        assert_eq!(registry.counts(), (4, 0));
        map.add(b"d", b"4").unwrap();
        map.replace_value(b"d", b"5").unwrap();
        assert_eq!(registry.counts(), (5, 0));
        map.delete(b"d").unwrap();
        assert!(map.delete(b"d").is_err());
        assert_eq!(registry.counts(), (5, 1));
        let version = map.prepare();
        map.add_prepared(version, b"k", b"v").unwrap();
        map.commit(version).unwrap();
        assert_eq!(registry.counts(), (6, 4));
        map.clear().unwrap();
        assert_eq!(registry.counts(), (6, 5));
    }
}
