//! Why a session failed, in the words and numbers that HAProxy logs: `fc_err`, `fc_err_str` (manual 7.3.3) and OpenSSL's
//! error behind them, `ssl_fc_err`, `ssl_fc_err_str` (7.3.4). Taken from runs of HAProxy 3.4.0.

use super::session::{Facts, TlsError};
use super::verify_code::{self as code, VerifyResult};

/// `fc_err` of what happens around a handshake, which the data path knows and a session does not.
pub const CLOSED_DURING_HANDSHAKE: (u32, &str) = (24, "Connection closed during SSL handshake");
pub const TIMEOUT_DURING_HANDSHAKE: (u32, &str) = (26, "Timeout during SSL handshake");

/// Numbers of OpenSSL's library `SSL routines`.
const SSL_ROUTINES: u64 = 20 << 23;

impl TlsError {
    /// `fc_err` and `fc_err_str` (`bc_err` and `bc_err_str` on the server's side).
    pub fn connection_error(&self, facts: &Facts, server_side: bool) -> (u32, &'static str) {
        let VerifyResult { crt_err, ca_err, .. } = facts.verify;
        match (self, server_side) {
            (TlsError::Certificate(_), true) if ca_err != 0 && crt_err == 0 => {
                (30, "SSL client CA chain cannot be verified")
            }
            (TlsError::Certificate(_), true) => (31, "SSL client certificate not trusted"),
            (TlsError::Certificate(code::HOSTNAME_MISMATCH), false) => match facts.sni {
                Some(_) => (33, "Server presented an SSL certificate different from the expected one"),
                None => (32, "Server presented an SSL certificate different from the configured one"),
            },
            _ => (34, "SSL handshake failure"),
        }
    }

    /// `ssl_fc_err`: OpenSSL's packed number.
    pub fn openssl_number(&self) -> u64 {
        SSL_ROUTINES | self.reason().0
    }

    /// `ssl_fc_err_str`: `error:0A0000C1:SSL routines::no shared cipher`.
    pub fn openssl_text(&self) -> String {
        let (number, text) = self.reason();
        format!("error:{:08X}:SSL routines::{text}", SSL_ROUTINES | number)
    }

    /// OpenSSL's reason (SSL_R_*).
    fn reason(&self) -> (u64, String) {
        let (number, text) = match self {
            TlsError::NotTls { http: true } => (156, "http request"),
            TlsError::NotTls { http: false } => (267, "wrong version number"),
            TlsError::Malformed => (159, "length mismatch"),
            // OpenSSL asks HAProxy, which says no.
            TlsError::UnknownName => (234, "callback failed"),
            TlsError::BadMac => (281, "decryption failed or bad record mac"),
            TlsError::Unexpected => (244, "unexpected message"),
            TlsError::TooLong => (198, "packet length too long"),
            TlsError::Certificate(_) => (134, "certificate verify failed"),
            TlsError::NoCertificate => (199, "peer did not return a certificate"),
            TlsError::Version => (258, "unsupported protocol"),
            TlsError::NoneInCommon(_) => (193, "no shared cipher"),
            TlsError::AlertReceived(alert) => {
                let number = u8::from(*alert);
                return (1000 + u64::from(number), alert_text(number));
            }
            TlsError::Library(_) | TlsError::NotReady => (68, "internal error"),
        };
        (number, text.to_owned())
    }
}

/// OpenSSL's name of an alert that was received.
fn alert_text(alert: u8) -> String {
    let (family, name) = match alert {
        0 => ("sslv3", "close notify"),
        10 => ("sslv3", "unexpected message"),
        20 => ("sslv3", "bad record mac"),
        22 => ("tlsv1", "record overflow"),
        30 => ("sslv3", "decompression failure"),
        40 => ("sslv3", "handshake failure"),
        41 => ("sslv3", "no certificate"),
        42 => ("sslv3", "bad certificate"),
        43 => ("sslv3", "unsupported certificate"),
        44 => ("sslv3", "certificate revoked"),
        45 => ("sslv3", "certificate expired"),
        46 => ("sslv3", "certificate unknown"),
        47 => ("sslv3", "illegal parameter"),
        48 => ("tlsv1", "unknown ca"),
        49 => ("tlsv1", "access denied"),
        50 => ("tlsv1", "decode error"),
        51 => ("tlsv1", "decrypt error"),
        70 => ("tlsv1", "protocol version"),
        71 => ("tlsv1", "insufficient security"),
        80 => ("tlsv1", "internal error"),
        86 => ("tlsv1", "inappropriate fallback"),
        90 => ("tlsv1", "user cancelled"),
        100 => ("tlsv1", "no renegotiation"),
        // From here on OpenSSL leaves the word "alert" out.
        109 => return "tlsv13 alert missing extension".to_owned(),
        110 => return "tlsv1 unsupported extension".to_owned(),
        112 => return "tlsv1 unrecognized name".to_owned(),
        113 => return "tlsv1 bad certificate status response".to_owned(),
        116 => return "tlsv13 alert certificate required".to_owned(),
        120 => return "tlsv1 alert no application protocol".to_owned(),
        other => return format!("reason({})", 1000 + u32::from(other)),
    };
    format!("{family} alert {name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::AlertDescription;

    #[test]
    fn errors_read_as_haproxy_logs_them() {
        for (error, number, text) in [
            (TlsError::UnknownName, 0x0a0000ea, "error:0A0000EA:SSL routines::callback failed"),
            (TlsError::NoCertificate, 0x0a0000c7, "error:0A0000C7:SSL routines::peer did not return a certificate"),
            (TlsError::Certificate(18), 0x0a000086, "error:0A000086:SSL routines::certificate verify failed"),
            (TlsError::NotTls { http: true }, 0x0a00009c, "error:0A00009C:SSL routines::http request"),
            (TlsError::NotTls { http: false }, 0x0a00010b, "error:0A00010B:SSL routines::wrong version number"),
            (TlsError::Version, 0x0a000102, "error:0A000102:SSL routines::unsupported protocol"),
            (TlsError::NoneInCommon(String::new()), 0x0a0000c1, "error:0A0000C1:SSL routines::no shared cipher"),
            (TlsError::Malformed, 0x0a00009f, "error:0A00009F:SSL routines::length mismatch"),
            (
                TlsError::AlertReceived(AlertDescription::UnknownCA),
                0x0a000418,
                "error:0A000418:SSL routines::tlsv1 alert unknown ca",
            ),
        ] {
            assert_eq!((error.openssl_number(), error.openssl_text().as_str()), (number, text));
        }
        let mut facts = Facts::default();
        facts.verify.crt_err = 10;
        let error = TlsError::Certificate(10).connection_error(&facts, true);
        assert_eq!(error, (31, "SSL client certificate not trusted"));
        assert_eq!(TlsError::NotReady.connection_error(&facts, true), (34, "SSL handshake failure"));
    }
}
