//! What the ledger judges, keeps and forgets.

use bytes::Bytes;

use super::*;

fn key(id: i64) -> CommandKey {
    CommandKey::new(CommandType::new("reboot").unwrap(), CommandId::from(id))
}

fn result(id: i64) -> StoredResult {
    StoredResult {
        id: CommandId::from(id),
        json: Bytes::from(format!("{{\"id\":{id}}}")),
    }
}

fn finish(ledger: &mut Ledger, id: i64) {
    ledger.finish(key(id).command_type(), &result(id), 2);
}

fn offer(ledger: &mut Ledger, key: &CommandKey, max: usize) -> Offer {
    ledger.offer(key, max, WhenInterrupted::Ask)
}

const NEW: Offer = Offer::Surface { interruptions: 0 };

/// FACTS trap 26.
#[test]
fn trap_26_a_repeated_command_is_surfaced_once_and_answered_from_the_stored_result() {
    let mut ledger = Ledger::default();
    assert_eq!(offer(&mut ledger, &key(1), 2), NEW);
    assert_eq!(offer(&mut ledger, &key(1), 2), Offer::Running);
    finish(&mut ledger, 1);
    assert_eq!(
        offer(&mut ledger, &key(1), 2),
        Offer::Running,
        "its result is on the way"
    );
    ledger.handle_result_end(&key(1), ResultEnd::Unknown);
    assert_eq!(offer(&mut ledger, &key(1), 2), Offer::Resend(result(1)));
    assert_eq!(offer(&mut ledger, &key(1), 2), Offer::Running);
}

#[test]
fn only_finished_commands_whose_result_was_taken_make_room() {
    let mut ledger = Ledger::default();
    assert_eq!(
        (
            offer(&mut ledger, &key(1), 2),
            offer(&mut ledger, &key(2), 2)
        ),
        (NEW, NEW)
    );
    assert_eq!(
        offer(&mut ledger, &key(3), 2),
        Offer::NoRoom,
        "both in progress"
    );
    finish(&mut ledger, 1);
    ledger.handle_result_end(&key(1), ResultEnd::Unknown);
    assert_eq!(
        offer(&mut ledger, &key(3), 2),
        Offer::NoRoom,
        "the result was never taken"
    );
    assert_eq!(ledger.make_room(2), None);
    finish(&mut ledger, 1);
    assert!(ledger.handle_result_end(&key(1), ResultEnd::Acknowledged));
    assert_eq!(ledger.make_room(2), Some(key(1)));
    assert_eq!(offer(&mut ledger, &key(3), 2), NEW);
    assert_eq!(offer(&mut ledger, &key(2), 2), Offer::Running);
}

#[test]
fn the_platform_is_done_with_what_it_no_longer_lists() {
    let mut ledger = Ledger::default();
    for id in [1, 2] {
        assert_eq!(offer(&mut ledger, &key(id), 2), NEW);
        finish(&mut ledger, id);
        ledger.handle_result_end(&key(id), ResultEnd::Unknown);
    }
    let listed = Command::new(key(2).command_type().clone(), CommandId::from(2), None);
    // The result of one more is on its way.
    ledger.finish(key(3).command_type(), &result(3), 3);
    let mut settle = || ledger.settle(key(1).command_type(), std::slice::from_ref(&listed));
    assert_eq!(settle(), [key(1)]);
    assert_eq!(settle(), [], "that is known");
    assert_eq!(ledger.make_room(4), None, "there is room");
    assert_eq!(ledger.make_room(3), Some(key(1)));
    assert_eq!(offer(&mut ledger, &key(2), 2), Offer::Resend(result(2)));
}

#[test]
fn a_released_command_is_surfaced_again_and_a_finished_one_is_not_released() {
    let mut ledger = Ledger::default();
    assert_eq!(offer(&mut ledger, &key(1), 2), NEW);
    assert_eq!(ledger.release(&key(1)), Some(0));
    assert_eq!(offer(&mut ledger, &key(1), 2), NEW);
    finish(&mut ledger, 1);
    assert_eq!(ledger.release(&key(1)), None);
}

#[test]
fn held_types_come_back_when_there_is_room() {
    let mut ledger = Ledger::default();
    assert_eq!(
        (
            offer(&mut ledger, &key(1), 1),
            offer(&mut ledger, &key(2), 1)
        ),
        (NEW, Offer::NoRoom)
    );
    ledger.hold(key(2).command_type());
    assert!(ledger.take_held(1, 1, 1).is_empty());
    ledger.release(&key(1));
    assert_eq!(ledger.take_held(1, 1, 1).len(), 1);
    assert!(ledger.take_held(1, 1, 1).is_empty(), "asked for once");
}

#[test]
fn what_was_in_progress_at_a_crash_is_surfaced_as_interrupted() {
    let mut ledger = Ledger::default();
    ledger.restore_in_progress(key(1), 1);
    ledger.restore_finished(key(2), result(2), false);
    assert_eq!(
        offer(&mut ledger, &key(1), 9),
        Offer::Surface { interruptions: 1 }
    );
    assert_eq!(offer(&mut ledger, &key(1), 9), Offer::Running);
    assert_eq!(offer(&mut ledger, &key(2), 9), Offer::Resend(result(2)));
}

#[test]
fn a_result_of_a_command_that_was_not_surfaced_is_kept_where_there_is_room() {
    let mut ledger = Ledger::default();
    let finish = |ledger: &mut Ledger, id| ledger.finish(key(id).command_type(), &result(id), 1);
    assert!(finish(&mut ledger, 1));
    assert!(!finish(&mut ledger, 2), "there is no room");
    assert!(finish(&mut ledger, 1), "it has its room already");
    assert!(ledger.is_known(&key(1)) && !ledger.is_known(&key(2)));
    assert_eq!(format!("{:?}", key(1)), "CommandKey(reboot/CommandId(1))");
}

#[test]
fn the_oldest_make_room_one_after_the_other() {
    let mut ledger = Ledger::default();
    for id in [2, 1] {
        finish(&mut ledger, id);
        ledger.handle_result_end(&key(id), ResultEnd::Acknowledged);
    }
    assert_eq!(ledger.make_room(2), Some(key(2)));
    assert_eq!(ledger.make_room(1), Some(key(1)));
    assert_eq!(ledger.make_room(0), None);
}

#[test]
fn what_nobody_read_is_counted_and_given_back_by_its_type() {
    let mut ledger = Ledger::default();
    let (reboot, other) = (key(1), CommandType::new("other").unwrap());
    for id in [1, 2] {
        offer(&mut ledger, &key(id), 2);
        let command = Command::new(reboot.command_type().clone(), CommandId::from(id), None);
        ledger.push_unread(Mark::default(), command);
    }
    let unread = |ledger: &Ledger| {
        (
            ledger.unread_len(reboot.command_type()),
            ledger.unread_len(&other),
        )
    };
    assert_eq!(unread(&ledger), (2, 0));
    assert_eq!(ledger.release_unread(&other), []);
    ledger.hold(reboot.command_type());
    assert!(
        ledger.take_held(9, 3, 9_999).is_empty(),
        "they are to be read first"
    );
    assert_eq!(ledger.take_held(9, 4, 9_999).len(), 1);
    assert_eq!(unread(&ledger), (2, 0));
    let released = ledger.release_unread(reboot.command_type());
    assert_eq!(released, [(key(1), 0), (key(2), 0)]);
    assert_eq!(unread(&ledger), (0, 0));
}
