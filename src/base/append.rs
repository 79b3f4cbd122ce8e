//! A list that only grows, shared without a lock: an index once given stays good, readers go on while a writer
//! appends. The first chunk is what the configuration named; later ones double. Cells beyond the length are defaults.

use super::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

const CHUNKS: usize = 20;
/// Cells of the first chunk after the initial one; chunk `k` has `GROWTH << k`.
const GROWTH: usize = 16;

/// Made when the first of its cells is.
type Chunk<T> = OnceLock<Box<[T]>>;

#[derive(Debug)]
pub struct Append<T> {
    initial: Box<[T]>,
    grown: OnceLock<Box<[Chunk<T>; CHUNKS]>>,
    len: AtomicUsize,
}

impl<T> Append<T> {
    pub fn new(initial: Vec<T>) -> Self {
        let len = AtomicUsize::new(initial.len());
        Append { initial: initial.into(), grown: OnceLock::new(), len }
    }

    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cell at `index` if it was made by [`Append::new`] or [`Append::cell`].
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        match self.initial.get(index) {
            Some(cell) => Some(cell),
            None => self.late(index),
        }
    }

    fn late(&self, index: usize) -> Option<&T> {
        let (chunk, offset) = place(index.checked_sub(self.initial.len())?)?;
        self.grown.get()?[chunk].get()?.get(offset)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.len()).map_while(|i| self.get(i))
    }
}

impl<T: Default> Append<T> {
    /// The cell at `index`, made with its chunk if it does not exist yet. `None` beyond about 16 million cells.
    #[inline]
    pub fn cell(&self, index: usize) -> Option<&T> {
        match self.get(index) {
            Some(cell) if index < self.len() => Some(cell),
            _ => self.make(index),
        }
    }

    #[cold]
    fn make(&self, index: usize) -> Option<&T> {
        let (chunk, offset) = place(index.checked_sub(self.initial.len())?)?;
        let chunks = self.grown.get_or_init(|| Box::new(std::array::from_fn(|_| OnceLock::new())));
        let cells = chunks[chunk].get_or_init(|| (0..GROWTH << chunk).map(|_| T::default()).collect());
        self.len.fetch_max(index + 1, Ordering::Release);
        cells.get(offset)
    }
}

fn place(late: usize) -> Option<(usize, usize)> {
    let chunk = (usize::BITS - 1 - (late / GROWTH + 1).leading_zeros()) as usize;
    (chunk < CHUNKS).then(|| (chunk, late - GROWTH * ((1 << chunk) - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sync::atomic::AtomicU32;

    #[test]
    fn cells_keep_their_index_while_the_list_grows() {
        let list: Append<AtomicU32> = Append::new((0..3).map(AtomicU32::new).collect());
        for i in 3..5000 {
            list.cell(i).unwrap().store(i as u32, Ordering::Relaxed);
        }
        assert_eq!(list.len(), 5000);
        assert!(list.iter().enumerate().all(|(i, c)| c.load(Ordering::Relaxed) == i as u32));
    }

    #[cfg(loom)]
    #[test]
    fn under_loom_two_make_one_cell_and_readers_find_all_that_are_counted() {
        loom::model(|| {
            let list = loom::sync::Arc::new(Append::<AtomicU32>::new(Vec::new()));
            let other = {
                let list = list.clone();
                loom::thread::spawn(move || list.cell(0).unwrap().fetch_add(1, Ordering::Relaxed))
            };
            assert!((0..list.len()).all(|index| list.get(index).is_some()));
            let ours = list.cell(0).unwrap().fetch_add(1, Ordering::Relaxed);
            assert_eq!(ours + other.join().unwrap(), 1, "both count in one cell");
            assert_eq!((list.len(), list.cell(0).unwrap().load(Ordering::Relaxed)), (1, 2));
        });
    }
}
