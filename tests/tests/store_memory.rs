//! What a client with a store holds after years of endpoints that come and go.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

mod meter;

use kaa_proto::client::Options;
use kaa_proto::connection::Removal;
use kaa_proto::names::EndpointName;
use kaa_proto::request::{RequestExt as _, Resend};
use kaa_proto::store::{Log, LogOptions};
use kaa_proto::telemetry::Sample;
use kaa_tests::disk::SimulatedDisk;
use kaa_tests::rig::Rig;
use meter::Meter;

#[test]
fn endpoints_that_come_and_go_with_requests_that_wait_leave_nothing_behind() {
    let name = EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap();
    let disk = SimulatedDisk::new(1);
    let options = Options::new("mqtt://here").unwrap().store(move || {
        let small = LogOptions::default().max_bytes(64 * 1024);
        Ok(Log::new(disk.clone(), small.unwrap_or_default()))
    });
    let mut meter = Meter::default();
    let (client, mut rig) = meter.run(|| Rig::new(options));
    rig.is_away = true;
    let sample = Sample::new(1).resend(Resend::AfterLinkLoss).durable();
    let device = client.endpoint(&name).unwrap();
    meter.run(|| {
        drop(device.submit(&sample).unwrap());
        rig.run();
        client.remove_endpoint(&name, Removal::Discard);
    });
    let mut come_and_go = |times: usize| {
        meter.run(|| {
            for _ in 0..times {
                client.endpoint(&name).unwrap();
                rig.run();
                client.remove_endpoint(&name, Removal::Discard);
                rig.run();
            }
        });
        meter.live()
    };
    let early = come_and_go(1_000);
    let late = come_and_go(5_000);
    assert!(late < early + 256 * 1024, "{early}, then {late}");
}
