//! See `ringway_fuzz::ENTRIES`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_fuzz::run("crt_list", data));
