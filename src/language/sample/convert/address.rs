//! Addresses: masking (manual 7.3.1).

use super::{Convert, row};
use crate::language::context::Context;
use crate::language::sample::{Arg, Args, Sample, Type};
use std::net::IpAddr;

pub const ROWS: &[Convert] = &[row("ipmask", "IPv4 mask[,IPv6 mask]", Type::Addr, Type::Addr, ipmask)];

/// An IPv6 address without a mask of its own gives no sample.
fn ipmask<'c>(args: &'c Args, sample: Sample<'c>, _: &'c Context<'_>) -> Option<Sample<'c>> {
    let masked = match (sample.to_ip()?, args.get(0), args.get(1)) {
        (IpAddr::V4(a), Arg::Ip(IpAddr::V4(m)), _) => IpAddr::V4(a & *m),
        (IpAddr::V6(a), _, Arg::Ip(IpAddr::V6(m))) => IpAddr::V6(a & *m),
        _ => return None,
    };
    Some(Sample::Ip(masked))
}
