//! What runs beside the traffic: health checks, name resolution, peers, rings. (Log lines for other targets leave from
//! the worker that writes them: `dataplane/log`.)

pub mod check;
mod handshake;
mod line;
pub mod peers;
pub mod resolvers;
pub mod rings;
