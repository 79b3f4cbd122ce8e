//! An established session's keys, and the records that are no data: alerts, key updates, tickets (RFC 8446 §4.6, §6).

use super::records::{ALERT, HANDSHAKE, Protection};
use super::session::{HANDSHAKE_CARRY_MAX, TlsError, library_error};
use rustls::AlertDescription;
use rustls::kernel::KernelConnection;

/// Post-handshake messages without data between them, at most; also warnings (RFC 8446 leaves the bound to us).
const IDLE_MESSAGES_MAX: u8 = 32;

/// Keys of both directions and what goes with them.
pub(super) struct Traffic {
    pub receive: Protection,
    pub send: Protection,
    /// Makes new keys and takes tickets (TLS 1.3).
    pub kernel: Option<Kernel>,
    /// A post-handshake message that spans records.
    pub message: Vec<u8>,
    pub idle_messages: u8,
    /// The peer was told that there is no renegotiation; who asks again does it for its own sake.
    pub renegotiation_refused: bool,
    pub close_notify_sent: bool,
}

/// What the library leaves us to make new keys with.
pub(super) enum Kernel {
    Server(Box<KernelConnection<rustls::server::ServerConnectionData>>),
    Client(Box<KernelConnection<rustls::client::ClientConnectionData>>),
}

impl Traffic {
    /// Seals a record; takes new keys when the old ones have sealed as many records as is safe (RFC 8446 §5.5: 2^24.5 for
    /// AES-GCM). TLS 1.2 has no way to; there the nonces stay unique and the limit is left to administrators, as in OpenSSL.
    pub(super) fn seal(&mut self, kind: u8, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        if self.send.is_tls13() && self.send.sequence() >= 1 << 23 {
            self.update_send_keys(out)?;
        }
        Ok(self.send.seal(kind, plain, out)?)
    }

    /// Alerts and post-handshake messages. True for close_notify.
    pub(super) fn control(
        &mut self,
        kind: u8,
        content: &[u8],
        key_update: &mut bool,
        out: &mut Vec<u8>,
    ) -> Result<bool, TlsError> {
        self.count_message()?;
        match kind {
            ALERT => self.alert(content),
            HANDSHAKE => self.handshake_bytes(content, key_update, out).map(|()| false),
            _ => Err(TlsError::Unexpected),
        }
    }

    fn count_message(&mut self) -> Result<(), TlsError> {
        self.idle_messages += 1;
        if self.idle_messages > IDLE_MESSAGES_MAX { Err(TlsError::Unexpected) } else { Ok(()) }
    }

    fn alert(&mut self, content: &[u8]) -> Result<bool, TlsError> {
        let [level, description] = *content else { return Err(TlsError::Malformed) };
        let user_canceled = 90;
        match description {
            0 => Ok(true),
            d if d == user_canceled || (level == 1 && !self.send.is_tls13()) => Ok(false),
            d => Err(TlsError::AlertReceived(AlertDescription::from(d))),
        }
    }

    fn handshake_bytes(&mut self, content: &[u8], key_update: &mut bool, out: &mut Vec<u8>) -> Result<(), TlsError> {
        if content.is_empty() || self.message.len() + content.len() > HANDSHAKE_CARRY_MAX {
            return Err(TlsError::Unexpected);
        }
        let mut kept = std::mem::take(&mut self.message);
        kept.extend_from_slice(content);
        let mut rest = &kept[..];
        while let [kind, a, b, c, after @ ..] = rest {
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            let Some((body, later)) = after.split_at_checked(length) else { break };
            let aligned = later.is_empty();
            self.message(*kind, body, aligned, key_update, out)?;
            rest = later;
            if !rest.is_empty() {
                // Thousands fit into one record.
                self.count_message()?;
            }
        }
        self.message = rest.to_vec();
        Ok(())
    }

    fn message(
        &mut self,
        kind: u8,
        body: &[u8],
        aligned: bool,
        key_update: &mut bool,
        out: &mut Vec<u8>,
    ) -> Result<(), TlsError> {
        const HELLO_REQUEST: u8 = 0;
        const CLIENT_HELLO: u8 = 1;
        const NEW_SESSION_TICKET: u8 = 4;
        const KEY_UPDATE: u8 = 24;
        match (kind, &mut self.kernel) {
            (KEY_UPDATE, Some(kernel)) => {
                // RFC 8446 §4.6.3, and §5.1: keys change at a record boundary.
                let requested = match body {
                    _ if !aligned => return Err(TlsError::Unexpected),
                    [0] => false,
                    [1] => true,
                    _ => return Err(TlsError::Malformed),
                };
                let (sequence, secret) = match kernel {
                    Kernel::Server(k) => k.update_rx_secret(),
                    Kernel::Client(k) => k.update_rx_secret(),
                }
                .map_err(library_error)?;
                self.receive = Protection::new(secret, sequence, true).ok_or(TlsError::NotReady)?;
                *key_update |= requested;
                Ok(())
            }
            (NEW_SESSION_TICKET, Some(Kernel::Client(kernel))) => {
                kernel.handle_new_session_ticket(body).map_err(library_error)
            }
            // Renegotiation of TLS 1.2 is refused with a warning (RFC 5246 §7.2.2), as HAProxy does.
            (HELLO_REQUEST | CLIENT_HELLO, None) if !self.renegotiation_refused => {
                self.renegotiation_refused = true;
                Ok(self.send.seal(ALERT, &[1, 100], out)?)
            }
            _ => Err(TlsError::Unexpected),
        }
    }

    /// Sends KeyUpdate under the old keys and takes new ones.
    pub(super) fn update_send_keys(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.send.seal(HANDSHAKE, &[24, 0, 0, 1, 0], out)?;
        let (sequence, secret) = match &mut self.kernel {
            Some(Kernel::Server(k)) => k.update_tx_secret(),
            Some(Kernel::Client(k)) => k.update_tx_secret(),
            None => return Err(TlsError::NotReady),
        }
        .map_err(library_error)?;
        self.send = Protection::new(secret, sequence, true).ok_or(TlsError::NotReady)?;
        Ok(())
    }
}
