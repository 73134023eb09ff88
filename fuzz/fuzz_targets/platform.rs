#![no_main]
#![allow(missing_docs, reason = "a thin shim; the body is documented")]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kaa_fuzz::platform(data));
