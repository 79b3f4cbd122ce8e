//! Every way a stream can fail, and what follows: the reply to the client, the two letters of the log line (manual 8.5),
//! who is to blame. Each failure is mapped here, once.

use crate::proto::h1::error::{ParseError, Side};

/// Why a stream ended before its regular end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request is malformed.
    BadRequest(ParseError),
    /// No complete request within `timeout http-request` or `timeout client`.
    RequestTimeout,
    /// The client left before its request was complete.
    RequestAborted,
    /// The client left, by a reset, before a server was looked for.
    Left,
    /// No server may serve.
    NoServer,
    QueueTimeout,
    AbortedInQueue,
    /// The queue is full (`maxqueue`) or was emptied.
    QueueRefused,
    ConnectFailed,
    ConnectTimeout,
    AbortedInConnect,
    /// A resource of ours ran out (ports, descriptors).
    ConnectResource,
    /// The server closed or reset before a response.
    NoResponse,
    /// The same on a connection that was used before: the client may retry, so it is closed in silence.
    NoResponseOnReused,
    BadResponse(ParseError),
    /// The server gave the request back without looking at it (RFC 9113 §8.7).
    Refused,
    ResponseTimeout,
    /// The client left while we waited for the response.
    AbortedInResponse,
    /// The client did not send its body in time.
    BodyTimeout,
    /// The client broke off its body.
    BodyAborted,
    /// The body was not there in time for rules that look at it (`wait-for-body`, `option http-buffer-request`).
    BodyAwaited,
    /// The client broke off the body that rules waited for.
    AwaitedBodyAborted,
    /// The chunked body that rules waited for is malformed.
    BadAwaitedBody(ParseError),
    /// The client was silent for `timeout client` while `tcp-request content` rules waited for more of its body.
    InspectTimeout,
    /// The client's chunked body is malformed.
    BadBody(ParseError),
    /// The server broke off its body.
    ServerAborted,
    /// The server's chunked body is malformed.
    BadResponseBody(ParseError),
    ServerDataTimeout,
    ClientDataTimeout,
    ClientAborted,
    /// A header edit did not fit.
    Rewrite,
    /// The same in a response.
    ResponseRewrite,
    /// `shutdown session` and its kin.
    Killed,
    /// The server went down with `on-marked-down shutdown-sessions`.
    ServerDown,
    /// An active server came up with `on-marked-up shutdown-backup-sessions`; this one was on a backup.
    ServerUp,
    Internal,
    /// A rule refused a TCP session.
    Rejected,
    /// By `tcp-response content`.
    ResponseRejected,
    /// A response rule denied the response; its reply is in the exchange.
    ResponseDenied,
    /// A response rule answers in the server's stead.
    ResponseReplaced,
    /// The server is reached by a redirect of ours (`redir`).
    ServerRedirects,
    /// The response has a status that `retry-on` names.
    RetryStatus(u16),
}

/// What the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The canned reply with this status, as the stream writes it.
    Page(u16),
    /// The same as the connection writes it before there is a stream.
    RawPage(u16),
    /// Nothing: the connection is closed.
    Silence,
}

impl Failure {
    pub fn answer(self) -> Answer {
        use Failure::*;
        match self {
            BadRequest(e) => Answer::RawPage(e.status()),
            RequestTimeout => Answer::RawPage(408),
            RequestAborted => Answer::RawPage(400),
            BadBody(_) | BadAwaitedBody(_) => Answer::Page(400),
            BodyTimeout | BodyAborted | AwaitedBodyAborted | InspectTimeout => Answer::Page(400),
            BodyAwaited => Answer::Page(408),
            NoServer | QueueTimeout | QueueRefused | ConnectFailed | ConnectTimeout | ServerDown | ServerUp => {
                Answer::Page(503)
            }
            AbortedInQueue | AbortedInConnect | AbortedInResponse => Answer::Page(400),
            NoResponse | Refused | BadResponse(_) | ResponseDenied | ResponseReplaced => Answer::Page(502),
            ResponseTimeout => Answer::Page(504),
            ConnectResource | Rewrite | ResponseRewrite | Internal | ServerRedirects => Answer::Page(500),
            RetryStatus(status) => Answer::Page(status),
            Rejected | ResponseRejected | NoResponseOnReused | ServerAborted | BadResponseBody(_) => Answer::Silence,
            Left | ServerDataTimeout | ClientDataTimeout | ClientAborted | Killed => Answer::Silence,
        }
    }

