//! HAProxy's expression language (manual 7 and 8.2): samples, patterns, ACLs, rules and log-format. Pure: it reads
//! what [`context::Context`] shows and returns values and verdicts; no socket, no clock. Words are rows of
//! catalogues (one a family): a fetch, converter or action more is a row and a small function.

pub mod acl;
pub mod auth;
pub mod context;
pub mod facts;
pub mod logformat;
pub mod parse;
pub mod pattern;
pub mod regex;
pub mod rules;
pub mod sample;
pub mod scratch;
#[cfg(test)]
pub mod testing;
pub mod vars;
pub mod words;
pub mod world;
