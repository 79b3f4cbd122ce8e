//! The lines of a pattern file or of an ACL's words: patterns and, for maps, values, in the order they were written.
//! Kept in one block of memory, 16 bytes an entry beside the text.

/// A set of entries. Immutable once shared; edits make another one.
#[derive(Debug, Default, Clone)]
pub struct Entries {
    text: Vec<u8>,
    spans: Vec<Span>,
}

/// Position of a pattern and the value behind it.
#[derive(Debug, Clone, Copy)]
struct Span {
    at: u64,
    pattern: u32,
    value: u32,
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'e> {
    pub index: usize,
    pub pattern: &'e [u8],
    pub value: &'e [u8],
}

impl Entries {
    pub fn push(&mut self, pattern: &[u8], value: &[u8]) {
        let at = self.text.len() as u64;
        self.text.extend_from_slice(pattern);
        self.text.extend_from_slice(value);
        self.spans.push(Span { at, pattern: pattern.len() as u32, value: value.len() as u32 });
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub fn get(&self, index: usize) -> Entry<'_> {
        let span = self.spans[index];
        let at = span.at as usize;
        let middle = at + span.pattern as usize;
        Entry { index, pattern: &self.text[at..middle], value: &self.text[middle..middle + span.value as usize] }
    }

    pub fn pattern(&self, index: usize) -> &[u8] {
        self.get(index).pattern
    }

    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// Reads a file of patterns (manual 7.1, `-f`): a line each, blanks around it cut, empty lines and `#` lines
    /// left out. In a map the value follows the first blanks.
    pub fn read(bytes: &[u8], is_map: bool) -> Entries {
        let mut entries = Entries { text: Vec::with_capacity(bytes.len()), spans: Vec::new() };
        for line in bytes.split(|b| *b == b'\n') {
            let line = line.trim_ascii();
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            if !is_map {
                entries.push(line, b"");
                continue;
            }
            let end = line.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(line.len());
            entries.push(&line[..end], line[end..].trim_ascii());
        }
        entries
    }
}
