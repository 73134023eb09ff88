//! Corners of the store: ends, returns and failures that meet.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use kaa_proto::client::Options;
use kaa_proto::commands::{CommandId, CommandResult, Report};
use kaa_proto::connection::Removal;
use kaa_proto::endpoint::*;
use kaa_proto::names::{CommandType, EndpointName, Metric};
use kaa_proto::request::{Failure, Request, RequestExt, Resend};
use kaa_proto::software;
use kaa_proto::store::*;
use kaa_proto::telemetry::{Plain, Sample};
use kaa_tests::endpoint_host::EndpointHost;
use kaa_tests::rig::Rig;

const SECOND: Duration = Duration::from_secs(1);

fn options() -> EndpointOptions {
    EndpointOptions::default()
        .subscriptions(Subscriptions::None)
        .durable(true)
}
fn offline() -> EndpointHost {
    EndpointHost::offline(options(), 1).unwrap()
}
fn name() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}
fn key(id: i64) -> CommandKey {
    CommandKey::new(CommandType::new("reboot").unwrap(), CommandId::from(id))
}
fn reboot() -> Observation {
    Observation::Commands(CommandType::new("reboot").unwrap())
}
fn once(n: u32) -> impl Request {
    Sample::new(n).durable()
}
fn kept(n: u32) -> impl Request {
    Sample::new(n).resend(Resend::AfterLinkLoss).durable()
}

#[derive(Default)]
struct Mem {
    log: Vec<(EndpointTag, Stored)>,
    fail: Vec<bool>,
    panics: bool,
}
#[derive(Clone, Default)]
struct MemStore(Arc<Mutex<Mem>>);
impl Store for MemStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let mut records = BTreeMap::<_, Vec<_>>::new();
        for (tag, s) in &self.0.lock().unwrap().log {
            records.entry(*tag).or_default().push(s.clone());
        }
        Ok(Loaded {
            records,
            tagger: Arc::new(|n: &EndpointName| {
                let mut t = [0u8; 16];
                let s = n.token().as_str().as_bytes();
                t[..s.len().min(16)].copy_from_slice(&s[..s.len().min(16)]);
                EndpointTag(t)
            }),
            torn_bytes: 0,
            set_aside: vec![],
            max_age: None,
        })
    }
    fn append(&mut self, r: &[(EndpointTag, Stored)]) -> Result<(), StoreError> {
        let mut m = self.0.lock().unwrap();
        if m.fail.pop().unwrap_or(false) {
            return Err(StoreError::Full);
        }
        m.log.extend(r.iter().cloned());
        Ok(())
    }
    fn commit(&mut self, _: Durability) -> Result<(), StoreError> {
        Ok(())
    }
    fn compact(&mut self, l: &[(EndpointTag, Stored)]) -> Result<(), StoreError> {
        self.0.lock().unwrap().log = l.to_vec();
        Ok(())
    }
    fn wants_compaction(&self) -> bool {
        false
    }
    fn size(&self) -> u64 {
        let p = self.0.lock().unwrap().panics;
        assert!(!p, "size panics");
        0
    }
}
fn with_store() -> (MemStore, Options) {
    let s = MemStore::default();
    let t = s.clone();
    (
        s,
        Options::new("mqtt://here")
            .unwrap()
            .store(move || Ok(t.clone())),
    )
}

#[derive(Default)]
struct Bell(AtomicUsize);
impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
fn bell() -> (Arc<Bell>, Waker) {
    let b = Arc::new(Bell::default());
    (b.clone(), Waker::from(b))
}

#[test]
fn an_append_that_failed_before_the_end_is_not_made_good_by_a_later_one() {
    let (store, o) = with_store();
    let (client, mut rig) = Rig::new(o);
    let device = client.endpoint(&name()).unwrap();
    rig.run();
    rig.is_away = true;
    rig.cut();
    rig.pass(SECOND);
    store.0.lock().unwrap().fail = vec![true];
    let mut writer = rig.writer.take().unwrap();
    while writer.turn() == kaa_proto::client::StoreTurn::Again {}
    store.0.lock().unwrap().fail = vec![true];
    let a = device.submit(&kept(1)).unwrap();
    writer.turn();
    let _b = device.submit(&kept(2)).unwrap();
    let _end = client.shutdown(Duration::ZERO);
    while writer.turn() == kaa_proto::client::StoreTurn::Again {}
    let on_disk: Vec<_> = store
        .0
        .lock()
        .unwrap()
        .log
        .iter()
        .map(|(_, s)| format!("{:?}", s.record))
        .collect();
    let a_kept = on_disk
        .iter()
        .any(|r| r.starts_with("Accepted") && r.contains(&format!("{:?}", a.id())));
    assert!(
        a_kept || a.try_stored() != Some(Ok(())),
        "A was called stored and is not: {on_disk:?}"
    );
}

