//! The replies that HAProxy 3.4 has built in, byte for byte (its error pages; manual 3.x "errorfile").
//!
//! One body a status, two heads around it: replies of the stream have lower-case names and go through the rules of
//! responses; those of the HTTP/1 connection, for what never became a request, have capitals. Pages from `errorfile` and
//! `http-errors` live with whoever read them.

use super::head::{Head, Version};
use super::push_decimal;

/// A built-in reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    pub reason: &'static str,
    pub body: &'static str,
}

macro_rules! page {
    ($status:literal, $reason:literal, $text:literal) => {
        Page {
            status: $status,
            reason: $reason,
            body: concat!("<html><body><h1>", $status, " ", $reason, "</h1>\n", $text, "\n</body></html>\n"),
        }
    };
}

/// All of them, by status.
pub static PAGES: &[Page] = &[
    page!(200, "OK", "Service ready."),
    page!(400, "Bad request", "Your browser sent an invalid request."),
    page!(401, "Unauthorized", "You need a valid user and password to access this content."),
    page!(403, "Forbidden", "Request forbidden by administrative rules."),
    page!(404, "Not Found", "The resource could not be found."),
    page!(
        405,
        "Method Not Allowed",
        "A request was made of a resource using a request method not supported by that resource."
    ),
    page!(407, "Unauthorized", "You need a valid user and password to access this content."),
    page!(408, "Request Time-out", "Your browser didn't send a complete request in time."),
    page!(410, "Gone", "The resource is no longer available and will not be available again."),
    page!(413, "Payload Too Large", "The request entity exceeds the maximum allowed."),
    page!(414, "URI Too Long", "The URI provided was too long for the server to process."),
    page!(421, "Misdirected Request", "Request sent to a non-authoritative server."),
    page!(422, "Unprocessable Content", "The server cannot process the contained instructions."),
    page!(425, "Too Early", "Your browser sent early data."),
    page!(429, "Too Many Requests", "You have sent too many requests in a given amount of time."),
    page!(431, "Request Header Fields Too Large", "Request Header Fields Too Large."),
    page!(500, "Internal Server Error", "An internal server error occurred."),
    page!(501, "Not Implemented", "The server does not support the functionality required to fulfill the request."),
    page!(502, "Bad Gateway", "The server returned an invalid or incomplete response."),
    page!(503, "Service Unavailable", "No server is available to handle this request."),
    page!(504, "Gateway Time-out", "The server didn't respond in time."),
];

/// The built-in reply with this status.
pub fn page(status: u16) -> Option<&'static Page> {
    PAGES.binary_search_by_key(&status, |page| page.status).ok().map(|index| &PAGES[index])
}

impl Page {
    /// Whether the connection to the client ends with this reply whatever the request said.
    pub fn closes(&self) -> bool {
        matches!(self.status, 400 | 408)
    }

    /// Makes `head` the head of this reply as the stream sends it. The body is [`Page::body`].
    pub fn fill(&self, head: &mut Head) {
        head.start_response(self.status, self.reason.as_bytes(), Version::Http11);
        head.append(b"content-length", super::decimal(self.body.len() as u64, &mut [0; 20]));
        head.append(b"cache-control", b"no-cache");
        head.append(b"content-type", b"text/html");
    }

    /// Appends the whole reply as the HTTP/1 connection sends it before there is a stream; it closes after that.
    pub fn raw(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        push_decimal(out, u64::from(self.status));
        out.push(b' ');
        out.extend_from_slice(self.reason.as_bytes());
        out.extend_from_slice(b"\r\nContent-length: ");
        push_decimal(out, self.body.len() as u64);
        out.extend_from_slice(b"\r\nCache-Control: no-cache\r\n");
        if self.closes() {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"Content-Type: text/html\r\n\r\n");
        out.extend_from_slice(self.body.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_sorted_and_as_long_as_haproxys() {
        assert!(PAGES.is_sorted_by_key(|page| page.status));
        for (status, length) in [(200, 58), (400, 90), (403, 93), (408, 110), (429, 117), (503, 107), (504, 92)] {
            assert_eq!(page(status).map(|p| p.body.len()), Some(length), "{status}");
        }
        assert_eq!(page(402), None);
    }

    #[test]
    fn the_connections_own_reply_has_capitals() {
        let mut out = Vec::new();
        page(400).unwrap().raw(&mut out);
        assert_eq!(
            out,
            b"HTTP/1.1 400 Bad request\r\nContent-length: 90\r\nCache-Control: no-cache\r\nConnection: close\r\n\
              Content-Type: text/html\r\n\r\n<html><body><h1>400 Bad request</h1>\n\
              Your browser sent an invalid request.\n</body></html>\n"
        );
        out.clear();
        page(431).unwrap().raw(&mut out);
        assert!(!out.windows(10).any(|w| w == b"Connection"));
    }

    #[test]
    fn the_streams_reply_has_lower_case_names() {
        let mut head = Head::new();
        page(503).unwrap().fill(&mut head);
        let fields: Vec<_> = head.fields().collect();
        assert_eq!(
            fields,
            [(&b"content-length"[..], &b"107"[..]), (b"cache-control", b"no-cache"), (b"content-type", b"text/html")]
        );
    }
}
