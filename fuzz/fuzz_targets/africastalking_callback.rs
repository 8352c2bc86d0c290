#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::africastalking_callback::check(data));
