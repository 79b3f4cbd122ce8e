//! Order and hashes as HAProxy 3.4 showed them when run with the same servers.
