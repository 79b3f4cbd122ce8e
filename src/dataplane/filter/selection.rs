//! Which messages are compressed and with what, and what compression does to their heads (manual 4.2 "compression algo").
//! Pure: heads and settings in, verdicts and edits out. Where the manual says less, HAProxy 3.4 was watched.

use crate::model::compression::{Compression, CompressionAlgorithm};
use crate::proto::h1::framing::Framing;
use crate::proto::http::head::{Head, Version};

/// The settings of a stream: what its frontend and its backend say together.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    front: Option<&'a Compression>,
    back: Option<&'a Compression>,
}

impl<'a> Settings<'a> {
    /// `None`: neither compresses. The same proxy may be given twice.
    pub fn of(front: Option<&'a Compression>, back: Option<&'a Compression>) -> Option<Settings<'a>> {
        (front.is_some() || back.is_some()).then_some(Settings { front, back })
    }

    fn any(&self, is: impl Fn(&Compression) -> bool) -> bool {
        self.back.is_some_and(&is) || self.front.is_some_and(&is)
    }

    /// The backend's value where it has one, else the frontend's.
    fn first<T>(&self, value: impl Fn(&'a Compression) -> Option<T>) -> Option<T> {
        self.back.and_then(&value).or_else(|| self.front.and_then(&value))
    }

    pub fn compresses_responses(&self) -> bool {
        self.any(Compression::serves_responses)
    }

    pub fn compresses_requests(&self) -> bool {
        self.any(Compression::serves_requests)
    }

    fn algorithms(&self) -> &'a [CompressionAlgorithm] {
        self.first(|c| (!c.algorithms.is_empty()).then_some(&*c.algorithms)).unwrap_or_default()
    }

    fn types(&self) -> &'a [String] {
        self.first(|c| (!c.types.is_empty()).then_some(&*c.types)).unwrap_or_default()
    }

    fn request_types(&self) -> &'a [String] {
        self.first(|c| (!c.request_types.is_empty()).then_some(&*c.request_types)).unwrap_or_default()
    }

    fn minimum(&self, value: impl Fn(&Compression) -> u64) -> u64 {
        self.first(|c| Some(value(c)).filter(|n| *n > 0)).unwrap_or(0)
    }
}

/// The algorithm that the client of this request prefers, of those that are configured. Where `offload` is set, the
/// server does not see the preference.
pub fn negotiate(settings: &Settings<'_>, request: &mut Head) -> Option<CompressionAlgorithm> {
    if request.first(b"user-agent").is_some_and(is_old_browser) {
        return None;
    }
    let offered = settings.algorithms();
    let mut best: Option<(u32, CompressionAlgorithm)> = None;
    for value in request.values(b"accept-encoding") {
        for item in value.split(|b| *b == b',') {
            let (token, quality) = parse_item(item);
            if best.is_some_and(|(q, _)| q >= quality) || quality == 0 {
                continue;
            }
            // Of two algorithms for the same token the one named last counts (observed).
            let found = offered.iter().rev().find(|a| token == b"*" || token.eq_ignore_ascii_case(token_of(**a)));
            best = found.map(|a| (quality, *a)).or(best);
        }
    }
    if let Some((_, algorithm)) = best {
        if settings.any(|c| c.offload) {
            request.remove(b"accept-encoding");
        }
        return Some(algorithm);
    }
    // identity does not look at the client's preference.
    offered.iter().copied().find(|a| *a == CompressionAlgorithm::Identity)
}

/// Coding and quality in thousandths of one item of Accept-Encoding. A quality that can't be read is 1 (observed).
fn parse_item(item: &[u8]) -> (&[u8], u32) {
    let mut parts = item.split(|b| *b == b';');
    let token = parts.next().unwrap_or_default().trim_ascii();
    let quality = parts.find_map(|p| p.trim_ascii().strip_prefix(b"q="));
    (token, quality.map_or(1000, thousandths))
}

fn thousandths(text: &[u8]) -> u32 {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 || text[..digits].iter().any(|b| *b != b'0') {
        return 1000;
    }
    let Some(fraction) = text[digits..].strip_prefix(b".") else { return 0 };
    let digit = |place: usize| match fraction.iter().take(place + 1).all(u8::is_ascii_digit) {
        true => fraction.get(place).map_or(0, |b| u32::from(b - b'0')),
        false => 0,
    };
    digit(0) * 100 + digit(1) * 10 + digit(2)
}

/// "Mozilla/4" without being MSIE 6 of Windows XP SP2 or MSIE 7 and later, recognised at fixed places.
fn is_old_browser(agent: &[u8]) -> bool {
    let version = agent.get(30).copied().unwrap_or(0);
    agent.starts_with(b"Mozilla/4")
        && (agent.get(25..30) != Some(b"MSIE ")
            || version < b'6'
            || version == b'6' && agent.get(51..54) != Some(b"SV1"))
}

/// The coding's name, in Accept-Encoding and in Content-Encoding.
pub fn token_of(algorithm: CompressionAlgorithm) -> &'static [u8] {
    match algorithm {
        CompressionAlgorithm::Identity => b"identity",
        CompressionAlgorithm::Gzip => b"gzip",
        CompressionAlgorithm::Deflate | CompressionAlgorithm::RawDeflate => b"deflate",
    }
}