#[test]
fn a_client_that_ends_after_an_append_failed_does_not_wait_for_the_store() {
    let (store, o) = with_store();
    let (client, mut rig) = Rig::new(o);
    let device = client.endpoint(&name()).unwrap();
    rig.run();
    rig.is_away = true;
    rig.cut();
    rig.pass(SECOND);
    let mut writer = rig.writer.take().unwrap();
    while writer.turn() == kaa_proto::client::StoreTurn::Again {}
    store.0.lock().unwrap().fail = vec![true];
    let _a = device.submit(&kept(1)).unwrap();
    let _ = writer.turn();
    let _end = client.shutdown(Duration::ZERO);
    while writer.turn() == kaa_proto::client::StoreTurn::Again {}
    rig.run();
    rig.pass(SECOND);
    while writer.turn() == kaa_proto::client::StoreTurn::Again {}
    rig.pass(SECOND);
    assert_eq!(rig.turn, kaa_proto::client::Turn::Finished);
}

#[test]
fn an_endpoint_that_comes_back_before_its_records_are_stored_calls_nothing_stored() {
    let (store, o) = with_store();
    let (client, mut rig) = Rig::new(o);
    rig.is_away = true;
    let device = client.endpoint(&name()).unwrap();
    rig.run();
    rig.is_disk_stuck = true;
    let t = device.submit(&kept(1)).unwrap();
    assert_eq!(t.try_stored(), None);
    client.remove_endpoint(&name(), Removal::Discard);
    let again = client.endpoint(&name()).unwrap();
    let rec = again.take_recovered().unwrap();
    let r = again
        .resumed::<kaa_proto::raw::Call>(rec.resumed[0].id)
        .unwrap();
    assert!(store.0.lock().unwrap().log.is_empty());
    assert_eq!(
        (rec.resumed[0].stored, r.try_stored()),
        (false, None),
        "nothing is on the disk"
    );
}

#[test]
fn options_keep_no_store_that_a_clone_of_them_has_opened() {
    let dir = std::env::temp_dir().join(format!("kaa-review-{}", std::process::id()));
    let o = Options::new("mqtt://here").unwrap().store_in(&dir);
    drop(o.clone().open_store().unwrap()); // the future of connect was dropped, or connect failed
    let again = o.open_store().map(drop);
    let _ = std::fs::remove_dir_all(&dir);
    assert_eq!(again, Ok(()));
}

#[test]
fn a_burst_is_not_taken_for_a_medium_that_hangs() {
    let (_s, o) = with_store();
    let (client, mut rig) = Rig::new(o);
    let device = client.endpoint(&name()).unwrap();
    rig.is_away = true;
    rig.run();
    let text = "x".repeat(290);
    for _ in 0..9_990 {
        let s = Sample::new(text.as_str())
            .resend(Resend::AfterLinkLoss)
            .durable();
        let _ = device.send(&s).unwrap();
    }
    assert_eq!(client.store_status().unwrap().lost, None);
}

#[test]
fn the_account_calls_nothing_stored_by_a_store_that_promises_nothing() {
    let (_s, o) = with_store();
    let (client, mut rig) = Rig::new(o.durability(Durability::None));
    rig.is_away = true;
    let device = client.endpoint(&name()).unwrap();
    device.send(&kept(1)).unwrap();
    rig.run();
    let mut end = client.shutdown(Duration::ZERO);
    rig.pass(10 * SECOND);
    let account = match Future::poll(Pin::new(&mut end), &mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(a) => a,
        std::task::Poll::Pending => panic!(),
    };
    assert!(!account.unfinished[0].1.stored, "account says stored");
}

#[test]
fn there_is_one_ticket_for_a_request_that_goes_on() {
    let (store, o) = with_store();
    let (client, mut rig) = Rig::new(o.clone());
    rig.is_away = true;
    let device = client.endpoint(&name()).unwrap();
    let _t = device.submit(&kept(1)).unwrap();
    rig.run();
    let (client, mut rig) = rig.after_crash(o, 5);
    let _ = &store;
    rig.is_away = true;
    let device = client.endpoint(&name()).unwrap();
    let id = device.take_recovered().unwrap().resumed[0].id;
    let mut one = device.resumed::<Sample<u32>>(id).unwrap();
    assert!(device.resumed::<Sample<u32>>(id).is_none());
    let (bell, waker) = bell();
    let _ = Future::poll(Pin::new(&mut one), &mut Context::from_waker(&waker));
    // Tickets that nobody asked for go with their endpoint.
    client.remove_endpoint(&name(), Removal::Discard);
    assert_eq!(bell.0.load(Ordering::Relaxed), 1);
    assert_eq!(one.try_outcome(), Some(Err(Failure::Closed)));
}

