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
