//! `http-errors` sections (manual 12.4 of 3.4) and `errorfiles`: sets of replies by name.

use crate::base::origin::Origin;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Debug, Clone)]
pub struct HttpErrors {
    pub origin: Origin,
    pub name: String,
    pub replies: BTreeMap<u16, ErrorReply>,
}

/// What is answered instead of HAProxy's own page for a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorReply {
    /// `errorfile`: the bytes of the file, a whole HTTP/1 message. Empty: nothing is sent.
    File(Arc<[u8]>),
    /// `errorloc`, `errorloc302` (302) and `errorloc303` (303).
    Redirect { status: u16, location: String },
}
