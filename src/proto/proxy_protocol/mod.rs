//! The PROXY protocol, versions 1 and 2 (doc/proxy-protocol.txt of HAProxy).