    /// The first two letters of `%tsc`.
    pub fn letters(self) -> [u8; 2] {
        use Failure::*;
        *match self {
            BadRequest(_) | BadAwaitedBody(_) => b"PR",
            RequestTimeout | BodyAwaited | InspectTimeout => b"cR",
            RequestAborted | AwaitedBodyAborted | Left => b"CR",
            NoServer | ConnectFailed => b"SC",
            QueueRefused => b"SQ",
            QueueTimeout => b"sQ",
            AbortedInQueue => b"CQ",
            ConnectTimeout => b"sC",
            AbortedInConnect => b"CC",
            ConnectResource => b"RC",
            NoResponse | NoResponseOnReused | Refused => b"SH",
            BadResponse(_) | ResponseRewrite | ResponseDenied => b"PH",
            ResponseReplaced => b"LH",
            ServerRedirects => b"LC",
            RetryStatus(_) => b"SH",
            Rejected => b"PR",
            ResponseRejected => b"PD",
            ResponseTimeout => b"sH",
            AbortedInResponse => b"CH",
            BodyTimeout => b"cH",
            BodyAborted => b"CH",
            BadBody(_) => b"PD",
            ServerAborted => b"SD",
            BadResponseBody(_) => b"PD",
            ServerDataTimeout => b"sD",
            ClientDataTimeout => b"cD",
            ClientAborted => b"CD",
            Rewrite => b"PR",
            Killed => b"K-",
            ServerDown => b"DC",
            ServerUp => b"UC",
            Internal => b"IR",
        }
    }

    /// Whether the client's request itself was at fault (`ereq`).
    pub fn is_request_error(self) -> bool {
        use Failure::*;
        match self {
            BadRequest(_) | RequestTimeout | RequestAborted | Left => true,
            BodyTimeout | BodyAborted | BodyAwaited => true,
            BadBody(e) | BadAwaitedBody(e) => e.side == Side::Client,
            _ => false,
        }
    }

    /// Whether the server's response was at fault (`eresp`).
    pub fn is_response_error(self) -> bool {
        use Failure::*;
        matches!(
            self,
            NoResponse
                | NoResponseOnReused
                | Refused
                | BadResponse(_)
                | ResponseTimeout
                | ServerAborted
                | BadResponseBody(_)
        ) || matches!(self, ServerDataTimeout)
    }

    /// Whether no server could be reached (`econ`).
    pub fn is_connect_error(self) -> bool {
        use Failure::*;
        matches!(self, NoServer | QueueTimeout | QueueRefused | ConnectFailed | ConnectTimeout | ConnectResource)
    }

    /// Whether it is our own fault, or a rule's (`eint`).
    pub fn is_internal(self) -> bool {
        matches!(self, Failure::Internal | Failure::Rewrite | Failure::ResponseRewrite)
    }

    /// Whether the client's connection cannot carry another request: it is at fault itself, or gone.
    pub fn spoils_client(self) -> bool {
        matches!(self, Failure::BadBody(_)) || self.is_request_error() || self.is_client_abort()
    }

    /// The client went away by itself (`cli_abrt`).
    pub fn is_client_abort(self) -> bool {
        use Failure::*;
        matches!(
            self,
            Left | AbortedInQueue
                | AbortedInConnect
                | AbortedInResponse
                | BodyAborted
                | AwaitedBodyAborted
                | InspectTimeout
                | ClientAborted
                | ClientDataTimeout
        )
    }

    /// The server went away during the data (`srv_abrt`).
    pub fn is_server_abort(self) -> bool {
        matches!(self, Failure::ServerAborted | Failure::ServerDataTimeout | Failure::NoResponseOnReused)
    }
}
