//! Where a piece of configuration came from. Every compiled rule, proxy, bind and server carries one.

use std::{fmt, sync::Arc};

/// File and line of configuration text. `file` is the path as it was given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub file: Arc<str>,
    /// Line number, from 1; 0 where a thing was not written by anyone (a default).
    pub line: u32,
}

impl Origin {
    pub fn new(file: impl Into<Arc<str>>, line: u32) -> Self {
        Origin { file: file.into(), line }
    }

    /// The origin of what no file wrote.
    pub fn none() -> Self {
        Origin { file: Arc::from(""), line: 0 }
    }
}

impl fmt::Display for Origin {
    /// `file:line`, as HAProxy writes it in its messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
