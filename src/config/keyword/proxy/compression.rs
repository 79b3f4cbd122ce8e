//! `compression` and `filter` (manual 4.2, 9).

use crate::{
    config::{
        keyword::{
            Needs::Nothing,
            Row, absent,
            args::{Args, Fault, size},
            row, row_nodef, unserved,
        },
        section::Loading,
    },
    model::compression::{Compression, CompressionAlgorithm, CompressionDirection},
};

pub static ROWS: &[Row] = &[row("compression", Nothing, compression), row_nodef("filter", Nothing, filter)];

fn algorithm(a: &Args<'_>, at: usize) -> Result<CompressionAlgorithm, Fault> {
    Ok(match a.get(at) {
        "identity" => CompressionAlgorithm::Identity,
        "gzip" => CompressionAlgorithm::Gzip,
        "deflate" => CompressionAlgorithm::Deflate,
        "raw-deflate" => CompressionAlgorithm::RawDeflate,
        other => return Err(a.fault(at, format!("'compression' : '{other}' is not a supported algorithm."))),
    })
}

fn compression(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let word = a.get(1);
    let mut found: Compression = cx.draft().proxy.compression.clone().unwrap_or_default();
    let missing = |what: &str| a.fault(2, format!("'compression' expects <{what}>."));
    match word {
        "algo" | "algo-res" => {
            if a.get(2).is_empty() {
                let text = format!("parsing [{}] : 'compression' expects <algorithm>.", a.line.origin);
                return Err(a.fault(2, text));
            }
            for at in 2..a.len() {
                let algorithm = algorithm(a, at)?;
                if !found.algorithms.contains(&algorithm) {
                    found.algorithms.push(algorithm);
                }
            }
        }
        "algo-req" => {
            if a.get(2).is_empty() {
                return Err(missing("algorithm"));
            }
            found.request_algorithm = Some(algorithm(a, 2)?);
        }
        "type" | "type-res" => {
            if a.get(2).is_empty() {
                return Err(missing("type"));
            }
            found.types.extend(a.strings(2));
        }
        "type-req" => {
            if a.get(2).is_empty() {
                return Err(missing("type"));
            }
            found.request_types.extend(a.strings(2));
        }
        "offload" => {
            // A defaults section can't have it: it would ask for more than was thought of (manual 4.2).
            if cx.in_defaults() {
                cx.warn(a, 1, "'compression' : 'offload' ignored in 'defaults' section.");
            } else {
                found.offload = true;
            }
        }
        "direction" => {
            found.direction = match a.get(2) {
                "request" => CompressionDirection::Request,
                "response" => CompressionDirection::Response,
                "both" => CompressionDirection::Both,
                _ => return Err(a.fault(2, "'compression' expects 'request', 'response', or 'both'.")),
            };
        }
        "minsize-req" | "minsize-res" => {
            if a.get(2).is_empty() {
                return Err(a.fault(2, format!("'{word}' expects an integer argument.")));
            }
            let bytes = size(a.get(2))
                .map_err(|rest| a.fault(2, format!("unexpected '{rest}' after size passed to '{word}'")))?;
            *(if word == "minsize-req" { &mut found.minsize_request } else { &mut found.minsize_response }) = bytes;
        }
        _ => {
            return Err(a.fault(
                1,
                "'compression' expects 'algo', 'type', 'direction', 'offload', 'minsize-req' or 'minsize-res'.",
            ));
        }
    }
    cx.draft().proxy.compression = Some(found);
    Ok(())
}

const FILTERS: &str = "[BWLIM] bwlim-in\n    [BWLIM] bwlim-out\n    [CACHE] cache\n    [COMP] comp-req\n    [COMP] comp-res\n    \
                       [COMP] compression\n    [FCGI] fcgi-app\n    [SPOE] spoe\n    [TRACE] trace";

/// The filters there are.
pub const FILTERS_SERVED: [&str; 3] = ["comp-req", "comp-res", "compression"];

/// Compression is the filter there is; its line only says where it stands among others.
fn filter(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let name = a.get(1);
    if cx.options.refuse_unserved && unserved::reason("filter", name).is_some() {
        return Err(a.fault(1, absent::text(&format!("filter {name}"))));
    }
    match name {
        name if FILTERS_SERVED.contains(&name) => {
            let title = cx.draft().proxy.name.clone();
            let found = cx.draft().proxy.compression.get_or_insert_default();
            let (request, response) = (found.filter_request, found.filter_response || found.filter_legacy);
            let twice = match name {
                "comp-req" => request || found.filter_legacy,
                "comp-res" => response,
                _ => request || response,
            };
            if twice {
                let other = if name == "comp-req" { "comp-req" } else { "comp-res" };
                return Err(a.fault(1, format!("'filter' : {title}: Proxy supports only one {other} filter\n")));
            }
            match name {
                "comp-req" => found.filter_request = true,
                "comp-res" => found.filter_response = true,
                _ => found.filter_legacy = true,
            }
            Ok(())
        }
        "" => {
            let (origin, title) = (a.origin(), cx.draft().title());
            Err(a.fault(1, format!("parsing [{origin}] : missing argument for 'filter' in {title}.")))
        }
        "bwlim-in" | "bwlim-out" | "cache" | "fcgi-app" | "spoe" | "trace" => {
            Err(a.fault(1, absent::text(&format!("filter {name}"))))
        }
        other => {
            Err(a.fault(1, format!("'filter' : unknown keyword '{other}'. Registered keywords :\n    {FILTERS}")))
        }
    }
}
