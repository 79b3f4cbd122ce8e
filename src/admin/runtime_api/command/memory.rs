//! What the process is made of, for those who look after it: `show libs`, `show pools`, `show cache`
//! (management guide 9.3). Everything told is our own state; what we do not have is told as having none.

use crate::{
    admin::{
        runtime_api::{
            Answer, Call,
            catalogue::{Command, command},
        },
        stats::info,
    },
    model::bind::Level,
};

pub static COMMANDS: &[Command] = &[
    command(&["show", "cache"], Level::Admin, cache, "show cache                              : show cache status"),
    command(
        &["show", "libs"],
        Level::Operator,
        libs,
        "show libs                               : show loaded object files and libraries",
    ),
    command(
        &["show", "pools"],
        Level::User,
        pools,
        "show pools [by*] [match <pfx>] [nb]     : report information about the memory pools usage",
    ),
];

/// No configuration has a cache.
pub fn cache(_: &mut Call<'_>) -> Answer {
    Answer::Empty
}

/// Object files of the process by the range of addresses they are mapped to.
pub fn libs(call: &mut Call<'_>) -> Answer {
    let Some(maps) = call.process.maps() else { return Answer::error("The process's maps cannot be read.") };
    Answer::Text(objects(&maps, true).into_bytes())
}

/// `<begin>-<end> (<length>) <file>` for each file of a `/proc/<pid>/maps` whose code is mapped; without ranges the file only.
pub fn objects(maps: &str, ranges: bool) -> String {
    let mut found: Vec<(u64, u64, &str, bool)> = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(rights), Some(path)) = (words.next(), words.next(), words.nth(3)) else { continue };
        let Some((begin, end)) = range.split_once('-') else { continue };
        let (Ok(begin), Ok(end)) = (u64::from_str_radix(begin, 16), u64::from_str_radix(end, 16)) else { continue };
        if !path.starts_with('/') {
            continue;
        }
        let code = rights.contains('x');
        match found.iter_mut().find(|f| f.2 == path) {
            Some(known) => (known.0, known.1, known.3) = (known.0.min(begin), known.1.max(end), known.3 | code),
            None => found.push((begin, end, path, code)),
        }
    }
    let lines = found.iter().filter(|f| f.3).map(|(begin, end, path, _)| match ranges {
        true => format!("{begin:#014x}-{:#014x} ({:#09x}) {path}\n", end - 1, end - begin),
        false => format!("{path}\n"),
    });
    lines.collect()
}

/// Two pools are told of, in sum: receive buffers, and what compression holds. All else is the allocator's.
pub fn pools(call: &mut Call<'_>) -> Answer {
    call.with_scene(|scene| {
        let bytes = |key| info::value(scene, key).text().into_owned();
        Answer::Text(
            format!(
                "Dumping pools usage. Use SIGQUIT to flush them.\n\
                 Total: 2 pools, {} bytes allocated, {} used (~0 by thread caches).\n",
                bytes("PoolAlloc_bytes"),
                bytes("PoolUsed_bytes")
            )
            .into_bytes(),
        )
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn libraries_are_read_from_maps() {
        let maps = "55b113ff1000-55b114000000 r--p 00000000 08:01 12 /opt/x\n\
                    55b114000000-55b114d94000 r-xp 0000f000 08:01 12 /opt/x\n\
                    7f00-7f80 r--p 00000000 08:01 13 /data\n\
                    7f580bea9000-7f580bee5000 r-xp 00000000 00:00 0 \n\
                    7ffd0000-7ffe0000 rw-p 00000000 00:00 0 [stack]\n";
        assert_eq!(super::objects(maps, true), "0x55b113ff1000-0x55b114d93fff (0x0da3000) /opt/x\n");
        assert_eq!(super::objects(maps, false), "/opt/x\n");
    }
}
