//! One request or response head, the message type that all codecs share (RFC 9110 §5, §6).
//!
//! The wire bytes are copied once into an arena and the fields are ranges of it; edits append to the arena and change
//! the ranges, so passing a head on costs no rebuilding. Heads are pooled: [`Head::clear`] keeps the memory. Knows
//! nothing of framing or of how a version writes a head; field names are always lower-case, as HAProxy sends them.

/// What a head starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Kind {
    #[default]
    Request,
    Response,
}

/// The protocol version a message was received with. Ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
    Http3,
}

impl Version {
    /// `HTTP/1.1` and so on, as logs and start lines show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
            Version::Http3 => "HTTP/3.0",
        }
    }

    /// `1.1` and so on, as `req.ver` shows it.
    pub fn number(self) -> &'static str {
        &self.as_str()[5..]
    }
}

/// A range of the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    /// Heads are bounded far below 4 GiB by the buffer that they must fit.
    pub(crate) fn new(start: usize, len: usize) -> Span {
        debug_assert!(start + len <= u32::MAX as usize);
        Span { start: start as u32, len: len as u32 }
    }

    fn of(self, arena: &[u8]) -> &[u8] {
        &arena[self.start as usize..][..self.len as usize]
    }
}

/// One field line: name (lower-case) and value (without surrounding blanks).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Field {
    pub name: Span,
    pub value: Span,
}

/// A request or response head. See the module's text.
#[derive(Clone, Debug, Default)]
pub struct Head {
    kind: Kind,
    version: Version,
    status: u16,
    /// Method of a request.
    method: Span,
    /// URI of a request, reason phrase of a response.
    target: Span,
    arena: Vec<u8>,
    fields: Vec<Field>,
}

impl Head {
    /// An empty head without memory; the first use allocates.
    pub fn new() -> Head {
        Head::default()
    }

    /// A request head to be filled field by field.
    pub fn request(method: &[u8], uri: &[u8], version: Version) -> Head {
        let mut head = Head::new();
        head.start_request(method, uri, version);
        head
    }

