use super::super::testing::Bench;

/// What the platform keeps because of these messages.
fn kept(messages: &[(&str, &str)]) -> usize {
    let mut bench = Bench::new();
    for (topic, payload) in messages {
        bench.publish(topic, payload);
    }
    // What is remembered of a request counts with the next one.
    bench.publish("kp1/v/dcx/t/json", "1");
    bench.platform.kept
}

/// A platform that miscounts is filled by one endpoint, or refuses what there is room for.
#[test]
fn each_byte_of_a_text_that_an_endpoint_leaves_counts_once() {
    let cases = [
        // A field of metadata.
        (
            "kp1/v/epmx/t/update/keys",
            r#"{"a": "x"}"#,
            r#"{"a": "xyzxyz"}"#,
        ),
        // The key of one.
        (
            "kp1/v/epmx/t/update/keys",
            r#"{"a": 1}"#,
            r#"{"abcabc": 1}"#,
        ),
        // The payload of a result.
        (
            "kp1/v/cex/t/result/reboot",
            r#"[{"id": 1, "statusCode": 200, "reasonPhrase": "no", "payload": "x"}]"#,
            r#"[{"id": 1, "statusCode": 200, "reasonPhrase": "no", "payload": "xyzxyz"}]"#,
        ),
        // Its reason.
        (
            "kp1/v/cex/t/result/reboot",
            r#"[{"id": 1, "statusCode": 200, "reasonPhrase": "no", "payload": "x"}]"#,
            r#"[{"id": 1, "statusCode": 200, "reasonPhrase": "nowhere", "payload": "x"}]"#,
        ),
        // The ID of a configuration that was applied.
        (
            "kp1/v/cmx/t/applied/json",
            r#"{"configId": "abc", "statusCode": 200, "reasonPhrase": "no"}"#,
            r#"{"configId": "abcdefgh", "statusCode": 200, "reasonPhrase": "no"}"#,
        ),
        // The reason why it was not, and the same of software.
        (
            "kp1/v/cmx/t/applied/json",
            r#"{"configId": "abc", "statusCode": 400, "reasonPhrase": "no"}"#,
            r#"{"configId": "abc", "statusCode": 400, "reasonPhrase": "nowhere"}"#,
        ),
        (
            "kp1/v/cmx_ota/t/applied/json",
            r#"{"configId": "abc", "statusCode": 200, "reasonPhrase": "no"}"#,
            r#"{"configId": "abcdefgh", "statusCode": 200, "reasonPhrase": "no"}"#,
        ),
    ];
    for (topic, short, long) in cases {
        let before = kept(&[]);
        let (less, more) = (kept(&[(topic, short)]), kept(&[(topic, long)]));
        assert!(less > before, "{topic} {short}");
        assert_eq!(more - less, long.len() - short.len(), "{topic} {long}");
    }
}

#[test]
fn a_name_that_an_endpoint_made_up_counts_too() {
    const ASKED: &str = r#"{"observe": true}"#;
    for (short, long) in [
        (
            "kp1/v/cmx/t/config/json/net",
            "kp1/v/cmx/t/config/json/network",
        ),
        ("kp1/v/cex/t/command/go", "kp1/v/cex/t/command/go-home"),
    ] {
        let (less, more) = (kept(&[(short, ASKED)]), kept(&[(long, ASKED)]));
        assert_eq!(more - less, long.len() - short.len(), "{long}");
    }
}

/// 160 bytes, `dcx` and `Ok`.
#[test]
fn what_is_remembered_of_a_request_counts_with_the_next() {
    let of_request = kept(&[("kp1/v/dcx/t/json/1", "1")]) - kept(&[]);
    assert_eq!(of_request, 160 + 3 + 2);
}

#[test]
fn events_that_nobody_reads_are_counted_once_they_are_dropped() {
    let mut bench = Bench::new();
    assert_eq!(bench.platform.dropped_events(), 0);
    for _ in 0..20_000 {
        bench.publish("kp1/v/dcx/t/json", "1");
    }
    assert!(bench.platform.dropped_events() > 3_000);
}
