//! What tools and people ask: statistics in every format, and the runtime API. Sans-I/O: bytes come in, bytes go out,
//! changes are handed to whoever may make them.

#[cfg(test)]
mod fixture;
pub mod runtime_api;
pub mod stats;
