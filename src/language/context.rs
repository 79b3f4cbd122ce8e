//! What an evaluation reads and changes: the session, the stream, the messages, the variables and the world around.
//! The data plane makes one for each run of a rule set; all of it is borrowed, so making one costs nothing.

use super::facts::{Session, Stream};
use super::sample::scope::{EITHER_HEADERS, Needs, REQUEST, REQUEST_HEADERS};
use super::scratch::{Buf, Pool};
use super::vars::Vars;
use super::world::{Recorder, World};
use crate::base::clock::Now;
use crate::proto::h1::parse::{Limits, Parsed, parse_request};
use crate::proto::http::head::Head;
use std::cell::OnceCell;

/// Bytes that came and may be looked at: the request's or response's first bytes in TCP mode, the body in HTTP mode.
#[derive(Clone, Copy, Debug, Default)]
pub struct Payload<'a> {
    pub bytes: &'a [u8],
    /// No more will come: everything is there, the buffer is full, or the time to wait is over.
    pub complete: bool,
    /// Bytes of the whole body when its length is announced, else those that came.
    pub size: u64,
}

/// One evaluation.
pub struct Context<'a> {
    pub session: &'a mut Session,
    pub stream: &'a mut Stream,
    /// In HTTP mode.
    pub request: Option<&'a mut Head>,
    /// What the client's first bytes are in TCP mode, once something asks.
    pub early: OnceCell<Early>,
    pub response: Option<&'a mut Head>,
    /// First bytes of the client in TCP mode; body of the request in HTTP mode.
    pub request_payload: Payload<'a>,
    pub response_payload: Payload<'a>,
    /// Which message `hdr`, `payload` and other words without `req.` or `res.` mean.
    pub side: Side,
    /// `inspect-delay` is over or no more bytes can come: what is undecided now counts as no match.
    pub last_chance: bool,
    pub vars: &'a Vars,
    pub pool: &'a Pool,
    pub world: &'a dyn World,
    pub now: Now,
    pub recorder: Option<&'a dyn Recorder>,
}

/// A request's head that is looked for in bytes without being taken from them.
#[derive(Debug)]
pub enum Early {
    Whole(Box<Head>),
    /// It may be one when more has come.
    Partial,
    Other,
}

/// Direction of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Side {
    #[default]
    Request,
    Response,
}

impl Context<'_> {
    /// The message that unprefixed words read.
    pub fn head(&self, side: Side) -> Option<&Head> {
        match side {
            Side::Request if self.request.is_none() => match self.early() {
                Early::Whole(head) => Some(head),
                Early::Partial | Early::Other => None,
            },
            Side::Request => self.request.as_deref(),
            Side::Response => self.response.as_deref(),
        }
    }

    /// The head in the first bytes of a client in TCP mode: HTTP samples read it there too.
    pub fn early(&self) -> &Early {
        self.early.get_or_init(|| {
            let mut head = Box::new(Head::new());
            match parse_request(self.request_payload.bytes, &Limits::REQUEST, &mut head) {
                Ok(Parsed::Complete(_)) => Early::Whole(head),
                Ok(_) => Early::Partial,
                Err(_) => Early::Other,
            }
        })
    }

    /// Whether more bytes may bring a head to a sample that has none.
    pub fn awaits_head(&self, needs: Needs) -> bool {
        let reads_head =
            needs == REQUEST_HEADERS || needs == REQUEST || needs == EITHER_HEADERS && self.side == Side::Request;
        reads_head
            && self.request.is_none()
            && !self.request_payload.complete
            && matches!(self.early(), Early::Partial)
    }

    /// The client speaks to us as to its proxy, and the frontend takes it so (manual 4.2 "option http-use-proxy-header"):
    /// authentication goes by the fields for proxies.
    pub fn is_proxied(&self) -> bool {
        let proxied = |head: &Head| !head.uri().starts_with(b"/") && !head.uri().starts_with(b"*");
        self.session.listener.use_proxy_header && self.request.as_deref().is_some_and(proxied)
    }

    pub fn head_mut(&mut self, side: Side) -> Option<&mut Head> {
        match side {
            Side::Request => self.request.as_deref_mut(),
            Side::Response => self.response.as_deref_mut(),
        }
    }

    pub fn payload(&self, side: Side) -> Payload<'_> {
        match side {
            Side::Request => self.request_payload,
            Side::Response => self.response_payload,
        }
    }

    /// An empty pooled buffer.
    pub fn buf(&self) -> Buf<'_> {
        self.pool.buf()
    }
}
