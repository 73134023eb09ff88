//! The contract, held against what the platform knows.

use kaa_proto::request::{Confirm, Failure, Outcome};

use super::acts::command_type;
use super::life::{Asked, Life, What};
use super::setup::{TIGHT_FLIGHT, TIGHT_QUEUE};
use super::{Subject, Treatment};

impl Life {
    /// A request ended as it had to, for all that the platform knows.
    pub(super) fn check_end(&self, asked: &Asked, outcome: &Outcome) {
        let Treatment {
            confirm,
            again,
            expires,
        } = asked.treatment;
        let tell = || format!("{asked:?} ended as {outcome:?}");
        match outcome {
            // The answer to what has an ID may come before the acknowledgement.
            Ok(reply) if asked.what == What::Report && reply.confirmed() > confirm => {}
            Ok(reply) => assert_eq!(reply.confirmed(), confirm, "{}", tell()),
            Err(Failure::Rejected { .. }) => assert!(self.witness.refusals > 0, "{}", tell()),
            Err(Failure::OutcomeUnknown) => {
                assert!(!again || expires.is_some(), "{}", tell());
                assert!(self.losses > asked.losses, "{}", tell());
            }
            Err(Failure::Expired) => assert!(expires.is_some(), "{}", tell()),
            Err(Failure::Cancelled) => assert!(asked.is_cancelled, "{}", tell()),
            Err(Failure::Undecodable(_)) => panic!("{}", tell()),
            Err(_) => {}
        }
        if !matches!(asked.what, What::Telemetry | What::Merge) {
            return;
        }
        let (seen, processed) = (
            self.witness.seen(asked.number),
            self.witness.processed(asked.number),
        );
        let tell = || format!("{}, seen {seen} times, processed {processed}", tell());
        assert!(processed <= seen, "{}", tell());
        match (outcome, confirm) {
            (Ok(_), Confirm::Answered) => assert!(processed > 0, "{}", tell()),
            (Ok(_), Confirm::Acknowledged) => assert!(seen > 0, "{}", tell()),
            (Err(Failure::Expired | Failure::Dropped), _) => assert_eq!(seen, 0, "{}", tell()),
            (Err(Failure::Rejected { .. }), _) => {
                assert!(seen > 0, "{}", tell());
                assert!(again || processed == 0, "{}", tell());
            }
            _ => {}
        }
    }

    /// What holds at any time.
    pub(super) fn check_bounds(&self) {
        for (_, endpoint) in self.pair.connection.endpoints() {
            if !self.setup.is_tight {
                break;
            }
            let queued = endpoint.queue_len();
            // Results are taken although a queue is full, and observations are ours.
            assert!(queued <= 2 * TIGHT_QUEUE + 16, "{queued} are queued");
            let flying = endpoint.in_flight_len();
            assert!(
                flying <= usize::from(TIGHT_FLIGHT),
                "{flying} are in flight"
            );
        }
    }

    /// What holds when the weather was fine for a while: all is done, nothing is forgotten.
    pub(super) fn check_calm(&self) {
        assert_eq!(self.pair.open_len(), 0, "not ended: {:?}", self.open);
        for ((who, subject), newest) in &self.assigned {
            let device = &self.devices[*who];
            if device.key.is_some() && device.observed.contains(subject) {
                let applied = device.applied.get(subject);
                assert!(
                    applied == Some(newest) || device.rejected.contains(newest),
                    "{subject:?} of device {who} is {applied:?} and not {newest}"
                );
            }
        }
        for (who, command) in &self.invoked {
            let device = &self.devices[*who];
            let mut observed = device.observed.iter();
            let is_observed = observed.any(|subject| {
                matches!(subject, Subject::Reboot | Subject::Open)
                    && command_type(*subject) == *command.command_type()
            });
            if device.key.is_some() && is_observed {
                assert!(
                    self.witness.has_result(*who, command),
                    "{command:?} of device {who} was forgotten, run: {}",
                    device.run.contains(command)
                );
            }
        }
    }

    /// What holds for ever: what may be sent once was not sent twice, and what was said to be never
    /// sent was not.
    pub(super) fn check_ended(&self) {
        for (asked, outcome) in &self.ended {
            // On an early link even this ends with CONNACK, or goes again.
            let ends_when_sent =
                asked.treatment.confirm == Confirm::Nothing && !self.setup.is_eager;
            let once = !asked.treatment.again || ends_when_sent;
            let most = match outcome {
                Err(Failure::Expired | Failure::Dropped) => 0,
                _ if once => 1,
                _ => u32::MAX,
            };
            let seen = self.witness.seen(asked.number);
            let is_numbered = matches!(asked.what, What::Telemetry | What::Merge);
            assert!(
                !is_numbered || seen <= most,
                "{asked:?}, {outcome:?}, seen {seen} times"
            );
        }
    }
}
