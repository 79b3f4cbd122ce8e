//! What runs beside the traffic: health checks, name resolution, peers, log delivery.

pub mod check;
pub mod peers;
pub mod resolvers;