/// The algorithm's name as it is configured, for `res.comp_algo`.
pub fn name_of(algorithm: CompressionAlgorithm) -> &'static str {
    match algorithm {
        CompressionAlgorithm::Identity => "identity",
        CompressionAlgorithm::Gzip => "gzip",
        CompressionAlgorithm::Deflate => "deflate",
        CompressionAlgorithm::RawDeflate => "raw-deflate",
    }
}

/// Whether a response, as the server sent it, may be compressed for a client of this version.
pub fn response_qualifies(settings: &Settings<'_>, client: Version, response: &Head, framing: Framing) -> bool {
    client >= Version::Http11
        && response.version() >= Version::Http11
        && matches!(response.status(), 200..=203)
        && is_large_enough(framing, settings.minimum(|c| c.minsize_response))
        && !forbids_transformation(response)
        && is_unencoded_and_tagged_well(response)
        && !starts_with(response.first(b"content-type").unwrap_or_default(), b"multipart")
        && is_of_type(response, settings.types())
}

/// The algorithm for a request with its body as it leaves, if it is to be compressed.
pub fn request_algorithm(
    settings: &Settings<'_>,
    client: Version,
    request: &Head,
    framing: Framing,
) -> Option<CompressionAlgorithm> {
    let algorithm = settings.first(|c| c.request_algorithm)?;
    let qualifies = client >= Version::Http11
        && is_large_enough(framing, settings.minimum(|c| c.minsize_request))
        && is_unencoded_and_tagged_well(request)
        && is_of_type(request, settings.request_types());
    qualifies.then_some(algorithm)
}

/// There is a body whose end the message tells, and it is not known to be too small.
fn is_large_enough(framing: Framing, minimum: u64) -> bool {
    match framing {
        Framing::Length(n) => n > 0 && n >= minimum,
        // Nobody knows how much will come: it may be long (HAProxy judges by the first chunk, which is a known bug).
        Framing::Chunked => true,
        _ => false,
    }
}

fn forbids_transformation(head: &Head) -> bool {
    let mut items = head.values(b"cache-control").flat_map(|v| v.split(|b| *b == b','));
    items.any(|item| item.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

fn is_unencoded_and_tagged_well(head: &Head) -> bool {
    let mut tags = head.values(b"etag");
    let tag = tags.next();
    !head.contains(b"content-encoding") && tags.next().is_none() && tag.is_none_or(is_tag)
}

/// An entity tag (RFC 9110 §8.8.3).
fn is_tag(value: &[u8]) -> bool {
    let opaque = value.strip_prefix(b"W/").unwrap_or(value);
    opaque.len() >= 2 && opaque.starts_with(b"\"") && opaque.ends_with(b"\"")
}

fn is_of_type(head: &Head, types: &[String]) -> bool {
    types.is_empty()
        || head.first(b"content-type").is_some_and(|v| types.iter().any(|t| starts_with(v, t.as_bytes())))
}

fn starts_with(value: &[u8], prefix: &[u8]) -> bool {
    value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Makes the head fit a body that is compressed and sent in chunks.
pub fn edit(head: &mut Head, algorithm: CompressionAlgorithm) {
    if head.remove(b"content-length") > 0 || !head.contains(b"transfer-encoding") {
        head.append(b"transfer-encoding", b"chunked");
    }
    // The compressed body is another representation with the same meaning (RFC 9110 §8.8.1).
    let strong = |value: &[u8]| value.starts_with(b"\"");
    if let Some(at) = head.position(b"etag", 0)
        && head.field(at).is_some_and(|(_, value)| strong(value))
    {
        extend_value(head, at, |old, new| {
            new.extend_from_slice(b"W/");
            new.extend_from_slice(old);
        });
    }
    vary(head);
    if algorithm != CompressionAlgorithm::Identity {
        head.append(b"content-encoding", token_of(algorithm));
    }
}

/// Adds Accept-Encoding to the last Vary line, unless one has it.
fn vary(head: &mut Head) {
    let items = |value| <[u8]>::split(value, |b| *b == b',');
    if head.values(b"vary").flat_map(items).any(|i| i.trim_ascii().eq_ignore_ascii_case(b"accept-encoding")) {
        return;
    }
    let last = (0..head.len()).rev().find(|at| head.field(*at).is_some_and(|(name, _)| name == b"vary"));
    let Some(last) = last else {
        head.append(b"vary", b"Accept-Encoding");
        return;
    };
    extend_value(head, last, |old, new| {
        new.extend_from_slice(old);
        if !old.is_empty() {
            new.extend_from_slice(b",");
        }
        new.extend_from_slice(b"Accept-Encoding");
    });
}

fn extend_value(head: &mut Head, at: usize, write: impl FnOnce(&[u8], &mut crate::base::buf::Block)) {
    let mut value = crate::base::buf::Block::take();
    if let Some((_, old)) = head.field(at) {
        write(old, &mut value);
        head.replace_value(at, &value);
    }
}

#[cfg(test)]
mod tests;
