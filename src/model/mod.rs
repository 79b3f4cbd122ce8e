//! The configuration, resolved and frozen ([`plan::Plan`]), and the live facts about it ([`state`]). Pure: no socket, no
//! clock, no thread. Names are HAProxy's keywords.

pub mod backend;
pub mod balance;
pub mod bind;
pub mod certificates;
pub mod check;
pub mod compression;
pub mod credentials;
pub mod frontend;
pub mod global;
pub mod guid;
pub mod http_errors;
pub mod logging;
pub mod peers;
pub mod persist;
pub mod plan;
pub mod proxy;
pub mod resolvers;
pub mod ring;
pub mod rules;
pub mod server;
pub mod state;
pub mod stats;
pub mod stick_table;
pub mod tls;
pub mod userlist;
