//! Redirections (manual 4.2 "redirect", 4.4): where to, with which status, and cookies.

use super::reply::Reply;
use crate::language::context::Context;
use crate::language::logformat::{LogFormat, Usage};
use crate::language::parse::{Error, Parse, Words};
use crate::language::sample::fetch::{path_of, pathq_of};
use crate::proto::http::head::Head;

/// A compiled redirection.
#[derive(Debug)]
pub struct Redirect {
    kind: Kind,
    target: LogFormat,
    code: u16,
    cookie: Option<Cookie>,
    drop_query: bool,
    keep_query: bool,
    append_slash: bool,
    ignore_empty: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Location,
    Prefix,
    Scheme,
}

#[derive(Debug)]
enum Cookie {
    Text(Box<[u8]>),
    Format(LogFormat),
}

impl Redirect {
    /// Parses up to the condition. `static_rule` is a bare `redirect` line, whose prefix and location take no
    /// formats in old configurations and are plain text when they have no `%`.
    pub fn parse(w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Redirect, Error> {
        let mut target = None;
        let mut redirect = (302, None, false, false, false, false);
        while let Some(word) = w.peek() {
            if matches!(word, "if" | "unless") {
                break;
            }
            w.next();
            let missing = || format!("missing argument for '{word}'");
            match word {
                "location" | "prefix" | "scheme" => {
                    let kind = match word {
                        "location" => Kind::Location,
                        "prefix" => Kind::Prefix,
                        _ => Kind::Scheme,
                    };
                    let index = w.index();
                    let text = w.expect(&missing())?;
                    // A lone `/` prefix would double the path's own.
                    let text = if kind == Kind::Prefix && text == "/" { "" } else { text };
                    let format = LogFormat::parse(text, Usage::Header, p).map_err(|e| Error::new(index, e))?;
                    target = Some((kind, format));
                }
                "code" => {
                    let index = w.index();
                    let code = w.expect(&missing())?;
                    redirect.0 = match code {
                        "301" | "302" | "303" | "307" | "308" => code.parse().unwrap_or(302),
                        _ => {
                            return Err(Error::new(
                                index,
                                format!(
                                    "'code': unsupported HTTP code '{code}' (must be one of 301, 302, 303, 307 or 308)"
                                ),
                            ));
                        }
                    };
                }
                "set-cookie" => redirect.1 = Some(Cookie::Text(set_cookie(w.expect(&missing())?))),
                "set-cookie-fmt" => {
                    let index = w.index();
                    let text = w.expect(&missing())?;
                    let format = LogFormat::parse(text, Usage::Header, p).map_err(|e| Error::new(index, e))?;
                    redirect.1 = Some(Cookie::Format(format));
                }
                "clear-cookie" => redirect.1 = Some(Cookie::Text(clear_cookie(w.expect(&missing())?))),
                "drop-query" => redirect.2 = true,
                "keep-query" => redirect.3 = true,
                "append-slash" => redirect.4 = true,
                "ignore-empty" => redirect.5 = true,
                _ => {
                    return Err(w.error_before(format!(
                        "expects 'code', 'prefix', 'location', 'scheme', 'set-cookie', 'set-cookie-fmt', \
                         'clear-cookie', 'drop-query', 'keep-query', 'ignore-empty' or 'append-slash' (was '{word}')"
                    )));
                }
            }
        }
        let Some((kind, target)) = target else {
            return Err(w.error("redirection type expected ('prefix', 'location', or 'scheme')"));
        };
        let (code, cookie, drop_query, keep_query, append_slash, ignore_empty) = redirect;
        Ok(Redirect { kind, target, code, cookie, drop_query, keep_query, append_slash, ignore_empty })
    }

    /// Builds the reply; `None` when there is nowhere to go (`ignore-empty`).
    pub fn build(&self, cx: &Context<'_>) -> Option<Reply> {
        let mut location = cx.buf();
        self.target.write(cx, &mut location);
        if self.ignore_empty && location.is_empty() {
            return None;
        }
        let head = cx.request.as_deref();
        let uri = head.map(Head::uri).unwrap_or_default();
        match self.kind {
            Kind::Location => {
                if self.keep_query
                    && !self.drop_query
                    && let Some(at) = memchr::memchr(b'?', uri)
                {
                    let separator = if location.contains(&b'?') { b'&' } else { b'?' };
                    location.push(separator);
                    location.extend_from_slice(&uri[at + 1..]);
                }
            }
            Kind::Prefix => self.push_path(uri, &mut location),
            Kind::Scheme => {
                location.extend_from_slice(b"://");
                location.extend_from_slice(head.and_then(|h| h.first(b"host")).unwrap_or_default());
                self.push_path(uri, &mut location);
            }
        }
        let mut reply = Reply::built(self.code);
        let fields = &mut reply.head;
        fields.append(b"content-length", b"0");
        fields.append(b"location", &location);
        // Permanent redirections may be kept by caches.
        if !matches!(self.code, 301 | 308) {
            fields.append(b"cache-control", b"no-cache");
        }
        match &self.cookie {
            Some(Cookie::Text(text)) => fields.append(b"set-cookie", text),
            Some(Cookie::Format(format)) => {
                location.clear();
                format.write(cx, &mut location);
                location.extend_from_slice(WHOLE_SITE);
                fields.append(b"set-cookie", &location);
            }
            None => {}
        }
        Some(reply)
    }

    fn push_path(&self, uri: &[u8], location: &mut Vec<u8>) {
        let path = path_of(uri).unwrap_or(b"/");
        let all = pathq_of(uri).unwrap_or(b"/");
        location.extend_from_slice(path);
        // append-slash is for drop-query: /dir becomes /dir/.
        if self.drop_query {
            if self.append_slash && !path.ends_with(b"/") {
                location.push(b'/');
            }
            return;
        }
        location.extend_from_slice(&all[path.len()..]);
    }
}

/// What follows a cookie that is set.
const WHOLE_SITE: &[u8] = b"; path=/;";

fn set_cookie(text: &str) -> Box<[u8]> {
    [text.as_bytes(), WHOLE_SITE].concat().into()
}

/// `NAME[=]` becomes a cookie that is over.
fn clear_cookie(text: &str) -> Box<[u8]> {
    format!("{text}; path=/; Max-Age=0;").into_bytes().into()
}
