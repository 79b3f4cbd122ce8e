//! The TLS handshake of a connection that the process made or took for itself: of a check, of a peer. Deadlines are the
//! caller's.

use crate::base::buf::Block;
use crate::engine::Conn;
use crate::proto::tls::session::{Session, TlsError};
use std::io;

/// Received bytes of a handshake at most; what the other end sends beyond it is no handshake.
const RECEIVED_MAX: usize = 256 << 10;

/// Sends what is in `out`, then drives `session` until it is established and all that it has to say is sent. Plain bytes that came
/// with the end of the handshake are appended to `plain`; true when nothing will follow them.
///
/// # Errors
/// When the connection breaks or the handshake fails, whatever the reason: the other end has been sent the alert.
pub async fn shake_hands(
    conn: &Conn,
    session: &mut Session,
    mut out: Vec<u8>,
    plain: &mut Vec<u8>,
) -> Result<bool, TlsError> {
    let broken = |_: io::Error| TlsError::Library("the connection broke".to_owned());
    let (mut received, mut closed) = (0, false);
    loop {
        if !out.is_empty() {
            conn.send_all(Block::copy_of(&out)).await.map_err(broken)?;
            out.clear();
        }
        if session.is_established() {
            return Ok(closed);
        }
        let Some(mut piece) = conn.recv().await.map_err(broken)? else { return Err(TlsError::NotReady) };
        received += piece.len();
        if received > RECEIVED_MAX {
            return Err(TlsError::TooLong);
        }
        match session.feed(conn.rt().now().wall_us / 1_000_000, &mut piece, &mut out) {
            Ok(fed) => {
                plain.extend_from_slice(&fed.carried);
                plain.extend_from_slice(piece.get(fed.plain).unwrap_or_default());
                closed |= fed.closed;
            }
            Err(error) => {
                if !out.is_empty() {
                    // The alert: whether it arrives changes nothing.
                    let _ = conn.send_all(Block::copy_of(&out)).await;
                }
                return Err(error);
            }
        }
    }
}
