//! What the fuzz targets run, run here on their seeds and on seeds damaged by chance, so that the targets keep
//! compiling and what they found stays mended. `fuzz/` drives the same functions with libFuzzer.

#[path = "../fuzz/src/lib.rs"]
mod entries;

/// Damages `seed`: bytes changed, cut out and doubled.
fn damaged(seed: &[u8], mut chance: impl FnMut(usize) -> usize) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=chance(4) {
        let at = chance(bytes.len() + 1);
        match chance(4) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = chance(256) as u8,
            2 if at < bytes.len() => drop(bytes.remove(at)),
            _ => {
                let piece = bytes[at..bytes.len().min(at + chance(9))].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

#[test]
fn every_entry_takes_its_seeds_and_damaged_ones() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand_seed);
    println!("SEED={seed}");
    let mut state: u64 = seed | 1;
    let mut chance = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for entry in entries::ENTRIES {
        let seeds = (entry.seeds)();
        assert!(!seeds.is_empty(), "{} has no seeds", entry.name);
        for seed in &seeds {
            println!("{}: {}", entry.name, seed.escape_ascii());
            (entry.run)(seed);
        }
        for _ in 0..200 {
            let input = damaged(&seeds[chance(seeds.len())], &mut chance);
            println!("{}: {}", entry.name, input.escape_ascii());
            entries::run(entry.name, &input);
        }
    }
}

#[test]
fn every_entry_has_a_target_and_every_target_an_entry() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let names = std::fs::read_dir(folder).expect("the targets").map(|f| f.expect("a target").path());
    let mut targets: Vec<_> = names.filter_map(|f| Some(f.file_stem()?.to_str()?.to_owned())).collect();
    let mut entries: Vec<_> = entries::ENTRIES.iter().map(|e| e.name.to_owned()).collect();
    targets.sort_unstable();
    entries.sort_unstable();
    assert_eq!(targets, entries);
}

/// `FUZZ=folder` writes `corpus/<target>/` and `dictionaries/<target>` there: each entry's seeds, and the language's
/// words.
#[test]
fn seeds_are_written_where_asked_for() {
    use ringway::language::sample::{convert, fetch};
    use std::fs;
    let Some(folder) = std::env::var_os("FUZZ").map(std::path::PathBuf::from) else { return };
    let words = fetch::all().map(|f| f.name).chain(convert::all().map(|c| c.name));
    let words: String = words.map(|w| format!("\"{w}\"\n")).collect();
    fs::create_dir_all(folder.join("dictionaries")).expect("a folder of dictionaries");
    for entry in entries::ENTRIES {
        let corpus = folder.join("corpus").join(entry.name);
        fs::create_dir_all(&corpus).expect("a folder of seeds");
        for (number, seed) in (entry.seeds)().iter().enumerate() {
            fs::write(corpus.join(format!("seed-{number:03}")), seed).expect("a seed");
        }
        fs::write(folder.join("dictionaries").join(entry.name), &words).expect("a dictionary");
    }
}

fn rand_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
