//! HTTP/1.x on the wire (RFC 9112): strict message framing over tokens of `httparse`.
