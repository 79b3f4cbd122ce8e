//! Small tools that every floor may use. Nothing here knows of sockets, HTTP or configuration keywords.

pub mod address;
pub mod clock;
pub mod hash;
pub mod origin;
