//! `compression` (manual 4.2): what is compressed, by which algorithm.

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compression {
    /// `algo` (or `algo-res`): for responses, in the order of preference.
    pub algorithms: Vec<CompressionAlgorithm>,
    /// `algo-req`: for requests.
    pub request_algorithm: Option<CompressionAlgorithm>,
    /// `type` (or `type-res`): media types; empty: all.
    pub types: Vec<String>,
    pub request_types: Vec<String>,
    pub offload: bool,
    pub direction: CompressionDirection,
    pub minsize_request: u64,
    pub minsize_response: u64,
    /// `filter` lines; none: the settings alone are enough.
    pub filter_request: bool,
    pub filter_response: bool,
    /// `filter compression`: both, as far as `direction` says.
    pub filter_legacy: bool,
}

impl Compression {
    pub fn serves_responses(&self) -> bool {
        match self.filter_request || self.filter_response {
            true => self.filter_response,
            false => self.direction != CompressionDirection::Request,
        }
    }

    pub fn serves_requests(&self) -> bool {
        match self.filter_request || self.filter_response {
            true => self.filter_request,
            false => self.direction != CompressionDirection::Response,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionAlgorithm {
    Identity,
    Gzip,
    Deflate,
    RawDeflate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CompressionDirection {
    #[default]
    Response,
    Request,
    Both,
}
