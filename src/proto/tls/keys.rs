//! The secrets of a session, for those who decipher recorded traffic (manual 3.2 "tune.ssl.keylog", RFC 9850): taken from the
//! library as it makes them, where that is asked for.

use super::moment;
use rustls::KeyLog;
use std::fmt;

/// Kinds of secrets, by their label in a key log file. There is no early data, so there are no early secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// `CLIENT_RANDOM`: the master secret of TLS 1.2.
    Master,
    ClientHandshakeTraffic,
    ServerHandshakeTraffic,
    ClientTraffic0,
    ServerTraffic0,
    Exporter,
}

const LABELS: [&str; 6] = [
    "CLIENT_RANDOM",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
    "EXPORTER_SECRET",
];

/// What is known of a session.
#[derive(Clone, Default)]
pub struct Secrets([Vec<u8>; LABELS.len()]);

impl Secrets {
    pub fn get(&self, kind: Secret) -> Option<&[u8]> {
        Some(self.0[kind as usize].as_slice()).filter(|s| !s.is_empty())
    }
}

/// Tells no secret.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// Leaves secrets with the connection whose bytes the library is reading.
#[derive(Debug)]
pub struct ToMoment;

impl KeyLog for ToMoment {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        if let Some(kind) = LABELS.iter().position(|l| *l == label) {
            moment::with(|m| m.secrets.get_or_insert_default().0[kind] = secret.to_vec());
        }
    }

    fn will_log(&self, label: &str) -> bool {
        LABELS.contains(&label)
    }
}
