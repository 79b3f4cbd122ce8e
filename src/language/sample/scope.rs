//! Where a fetch can be used: HAProxy's 22 points of evaluation and the scopes that fetches need (`haproxy -dKsmp`
//! prints the same table). A fetch used where its scope is absent is an error in expressions and a warning in ACLs.

/// A set of evaluation points, one bit each in the order of [`POINTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Points(pub u32);

impl Points {
    pub const FE_CON_ACC: Points = Points(1 << 0);
    pub const FE_SES_ACC: Points = Points(1 << 1);
    pub const FE_REQ_CNT: Points = Points(1 << 2);
    pub const FE_HRQ_HDR: Points = Points(1 << 3);
    pub const FE_HRQ_BDY: Points = Points(1 << 4);
    pub const FE_SET_BCK: Points = Points(1 << 5);
    pub const BE_REQ_CNT: Points = Points(1 << 6);
    pub const BE_HRQ_HDR: Points = Points(1 << 7);
    pub const BE_HRQ_BDY: Points = Points(1 << 8);
    pub const BE_SET_SRV: Points = Points(1 << 9);
    pub const BE_SRV_CON: Points = Points(1 << 10);
    pub const BE_RES_CNT: Points = Points(1 << 11);
    pub const BE_HRS_HDR: Points = Points(1 << 12);
    pub const BE_HRS_BDY: Points = Points(1 << 13);
    pub const BE_STO_RUL: Points = Points(1 << 14);
    pub const FE_RES_CNT: Points = Points(1 << 15);
    pub const FE_HRS_HDR: Points = Points(1 << 16);
    pub const FE_HRS_BDY: Points = Points(1 << 17);
    pub const FE_LOG_END: Points = Points(1 << 18);
    pub const BE_CHK_RUL: Points = Points(1 << 19);
    pub const CFG_PARSER: Points = Points(1 << 20);
    pub const CLI_PARSER: Points = Points(1 << 21);

    pub const fn or(self, other: Points) -> Points {
        Points(self.0 | other.0)
    }

    /// Whether every point of `self` is in `other`.
    pub const fn within(self, other: Points) -> bool {
        self.0 & !other.0 == 0
    }

    /// How messages about an argument call the expression that stands here; empty where they say nothing.
    pub fn expression(self) -> &'static str {
        let has = |p: Points| self.0 & p.0 != 0;
        if has(Points::FE_CON_ACC) {
            " in tcp-request connection expression"
        } else if has(Points::FE_SES_ACC) {
            " in tcp-request session expression"
        } else if has(Points::FE_REQ_CNT.or(Points::BE_REQ_CNT)) {
            " in tcp-request content expression"
        } else if has(Points::FE_HRQ_HDR.or(Points::BE_HRQ_HDR)) {
            " in http-request expression"
        } else if has(Points::FE_SET_BCK) {
            " in use_backend expression"
        } else if has(Points::FE_HRS_HDR.or(Points::BE_HRS_HDR)) {
            " in http-response response"
        } else if has(Points::FE_LOG_END) {
            " in log-format string"
        } else {
            ""
        }
    }

    /// HAProxy's name of the first point.
    pub fn name(self) -> &'static str {
        POINTS[(self.0.trailing_zeros() as usize).min(POINTS.len() - 1)]
    }
}

/// HAProxy's names of the points, in the order of the bits.
pub const POINTS: [&str; 22] = [
    "frontend tcp-request connection rule",
    "frontend tcp-request session rule",
    "frontend tcp-request content rule",
    "frontend http-request header rule",
    "frontend http-request body rule",
    "frontend use-backend rule",
    "backend tcp-request content rule",
    "backend http-request header rule",
    "backend http-request body rule",
    "backend use-server, balance or stick-match rule",
    "server source selection",
    "backend tcp-response content rule",
    "backend http-response header rule",
    "backend http-response body rule",
    "backend stick-store rule",
    "frontend tcp-response content rule",
    "frontend http-response header rule",
    "frontend http-response body rule",
    "logs",
    "backend tcp-check rule",
    "configuration parser",
    "CLI parser",
];

/// What a fetch needs: a name for messages and the points where it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    pub text: &'static str,
    pub points: Points,
}

const fn needs(text: &'static str, points: u32) -> Needs {
    Needs { text, points: Points(points) }
}

/// Points `from..=to` as bits.
const fn range(from: u32, to: u32) -> u32 {
    ((1 << (to + 1)) - 1) & !((1 << from) - 1)
}

const TCP_CHECK: u32 = 1 << 19;

/// Everywhere, the configuration parser and the runtime API included.
pub const ANYWHERE: Needs = needs("internal state", range(0, 21));
/// Everywhere but in the configuration parser.
pub const INTERNAL: Needs = needs("internal state", range(0, 19) | 1 << 21);
/// The client's addresses, the listener, dates.
pub const CLIENT_L4: Needs = needs("client-side connection", range(0, 19));
/// The frontend and its session.
pub const FRONTEND: Needs = needs("frontend", range(0, 18));
/// TLS and tracked counters of the client's connection.
pub const CLIENT_L5: Needs = needs("client-side connection", range(1, 18));
pub const REQUEST_BUFFER: Needs = needs("request buffer", range(2, 10));
pub const REQUEST_HEADERS: Needs = needs("HTTP request headers", range(2, 10));
/// Of whichever message is there.
pub const EITHER_HEADERS: Needs = needs("HTTP request headers,HTTP response headers", range(2, 17) | TCP_CHECK);
pub const EITHER_BUFFER: Needs = needs("request buffer,response buffer", range(2, 17) | TCP_CHECK);
/// What is remembered of the request (captures).
pub const REQUEST: Needs = needs("HTTP request", range(2, 18));
pub const REQUEST_STATISTICS: Needs = needs("request buffer statistics", range(2, 18));
pub const TRANSACTION: Needs = needs("transaction statistics", range(2, 18));
pub const BACKEND: Needs = needs("backend", range(6, 19));
pub const RESPONSE_STATISTICS: Needs = needs("response buffer statistics", range(9, 18));
pub const SERVER: Needs = needs("server", range(10, 19));
pub const RESPONSE_EARLY: Needs = needs("HTTP response", range(10, 19));
pub const SERVER_L4: Needs = needs("server address", range(11, 19));
pub const SERVER_L5: Needs = needs("server-side connection", range(11, 19));
/// What is remembered of the response.
pub const RESPONSE: Needs = needs("HTTP response", range(11, 19));
pub const RESPONSE_BUFFER: Needs = needs("response buffer", range(11, 17) | TCP_CHECK);
pub const RESPONSE_HEADERS: Needs = needs("HTTP response headers", range(11, 17) | TCP_CHECK);
