//! What the library's callbacks need to know of the connection whose bytes it is reading. The library calls certificate
//! resolver, verifier, ticket and time callbacks while it processes a record, on the same thread, through objects that
//! all connections share; [`enter`] sets the stage before each such call, and [`leave`] takes what they noted.

use super::keys::Secrets;
use super::verify_code::VerifyResult;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

/// Sixteen bytes that say under which identity and client policy a session was made; a session is resumed only under
/// the same (manual of `rustls::ServerConfig`; HAProxy 3.4.0 resumes across policies, we do not).
pub type Binding = [u8; 16];

#[derive(Default)]
pub struct Moment {
    /// Seconds since 1970.
    pub now_s: u64,
    /// The certificate chosen for this connection.
    pub certificate: Option<Arc<CertifiedKey>>,
    pub binding: Binding,
    /// What verification of the peer's certificate found; put into tickets, and restored from them.
    pub verify: VerifyResult,
    /// The peer's certificate if it was refused; the library drops it then.
    pub refused: Option<CertificateDer<'static>>,
    /// What the library told of its secrets (`tune.ssl.keylog`).
    pub secrets: Option<Box<Secrets>>,
}

thread_local! {
    static MOMENT: RefCell<Moment> = RefCell::new(Moment::default());
}

/// Sets the stage for the calls that follow.
pub fn enter(moment: Moment) {
    MOMENT.with_borrow_mut(|m| *m = moment);
}

/// What the callbacks left; references are dropped. The time stays: tickets that come later are dated by it.
pub fn leave() -> Moment {
    MOMENT.with_borrow_mut(|m| {
        let next = Moment { now_s: m.now_s, ..Moment::default() };
        std::mem::replace(m, next)
    })
}

/// Sets the time alone, for messages after the handshake.
pub fn set_time(now_s: u64) {
    MOMENT.with_borrow_mut(|m| m.now_s = now_s);
}

/// Reads or notes something within a callback.
pub fn with<R>(f: impl FnOnce(&mut Moment) -> R) -> R {
    MOMENT.with_borrow_mut(f)
}

/// The library's clock: the loop's time, so that it reads none.
#[derive(Debug)]
pub struct LoopTime;

impl TimeProvider for LoopTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(with(|m| m.now_s))))
    }
}
