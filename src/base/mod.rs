//! Small tools that every floor may use. Nothing here knows of sockets, HTTP or configuration keywords.

pub mod address;
pub mod buf;
pub mod clock;
pub mod origin;
pub mod slab;
pub mod wheel;