#[test]
fn there_is_no_second_ticket_for_a_request_of_this_run() {
    let (_s, o) = with_store();
    let (client, _rig) = Rig::new(o);
    let device = client.endpoint(&name()).unwrap();
    let t = device.submit(&kept(1)).unwrap();
    assert!(device.resumed::<kaa_proto::raw::Call>(t.id()).is_none());
}
#[test]
fn what_the_store_said_is_known_after_the_outcome_was_taken() {
    let (_s, o) = with_store();
    let (client, mut rig) = Rig::new(o);
    let device = client.endpoint(&name()).unwrap();
    let mut t = device.submit(&kept(1)).unwrap();
    rig.run();
    assert_eq!(t.try_stored(), Some(Ok(())));
    assert!(t.try_outcome().is_some_and(|o| o.is_ok()));
    assert_eq!(t.try_stored(), Some(Ok(())));
}

#[test]
fn the_report_of_a_command_is_durable_as_its_class_is() {
    let (_s, o) = with_store();
    let (client, mut rig) = Rig::new(o);
    let options =
        EndpointOptions::default().durable_requests(kaa_proto::request::Class::Control, true);
    let device = client.endpoint_with(&name(), options).unwrap();
    let mut commands = device.commands_of("reboot").unwrap();
    rig.run();
    let now = rig.now();
    rig.server
        .operate(now, |p| {
            p.command(now, &name(), &CommandType::new("reboot").unwrap(), None)
        })
        .unwrap();
    rig.run();
    let c = commands.try_next().unwrap();
    rig.is_away = true;
    rig.cut();
    let t = c.respond(CommandResult::ok()).unwrap();
    rig.run();
    assert_eq!(t.try_stored(), Some(Ok(())));
}

#[test]
fn a_restored_request_that_is_not_to_wait_off_line_is_not_sent_later() {
    let mut host = EndpointHost::online(options(), 1).unwrap();
    host.is_busy = true;
    host.submit(&Plain::new(Metric::new("t").unwrap(), 1.0).durable())
        .unwrap();
    let records: Vec<_> = host
        .records
        .iter()
        .filter(|r| !matches!(r, Record::Sent(_)))
        .cloned()
        .collect();
    let mut next = offline();
    next.restore(records);
    next.advance(24 * 3600 * SECOND);
    next.link_up();
    assert_eq!(
        next.take_lines(),
        Vec::<String>::new(),
        "it would be worthless later"
    );
}

#[test]
fn what_was_certainly_not_sent_goes_on_after_a_clean_end() {
    let mut host = EndpointHost::online(options(), 1).unwrap();
    host.is_busy = true;
    host.submit(&once(1)).unwrap();
    host.link_down();
    let left = host.close();
    let mut next = offline();
    next.restore(host.records.clone());
    let rec = next.take_recovered();
    assert_eq!((left[0].sent, left[0].stored), (false, true));
    assert_eq!(
        rec.unknown.len(),
        0,
        "it was certainly not sent, and told so: {rec:?}"
    );
}
#[test]
fn a_snapshot_does_not_say_of_what_waits_that_it_may_have_been_sent() {
    let mut host = EndpointHost::online(options(), 1).unwrap();
    host.is_busy = true;
    host.submit(&once(1)).unwrap();
    host.link_down();
    let now = host.now();
    let snapshot = host.endpoint.snapshot(now);
    assert!(
        !snapshot.iter().any(|s| matches!(s.record, Record::Sent(_))),
        "{snapshot:?}"
    );
}

