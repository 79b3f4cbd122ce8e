//! Text to plan, with diagnostics worth reading. Pure but for reading files, the environment and host names.
//!
//! The way of a line: [`files`] reads it, [`lexer`] cuts it into words and expands the [`env`] of that moment,
//! [`preprocess`] takes out what `.if` excludes; the sections turn words into the plan. [`diagnostic`] collects what
//! is said about all of it; [`unit`] and [`address`] read the two kinds of words that every section has. [`dump`] writes what
//! was read.

pub mod address;
pub mod diagnostic;
pub mod dump;
pub mod env;
pub mod files;
pub mod folder;
pub mod keyword;
pub mod lexer;
pub mod load;
pub mod preprocess;
pub mod resolve;
pub mod section;
pub mod tls;
pub mod unit;

/// The version of HAProxy that we speak as.
pub const PERSONALITY: &str = "3.4.0";
/// Its branch, as `HAPROXY_BRANCH` says it.
pub const BRANCH: &str = "3.4";
