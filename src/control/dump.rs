//! What `-dC`, `-dK` and `-dL` write to standard output (management guide 3).

use super::args::Args;
use super::keywords;
use crate::admin::runtime_api::command::memory;
use crate::config::dump;
use crate::config::env::Environment;

/// Keywords and libraries, as far as they are asked for; once the configuration is read.
pub fn catalogues(args: &Args) -> String {
    let mut out = args.dump_keywords.as_deref().map_or_else(String::new, keywords::dump);
    if args.dump_libraries
        && let Ok(maps) = std::fs::read_to_string("/proc/self/maps")
    {
        out.push_str("List of loaded object files:\n");
        out.push_str(&memory::objects(&maps, args.verbose));
    }
    out
}

/// The configuration, where it is asked for instead of a start.
///
/// # Errors
/// What is wrong with the files, in HAProxy's words.
pub fn configuration(args: &Args) -> Option<Result<String, String>> {
    let manner = dump::Manner::parse(args.dump_config.as_deref()?);
    Some(dump::dump(&args.files, manner, &Environment::of_process()))
}
