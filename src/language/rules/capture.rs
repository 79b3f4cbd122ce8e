//! `capture` and `declare capture` lines (manual 4.2): slots of the frontend, and filling them when a head has come.

use crate::language::parse::{CaptureSlot, Captures, Error, Words};
use crate::proto::http::head::Head;

/// `capture cookie <name> len <len>`: a cookie whose name begins with `name` (`name=` for the whole name).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureCookie {
    pub name: Box<[u8]>,
    pub length_max: usize,
}

impl Captures {
    /// Parses the words after `capture`; gives the cookie if it is one. Errors have HAProxy's text.
    pub fn parse_capture(&mut self, words: &[&str]) -> Result<Option<CaptureCookie>, Error> {
        const KINDS: &str = "'capture' expects 'cookie' or 'request header' or 'response header'.";
        let mut w = Words::new(words, 1);
        let kind = w.next().unwrap_or_default();
        if kind == "cookie" {
            let usage = "'capture' expects 'cookie' <cookie_name> 'len' <len>.";
            let (name, length_max) = Self::name_and_length(&mut w, usage)?;
            return Ok(Some(CaptureCookie { name, length_max }));
        }
        if !matches!(kind, "request" | "response") || !w.take("header") {
            return Err(w.error(KINDS));
        }
        let usage = format!("'capture {kind}' expects 'header' <header_name> 'len' <len>.");
        let (name, length_max) = Self::name_and_length(&mut w, &usage)?;
        if let Some(extra) = w.next() {
            return Err(w.error_before(format!("'capture {kind}' cannot handle unexpected argument '{extra}'.")));
        }
        self.push(kind == "request", CaptureSlot { header: Some(name), length_max });
        Ok(None)
    }

    /// Parses the words after `declare`.
    pub fn parse_declare(&mut self, words: &[&str]) -> Result<(), Error> {
        let mut w = Words::new(words, 1);
        let kind = w.next().unwrap_or_default();
        if kind != "capture" {
            return Err(w.error_before(format!("unknown declaration type '{kind}' (supports 'capture')")));
        }
        let direction = w.next().unwrap_or_default();
        if !matches!(direction, "request" | "response") {
            return Err(w.error_before("'declare capture' requires a direction ('request' or 'response')"));
        }
        if !w.take("len") {
            return Err(w.error("'declare capture': missing length keyword"));
        }
        let index = w.index();
        let length = w.next().and_then(|n| n.parse::<usize>().ok()).ok_or_else(|| {
            Error::new(index, "'declare capture': 'len' requires a numeric value that represents the capture length")
        })?;
        self.push(direction == "request", CaptureSlot { header: None, length_max: length });
        Ok(())
    }

    fn name_and_length(w: &mut Words<'_>, usage: &str) -> Result<(Box<[u8]>, usize), Error> {
        let name = w.expect(usage)?.as_bytes().into();
        if !w.take("len") {
            return Err(w.error(usage));
        }
        // What is no number counts 0, as HAProxy reads it.
        let length = w.expect(usage)?.parse().unwrap_or(0);
        Ok((name, length))
    }

    fn push(&mut self, request: bool, slot: CaptureSlot) {
        if request { self.request.push(slot) } else { self.response.push(slot) }
    }
}

/// Fills the slots that name a header from a head: the last line of the name, cut to the slot's length.
pub fn fill(slots: &[CaptureSlot], head: &Head, captured: &mut Vec<Option<Vec<u8>>>) {
    captured.resize_with(slots.len(), || None);
    for (slot, kept) in slots.iter().zip(captured) {
        let Some(value) = slot.header.as_deref().and_then(|name| head.last(name)) else { continue };
        let kept = kept.get_or_insert_default();
        kept.clear();
        kept.extend_from_slice(&value[..value.len().min(slot.length_max)]);
    }
}

impl CaptureCookie {
    /// `NAME=value` of the first matching cookie in a `Cookie` or `Set-Cookie` line.
    pub fn find<'h>(&self, head: &'h Head) -> Option<&'h [u8]> {
        let field: &[u8] = if head.is_request() { b"cookie" } else { b"set-cookie" };
        let pairs_max = if head.is_request() { usize::MAX } else { 1 };
        head.values(field)
            .flat_map(|line| line.split(|b| *b == b';').take(pairs_max))
            .map(<[u8]>::trim_ascii)
            .find(|pair| pair.starts_with(&self.name))
            .map(|pair| &pair[..pair.len().min(self.length_max)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::head::Version;

    #[test]
    fn captures_take_the_last_line_and_cut_it() {
        let mut captures = Captures::default();
        captures.parse_capture(&["request", "header", "Host", "len", "4"]).unwrap();
        captures.parse_declare(&["capture", "request", "len", "9"]).unwrap();
        let cookie = captures.parse_capture(&["cookie", "SID=", "len", "6"]).unwrap().unwrap();
        let mut head = Head::request(b"GET", b"/", Version::Http11);
        head.append(b"host", b"first");
        head.append(b"host", b"second");
        head.append(b"cookie", b"a=1; SIDX=2; SID=345");
        let mut kept = Vec::new();
        fill(&captures.request, &head, &mut kept);
        assert_eq!(kept, [Some(b"seco".to_vec()), None]);
        assert_eq!(cookie.find(&head), Some(&b"SID=34"[..]));
    }
}
