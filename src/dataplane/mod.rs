//! One core's work: sessions, streams and bytes.
