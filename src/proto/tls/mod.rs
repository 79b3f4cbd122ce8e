//! TLS without sockets: drives rustls behind our own small trait.
