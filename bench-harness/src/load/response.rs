//! Reads HTTP/1.1 responses off a buffer just far enough to know where each ends. Bodies are counted and dropped;
//! whether they are right is the verification pass's question.

/// Where in a response the stream stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Head,
    Length(u64),
    ChunkLine,
    Chunk(u64),
    LastLine,
    UntilEnd,
}

#[derive(Debug, Default)]
pub struct Response {
    stage: Stage,
    pub status: u16,
    /// The server said that it closes.
    pub closes: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    Done,
}

impl Response {
    /// Consumes what belongs to this response; after `Done` it is ready for the next.
    pub fn feed(&mut self, input: &mut Vec<u8>, ended: bool) -> Result<Progress, String> {
        loop {
            match self.stage {
                Stage::Head => {
                    let Some(bytes) = self.head(input)? else { break };
                    input.drain(..bytes);
                }
                Stage::Length(0) => return Ok(self.done()),
                Stage::Length(left) | Stage::Chunk(left) => {
                    let take = left.min(input.len() as u64);
                    input.drain(..take as usize);
                    let left = left - take;
                    let chunked = matches!(self.stage, Stage::Chunk(_));
                    self.stage = match (chunked, left) {
                        (true, 0) => Stage::ChunkLine,
                        (true, left) => Stage::Chunk(left),
                        (false, left) => Stage::Length(left),
                    };
                    if left > 0 {
                        break;
                    }
                }
                Stage::ChunkLine => {
                    let Some(end) = line_end(input) else { break };
                    let line = std::str::from_utf8(&input[..end]).map_err(|_| "chunk size")?;
                    let digits = line.split(';').next().unwrap_or("").trim();
                    let size = u64::from_str_radix(digits, 16).map_err(|_| format!("chunk size {line:?}"))?;
                    input.drain(..end + 2);
                    // The line end after the data counts as part of the chunk.
                    self.stage = if size == 0 { Stage::LastLine } else { Stage::Chunk(size + 2) };
                }
                Stage::LastLine => {
                    let Some(end) = line_end(input) else { break };
                    input.drain(..end + 2);
                    if end == 0 {
                        return Ok(self.done());
                    }
                }
                Stage::UntilEnd => {
                    input.clear();
                    return Ok(if ended { self.done() } else { Progress::More });
                }
            }
        }
        if ended { Err("closed in the middle of a response".to_owned()) } else { Ok(Progress::More) }
    }

    fn done(&mut self) -> Progress {
        self.stage = Stage::Head;
        Progress::Done
    }

    fn head(&mut self, input: &[u8]) -> Result<Option<usize>, String> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let bytes = match response.parse(input) {
            Ok(httparse::Status::Complete(bytes)) => bytes,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(format!("response head: {error}")),
        };
        self.status = response.code.unwrap_or(0);
        self.closes = response.version == Some(0);
        self.stage = Stage::UntilEnd;
        for header in response.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-length") && self.stage != Stage::ChunkLine {
                let text = std::str::from_utf8(header.value).unwrap_or("");
                self.stage = Stage::Length(text.trim().parse().map_err(|_| format!("content-length {text:?}"))?);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                self.stage = Stage::ChunkLine;
            } else if header.name.eq_ignore_ascii_case("connection") {
                self.closes |= header.value.eq_ignore_ascii_case(b"close");
            }
        }
        Ok(Some(bytes))
    }
}

fn line_end(input: &[u8]) -> Option<usize> {
    input.windows(2).position(|pair| pair == b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";

    #[test]
    fn a_response_split_at_every_byte_ends_at_its_last_byte() {
        for text in [LENGTH, CHUNKED] {
            let mut response = Response::default();
            let mut input = Vec::new();
            for (index, byte) in text.bytes().enumerate() {
                input.push(byte);
                let done = response.feed(&mut input, false).unwrap() == Progress::Done;
                assert_eq!(done, index + 1 == text.len(), "{text:?} at {index}");
            }
            assert!(input.is_empty());
        }
    }

    #[test]
    fn two_responses_in_one_buffer_are_two() {
        let mut input = format!("{CHUNKED}{LENGTH}").into_bytes();
        let mut response = Response::default();
        assert_eq!(response.feed(&mut input, false), Ok(Progress::Done));
        assert_eq!(response.feed(&mut input, false), Ok(Progress::Done));
        assert!(input.is_empty());
    }

    #[test]
    fn an_early_end_is_an_error_and_an_announced_one_is_not() {
        let mut input = LENGTH.as_bytes()[..40].to_vec();
        assert!(Response::default().feed(&mut input, true).is_err());
        let mut input = b"HTTP/1.0 200 OK\r\n\r\nrest".to_vec();
        assert_eq!(Response::default().feed(&mut input, true), Ok(Progress::Done));
    }
}
