//! What the counts of the regression check are held against: work of the same compiler that does not
//! change with ours.

use std::hint::black_box;

use serde_json::value::RawValue;

use crate::{Case, Meter};

/// The configuration of the device page, as it stands there.
const DOCUMENT: &str = r#"{
  "configId": "97016dbe8bb4adff8f754ecbf24612f2",
  "statusCode": 200,
  "reasonPhrase": "ok",
  "config": {"key": "value", "array": ["value2"], "number": 15}
}"#;

/// Reads it as JSON.
pub(crate) struct Kernel;

impl Case for Kernel {
    const TIMES: u64 = 100;

    fn round(&mut self, meter: &mut Meter) {
        meter.measure(|| {
            for _ in 0..Self::TIMES {
                let value: &RawValue = serde_json::from_str(black_box(DOCUMENT)).unwrap();
                black_box(value);
            }
        });
    }
}
