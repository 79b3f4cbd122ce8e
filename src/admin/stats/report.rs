//! An answer about many objects, whatever its form, written piece by piece: thousands of servers take many milliseconds,
//! in which neither a worker's streams nor a worker on the control thread's core may wait. A report borrows nothing and
//! knows its place; between two pieces servers may come and go, what has gone is not told.

use super::{
    Scene, html,
    listing::{Form, Listing},
    prometheus,
    walk::Selection,
};
use crate::model::stats::StatsPage;

/// Pieces of a slice at most: some of them write nothing, and take their time all the same.
const PIECES_MAX: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    Listing(Box<Listing>),
    Metrics(Box<prometheus::Writer>),
    Page(Box<html::Writer>),
}

impl Report {
    /// `None` selects nothing.
    pub fn listing(form: Form, selection: Option<Selection>) -> Report {
        Report::Listing(Box::new(Listing::new(form, selection)))
    }

    /// What Prometheus reads.
    pub fn metrics(request: prometheus::Request) -> Report {
        Report::Metrics(Box::new(prometheus::Writer::new(request)))
    }

    /// The statistics page. `admin`: for someone who may act.
    pub fn page(page: StatsPage, request: html::Request, admin: bool) -> Report {
        Report::Page(Box::new(html::Writer::new(page, request, admin)))
    }

    /// Appends pieces until `out` holds `enough` bytes, or has become dear; false when the report is complete. The last piece
    /// is written as a whole: an object more than `enough`.
    pub fn write_slice(&mut self, scene: &Scene<'_>, enough: usize, out: &mut Vec<u8>) -> bool {
        for _ in 0..PIECES_MAX {
            if !self.write_next(scene, out) {
                return false;
            }
            if out.len() >= enough {
                break;
            }
        }
        true
    }

    /// Appends a piece, of one object or a handful; false when it was the last.
    fn write_next(&mut self, scene: &Scene<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Report::Listing(listing) => listing.write_next(scene, out),
            Report::Metrics(writer) => writer.write_next(scene, out),
            Report::Page(writer) => writer.write_next(scene, out),
        }
    }
}

#[cfg(test)]
mod tests;
