//! What `show stat` tells of HTTP/1 connections (`h1_*`): how many there are and were, their streams, and the bytes of both
//! directions as HTTP has them, under TLS. Each side of a proxy has one meter on each worker; a connection holds on to it
//! for as long as it speaks HTTP/1.

use crate::model::plan::ProxyIndex;
use crate::model::state::board::Board;
use crate::model::state::counters::{BackendCounter as Back, FrontendCounter as Front};
use std::rc::Rc;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Connections of clients count for the frontend,
    Client,
    /// those to servers for the backend.
    Server,
}

/// The counters of one side of a proxy.
pub struct Meter {
    board: Arc<Board>,
    /// Whose block of the board.
    worker: usize,
    proxy: ProxyIndex,
    side: Side,
}

impl Meter {
    pub fn new(board: &Arc<Board>, worker: usize, proxy: ProxyIndex, side: Side) -> Rc<Meter> {
        Rc::new(Meter { board: board.clone(), worker, proxy, side })
    }

    #[inline]
    fn add(&self, front: Front, back: Back, n: u64) {
        let counts = self.board.worker(self.worker);
        match self.side {
            Side::Client => counts.frontend(self.proxy).add(front, n),
            Side::Server => counts.backend(self.proxy).add(back, n),
        }
    }

    fn sub(&self, front: Front, back: Back) {
        let counts = self.board.worker(self.worker);
        match self.side {
            Side::Client => counts.frontend(self.proxy).sub(front, 1),
            Side::Server => counts.backend(self.proxy).sub(back, 1),
        }
    }

    /// A connection that did not come about counts with the stream that it was for (observed).
    pub fn failed(&self) {
        self.add(Front::H1TotalConnections, Back::H1TotalConnections, 1);
        self.add(Front::H1TotalStreams, Back::H1TotalStreams, 1);
    }
}

/// A connection that is counted while it lives.
pub struct Metered(Rc<Meter>);

impl Metered {
    pub fn new(meter: &Rc<Meter>) -> Metered {
        meter.add(Front::H1OpenConnections, Back::H1OpenConnections, 1);
        meter.add(Front::H1TotalConnections, Back::H1TotalConnections, 1);
        Metered(meter.clone())
    }

    /// One that the former process has counted.
    pub fn again(meter: &Rc<Meter>) -> Metered {
        meter.add(Front::H1OpenConnections, Back::H1OpenConnections, 1);
        Metered(meter.clone())
    }

    #[inline]
    pub fn received(&self, n: u64) {
        self.0.add(Front::H1BytesIn, Back::H1BytesIn, n);
    }

    #[inline]
    pub fn sent(&self, n: u64) {
        self.0.add(Front::H1BytesOut, Back::H1BytesOut, n);
    }

    /// Bytes that came through a pipe; those that came at all are [`Metered::received`].
    pub fn spliced_in(&self, n: u64) {
        self.received(n);
        self.0.add(Front::H1SplicedBytesIn, Back::H1SplicedBytesIn, n);
    }

    pub fn spliced_out(&self, n: u64) {
        self.sent(n);
        self.0.add(Front::H1SplicedBytesOut, Back::H1SplicedBytesOut, n);
    }

    /// A stream on the connection, counted while it lives.
    pub fn stream(&self) -> MeteredStream {
        self.0.add(Front::H1OpenStreams, Back::H1OpenStreams, 1);
        self.0.add(Front::H1TotalStreams, Back::H1TotalStreams, 1);
        MeteredStream(self.0.clone())
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.0.sub(Front::H1OpenConnections, Back::H1OpenConnections);
    }
}

pub struct MeteredStream(Rc<Meter>);

impl Drop for MeteredStream {
    fn drop(&mut self) {
        self.0.sub(Front::H1OpenStreams, Back::H1OpenStreams);
    }
}
