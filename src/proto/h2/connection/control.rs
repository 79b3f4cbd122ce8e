//! Reading what is short: SETTINGS, PING, PRIORITY, RST_STREAM, WINDOW_UPDATE, GOAWAY (RFC 9113 §6).

use super::super::error::{ConnectionError, ErrorCode};
use super::super::flow::WINDOW_DEFAULT;
use super::super::frame::{self, flag, kind};
use super::receive::{Cursor, Fault, Outcome, Step};
use super::streams::Side;
use super::{Connection, Event, Role};

impl Connection {
    pub(super) fn begin_settings(&mut self, out: &mut Vec<u8>) -> Result<Step, ConnectionError> {
        let frame = self.frame;
        if frame.stream != 0 {
            return Err(ConnectionError::WrongStream);
        }
        if frame.has(flag::ACK) {
            if frame.len != 0 {
                return Err(ConnectionError::FrameSize);
            }
            self.settings_acknowledged(out)?;
            return Ok(Step::Skip);
        }
        if !frame.len.is_multiple_of(6) {
            return Err(ConnectionError::FrameSize);
        }
        if self.got_settings {
            self.glitches.idle_frame();
        }
        self.got_settings = true;
        Ok(Step::Setting)
    }

    /// What we announced holds from here on. Appends WINDOW_UPDATE for streams whose window became so small that what was
    /// taken of them must be announced now: the peer may have nothing left to send, and then nothing more is taken.
    fn settings_acknowledged(&mut self, out: &mut Vec<u8>) -> Result<(), ConnectionError> {
        if self.acknowledged {
            self.glitches.idle_frame();
            return Ok(());
        }
        self.acknowledged = true;
        self.decoder.set_limit(self.config.header_table_size as usize);
        let delta = i64::from(self.config.initial_window_size) - i64::from(WINDOW_DEFAULT);
        let share = self.stream_share();
        for stream in self.streams.iter_mut() {
            stream.receive.shift(delta).map_err(|_| ConnectionError::FlowControl)?;
            stream.release(0, share, out);
        }
        Ok(())
    }

    pub(super) fn setting(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Outcome {
        if self.left > 0 {
            let Some(entry) = self.short(cursor) else { return Ok(Some(Event::NeedMore)) };
            self.left -= 6;
            self.peer.apply(entry, self.config.role == Role::Client)?;
            self.encoder.set_limit(self.peer.header_table_size as usize);
            return Ok(None);
        }
        // RFC 9113 §6.9.2: it moves the windows of all streams, and not the connection's. Once a frame, however often
        // the frame says it.
        let delta = i64::from(self.peer.initial_window_size) - i64::from(self.send_initial);
        self.send_initial = self.peer.initial_window_size;
        if delta != 0 && !self.streams.iter_mut().all(|stream| stream.send.shift(delta).is_ok()) {
            return Err(ConnectionError::FlowControl.into());
        }
        self.answer()?;
        frame::settings_ack(out);
        self.step = Step::Header;
        self.next_event = Some(Event::Opened(0));
        Ok(Some(Event::Settings))
    }

    pub(super) fn short_payload(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Outcome {
        let more = Ok(Some(Event::NeedMore));
        match self.frame.kind {
            kind::PING | kind::GOAWAY => {
                let Some(bytes) = self.short::<8>(cursor) else { return more };
                self.left -= 8;
                self.step = Step::Skip;
                if self.frame.kind == kind::PING { self.got_ping(bytes, out) } else { self.got_goaway(bytes) }
            }
            kind::PRIORITY => {
                let Some([a, b, c, d, _weight]) = self.short(cursor) else { return more };
                self.left -= 5;
                self.step = Step::Skip;
                self.glitches.idle_frame();
                self.not_on_itself([a, b, c, d])?;
                Ok(None)
            }
            _ => {
                let Some(bytes) = self.short::<4>(cursor) else { return more };
                self.left -= 4;
                self.step = Step::Skip;
                if self.frame.kind == kind::RST_STREAM { self.got_reset(bytes) } else { self.got_window(bytes) }
            }
        }
    }

    /// RFC 7540 §5.3.1; RFC 9113 §5.3 knows no priorities any more, but HAProxy 3.4 still refuses this.
    pub(super) fn not_on_itself(&self, dependency: [u8; 4]) -> Result<(), ConnectionError> {
        if frame::u31(dependency) == self.frame.stream { Err(ConnectionError::Priority) } else { Ok(()) }
    }

    fn got_reset(&mut self, code: [u8; 4]) -> Outcome {
        let stream = self.frame.stream;
        if self.is_idle(stream) {
            return Err(ConnectionError::WrongStream.into());
        }
        let code = ErrorCode(u32::from_be_bytes(code));
        if !self.streams.reset_by_peer(stream) {
            self.glitches.idle_frame();
            return Ok(None);
        }
        // NO_ERROR ends an upload that a server does not need (RFC 9113 §8.1).
        if code != ErrorCode::NO_ERROR {
            self.glitches.add();
        }
        Ok(Some(Event::Reset { stream, code }))
    }

    fn got_window(&mut self, increment: [u8; 4]) -> Outcome {
        let (stream, increment) = (self.frame.stream, frame::u31(increment));
        if stream == 0 {
            if increment == 0 {
                return Err(ConnectionError::ZeroIncrement.into());
            }
            self.send_window.open(increment).map_err(|_| ConnectionError::FlowControl)?;
            return Ok(Some(Event::Opened(0)));
        }
        if self.is_idle(stream) {
            return Err(ConnectionError::WrongStream.into());
        }
        let Some(open) = self.streams.get_mut(stream) else { return Ok(None) };
        if increment == 0 {
            return Err(Fault::Stream(stream, ErrorCode::PROTOCOL_ERROR));
        }
        if open.send.open(increment).is_err() {
            return Err(Fault::Stream(stream, ErrorCode::FLOW_CONTROL_ERROR));
        }
        Ok((open.local != Side::Ended).then_some(Event::Opened(stream)))
    }

    fn got_ping(&mut self, opaque: [u8; 8], out: &mut Vec<u8>) -> Outcome {
        self.glitches.idle_frame();
        if self.frame.has(flag::ACK) {
            if self.pings == 0 {
                return Ok(None);
            }
            self.pings -= 1;
            return Ok(Some(Event::Pong));
        }
        self.answer()?;
        frame::ping(flag::ACK, opaque, out);
        Ok(None)
    }

    fn got_goaway(&mut self, bytes: [u8; 8]) -> Outcome {
        let [a, b, c, d, code @ ..] = bytes;
        self.glitches.idle_frame();
        self.peer_goes_away = true;
        Ok(Some(Event::GoAway { last: frame::u31([a, b, c, d]), code: ErrorCode(u32::from_be_bytes(code)) }))
    }
}
