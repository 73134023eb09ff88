use super::super::testing::{Bench, LINK};
use crate::names::EndpointName;

fn samples(bench: &mut Bench, ids: std::ops::Range<u32>) {
    for id in ids {
        bench.publish(&format!("kp1/v/dcx/t/json/{id}"), "1");
    }
}

/// The IDs of the answers that are there.
fn ids(bench: &mut Bench) -> Vec<String> {
    let id = |(topic, _): (String, String)| topic.split('/').nth(5).map(String::from);
    bench.drain().into_iter().filter_map(id).collect()
}

#[test]
fn late_answers_come_when_their_time_has_come() {
    let mut bench = Bench::new();
    bench.fault("late 5s dcx");
    samples(&mut bench, 1..3);
    assert_eq!(ids(&mut bench), ["2"]);
    bench.advance(4);
    assert!(ids(&mut bench).is_empty());
    bench.advance(1);
    assert_eq!(ids(&mut bench), ["1"]);
    assert!(bench.saw(r#"fault fault="late" topic="kp1/v/dcx/…/json/1/status""#));
}

#[test]
fn lost_answers_never_come_but_their_requests_count() {
    let mut bench = Bench::new();
    bench.fault("lose of t times 2");
    samples(&mut bench, 1..4);
    assert_eq!(ids(&mut bench), ["3"]);
    assert_eq!(bench.snapshot("v", "t").samples, 3);
}

#[test]
fn duplicates_come_as_often_as_told() {
    let mut bench = Bench::new();
    bench.fault("duplicate 3");
    samples(&mut bench, 1..3);
    assert_eq!(ids(&mut bench), ["1", "1", "1", "2"]);
}

#[test]
fn reordered_answers_come_backwards_and_do_not_wait_for_ever() {
    let mut bench = Bench::new();
    bench.fault("reorder 3 times 2");
    samples(&mut bench, 1..3);
    assert!(ids(&mut bench).is_empty());
    samples(&mut bench, 3..6);
    assert_eq!(ids(&mut bench), ["3", "2", "1"]);
    bench.advance(1);
    assert_eq!(ids(&mut bench), ["5", "4"]);
    samples(&mut bench, 6..8);
    bench.advance(1);
    assert_eq!(ids(&mut bench), ["6", "7"].map(String::from).to_vec());
}

#[test]
fn an_injected_error_takes_the_place_of_the_work() {
    let mut bench = Bench::new();
    bench.fault("error 503 dcx");
    bench.publish("kp1/v/dcx/t/json/1", "1");
    assert_eq!(
        bench.answer(),
        (
            "kp1/v/dcx/t/json/1/error".into(),
            r#"{"statusCode":503,"reasonPhrase":"Injected fault"}"#.into()
        )
    );
    assert_eq!(bench.snapshot("v", "t").samples, 0);
    assert!(bench.saw("refused") && !bench.saw("breach"));
    bench.publish("kp1/v/dcx/t/json/1", "1");
    assert!(bench.answer().0.ends_with("status"));
}

#[test]
fn a_kick_comes_after_the_work_and_instead_of_the_answer() {
    let mut bench = Bench::new();
    bench.fault("kick");
    bench.publish("kp1/v/dcx/t/json/1", "1");
    assert!(bench.is_silent());
    assert_eq!(bench.platform.poll_hang_up(), Some(LINK));
    assert_eq!(bench.platform.poll_hang_up(), None);
    assert_eq!(bench.snapshot("v", "t").samples, 1);
}

#[test]
fn a_black_hole_takes_everything_of_its_scope_until_it_ends() {
    let mut bench = Bench::new();
    let name = EndpointName::parse("v", "t").unwrap();
    bench.publish("kp1/v/dcx/t/json", "1");
    bench.fault("black-hole 10s of t");
    assert!(bench.platform.is_black_holed(LINK));
    bench.publish("kp1/v/dcx/t/json/1", "1");
    bench.command(&name, "x", None);
    assert!(bench.is_silent());
    assert_eq!(bench.snapshot("v", "t").samples, 1);
    bench.publish("kp1/v/dcx/other/json/1", "1");
    assert_eq!(bench.drain().len(), 1);
    bench.advance(10);
    assert!(!bench.platform.is_black_holed(LINK));
    bench.publish("kp1/v/cex/t/command/x/1", "");
    assert_eq!(bench.answer().1, r#"[{"id":1}]"#);
}

#[test]
fn a_fault_of_one_service_spares_the_others() {
    let mut bench = Bench::new();
    bench.fault("black-hole 10s cex");
    assert!(!bench.platform.is_black_holed(LINK));
    bench.publish("kp1/v/cex/t/command/x/1", "");
    assert!(bench.is_silent());
    bench.publish("kp1/v/dcx/t/json/1", "");
    assert_eq!(bench.drain().len(), 1);
    bench.fault("clear cex");
    bench.publish("kp1/v/cex/t/command/x/1", "");
    assert_eq!(bench.drain().len(), 1);
}

#[test]
fn as_many_faults_are_kept_as_may_be_and_the_oldest_goes() {
    let mut bench = Bench::new();
    bench.fault("lose of t");
    for _ in 0..256 {
        bench.fault("lose of other");
    }
    samples(&mut bench, 1..2);
    assert_eq!(ids(&mut bench), ["1"]);
}

#[test]
fn every_fault_is_called_by_its_first_word() {
    for words in [
        "late 5s",
        "lose",
        "duplicate 2",
        "reorder 2",
        "error 500",
        "kick",
        "black-hole 5s",
        "clear",
    ] {
        let words: Vec<_> = words.split(' ').collect();
        let fault = crate::platform::Fault::parse(&words).unwrap();
        assert_eq!(fault.name(), words[0]);
    }
}
