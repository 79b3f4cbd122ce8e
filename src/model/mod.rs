//! The configuration, resolved and frozen ([`plan::Plan`]), and the live facts about it ([`state`]). Pure: no socket, no
//! clock, no thread. Names are HAProxy's keywords.

pub mod backend;
pub mod bind;
pub mod certificates;
pub mod frontend;
pub mod global;
pub mod logging;
pub mod plan;
pub mod proxy;
pub mod server;
pub mod tls;
