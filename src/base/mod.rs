//! Small tools that every floor may use. Nothing here knows of sockets, HTTP or configuration keywords.

pub mod address;
pub mod append;
pub mod buf;
pub mod clock;
pub mod counter;
pub mod hash;
pub mod hex;
pub mod histogram;
pub mod mailbox;
pub mod origin;
pub mod places;
pub mod rate;
pub mod slab;
pub mod sync;
pub mod wheel;
