//! Replies that rules make (manual 4.4 "return", "deny"): status, fields and body, or the name of an error file.

use crate::language::context::Context;
use crate::language::logformat::{LogFormat, Usage};
use crate::language::parse::{Error, Parse, Words};
use crate::proto::http::head::{Head, Version};
use crate::proto::http::status::WITH_PAGE;
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A reply ready to be sent. Its memory comes from a pool of the thread and goes back there.
#[derive(Debug)]
pub struct Reply(Option<Box<Parts>>);

#[derive(Debug)]
pub struct Parts {
    pub status: u16,
    /// Status line and fields; for files of errors, the fields to add to them.
    pub head: Head,
    pub body: Vec<u8>,
    pub source: Source,
}

/// Where a reply's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `head` and `body` are all of it.
    Built,
    /// The proxy's error file of the status, or the built-in one.
    Proxy,
    /// That of an `http-errors` section.
    Section(Arc<str>),
    /// A whole HTTP/1 message (`errorfile`).
    Raw(Arc<[u8]>),
}

/// Replies' memory kept per thread.
const KEPT: usize = 64;
/// A body that grew beyond this is freed instead of kept.
const KEPT_BODY: usize = 64 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Box<Parts>>> = const { RefCell::new(Vec::new()) };
}

impl Reply {
    /// The proxy's own reply for a status.
    pub fn of_proxy(status: u16) -> Reply {
        Reply::from(Source::Proxy, status)
    }

    /// One without fields and body so far.
    pub fn built(status: u16) -> Reply {
        Reply::from(Source::Built, status)
    }

    fn from(source: Source, status: u16) -> Reply {
        let mut parts = POOL.with(|p| p.borrow_mut().pop()).unwrap_or_else(|| {
            Box::new(Parts { status, head: Head::new(), body: Vec::new(), source: Source::Built })
        });
        parts.head.start_response(status, reason(status).as_bytes(), Version::Http11);
        parts.body.clear();
        (parts.status, parts.source) = (status, source);
        Reply(Some(parts))
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let Some(parts) = self.0.take().filter(|parts| parts.body.capacity() <= KEPT_BODY) else { return };
        // The pool is gone while the thread ends: then the memory is simply freed.
        let _ = POOL.try_with(|p| {
            let mut pool = p.borrow_mut();
            if pool.len() < KEPT {
                pool.push(parts);
            }
        });
    }
}

impl Deref for Reply {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        self.0.as_deref().expect("a reply has its parts until it is dropped")
    }
}

impl DerefMut for Reply {
    fn deref_mut(&mut self) -> &mut Parts {
        self.0.as_deref_mut().expect("a reply has its parts until it is dropped")
    }
}

/// A reply as the configuration describes it.
#[derive(Debug)]
pub struct ReplyFormat {
    status: u16,
    content_type: Option<Box<str>>,
    body: Body,
    headers: Vec<(Box<[u8]>, LogFormat)>,
}

#[derive(Debug)]
enum Body {
    None,
    Proxy,
    Section(Arc<str>),
    Raw(Arc<[u8]>),
    Text(Arc<[u8]>),
    Format(LogFormat),
}

/// Fields that a reply makes itself.
const RESERVED: [&str; 3] = ["content-length", "transfer-encoding", "content-type"];

impl ReplyFormat {
    /// Parses up to the condition. `status` is the action's default, `body` whether it answers from the error files
    /// unless told otherwise.
    pub fn parse(
        w: &mut Words<'_>,
        status: u16,
        from_errorfiles: bool,
        p: &mut Parse<'_>,
    ) -> Result<ReplyFormat, Error> {
        let mut reply = ReplyFormat {
            status,
            content_type: None,
            body: if from_errorfiles { Body::Proxy } else { Body::None },
            headers: Vec::new(),
        };
        let mut has_body = false;
        // `deny` alone, or with the old `deny_status`, answers from the error files; any other word makes a reply of
        // its own.
        let mut own = false;
        while let Some(word) = w.peek() {
            let at = w.index();
            own |= matches!(word, "status" | "content-type" | "hdr");
            match word {
                "status" | "deny_status" => {
                    w.next();
                    reply.status = Self::status(w)?;
                }
                "content-type" => {
                    w.next();
                    reply.content_type = Some(w.expect("'content-type' expects <ctype> as argument")?.into());
                }
                "default-errorfiles" | "errorfile" | "errorfiles" | "file" | "lf-file" | "string" | "lf-string" => {
                    w.next();
                    if has_body {
                        return Err(Error::new(
                            at,
                            format!("unexpected '{word}' argument, '{word}' already defined"),
                        ));
                    }
                    has_body = true;
                    reply.body = Self::body(word, w, p)?;
                }
                "hdr" => {
                    w.next();
                    let name = w.next().filter(|n| !n.is_empty());
                    let value = w.peek();
                    let (Some(name), Some(value)) = (name, value) else {
                        return Err(Error::new(at, "'hdr' expects <name> and <value> as arguments"));
                    };
                    let format = LogFormat::parse(value, Usage::Header, p).map_err(|e| w.error(e))?;
                    w.next();
                    if RESERVED.iter().any(|r| name.eq_ignore_ascii_case(r)) {
                        p.warnings.push(format!("header '{name}' always ignored by the http reply."));
                        continue;
                    }
                    reply.headers.push((name.as_bytes().into(), format));
                }
                _ => break,
            }
        }
        if own && !has_body {
            reply.body = Body::None;
        }
        reply.check(p).map_err(|text| w.error_before(text))?;
        Ok(reply)
    }