#[test]
fn an_interrupted_command_that_nobody_read_stays_interrupted() {
    let mut host = offline();
    host.restore([Record::Surfaced(key(1))]);
    host.link_up();
    host.observe(&reboot()).unwrap();
    host.receive("cex/command/reboot/status", r#"[{"id":1}]"#);
    host.unobserve(&reboot()); // nobody has read it
    host.observe(&reboot()).unwrap();
    host.receive("cex/command/reboot/status", r#"[{"id":1}]"#);
    let c = host.endpoint.poll_command(|_| true).unwrap();
    assert!(
        c.is_interrupted(),
        "it may have been run by the earlier run"
    );
}
#[test]
fn a_result_that_the_ledger_has_no_room_for_is_not_recorded() {
    let o = || options().max_commands(NonZeroUsize::MIN);
    let mut host = EndpointHost::online(o(), 1).unwrap();
    host.observe(&reboot()).unwrap();
    host.receive("cex/command/reboot/status", r#"[{"id":1}]"#);
    let report = Report::new(
        CommandType::new("reboot").unwrap(),
        CommandId::from(2),
        CommandResult::ok(),
    );
    host.submit(&report).unwrap();
    let mut from_records = EndpointHost::offline(o(), 1).unwrap();
    from_records.restore(host.records.clone());
    let now = host.now();
    let mut from_snapshot = EndpointHost::offline(o(), 1).unwrap();
    from_snapshot.restore(host.endpoint.snapshot(now));
    assert_eq!(
        from_records.take_recovered(),
        from_snapshot.take_recovered()
    );
}

#[test]
fn software_can_be_rolled_back_to_what_ran_before_a_restart() {
    let mut host = EndpointHost::online(options(), 1).unwrap();
    host.submit(&software::ReportCurrent::new("1.0")).unwrap();
    let sent = host.take_sent();
    host.receive(&format!("{}/status", sent[0].path), "{}");
    assert!(host.records.iter().any(|r| matches!(r, Record::Current(_))));
    // The device has installed 2.0 and comes up.
    let mut next = offline();
    next.restore(host.records.clone());
    let now = next.now();
    next.endpoint.observe_software(now, "2.0").unwrap();
    next.link_up();
    let sent = next.take_sent();
    next.receive(&format!("{}/status", sent[0].path), "{}");
    let sent = next.take_sent();
    next.receive(
        &format!("{}/status", sent[0].path),
        r#"{"statusCode":200,"reasonPhrase":"OK","configId":"1.0","config":{"link":"http://x"}}"#,
    );
    assert_eq!(next.statistics().malformed, 0);
    assert!(
        next.endpoint.poll_software().is_some(),
        "the rollback to 1.0 is no news"
    );
}
#[test]
fn a_request_is_told_as_not_stored_once_however_often_the_store_is_tried() {
    let mut host = offline();
    let now = host.now();
    host.endpoint.handle_store_lost(now);
    host.submit(&kept(1)).unwrap();
    for _ in 0..10 {
        host.endpoint.snapshot(now);
        host.endpoint.handle_store_lost(now);
    }
    host.drain();
    assert_eq!(host.statistics().not_stored, 1);
}

#[test]
fn an_interrupted_command_that_is_given_back_stays_interrupted() {
    let mut host = offline();
    host.restore([Record::Surfaced(key(1)), Record::Surfaced(key(1))]);
    host.link_up();
    host.observe(&reboot()).unwrap();
    host.receive("cex/command/reboot/status", r#"[{"id":1}]"#);
    let c = host.endpoint.poll_command(|_| true).unwrap();
    assert!(c.is_interrupted());
    let now = host.now();
    host.endpoint.release(now, &key(1)); // Drop, also while a panic unwinds
    host.drain();
    host.receive("cex/command/reboot/status", r#"[{"id":1}]"#);
    let c = host.endpoint.poll_command(|_| true).unwrap();
    assert_eq!(c.interruptions(), 2);
}
#[test]
fn a_command_that_nobody_read_is_new_after_a_clean_end() {
    let mut host = EndpointHost::online(options(), 1).unwrap();
    host.observe(&reboot()).unwrap();
    host.receive("cex/command/reboot/status", r#"[{"id":1}]"#);
    host.close();
    let o = options().interrupted(CommandType::new("reboot").unwrap(), WhenInterrupted::Fail);
    let mut next = EndpointHost::offline(o, 1).unwrap();
    next.restore(host.records.clone());
    next.link_up();
    next.observe(&reboot()).unwrap();
    let _ = next.take_sent();
    next.receive("cex/command/reboot/status", r#"[{"id":1}]"#);
    assert_eq!(
        next.take_lines(),
        Vec::<String>::new(),
        "no program ever saw it"
    );
}
#[test]
fn a_request_behind_those_that_wait_for_their_turn_is_recorded_too() {
    use kaa_proto::{metadata, names::Extension, raw::Call, request::Service};
    let o = options().max_in_flight(std::num::NonZeroU16::new(2).unwrap());
    let mut host = EndpointHost::online(o, 1).unwrap();
    for n in 0..2 {
        host.submit(&metadata::Merge::new(serde_json::json!({"a": n})))
            .unwrap();
    }
    let rsx =
        Call::new(Service::Other(Extension::new("rsx").unwrap()), "dcx").resend(Resend::Never);
    host.submit(&rsx.durable()).unwrap();
    let paths = host.take_paths();
    assert!(paths.iter().any(|p| p.starts_with("rsx")), "{paths:?}");
}
