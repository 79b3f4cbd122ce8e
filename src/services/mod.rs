//! What runs beside the traffic: health checks, name resolution, peers. (Log lines leave from
//! the worker that writes them: `dataplane/log`.)

pub mod check;
mod handshake;
pub mod peers;
pub mod resolvers;
