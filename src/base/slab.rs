//! A slab with generations: a key of a removed entry never reaches the entry that took its place. Kernel completions
//! and timers name their targets by such keys, and may arrive late.

/// Index and generation of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub index: u32,
    pub generation: u32,
}

impl Key {
    /// A key that no slab has given out.
    pub const NONE: Key = Key { index: u32::MAX, generation: 0 };
}

impl Default for Key {
    fn default() -> Key {
        Key::NONE
    }
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

#[derive(Debug)]
pub struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    /// Generations wrap at this mask, for keys that must fit into fewer bits.
    mask: u32,
}

impl<T> Slab<T> {
    pub fn new() -> Self {
        Slab { entries: Vec::new(), free: Vec::new(), mask: u32::MAX }
    }

    /// A slab whose generations fit into `bits`.
    pub fn with_generation_bits(bits: u32) -> Self {
        Slab { entries: Vec::new(), free: Vec::new(), mask: ((1u64 << bits) - 1) as u32 }
    }

    pub fn insert(&mut self, value: T) -> Key {
        match self.free.pop() {
            Some(index) => {
                let entry = &mut self.entries[index as usize];
                entry.value = Some(value);
                Key { index, generation: entry.generation }
            }
            None => {
                let index = self.entries.len() as u32;
                self.entries.push(Entry { generation: 0, value: Some(value) });
                Key { index, generation: 0 }
            }
        }
    }

    pub fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.generation == key.generation { entry.value.as_ref() } else { None }
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation == key.generation { entry.value.as_mut() } else { None }
    }

    pub fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1) & self.mask;
        self.free.push(key.index);
        Some(value)
    }

    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys and values of all entries.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(i, e)| e.value.as_ref().map(|v| (Key { index: i as u32, generation: e.generation }, v)))
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_removed_entry_finds_nothing() {
        let mut slab = Slab::new();
        let a = slab.insert(1);
        assert_eq!(slab.remove(a), Some(1));
        let b = slab.insert(2);
        assert_eq!(a.index, b.index);
        assert_eq!(slab.get(a), None);
        assert_eq!(slab.get(b), Some(&2));
        assert_eq!(slab.remove(a), None);
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn generations_wrap_within_their_bits() {
        let mut slab = Slab::with_generation_bits(2);
        for _ in 0..4 {
            let k = slab.insert(());
            assert!(k.generation < 4);
            slab.remove(k);
        }
        assert_eq!(slab.insert(()).generation, 0);
    }
}