    /// A response head to be filled field by field.
    pub fn response(status: u16, reason: &[u8], version: Version) -> Head {
        let mut head = Head::new();
        head.start_response(status, reason, version);
        head
    }

    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.fields.clear();
        (self.kind, self.version, self.status) = (Kind::Request, Version::Http11, 0);
        (self.method, self.target) = (Span::default(), Span::default());
    }

    /// Makes this a request without fields.
    pub fn start_request(&mut self, method: &[u8], uri: &[u8], version: Version) {
        self.clear();
        self.version = version;
        self.method = self.push(method);
        self.target = self.push(uri);
    }

    /// Makes this a response without fields.
    pub fn start_response(&mut self, status: u16, reason: &[u8], version: Version) {
        self.clear();
        (self.kind, self.version, self.status) = (Kind::Response, version, status);
        self.target = self.push(reason);
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn is_request(&self) -> bool {
        self.kind == Kind::Request
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// The method of a request, in the case it was sent; empty for a response.
    pub fn method(&self) -> &[u8] {
        self.method.of(&self.arena)
    }

    /// The request target exactly as received or set; empty for a response. See [`super::uri`].
    pub fn uri(&self) -> &[u8] {
        if self.is_request() { self.target.of(&self.arena) } else { b"" }
    }

    /// The status of a response, 0 for a request.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase of a response; empty for a request.
    pub fn reason(&self) -> &[u8] {
        if self.is_request() { b"" } else { self.target.of(&self.arena) }
    }

    pub fn set_method(&mut self, method: &[u8]) {
        debug_assert!(self.is_request());
        self.method = self.push(method);
    }

    pub fn set_uri(&mut self, uri: &[u8]) {
        debug_assert!(self.is_request());
        self.target = self.push(uri);
    }

    pub fn set_status(&mut self, status: u16, reason: &[u8]) {
        debug_assert!(!self.is_request());
        self.status = status;
        self.target = self.push(reason);
    }

    /// How many field lines there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The field lines in order: lower-case name, trimmed value.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + ExactSizeIterator + Clone {
        self.fields.iter().map(|f| (f.name.of(&self.arena), f.value.of(&self.arena)))
    }

    /// The field line at `index`.
    pub fn field(&self, index: usize) -> Option<(&[u8], &[u8])> {
        self.fields.get(index).map(|f| (f.name.of(&self.arena), f.value.of(&self.arena)))
    }

    /// The value of each field line called `name` (any case), in order; commas are not split.
    pub fn values<'a>(&'a self, name: &[u8]) -> impl DoubleEndedIterator<Item = &'a [u8]> + Clone {
        self.fields.iter().filter(move |f| self.is_named(f, name)).map(|f| f.value.of(&self.arena))
    }

    /// The value of the first field line called `name` (any case).
    pub fn first<'a>(&'a self, name: &[u8]) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// The value of the last field line called `name` (any case).
    pub fn last<'a>(&'a self, name: &[u8]) -> Option<&'a [u8]> {
        self.values(name).next_back()
    }

    /// Whether a field line called `name` (any case) is there.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.first(name).is_some()
    }

    /// The index of the first field line called `name` (any case) at or after `from`.
    pub fn position(&self, name: &[u8], from: usize) -> Option<usize> {
        (from..self.fields.len()).find(|&i| self.is_named(&self.fields[i], name))
    }

    /// Adds a field line at the end.
    pub fn append(&mut self, name: &[u8], value: &[u8]) {
        let field = self.new_field(name, value);
        self.fields.push(field);
    }

    /// Adds a field line before all others.
    pub fn insert_first(&mut self, name: &[u8], value: &[u8]) {
        let field = self.new_field(name, value);
        self.fields.insert(0, field);
    }

    /// Removes every field line called `name` and adds one at the end, as `http-request set-header` does.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.append(name, value);
    }

    /// Removes every field line called `name` (any case); tells how many there were.
    pub fn remove(&mut self, name: &[u8]) -> usize {
        let (arena, before) = (&self.arena, self.fields.len());
        self.fields.retain(|f| !same_name(f.name.of(arena), name));
        before - self.fields.len()
    }

    /// Removes the field line at `index`, if there is one.
    pub fn remove_at(&mut self, index: usize) {
        if index < self.fields.len() {
            self.fields.remove(index);
        }
    }

    /// Removes every field line for which `pred(name, value)` is true; tells how many there were.
    pub fn remove_where(&mut self, mut pred: impl FnMut(&[u8], &[u8]) -> bool) -> usize {
        let (arena, before) = (&self.arena, self.fields.len());
        self.fields.retain(|f| !pred(f.name.of(arena), f.value.of(arena)));
        before - self.fields.len()
    }

    /// Gives the field line at `index` another value.
    pub fn replace_value(&mut self, index: usize, value: &[u8]) {
        let span = self.push(value);
        if let Some(field) = self.fields.get_mut(index) {
            field.value = span;
        }
    }

    /// Bytes that HAProxy counts for this head in `%B` and in the statistics: not those of the wire but 20, the parts of
    /// the start line, names and values, and 1 for the end (observed).
    pub fn counted_len(&self) -> u64 {
        let start = match self.kind() {
            Kind::Request => self.method().len() + self.uri().len(),
            Kind::Response => 3 + self.reason().len(),
        };
        let fields: usize = self.fields().map(|(name, value)| name.len() + value.len()).sum();
        (20 + start + self.version().as_str().len() + fields + 1) as u64
    }

    /// The same for the fields of trailers.
    pub fn counted_trailers(&self) -> u64 {
        self.fields().map(|(name, value)| (name.len() + value.len()) as u64).sum()
    }

    /// Bytes that this head takes as HTTP/1: start line, field lines and the empty line.
    pub fn wire_len(&self) -> usize {
        let start = match self.kind {
            Kind::Request => self.method.len as usize + self.target.len as usize + "  HTTP/1.1\r\n".len(),
            Kind::Response => self.target.len as usize + "HTTP/1.1 200 \r\n".len(),
        };
        start + self.fields_len() + 2
    }

    /// Bytes that the field lines take as HTTP/1 (`req.hdrs` without its last empty line).
    pub fn fields_len(&self) -> usize {
        self.fields.iter().map(|f| f.name.len as usize + f.value.len as usize + 4).sum()
    }

    /// Bytes of memory that this head keeps, for pools that drop what grew too large.
    pub fn capacity(&self) -> usize {
        self.arena.capacity() + self.fields.capacity() * size_of::<Field>()
    }

    /// Takes the bytes of a received head; ranges for the setters below count from the start of `wire`.
    pub(crate) fn load(&mut self, kind: Kind, wire: &[u8]) {
        self.clear();
        self.kind = kind;
        self.arena.extend_from_slice(wire);
    }

    /// Adds a field line by ranges of the loaded bytes and lower-cases its name in place. Returns the name.
    pub(crate) fn field_from_wire(&mut self, name: Span, value: Span) -> &[u8] {
        self.fields.push(Field { name, value });
        let bytes = &mut self.arena[name.start as usize..][..name.len as usize];
        // Byte by byte: names are short, and setting up wide steps costs more than it saves. Tokens hold nothing
        // between `@` and `Z` but letters.
        for byte in bytes.iter_mut() {
            *byte |= u8::from(byte.is_ascii_uppercase()) << 5;
        }
        bytes
    }

    pub(crate) fn start_line_from_wire(&mut self, version: Version, status: u16, method: Span, target: Span) {
        (self.version, self.status, self.method, self.target) = (version, status, method, target);
    }

    fn is_named(&self, field: &Field, name: &[u8]) -> bool {
        same_name(field.name.of(&self.arena), name)
    }

    fn new_field(&mut self, name: &[u8], value: &[u8]) -> Field {
        let name = self.push(name);
        self.arena[name.start as usize..].make_ascii_lowercase();
        Field { name, value: self.push(value) }
    }

    fn push(&mut self, bytes: &[u8]) -> Span {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        Span::new(start, bytes.len())
    }
}

