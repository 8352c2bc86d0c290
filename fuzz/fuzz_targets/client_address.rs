#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::client_address::check(data));