    /// What the parts must have in common: a page for the status, a type for the payload.
    fn check(&self, p: &mut Parse<'_>) -> Result<(), String> {
        let source = match &self.body {
            Body::Proxy => Some("default-errorfiles"),
            Body::Section(_) => Some("errorfiles"),
            _ => None,
        };
        if let Some(source) = source.filter(|_| !WITH_PAGE.contains(&self.status)) {
            let status = self.status;
            return Err(format!("status code '{status}' not handled by default with '{source}' argument."));
        }
        let is_file = matches!(&self.body, Body::Proxy | Body::Section(_) | Body::Raw(_));
        match (&self.content_type, &self.body) {
            (None, Body::Format(_)) => return Err("a content type must be defined with a log-format payload".into()),
            (None, Body::Text(text)) if !text.is_empty() => {
                return Err("a content type must be defined when non-empty payload is configured".into());
            }
            (Some(kind), body) => {
                let why = match body {
                    Body::None => Some("because neither errorfile nor payload defined"),
                    Body::Text(text) if text.is_empty() => Some("when used with an empty payload"),
                    _ if is_file => Some("when used with an errorfile"),
                    _ => None,
                };
                p.warnings.extend(why.map(|why| format!("content-type '{kind}' ignored by the http reply {why}.")));
            }
            (None, _) => {}
        }
        if is_file && !self.headers.is_empty() {
            p.warnings.push("hdr parameters ignored by the http reply when used with an errorfile.".to_owned());
        }
        Ok(())
    }

    fn status(w: &mut Words<'_>) -> Result<u16, Error> {
        let index = w.index();
        let word = w.expect("'status' expects <status_code> as argument")?;
        // As C reads numbers: up to the first character that is no digit.
        let sign = usize::from(word.starts_with(['-', '+']));
        let digits = word[sign..].bytes().take_while(u8::is_ascii_digit).count();
        let number = if digits == 0 { "0" } else { &word[..sign + digits] };
        match number.parse::<u16>() {
            Ok(n) if (200..=599).contains(&n) => Ok(n),
            _ => Err(Error::new(index, format!("Unexpected status code '{number}'"))),
        }
    }

    fn body(word: &str, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Body, Error> {
        if word == "default-errorfiles" {
            return Ok(Body::Proxy);
        }
        let argument = match word {
            "string" | "lf-string" => "str",
            "errorfiles" => "http-errors name",
            _ => "file",
        };
        let index = w.index();
        let value = w.next().filter(|v| !v.is_empty() || matches!(word, "string" | "lf-string"));
        let value = value.ok_or_else(|| Error::new(index, format!("'{word}' expects <{argument}> as argument")))?;
        let read = |p: &Parse<'_>| {
            p.files.read(value).map_err(|_| Error::new(index, format!("error opening file '{value}'")))
        };
        let format = |text: &str, p: &mut Parse<'_>| {
            LogFormat::parse(text, Usage::Value, p).map(Body::Format).map_err(|e| Error::new(index, e))
        };
        match word {
            "string" => Ok(Body::Text(value.as_bytes().into())),
            "lf-string" => format(value, p),
            "errorfiles" => Ok(Body::Section(value.into())),
            "file" => Ok(Body::Text(read(p)?.into())),
            "errorfile" => Ok(Body::Raw(read(p)?.into())),
            _ => format(&String::from_utf8_lossy(&read(p)?), p),
        }
    }

    /// The `http-errors` section that it names, for `config` to check.
    pub fn section(&self) -> Option<&str> {
        if let Body::Section(name) = &self.body { Some(name) } else { None }
    }

    /// Builds the reply for this request.
    pub fn build(&self, cx: &Context<'_>) -> Reply {
        let mut reply = Reply::of_proxy(self.status);
        match &self.body {
            Body::Proxy => {}
            Body::Section(name) => reply.source = Source::Section(name.clone()),
            Body::Raw(bytes) => reply.source = Source::Raw(bytes.clone()),
            Body::None => reply.source = Source::Built,
            Body::Text(text) => {
                reply.source = Source::Built;
                reply.body.extend_from_slice(text);
            }
            Body::Format(format) => {
                reply.source = Source::Built;
                format.write(cx, &mut reply.body);
            }
        }
        let mut value = cx.buf();
        // Fields of error files stay as they are: `hdr` is for built replies.
        let headers = if reply.source == Source::Built { self.headers.as_slice() } else { &[] };
        for (name, format) in headers {
            value.clear();
            format.write(cx, &mut value);
            // A field whose value comes out empty is left out.
            if !value.is_empty() {
                reply.head.append(name, &value);
            }
        }
        if reply.source == Source::Built {
            let mut length = cx.buf();
            crate::language::sample::cast::push_int(&mut length, reply.body.len() as i64);
            reply.head.append(b"content-length", &length);
            if let Some(kind) = self.content_type.as_ref().filter(|_| !reply.body.is_empty()) {
                reply.head.append(b"content-type", kind.as_bytes());
            }
        }
        reply
    }
}

/// The reason phrase of a status, as HAProxy writes it.
pub fn reason(status: u16) -> &'static str {
    crate::proto::http::status::reason(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_dropped_reply_is_used_again_and_empty() {
        let mut reply = Reply::built(200);
        reply.body.extend_from_slice(&[7; 5000]);
        reply.head.append(b"x-old", b"1");
        let memory = reply.body.as_ptr();
        drop(reply);
        let reply = Reply::of_proxy(404);
        assert!(reply.body.is_empty() && reply.body.as_ptr() == memory);
        assert_eq!((reply.status, reply.head.status(), reply.head.fields().count()), (404, 404, 0));
        assert_eq!(reply.source, Source::Proxy);
    }
}