/// Length first: it settles nearly every comparison.
fn same_name(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.eq_ignore_ascii_case(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Head {
        let mut head = Head::request(b"GET", b"/a?b", Version::Http11);
        head.append(b"Host", b"example.org");
        head.append(b"X-One", b"1");
        head.append(b"x-one", b"2");
        head
    }

    #[test]
    fn names_are_lower_cased_and_found_in_any_case() {
        let head = sample();
        assert_eq!(head.fields().map(|f| f.0).collect::<Vec<_>>(), [&b"host"[..], b"x-one", b"x-one"]);
        assert_eq!(head.values(b"X-ONE").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(head.first(b"Host"), Some(&b"example.org"[..]));
        assert_eq!(head.last(b"x-one"), Some(&b"2"[..]));
    }

    #[test]
    fn set_replaces_all_lines_by_one_at_the_end() {
        let mut head = sample();
        head.append(b"z", b"z");
        head.set(b"X-One", b"3");
        let all: Vec<_> = head.fields().collect();
        assert_eq!(all, [(&b"host"[..], &b"example.org"[..]), (b"z", b"z"), (b"x-one", b"3")]);
    }

    #[test]
    fn edits_keep_the_other_lines() {
        let mut head = sample();
        head.replace_value(1, b"one");
        head.insert_first(b"A", b"first");
        assert_eq!(head.remove_where(|n, v| n == b"x-one" && v == b"2"), 1);
        head.set_uri(b"/other");
        head.set_method(b"PUT");
        let all: Vec<_> = head.fields().collect();
        assert_eq!(all, [(&b"a"[..], &b"first"[..]), (b"host", b"example.org"), (b"x-one", b"one")]);
        assert_eq!((head.method(), head.uri()), (&b"PUT"[..], &b"/other"[..]));
    }

    #[test]
    fn a_cleared_head_keeps_its_memory_and_nothing_else() {
        let mut head = sample();
        let kept = head.capacity();
        head.clear();
        assert_eq!(head.capacity(), kept);
        assert!(head.is_empty() && head.method().is_empty() && head.uri().is_empty());
    }

    #[test]
    fn wire_length_is_what_http1_takes() {
        assert_eq!(
            sample().wire_len(),
            b"GET /a?b HTTP/1.1\r\nhost: example.org\r\nx-one: 1\r\nx-one: 2\r\n\r\n".len()
        );
        assert_eq!(Head::response(204, b"", Version::Http11).wire_len(), b"HTTP/1.1 204 \r\n\r\n".len());
    }
}
