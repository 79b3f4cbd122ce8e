//! The kernel: operations in, completions out, tasks in between. One [`reactor`] per thread. The only floor with
//! `unsafe`.

pub mod driver;
