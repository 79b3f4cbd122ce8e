//! HTTP semantics that every version shares: head, URI, cookies, dates (RFC 9110).
